"""`rollwright pit`: stdout is data, stderr is messages, exit codes tell."""

from __future__ import annotations

import json
import re
import shlex
import struct
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

import qlib_period_files
from rollwright.app.pit import get_values, list_known
from rollwright.cli.data import data_app
from rollwright.cli.pit import pit_app
from rollwright.config.context import install
from rollwright.config.settings import load_settings
from rollwright.errors import (
    DataNotFoundError,
    HoldoutSealedError,
    LookAheadError,
    UnknownFieldError,
    UnknownInstrumentError,
)
from rollwright.market.ingest.importer import import_market

DAYS = pd.bdate_range("2008-01-01", "2010-12-31", freq="BMS")
ROWS = """instrument,date,period,value,field
600519.SH,2008-04-22,200801,0.10,roe_q
600519.SH,2008-08-20,200802,0.20,roe_q
600519.SH,2008-09-01,200801,0.11,roe_q
600519.SH,2008-09-02,200801,,roe_q
000001.SZ,2008-04-20,200801,7,profit_q
"""


@pytest.fixture
def market(tmp_path, monkeypatch) -> Path:
    """A market of two instruments, which the settings name, and a file of values."""
    rows = pd.MultiIndex.from_product([DAYS, ["SH600519", "SZ000001"]], names=["date", "symbol"])
    import_market(rows.to_frame(index=False).assign(close=1.0), tmp_path / "market")
    (tmp_path / "rows.csv").write_text(ROWS)
    (tmp_path / "rollwright.toml").write_text('[data]\nprovider_uri = "market"\n')
    monkeypatch.chdir(tmp_path)
    install(load_settings())
    return tmp_path / "market"


@pytest.fixture
def filled(market) -> Path:
    done = run("import", "rows.csv", "--out", market, "--kind", "stock", "--kind", "profit_q=flow-cumulative")
    assert done.exit_code == 0, done.output
    return market


def run(*words):
    return CliRunner().invoke(pit_app, [str(word) for word in words])


