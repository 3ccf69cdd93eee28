"""``rollwright search`` on a terminal and for programs."""

from __future__ import annotations

import json

from rollwright.cli.root import run


def answer(capsys, *arguments):
    code = run([*arguments, "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_show_names_the_best_what_it_is_worth_and_what_choosing_costs(searched, monkeypatch, capsys):
    monkeypatch.chdir(searched.parent)
    assert run(["search", "show", "probe"]) == 0
    said = capsys.readouterr().out
    code, found = answer(capsys, "search", "show", "probe")
    assert code == 0
    data = found["data"]
    assert f"* {data['best']}" in said
    assert "of 4 trials on these data" in said
    assert data["choice"] in said
    assert "optuna-dashboard sqlite:///" in said
    assert [one["trial"] for one in data["trials"]] == [f"trial-{number:04d}" for number in range(4)]
    assert data["honesty"]["trials"] == 4


def test_run_goes_on_and_tells_the_same_to_programs(searched, monkeypatch, capsys):
    monkeypatch.chdir(searched.parent)
    before = answer(capsys, "search", "show", "probe")[1]
    code, found = answer(capsys, "search", "run", "probe.yaml", "-j", "1")
    assert (code, found) == (0, before)


def test_best_writes_the_file_and_says_how_to_roll_it(searched, monkeypatch, capsys):
    monkeypatch.chdir(searched.parent)
    assert run(["search", "best", "probe", "--out", "chosen.yaml"]) == 0
    assert "rollwright roll chosen.yaml" in capsys.readouterr().out
    assert run(["plan", "chosen.yaml"]) == 0


def test_a_search_of_another_name_is_bad_input(searched, monkeypatch, capsys):
    monkeypatch.chdir(searched.parent)
    assert run(["search", "show", "other"]) == 2
    assert "no search `other`" in capsys.readouterr().err
