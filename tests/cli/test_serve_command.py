"""`rollwright online serve`: it starts, answers, says what is wrong, and ends at a signal."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import httpx
import pytest

from rollwright.cli.root import run as main
from rollwright.core import optional
from served_ledgers import begin, make_served, served_day

TOKEN = "ab" * 32
WRITER = """
from rollwright.app.online.record import open_ledger
from served_ledgers import served_day
with open_ledger("small") as opened:
    for draft in served_day("2024-01-02"):
        opened.ledger.append(lambda _: draft)
"""


@pytest.fixture
def project(fresh):
    make_served(fresh / "small.yaml", [begin("lgb", "linear")])
    return fresh


@pytest.fixture
def start(project):
    """Start the command on a free port, and return the process with a client of it."""
    started = []

    def run(*arguments, headers=None):
        process = subprocess.Popen(
            [sys.executable, "-m", "rollwright", "online", "serve", "--port", "0", *arguments],
            stderr=subprocess.PIPE, text=True, cwd=project,
        )  # fmt: skip
        started.append(process)
        said = process.stderr.readline()
        url = next((word.rstrip(";") for word in said.split() if word.startswith("http://")), None)
        assert url is not None, said + process.stderr.read()
        client = httpx.Client(base_url=url, timeout=10, trust_env=False, headers=headers)
        started.append(client)
        return process, client

    yield run
    for one in started:
        if isinstance(one, httpx.Client):
            one.close()
            continue
        one.kill()
        one.wait()
        one.stderr.close()


def test_it_answers_what_the_ledger_says_and_ends_at_sigterm(project, start):
    process, client = start()
    assert client.get("/v1/servings").json()["servings"][0]["serving"] == "small"
    assert client.get("/v1/servings/small/signal").status_code == 404
    fresh = client.get("/v1/servings/small/freshness").json()
    assert fresh["published"] is None
    assert fresh["data"] is not None
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=10) == 0
    assert time.monotonic() - began < 5
    assert "Traceback" not in process.stderr.read()


def test_another_process_writes_meanwhile_and_a_missing_artifact_is_not_the_servers_end(project, start):
    _, client = start("small")
    before = client.get("/v1/servings/small").json()["entry"]
    helpers = os.path.dirname(sys.modules["served_ledgers"].__file__)
    subprocess.run([sys.executable, "-c", WRITER], env={**os.environ, "PYTHONPATH": helpers}, cwd=project, check=True)
    assert client.get("/v1/servings/small").json()["entry"] == before + len(served_day("2024-01-02"))
    assert client.get("/v1/servings/small/signals").json()["days"][0]["outcome"] == "published"
    answer = client.get("/v1/servings/small/signals/2024-01-02")  # its artifact was never made
    assert answer.status_code in (500, 503)
    assert str(project) not in answer.text
    assert client.get("/v1/health").status_code == 200


@pytest.mark.parametrize("by", ["option", "setting"])
def test_with_a_token_only_those_who_show_it_are_answered(project, start, by):
    file = project / "token"
    file.write_text(TOKEN + "\n")
    file.chmod(0o600)
    if by == "setting":
        (project / "rollwright.toml").write_text('[serve]\ntoken_file = "token"\n')
    _, client = start(*(["--token-file", str(file)] if by == "option" else []))
    assert client.get("/v1/health").status_code == 401
    assert client.get("/v1/health", headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200


@pytest.mark.parametrize(
    ("content", "mode", "said"),
    [
        ("short", 0o600, "holds no token"),
        (TOKEN, 0o644, "others than its owner"),
        ("", 0o600, "holds no token"),
        ("密" * 40, 0o600, "holds no token"),
        (None, 0o600, "cannot be read"),
    ],
    ids=["short", "open", "empty", "script", "absent"],
)
def test_a_token_that_is_none_is_refused(project, capsys, content, mode, said):
    file = project / "token"
    if content is not None:
        file.write_text(content)
        file.chmod(mode)
    assert main(["online", "serve", "--port", "0", "--token-file", str(file)]) == 2
    told = " ".join(capsys.readouterr().err.split())
    assert said in told
    assert content is None or len(content) < 32 or content not in told


def test_other_machines_are_not_answered_without_a_token(project, capsys):
    assert main(["online", "serve", "--host", "0.0.0.0", "--port", "0"]) == 2
    told = " ".join(capsys.readouterr().err.split())
    assert "--token-file" in told


def test_without_the_extra_the_line_that_installs_it_is_told(project, capsys, monkeypatch):
    monkeypatch.setattr(optional.importlib.util, "find_spec", lambda name: None)
    assert main(["online", "serve"]) == 3
    assert 'pip install "rollwright[serve]"' in " ".join(capsys.readouterr().err.split())


def test_an_unknown_serving_is_told_before_anything_listens(project, capsys):
    assert main(["online", "serve", "smal"]) == 2
    assert "did you mean `small`?" in " ".join(capsys.readouterr().err.split())