def answer(*words):
    done = run(*words, "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["ok"] is True
    return told["data"]


def test_an_import_tells_what_it_did(market):
    done = run("import", "rows.csv", "--out", market, "--kind", "roe_q=stock")
    assert done.exit_code == 0, done.output
    assert "rows         5 of 2 instruments, known 2008-04-20 to 2008-09-02" in done.stdout
    assert "fields       profit_q (unknown), roe_q (stock)" in done.stdout
    assert "added        5 values, 0 were there" in done.stdout
    assert "restated     2" in done.stdout
    assert "withdrawn    1" in done.stdout
    assert "rollwright pit kind profit_q" in done.stderr
    again = answer("import", "rows.csv", "--out", market)
    assert (again["kind"], again["added"], again["repeated"]) == ("none", 0, 5)


def test_a_dry_run_says_so(market):
    done = run("import", "rows.csv", "--out", market, "--dry-run")
    assert "it would change" in done.stdout
    assert answer("info")["fields"] == []


@pytest.mark.parametrize("words", [["--kind", "=stock"], ["--kind", "stock", "--kind", "stock"], ["--kind", "x_q="]])
def test_a_kind_that_cannot_be_read_is_a_usage_error(market, words):
    assert run("import", "rows.csv", "--out", market, *words).exit_code == 2


def test_a_refusal_has_the_row_and_exit_code(market, tmp_path):
    (tmp_path / "early.csv").write_text("instrument,date,period,value,field\nSH600519,2008-03-30,200801,1,roe_q\n")
    done = run("import", "early.csv", "--out", market)
    assert isinstance(done.exception, LookAheadError)
    assert (done.exception.exit_code, "row 2" in str(done.exception)) == (4, True)
    assert run("import", "early.csv", "--out", market, "--allow-early").exit_code == 0


@pytest.mark.parametrize("code", ["SH600519", "sh600519", "600519.SH", "sh.600519", "600519.XSHG", "600519"])
def test_codes_are_taken_in_any_spelling(filled, code):
    assert [value["period"] for value in answer("get", code, "$$roe_q")] == [200801, 200802]


def test_the_values_that_count_are_shown_with_their_days(filled):
    assert answer("get", "SH600519", "roe_q") == [
        {
            "instrument": "SH600519", "field": "roe_q", "period": 200801, "value": None, "known": "2008-09-02",
            "first_known": "2008-04-22", "versions": 3,
        },
        {
            "instrument": "SH600519", "field": "roe_q", "period": 200802, "value": 0.2, "known": "2008-08-20",
            "first_known": "2008-08-20", "versions": 1,
        },
    ]  # fmt: skip
    shown = run("get", "SH600519", "roe_q").stdout
    assert "withdrawn" in shown
    before = answer("get", "SH600519", "roe_q", "--as-of", "2008-09-01")
    assert [(value["value"], value["versions"]) for value in before] == [(0.11, 2), (0.2, 1)]


def test_what_was_known_on_a_day_is_the_latest_period_of_each(filled):
    found = answer("asof", "2008-09-01")
    assert [(value["instrument"], value["field"], value["period"], value["value"]) for value in found] == [
        ("SH600519", "roe_q", 200802, 0.2),
        ("SZ000001", "profit_q", 200801, 7.0),
    ]
    assert len(answer("asof", "2008-09-01", "-i", "000001.SZ")) == 1
    assert len(answer("asof", "2008-09-01", "-f", "roe_q")) == 1
    shown = run("asof", "2008-09-01", "--limit", "1")
    assert "SZ000001" not in shown.stdout
    assert "1 more" in shown.stderr


def test_all_values_of_a_period_are_shown_in_their_order(filled):
    found = answer("history", "SH600519", "roe_q", "2008Q1")
    assert [(item["value"], item["known"], item["days_after"], item["replaced"]) for item in found] == [
        (0.1, "2008-04-22", 22, "2008-09-01"),
        (0.11, "2008-09-01", 154, "2008-09-02"),
        (None, "2008-09-02", 155, None),
    ]
    assert "withdrawn  2008-09-02" in run("history", "SH600519", "roe_q", "200801").stdout


def test_what_there_is_not_is_said_and_is_no_error(filled):
    for words in (
        ("get", "SZ000001", "roe_q"),
        ("asof", "2008-02-01"),
        ("history", "SH600519", "roe_q", "200901"),
    ):
        done = run(*words)
        assert (done.exit_code, done.stdout) == (0, ""), repr(done.exception)
        assert "nothing" in done.stderr
        assert answer(*words) == []


def test_what_nobody_has_is_an_error_that_names_the_nearest(filled):
    for words, error in (
        (("get", "SH600518", "roe_q"), UnknownInstrumentError),
        (("get", "SH600519", "roa_q"), UnknownFieldError),
        (("get", "SH600519", "roe"), UnknownFieldError),
    ):
        done = run(*words)
        assert isinstance(done.exception, error)
        assert done.exception.hint
    with pytest.raises(DataNotFoundError):
        get_values("SH600519", "roe_q", path="nowhere")


def test_fields_are_listed_with_what_they_measure(filled):
    fields = {item["field"]: item for item in answer("info")["fields"]}
    assert fields["roe_q"] == {
        "field": "roe_q", "kind": "stock", "instruments": 1, "values": 4, "restated": 2, "first_period": 200801,
        "last_period": 200802, "first_known": "2008-04-22", "last_known": "2008-09-02",
    }  # fmt: skip
    assert fields["profit_q"]["kind"] == "flow-cumulative"
    assert "200801-200802  2008-04-22 to 2008-09-02" in run("info", filled).stdout


def test_a_market_without_fields_by_period_says_how_to_get_them(market):
    done = run("info")
    assert "rollwright pit import" in done.stderr


def test_a_kind_is_declared_and_changed(filled):
    assert run("kind", "roe_q", "flow-discrete").exception.hint.endswith("--change`")
    done = run("kind", "$$roe_q", "flow-discrete", "--change")
    assert done.stdout == "$$roe_q: flow-discrete, before stock\n"
    assert answer("kind", "roe_q", "flow-discrete")["before"] == "flow-discrete"


def test_a_whole_market_passes_the_check(filled):
    report = answer("verify")
    assert (report["findings"], report["fields"], report["files"], report["records"]) == ([], 2, 2, 5)
    assert "2 fields, 2 files, 5 values: 0 errors, 0 warnings" in run("verify", filled).stderr


def test_damage_and_what_nobody_can_have_known_are_found_in_files_of_other_tools(market):
    for name in ("rollwright.json", "rollwright.files"):
        (market / name).unlink()
    rows = [(20080330, 200801, 1.0), (20080901, 200802, float("inf")), (20990101, 200803, 1.0)]
    qlib_period_files.write(market, "sh600519", "x_q", rows)
    cycle = qlib_period_files.write(market, "sz000001", "x_q", [(20080420, 200801, 1.0), (20080901, 200801, 2.0)])
    cycle.write_bytes(cycle.read_bytes()[:36] + struct.pack("<I", 0))
    alone = qlib_period_files.write(market, "sz000001", "y_q", rows[1:2])
    alone.unlink()
    (market / "financial" / "sz000001" / "notes.txt").write_text("mine\n")
    done = run("verify", "--json")
    assert done.exit_code == 2
    told = json.loads(done.stdout)
    assert told["ok"] is False
    found = {(item["severity"], item["kind"]): item for item in told["data"]["findings"] if item["kind"] != "corrupt"}
    assert sorted(found) == [("error", "early"), ("error", "future"), ("warning", "infinite"), ("warning", "stray")]
    assert "1 of SH600519 for 200801, dated 2008-03-30" in found["error", "early"]["message"]
    corrupt = {item["where"].rpartition("/")[2]: item["message"] for item in told["data"]["findings"][:2]}
    assert "would not end" in corrupt["x_q.data"]
    assert corrupt["y_q.index"] == "its records are missing"
    assert "corrupt" in run("verify").stdout


def test_values_that_were_declared_early_are_warnings(market, tmp_path):
    (tmp_path / "early.csv").write_text("instrument,date,period,value,field\nSH600519,2008-03-30,200801,1,roe_q\n")
    run("import", "early.csv", "--out", market, "--allow-early")
    report = answer("verify")
    assert [(item["severity"], item["kind"]) for item in report["findings"]] == [("warning", "early")]


def test_a_changed_file_of_an_import_is_found(filled):
    for ending, place in ((".data", 9), (".index", 5)):
        path = filled / "financial" / "sh600519" / f"roe_q{ending}"
        data = bytearray(path.read_bytes())
        path.write_bytes(bytes([*data[:place], data[place] ^ 1, *data[place + 1 :]]))
        assert run("verify").exit_code == 2
        path.write_bytes(bytes(data))
    (filled / "financial" / "fields.json").write_text("{}")
    assert run("verify").exit_code == 2


def test_nothing_of_a_sealed_holdout_is_told(filled, tmp_path):
    (tmp_path / "rollwright.toml").write_text(
        '[data]\nprovider_uri = "market"\nholdout = ["2008-09-01", "2008-12-31"]\n'
    )
    install(load_settings())
    assert [value.versions for value in get_values("SH600519", "roe_q")] == [1, 1]
    assert [item["values"] for item in answer("info")["fields"]] == [1, 2]
    assert len(answer("history", "SH600519", "roe_q", "200801")) == 1
    with pytest.raises(HoldoutSealedError):
        list_known("2008-09-02")


def test_every_command_of_the_page_runs(tmp_path, monkeypatch):
    page = (Path(__file__).parents[2] / "docs" / "point-in-time.md").read_text()
    monkeypatch.chdir(tmp_path)
    ran = []
    for opening, body in re.findall(r"^```(\w+[^\n]*)\n(.*?)^```", page, re.MULTILINE | re.DOTALL):
        kind, _, name = opening.partition(" file=")
        if kind == "csv":
            (tmp_path / name).write_text(body)
        for line in body.splitlines() if kind == "console" else []:
            program, group, *words = shlex.split(line.removeprefix("$ "))
            assert program == "rollwright"
            done = CliRunner().invoke({"data": data_app, "pit": pit_app}[group], words)
            assert done.exit_code == 0, f"{line}\n{done.output}\n{done.exception!r}"
            ran.append(words[0])
    assert {"import", "get", "asof", "history", "info", "kind", "verify"} <= set(ran)
    operators = page.partition("\n## Operators\n")[2].partition("\n## As of\n")[0]
    space: dict[str, object] = {}
    for body in re.findall(r"^```python\n(.*?)^```", operators, re.MULTILINE | re.DOTALL):
        exec(body, space)
    assert "growth" in space


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from typer.testing import CliRunner; from rollwright.cli.pit import pit_app;"
        "r = CliRunner().invoke(pit_app, ['import', '--help']); assert r.exit_code == 0, r.output;"
        "print(sorted({'pandas', 'numpy', 'pyarrow', 'mlflow'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
