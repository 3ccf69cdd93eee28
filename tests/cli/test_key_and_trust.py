"""`rollwright key` and `rollwright trust`: keys are exchanged with a question and never shown."""

from __future__ import annotations

import base64
import io
import json
from hashlib import sha256

import pytest

from rollwright.cli.root import run
from rollwright.config.settings import user_data_folder
from rollwright.signing.envelope import open_sealed, seal
from rollwright.signing.keys import Keyring


@pytest.fixture
def answer(monkeypatch):
    def given(text):
        monkeypatch.setattr("sys.stdin", io.StringIO(f"{text}\n"))

    return given


def test_show_and_list_make_nothing_and_show_no_key(capsys):
    assert run(["key", "show"]) == run(["key", "list"]) == 0
    assert "no key yet" in capsys.readouterr().out
    assert not user_data_folder().exists()
    first = Keyring().signing_key()
    assert run(["key", "rotate"]) == 0
    new = Keyring().signing_key()
    assert run(["key", "list"]) == 0
    assert run(["key", "show", "--json"]) == 0
    out = capsys.readouterr().out
    assert [line.split() for line in out.splitlines()[1:3]] == [[new.id, "signs"], [first.id, "verifies"]]
    assert json.loads(out[out.index("{") :])["data"]["keys"] == [new.id, first.id]
    raw = Keyring().path.read_bytes()
    assert raw.hex() not in out
    assert base64.b64encode(raw).decode() not in out


def test_a_key_is_exported_and_imported_after_a_question(answer, capsys, monkeypatch, tmp_path):
    key = Keyring().signing_key()
    answer("n")
    assert run(["key", "export", str(tmp_path / "out.key")]) == 2
    assert not (tmp_path / "out.key").exists()
    answer("y")
    assert run(["key", "export", str(tmp_path / "out.key")]) == 0
    assert run(["key", "export", str(tmp_path / "out.key")]) in (2, 3)
    data = seal(b"p", fmt="a", name="x")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "elsewhere"))
    answer("")
    assert run(["key", "import", str(tmp_path / "out.key")]) == 2
    assert Keyring().list_keys() == []
    answer("y")
    assert run(["key", "import", str(tmp_path / "out.key")]) == 0
    assert Keyring().list_keys() == [key]
    open_sealed(data, fmt="a", name="x", where="x")
    text = "".join(capsys.readouterr())
    assert (tmp_path / "out.key").read_text().split()[-1] not in text


def test_no_key_is_said_to_sign_where_the_machine_does(answer, capsys, tmp_path):
    assert run(["key", "rotate"]) == run(["key", "share"]) == 0
    public = capsys.readouterr().out.splitlines()[-1]
    assert run(["key", "rotate"]) == run(["key", "list"]) == run(["key", "show"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [line for line in lines if "signs" in line] == [["signs", public]]


def test_a_machine_is_trusted_by_the_key_it_shares(capsys, monkeypatch, tmp_path):
    assert run(["key", "share"]) == 0
    public = capsys.readouterr().out.strip()
    data = seal(b"p", fmt="a", name="x")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "elsewhere"))
    assert run(["trust", "add", public]) == 2
    assert "--name lab2" in capsys.readouterr().err
    assert run(["trust", "add", public, "--name", "lab2"]) == 0
    assert open_sealed(data, fmt="a", name="x", where="x").signer == "machine lab2"
    assert run(["trust", "add", sha256(data).hexdigest()]) == 0
    capsys.readouterr()
    assert run(["trust", "list"]) == 0
    assert [line.split()[:2] for line in capsys.readouterr().out.splitlines()] == [
        ["machine", "lab2"],
        ["file", sha256(data).hexdigest()[:16]],
    ]
    assert run(["trust", "rm", "lab2"]) == 0
    assert run(["trust", "rm", "lab2"]) == 2
    assert run(["trust", "list", "--json"]) == 0
    assert '"lab2"' not in capsys.readouterr().out.partition("{")[2]


def test_a_key_others_can_read_is_an_error_of_the_environment(capsys):
    Keyring().signing_key()
    Keyring().path.chmod(0o644)
    assert run(["key", "show"]) == 3
    assert "chmod 600" in capsys.readouterr().err
