"""The table of a comparison as text: Qlib's columns first, and every name shown as it is."""

import csv
import io
import json
import math
import re

import pytest

from comparisons import make_comparison, make_failure, make_run
from rollwright.compare.costs import costs_to_csv, costs_to_json, costs_to_markdown, summarise_costs
from rollwright.compare.table import make_table
from rollwright.compare.table_rows import TableNote
from rollwright.compare.table_text import escape_markdown, table_to_csv, table_to_markdown
from rollwright.compare.table_words import NOTES, describe_note

QLIB = (
    "| Model Name | Dataset | IC | ICIR | Rank IC | Rank ICIR | Annualized Return | Information Ratio | Max Drawdown |"
)
HOSTILE = "a|b\n# <img src=x> [c](https://evil.example) `d` www.evil.example"


def cells_of(line):
    return [cell.strip() for cell in line.replace("\\|", "¦").strip("|").split("|")]


def test_the_columns_of_qlib_come_first_and_cells_are_mean_and_deviation():
    table = make_table(make_comparison(), baseline="Linear")
    head, rule, *rows = table_to_markdown(table).split("\n\n")[0].splitlines()
    assert head.startswith(QLIB)
    assert len(cells_of(rule)) == len(cells_of(head))
    metric = table.rows[0].metrics["ic"]
    assert cells_of(rows[0])[:3] == ["LightGBM", "Alpha158", f"{metric.mean:.4f}±{metric.std:.4f}"]
    assert len(rows) == 3
    assert "Against Linear" in head


def test_failures_are_shown_with_their_cause_once_for_all_seeds():
    runs = [
        *make_comparison(),
        make_failure("GRU", 1),
        make_failure("GRU", 2),
        make_run("Half", 1),
        make_failure("Half", 2),
    ]
    text = table_to_markdown(make_table(runs))
    rows = {cells_of(line)[0]: cells_of(line) for line in text.splitlines() if line.startswith("| ")}
    assert rows["GRU"][9] == "0/2"
    assert rows["GRU"][-1] == r"2× failed: ValueError: num\_leaves must be \> 1"
    assert rows["Half"][9] == "1/2"
    assert rows["Half"][-1].startswith("failed: ValueError")
    assert "Runs that failed: 3." in text


def test_the_chinese_table_has_the_same_numbers():
    table = make_table([*make_comparison(), make_failure("GRU")], baseline="Linear")
    english, chinese = table_to_markdown(table).splitlines(), table_to_markdown(table, lang="zh").splitlines()
    assert "年化收益" in chinese[0]
    assert len(chinese) == len(english)
    assert cells_of(chinese[2])[2:9] == cells_of(english[2])[2:9]


def test_a_hostile_name_stays_one_cell_of_plain_text():
    table = make_table([make_run(HOSTILE), make_failure("=1+1", cause=HOSTILE)], baseline=HOSTILE)
    text = table_to_markdown(table)
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) == 4
    assert len({len(cells_of(line)) for line in rows}) == 1
    for bad in (r"(?<!\\)<img", r"(?<!\\)\]\(", r"(?<!\\)`d", r"https://", r"www\.evil"):
        assert re.search(bad, text) is None
    assert r"www\.evil" in text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("LightGBM", "LightGBM"),
        ("a_b*c", r"a\_b\*c"),
        ("x | y", r"x \| y"),
        ("back\\slash", r"back\\slash"),
        ("two\nlines", r"two\\nlines"),
        ("https://a.b", r"https\://a.b"),
        ("www.a.b", r"www\.a.b"),
        ("a@b.c", r"a\@b.c"),
        ("0.0123", "0.0123"),
        ("\u202eabc", r"\\u202eabc"),
        ("&lt;", r"\&lt;"),
    ],
)
def test_markdown_shows_text_as_it_is(text, shown):
    assert escape_markdown(text) == shown


def test_csv_has_every_number_in_full_and_nothing_that_is_a_formula():
    table = make_table([*make_comparison(), make_failure("=cmd|x", cause="+1")], baseline="Linear")
    rows = list(csv.DictReader(io.StringIO(table_to_csv(table))))
    assert [row["model"] for row in rows] == ["LightGBM", "Linear", "XGBoost", "'=cmd|x"]
    for row, wanted in zip(rows, table.rows, strict=True):
        if wanted.metrics:
            assert float(row["ic_mean"]) == wanted.metrics["ic"].mean
            assert float(row["set_p"]) == wanted.standing.set_p
            assert row["in_set"] in ("true", "false")
    assert rows[0]["versus_rank_ic_difference"] == repr(table.rows[0].standing.versus.rank_ic.difference)
    assert rows[1]["versus_rank_ic_difference"] == ""
    assert rows[3]["ic_mean"] == ""
    assert rows[3]["failed"] == "1"
    assert rows[3]["cause"] == "failed: +1"
    assert rows[0]["digests"].split() == list(table.rows[0].digests.values())


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_every_kind_of_note_is_a_sentence(lang):
    values = {
        "model": "A", "sessions": 3, "row": "B", "most": 9, "groups": 2, "terms": "label", "rows": "C", "runs": 1,
        "dropped": 4, "models": 301,
    }  # fmt: skip
    for kind in NOTES:
        text = describe_note(TableNote(kind, values), lang)
        assert "?" not in text
        assert "{" not in text


def test_a_note_that_lacks_a_value_is_a_sentence_too():
    assert describe_note(TableNote("runs_failed", {})) == "Runs that failed: ?."


def test_what_runs_took_is_summed_and_shown_beside_the_table():
    rows = summarise_costs([*make_comparison(models=("A", "B")), make_failure("C")])
    assert [row.model for row in rows] == ["A", "B"]
    assert rows[0].seconds == (4.0, 1.0, 3)
    assert rows[0].total_seconds == 12.0
    data = costs_to_json(rows)
    assert data["total_seconds"] == 24.0
    assert data["total_cpu_seconds"] == 30.0
    json.dumps(data, allow_nan=False)
    assert costs_to_markdown(rows).splitlines()[-1] == "| all runs |  | 24.0 | 30.0 |  |"
    assert costs_to_markdown([]).count("\n") == 2
    lines = list(csv.DictReader(io.StringIO(costs_to_csv(rows))))
    assert lines[1]["peak_mb_mean"] == "100.000002"


def test_a_metric_that_no_run_has_is_an_empty_cell():
    run = make_run("A")
    run.metrics["icir"] = math.nan
    row = table_to_markdown(make_table([run])).splitlines()[2]
    assert cells_of(row)[3] == ""
