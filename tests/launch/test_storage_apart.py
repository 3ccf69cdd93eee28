"""Experiments, tasks and artifacts in three places, and a host that has none of the project's files."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

pytest.importorskip("s3fs", reason='pip install "rollwright[s3]"')

import postgres_server
import s3_server
from small_campaign import make_project

pytestmark = pytest.mark.slow

SAME = ("pred.parquet", "label.parquet", "summary.json", "analysis/ic.parquet", "analysis/stage.json")


class Hosts:
    """Projects of several hosts, and what runs there."""

    def __init__(self, base, server, url, tracking):
        self.base, self.server, self.url, self.tracking = base, server, url, tracking
        self.secrets = {**server.environment(), "ROLLWRIGHT_POOL__URL": url}

    def environment(self, host, *, shared):
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "LD_LIBRARY_PATH") if name in os.environ}
        home = self.base / f"home-{host}"
        home.mkdir(exist_ok=True)
        return {**kept, "HOME": str(home), **(self.secrets if shared else {})}

    def run(self, host, folder, *arguments, shared=True, code=0):
        done = subprocess.run(
            [sys.executable, "-m", "rollwright", *map(str, arguments)],
            cwd=folder, env=self.environment(host, shared=shared), capture_output=True, text=True, timeout=300,
            check=False,
        )  # fmt: skip
        assert done.returncode == code, done.stderr
        assert s3_server.SECRET not in done.stdout + done.stderr
        return done

    def project(self, name):
        folder = self.base / name
        make_project(folder)
        (folder / "rollwright.toml").write_text(
            f'[tracking]\nuri = "{self.tracking}"\nartifacts = "s3://house/desk"\n[pool]\npoll = 0.2\n'
        )
        return folder


def digests(folder):
    return {name: (folder / "results" / "small" / name).read_bytes() for name in SAME}


@pytest.fixture(scope="module")
def hosts(tmp_path_factory):
    """Roll the campaign on one machine, and begin it with servers; a first host is interrupted at its first window."""
    reason = postgres_server.missing()
    if reason is not None:
        pytest.skip(reason)
    shared = postgres_server.shared_server()
    base = tmp_path_factory.mktemp("hosts")
    tracking = postgres_server.new_database(shared).replace("postgresql://", "postgresql+psycopg://")
    with s3_server.running() as server:
        hosts = Hosts(base, server, postgres_server.new_database(shared), tracking)
        make_project(base / "alone")
        hosts.run("alone", base / "alone", "roll", "small.yaml", "-j", "1", shared=False)
        folder = hosts.project("first")
        shutil.copytree(folder, base / "third")
        rolling = subprocess.Popen(
            [sys.executable, "-m", "rollwright", "roll", "small.yaml", "-j", "1"],
            cwd=folder, env=hosts.environment("first", shared=True), stderr=subprocess.PIPE, text=True,
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        for line in rolling.stderr:
            if line.endswith("started\n"):
                rolling.send_signal(signal.SIGINT)
                break
        rolling.communicate(timeout=120)
        yield hosts


def test_a_host_with_a_bundle_works_and_the_results_are_those_of_one_machine(hosts):
    first, market = hosts.base / "first", hosts.base / "market-of-the-host"
    shutil.copytree(first / "market", market)
    hosts.run("first", first, "cluster", "bundle", "small", "--out", hosts.base / "small.bundle")
    assert hosts.url.encode() not in (hosts.base / "small.bundle").read_bytes()
    nowhere = hosts.base / "nowhere"
    nowhere.mkdir()
    refused = hosts.run("other", nowhere, "worker", "join", hosts.base / "small.bundle", "--data", market, code=2)
    assert "has no trusted signature" in refused.stderr
    public = hosts.run("first", first, "key", "share").stdout.strip()
    hosts.run("other", nowhere, "trust", "add", public, "--name", "first")
    hosts.run("first", first, "cluster", "bundle", "small", "--out", hosts.base / "small.bundle")
    began = time.monotonic()
    worked = hosts.run("other", nowhere, "worker", "join", hosts.base / "small.bundle", "--data", market, "-j", "1")
    assert time.monotonic() - began < 120
    assert "3 done" in worked.stderr or "4 done" in worked.stderr
    hosts.run("first", first, "roll", "small.yaml", "-j", "1")
    assert digests(first) == digests(hosts.base / "alone")

    # a third host, with nothing but the project's files, finds everything: nothing is trained there
    third = hosts.base / "third"
    again = hosts.run("third", third, "roll", "small.yaml", "-j", "1")
    assert "nothing to train; 4 windows kept" in again.stderr
    assert digests(third) == digests(hosts.base / "alone")
    assert "0 errors, 0 warnings" in hosts.run("third", third, "verify").stdout
    replayed = json.loads(hosts.run("third", third, "replay", "2020-07-03..2020-08-06", "--json").stdout)
    assert all(item["then"] == item["now"] for item in replayed["data"]["artifacts"].values())

    # what is damaged in the store is found by whoever reads it
    key = next(key for key in hosts.server.objects if "/artifacts/pred" in key)
    data = hosts.server.objects[key]
    hosts.server.objects[key] = data[:-1] + bytes([data[-1] ^ 1])
    found = hosts.run("third", third, "verify", code=4).stdout
    assert f"s3://{key}" in found
    hosts.server.objects[key] = data
