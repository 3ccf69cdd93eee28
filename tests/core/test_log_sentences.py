"""Warnings on a terminal are sentences, and say what the events' page says."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import pytest

from rollwright.cli.root import common
from rollwright.core.log_sentences import MEANINGS, RepeatFilter, SentenceFormatter

PAGE = (Path(__file__).parents[2] / "docs" / "logging.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| `([\w.*]+)` \| ([\w, ]+) \| ([\w`, –]*) \| (.+) \|$", PAGE, flags=re.MULTILINE)


def said(message, *args, level=logging.WARNING, name="rollwright.models", place=""):
    record = logging.LogRecord(name, level, __file__, 1, message, args, None)
    return SentenceFormatter("%(levelname)s %(name)s: %(message)s", place=place).format(record)


def test_every_warning_of_the_page_has_its_sentence_and_no_other_has():
    expected = {event: meaning for event, levels, _, meaning in ROWS if re.search("warning|error", levels)}
    assert expected == MEANINGS


def test_a_warning_is_told_by_its_meaning_and_its_values():
    line = said("model.rows_without_label segment=%s dropped=%d rows=%d", "valid", 60, 7200)
    assert line == "warning: rows without a label were not used (segment valid, dropped 60, rows 7200)"
    assert said("store.lost pool=%s patience=%g error=%s", "demo", 300.0, "no route", place="slot-2") == (
        "warning [slot-2]: the store does not answer; the worker tries again for so many seconds "
        "(pool demo, patience 300): no route"
    )
    assert "factor: adjusted shares are traded, without lots (missing 3, prices 9, action adjusted shares" in said(
        "backtest.factor_missing missing=%d prices=%d action=adjusted_shares_without_lots", 3, 9
    )


def test_an_event_that_is_a_sentence_is_told_as_it_is():
    assert said("import.note text=%s", "no symbol column") == "warning: no symbol column"


@pytest.mark.parametrize("value", ["a\nERROR forged", "\x1b[2J", "caf\udce9", "x" * 100_000, "50% of it"])
def test_a_value_stays_within_its_line_whatever_it_holds(value):
    line = said("task.damaged pool=%s task=%s reason=%s", "p", 1, value)
    assert line.startswith("warning: the definition in the database")
    assert line.isprintable()
    assert len(line) < 3_000


def test_a_tuple_is_one_value():
    line = said("collect.duplicate key=%r kept=%s dropped=%s", ("LGBModel", "2020"), "b", "a")
    assert line.endswith("(key ('LGBModel', '2020'), kept b, dropped a)")


def test_secrets_stay_hidden():
    assert "hush" not in said("tracking.unreachable uri=%s error=%s", "postgresql://me:hush@host/db", "refused")


@pytest.mark.parametrize(
    ("message", "args", "how"),
    [
        ("Some library says %s", (1,), {"name": "elsewhere"}),
        ("model.rows_without_label segment=%s", ("x",), {"level": logging.INFO}),
        ("an.unknown event=%s", ("x",), {}),
    ],
)
def test_everything_else_is_told_as_it_is(message, args, how):
    assert said(message, *args, **how).endswith(message % args)


def test_a_warning_is_told_once_a_minute_and_an_error_each_time():
    told = RepeatFilter()

    def passes(message, created, level=logging.WARNING):
        record = logging.LogRecord("rollwright.backtest", level, __file__, 1, message, (), None)
        record.created = created
        return told.filter(record)

    assert passes("backtest.factor_missing missing=3", 100.0)
    assert not passes("backtest.factor_missing missing=3", 130.0)
    assert passes("backtest.factor_missing missing=4", 130.0)
    assert passes("backtest.factor_missing missing=3", 161.0)
    assert passes("task.failed", 100.0, logging.ERROR)
    assert passes("task.failed", 100.0, logging.ERROR)


def test_the_command_line_repeats_no_warning(capsys, monkeypatch):
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    common()
    for _ in range(2):
        logging.getLogger("rollwright.backtest").warning("import.note text=%s", "twice")
    assert capsys.readouterr().err.count("warning: twice") == 1
