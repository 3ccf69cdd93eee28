"""``rollwright config show`` tells each setting, where it came from, and no secret."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rollwright.cli.root import run


@pytest.fixture
def shown(capsys):
    def show(*arguments):
        code = run(["config", "show", *arguments])
        return code, capsys.readouterr()

    return show


def test_each_setting_is_told_with_its_origin(shown, monkeypatch):
    Path("rollwright.toml").write_text('[data]\nregion = "us"\n', encoding="utf-8")
    monkeypatch.setenv("ROLLWRIGHT_POOL__LEASE", "30")
    code, captured = shown("--json")
    assert code == 0
    document = json.loads(captured.out)
    settings = document["data"]["settings"]
    assert document["ok"] is True
    assert document["data"]["root"] == str(Path.cwd())
    assert settings["data.region"] == {"value": "us", "origin": "rollwright.toml"}
    assert settings["pool.lease"] == {"value": "30.0", "origin": "environment"}
    assert settings["data.freq"] == {"value": "day", "origin": "default"}


@pytest.mark.parametrize("arguments", [(), ("--json",)])
def test_no_secret_is_shown(shown, monkeypatch, arguments):
    monkeypatch.setenv("ROLLWRIGHT_POOL__URL", "postgresql://me:hunter2@host/db?password=hunter2")
    code, captured = shown(*arguments)
    assert code == 0
    assert "hunter2" not in captured.out + captured.err
    assert "me:***@host" in captured.out.replace("\n", "")


def test_a_misspelled_setting_ends_with_2_and_the_nearest_name(shown):
    Path("rollwright.toml").write_text('[data]\nregoin = "us"\n', encoding="utf-8")
    code, captured = shown()
    assert code == 2
    assert captured.out == ""
    assert "data.region" in captured.err
    assert "Traceback" not in captured.err


def test_a_broken_file_ends_with_2_and_its_name(shown):
    Path("rollwright.toml").write_text("[data", encoding="utf-8")
    code, captured = shown()
    assert code == 2
    assert "rollwright.toml" in captured.err


def test_a_secret_in_a_bad_value_is_not_shown(shown, monkeypatch):
    monkeypatch.setenv("ROLLWRIGHT_DATA__REGION", "postgresql://me:hunter2@host/db")
    code, captured = shown()
    assert code == 2
    assert "hunter2" not in captured.err
