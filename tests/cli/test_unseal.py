"""`rollwright unseal`: shows what is sealed, asks, and writes down who opened it, when and why."""

from __future__ import annotations

import json
import os

import pytest
from typer.testing import CliRunner

from rollwright import D
from rollwright.app.unseal import find_sealed, unseal
from rollwright.cli.root import app, run
from rollwright.config.context import using
from rollwright.config.settings import load_settings
from rollwright.errors import ConfigError, DataStorageError, HoldoutSealedError
from rollwright.market.demo import make_demo_market
from rollwright.market.seal_record import find_record_file, read_records

FROM = "2015-03-02"


@pytest.fixture
def project(tmp_path, monkeypatch):
    make_demo_market(tmp_path / "data", instruments=20, sessions=80)
    write(tmp_path, f'holdout = ["{FROM}", "open"]')
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(folder, line):
    (folder / "rollwright.toml").write_text(f'[data]\nprovider_uri = "data"\n{line}\n', encoding="utf-8")


def look():
    with using(load_settings()):
        return D.features("all", ["$close"], start_time=FROM)


def test_it_is_refused_until_it_is_opened_and_read_from_then_on(project, capsys):
    with pytest.raises(HoldoutSealedError):
        look()
    assert run(["unseal", "--reason", "the paper is written", "--yes"]) == 0
    shown = capsys.readouterr()
    assert f"opened   [{FROM}, open]" in shown.out
    assert "the paper is written" in shown.out
    assert f"sealed: [{FROM}, open], from rollwright.toml" in shown.err
    assert len(look())
    sealed, opened = read_records(find_record_file(project / ".rollwright"))
    assert (sealed.kind, opened.kind, opened.reason) == ("sealed", "opened", "the paper is written")
    assert opened.by == sealed.by


def test_json_holds_the_record(project, capsys):
    assert run(["unseal", "--reason", "why not", "--yes", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)["data"]
    assert [one["reason"] for one in data["opened"]] == ["why not"]
    assert data["path"] == str(project / ".rollwright" / "holdout.jsonl")


def test_it_asks_and_no_answer_opens_nothing(project):
    for said in ("n\n", "", "\n"):
        assert CliRunner().invoke(app, ["unseal", "--reason", "x"], input=said).exit_code == 2
        with pytest.raises(HoldoutSealedError):
            look()
    assert CliRunner().invoke(app, ["unseal", "--reason", "x"], input="y\n").exit_code == 0
    assert len(look())


@pytest.mark.parametrize("words", [[], ["--reason", ""], ["--reason", "  \n"], ["--reason", "x" * 2001]])
def test_without_a_reason_nothing_is_opened(project, words, capsys):
    assert run(["unseal", "--yes", *words]) == 2
    with pytest.raises(HoldoutSealedError):
        look()


def test_a_setting_that_was_removed_does_not_hinder_an_opening(project):
    with pytest.raises(HoldoutSealedError):
        look()
    write(project, "")
    with pytest.raises(ConfigError, match="is not set, and"):
        look()
    assert [one.pair for one in find_sealed()] == [(FROM, "open")]
    unseal("on the record")
    assert len(look())


def test_what_nobody_used_yet_is_sealed_and_opened_at_once(project):
    unseal("never mind")
    assert [record.kind for record in read_records(find_record_file(project / ".rollwright"))] == ["sealed", "opened"]
    assert len(look())


def test_nothing_sealed_is_told_and_so_is_what_was_opened_before(project):
    unseal("the first time")
    with pytest.raises(ConfigError, match=rf"nothing is sealed in .*; opened already: \[{FROM}, open\]"):
        unseal("the second time")
    write(project, "")
    (project / ".rollwright" / "holdout.jsonl").unlink()
    with pytest.raises(ConfigError, match=r"nothing is sealed in [^;]*$"):
        unseal("nothing there")


def test_what_cannot_be_written_is_not_opened(project):
    (project / ".rollwright").write_text("no folder")
    with pytest.raises(DataStorageError):
        unseal("no room")
    os.unlink(project / ".rollwright")
    with pytest.raises(HoldoutSealedError):
        look()
