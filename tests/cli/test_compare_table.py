"""``rollwright compare table`` on evaluations that are stored."""

import csv
import io
import json

import pytest

from comparisons import make_comparison, make_failure
from rollwright.app.compare.opening import comparison_record, results_of
from rollwright.app.compare.table import EVALUATIONS, make_comparison_table, write_results
from rollwright.cli.root import run
from rollwright.compare.record import ComparisonOptions, ComparisonRecord
from rollwright.compare.stored_evaluations import write_evaluations
from rollwright.config.settings import load_settings


@pytest.fixture
def compared(tmp_path, monkeypatch):
    """A project with a comparison `mine` whose runs are stored; the folder of its results."""
    (tmp_path / "rollwright.toml").write_text("")
    monkeypatch.chdir(tmp_path)
    settings = load_settings()
    ComparisonRecord(name="mine", source="models", options=ComparisonOptions(times=3)).write(
        comparison_record(settings, "mine")
    )
    folder = results_of(settings, "mine")
    write_evaluations(folder / EVALUATIONS, make_comparison(days=80))
    return folder


def test_the_table_is_printed_with_its_costs(compared, capsys):
    assert run(["compare", "table", "mine", "--baseline", "linear"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("| Model Name | Dataset | IC |")
    assert "Against Linear" in out
    assert "| all runs |" in out


def test_the_latest_comparison_is_shown_where_none_is_named(compared, capsys):
    assert run(["compare", "table", "--format", "csv", "--metric", "excess"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["model"] for row in rows] == [row.model for row in make_comparison_table(metric="excess").table.rows]


def test_json_holds_table_and_costs(compared, capsys):
    assert run(["compare", "table", "mine", "--level", "0.8", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["data"]["table"]["level"] == 0.8
    assert found["data"]["costs"]["total_seconds"] == 36.0


def test_a_run_that_failed_is_exit_code_1(compared, capsys):
    write_evaluations(compared / EVALUATIONS, [*make_comparison(days=80), make_failure("GRU")])
    assert run(["compare", "table", "mine", "--format", "json"]) == 1
    assert json.loads(capsys.readouterr().out)["ok"] is False


def test_what_is_not_given_is_as_in_the_table_that_lies_there_and_nothing_is_written(compared):
    runs = make_comparison(days=80)
    write_results(compared, "mine", runs, baseline="Linear", metric="ic", level=0.8, origin={"market": "demo"})
    before = {path.name: path.read_bytes() for path in compared.glob("*.*")}
    assert {"table.json", "table.csv", "table.md", "costs.json", "costs.csv", "costs.md", "comparison.html"} <= {
        *before
    }
    table = make_comparison_table("mine").table
    assert (table.baseline, table.metric, table.level, table.origin) == ("Linear", "ic", 0.8, {"market": "demo"})
    assert make_comparison_table("mine", baseline="XGBoost", metric="rank_ic").table.baseline == "XGBoost"
    assert {path.name: path.read_bytes() for path in compared.glob("*.*")} == before


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["compare", "table", "other"], 2, "there is no comparison `other`"),
        (["compare", "table", "mine", "--baseline", "LigthGBM"], 2, "did you mean `LightGBM`?"),
        (["compare", "table", "mine", "--level", "90"], 2, "a number between 0 and 1"),
    ],
)
def test_what_is_wrong_is_said(compared, capsys, arguments, code, said):
    assert run(arguments) == code
    assert said in capsys.readouterr().err


def test_a_comparison_without_results_says_how_to_get_them(compared, capsys):
    for path in (compared / EVALUATIONS).iterdir():
        path.unlink()
    assert run(["compare", "table", "mine"]) == 3
    assert "rollwright compare run" in capsys.readouterr().err
