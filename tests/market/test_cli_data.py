"""`rollwright data`: stdout is data, stderr is messages, exit codes tell."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from rollwright.cli.data import data_app
from rollwright.config.context import install
from rollwright.config.settings import load_settings
from rollwright.errors import DataError, DataNotFoundError

DAYS = pd.bdate_range("2020-01-01", periods=5)


@pytest.fixture
def prices(tmp_path):
    frame = pd.DataFrame({"Name": "000001", "date": DAYS, "close": [1.0, 2, 3, 4, 5]})
    frame.to_csv(tmp_path / "prices.csv", index=False)
    return tmp_path / "prices.csv"


def run(*words):
    return CliRunner().invoke(data_app, [str(word) for word in words])


def test_import_then_info_then_check(tmp_path, prices):
    done = run("import", prices, "--out", tmp_path / "market")
    assert done.exit_code == 0, done.output
    assert "5 of 1 instruments, 2020-01-01 to 2020-01-07" in done.stdout
    assert "missing      open, high, low, volume, vwap, factor (they read as NaN)" in done.stdout
    info = json.loads(run("info", tmp_path / "market", "--json").stdout)["data"]
    assert (info["sessions"], info["fields"], info["universes"][0]["members"], info["demo"]) == (5, ["close"], 1, None)
    assert "universe     all: 1 in all, 1 on 2020-01-07" in run("info", tmp_path / "market").stdout
    check = run("check", tmp_path / "market")
    assert "jump" in check.stdout
    assert "0 errors" in check.stderr
    assert check.exit_code == 0


def test_info_tells_a_damaged_universe_beside_the_others(tmp_path, prices):
    run("import", prices, "--out", tmp_path / "market")
    (tmp_path / "market" / "instruments" / "README.txt").write_text("lists made in January\n")
    done = run("info", tmp_path / "market")
    assert done.exit_code == 0, done.output
    assert "universe     all: 1 in all" in done.stdout
    assert "universe     README: damaged: line 1: 1 columns" in done.stdout


def test_demo_states_what_it_planted(tmp_path):
    words = ("demo", "--out", tmp_path / "demo", "--instruments", 30, "--sessions", 120, "--seed", 9)
    done = run(*words)
    assert done.exit_code == 0, done.output
    assert "planted IC   0.0800" in done.stdout
    assert "realised IC" in done.stdout
    report = json.loads(run(*words, "--json").stdout)["data"]
    assert (report["instruments"], report["planted_ic"]) == (30, 0.08)
    assert "synthetic    planted IC 0.0800" in run("info", tmp_path / "demo").stdout


def test_a_bad_row_is_an_error_of_exit_code_two(tmp_path, prices):
    prices.write_text("Name,date,close\nA,2020-01-01,x\n")
    done = run("import", prices, "--out", tmp_path / "market")
    assert isinstance(done.exception, DataError)
    assert done.exception.exit_code == 2
    assert not (tmp_path / "market").exists()


def test_data_that_are_not_there_are_an_error_of_exit_code_three(tmp_path):
    for words in (("info", tmp_path / "absent"), ("check", tmp_path / "absent"), ("info",)):
        done = run(*words)
        assert isinstance(done.exception, DataNotFoundError)
        assert done.exception.exit_code == 3


def test_the_folder_of_the_settings_is_the_default(tmp_path, prices):
    run("import", prices, "--out", tmp_path / "market")
    install(load_settings({"data.provider_uri": str(tmp_path / "market")}, start=tmp_path, environ={}))
    assert json.loads(run("info", "--json").stdout)["data"]["path"] == str(tmp_path / "market")
    assert json.loads(run("check", "--json").stdout)["ok"] is True


def test_a_check_with_errors_exits_with_two_and_accepting_them_is_possible(tmp_path, prices):
    run("import", prices, "--out", tmp_path / "market")
    (tmp_path / "market" / "instruments" / "all.txt").write_text("000001\t2020-01-02\t2020-01-03\n")
    broken = run("check", tmp_path / "market", "--json")
    assert broken.exit_code == 2
    assert json.loads(broken.stdout)["ok"] is False
    accepted = run("check", tmp_path / "market", "--accept", "--json")
    assert accepted.exit_code == 0, accepted.output
    assert "accepted" in accepted.stderr


def test_revising_is_asked_for(tmp_path, prices):
    run("import", prices, "--out", tmp_path / "market")
    prices.write_text(prices.read_text().replace("2.0", "2.5"))
    refused = run("import", prices, "--out", tmp_path / "market")
    assert "--revise" in str(refused.exception)
    done = run("import", prices, "--out", tmp_path / "market", "--revise")
    assert "changed      1 values, from 2020-01-02 on" in done.stdout


def test_every_command_of_the_page_on_data_runs(tmp_path, monkeypatch):
    page = (Path(__file__).parents[2] / "docs" / "data.md").read_text()
    monkeypatch.chdir(tmp_path)
    ran = 0
    for opening, body in re.findall(r"^```(\w+[^\n]*)\n(.*?)^```", page, re.MULTILINE | re.DOTALL):
        kind, _, name = opening.partition(" file=")
        if kind == "csv":
            (tmp_path / name).write_text(body)
        for line in body.splitlines() if kind == "console" else []:
            program, group, *words = shlex.split(line.removeprefix("$ "))
            assert (program, group) == ("rollwright", "data")
            done = run(*words)
            assert done.exit_code == 0, f"{line}\n{done.output}\n{done.exception!r}"
            ran += 1
    assert ran == 8


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from typer.testing import CliRunner; from rollwright.cli.data import data_app;"
        "r = CliRunner().invoke(data_app, ['import', '--help']); assert r.exit_code == 0, r.output;"
        "print(sorted({'pandas', 'numpy', 'pyarrow', 'mlflow'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
