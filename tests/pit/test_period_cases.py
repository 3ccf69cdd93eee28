"""The shipped point-in-time set: it is what its rules make, it is whole, and it catches programs that are wrong."""

from __future__ import annotations

import importlib
import math
import sys
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import pytest

from rollwright.errors import DataError
from rollwright.testing.point_in_time.cases import FORMAT, answer_until, find_mismatches, load_cases, read_case
from rollwright.testing.point_in_time.contract import PointInTimeContract
from rollwright.testing.point_in_time.reference import RefusedError, answer

TOOLS = Path(__file__).resolve().parents[2] / "tools"
FOLDER = files("rollwright.testing.point_in_time").joinpath("data")


@pytest.fixture
def tool(monkeypatch):
    monkeypatch.syspath_prepend(str(TOOLS))
    before = set(sys.modules)
    yield importlib.import_module("check_period_cases")
    for name in set(sys.modules) - before:
        if (TOOLS / f"{name}.py").exists():
            del sys.modules[name]


@pytest.fixture(scope="module")
def cases():
    return {case.name: case for case in load_cases()}


def test_the_files_are_to_the_byte_what_the_rules_and_the_reference_make(tool):
    texts = tool.write_files()
    assert {entry.name for entry in FOLDER.iterdir()} == {*texts, "README.md"}
    for name, text in texts.items():
        assert FOLDER.joinpath(name).read_bytes() == text.encode(), name


def test_the_set_is_small_enough_to_be_shipped():
    assert sum(len(entry.read_bytes()) for entry in FOLDER.iterdir()) <= 200_000


def test_a_file_of_another_format_is_refused():
    with pytest.raises(DataError, match=r"x.json has format 2, and format 1 is read"):
        read_case({"format": FORMAT + 1}, "x.json")


def _rank_letters(name):
    return {letter: rank for rank, together in enumerate(name.split("_")) for letter in together}


def test_two_events_have_each_order_of_their_four_dates(cases):
    orders = {tuple(_rank_letters(name)[letter] for letter in "ABPQ") for name in cases["two-events"].instruments}
    # every way to put four dates in order, equal ones included: 75
    assert orders == {order for order in _tuples(4) if set(order) == set(range(max(order) + 1))}
    assert len(orders) == len(cases["two-events"].instruments) == 75


def _tuples(length):
    return [(*rest, rank) for rest in _tuples(length - 1) for rank in range(4)] if length else [()]


def test_two_events_are_announced_in_the_order_that_their_name_says(cases):
    ends = {201901: 20190331, 201902: 20190630}
    for name in cases["two-events"].instruments:
        one, other = (row for row in cases["two-events"].rows if row.instrument == name)
        days = {"A": one.known_at, "B": other.known_at, "P": ends[one.period], "Q": ends[other.period]}
        ranks = _rank_letters(name)
        for letter, day in days.items():
            for another, other_day in days.items():
                assert (day < other_day) == (ranks[letter] < ranks[another]), name


@pytest.mark.parametrize(
    ("interval", "periods"), [("q", {201804, 201901}), ("a", {2018, 2019}), ("m", {201812, 201901})]
)
def test_three_vintages_of_two_periods_come_in_each_of_63_orders(cases, interval, periods):
    case = cases[f"six-vintages-{interval}"]
    orders = set()
    for name in case.instruments:
        known = [row for row in case.rows if row.instrument == name and row.known_at > 20190102]
        days = {period: [row.known_at for row in known if row.period == period] for period in periods}
        assert [len(found) for found in days.values()] == [3, 3]
        ranks = {day: rank for rank, day in enumerate(sorted({row.known_at for row in known}))}
        orders.add(tuple(ranks[day] for period in sorted(days) for day in days[period]))
        assert all(len({row.value for row in known if row.period == period}) == 3 for period in periods)
    assert len(orders) == len(case.instruments) == 63  # paths of a 3 by 3 grid with diagonal steps


def test_every_interval_and_kind_is_asked_for(cases):
    asked = {
        (question.expression.split("(")[1], question.expression[-3], kind)
        for name, case in cases.items()
        if name.startswith("six-vintages")
        for question in case.questions
        for kind in question.kinds.values()
    }
    flows = ("flow-cumulative", "flow-discrete")
    assert asked >= {(call, interval, kind) for call in ("TTM", "LYR") for interval in "qm" for kind in flows}
    assert asked >= {("SQ", "q", flows[0]), ("SQ", "m", flows[0]), ("TTM", "a", flows[0])}


def test_an_instrument_without_answers_has_none_on_any_session(cases):
    case = cases["traps"]
    question = next(one for one in case.questions if one.expression == "P($$x_q)")
    assert set(question.answers) == set(case.instruments)
    assert all(map(math.isnan, question.answers["NEVER_THERE"]))
    assert len(question.answers["NEVER_THERE"]) == len(case.sessions)


def change_rows(change):
    """Return a program that reads other rows than it was given."""
    return lambda case, question: answer(replace(case, rows=tuple(change(case.rows))), question)


def see_final_values(rows):
    last = {row[:3]: row.value for row in sorted(rows, key=lambda row: row.known_at)}
    return (row._replace(value=last[row[:3]]) for row in rows)


def see_first_values(rows):
    first = {}
    for row in sorted(rows, key=lambda row: row.known_at):
        first.setdefault(row[:3], row)
    return first.values()


def see_a_day_later(rows):
    return (row._replace(known_at=row.known_at + 1) for row in rows)


def see_a_day_earlier(rows):
    return (row._replace(known_at=row.known_at - 1) for row in rows)


def leave_withdrawals_out(rows):
    return (row for row in rows if not math.isnan(row.value))


def forget_older_periods(rows):
    """Leave out what is announced of a period after a later one, as a join with the latest announcement does."""
    kept, latest = [], {}
    for row in sorted(rows, key=lambda row: (row.known_at, row.period)):
        if row.period >= latest.get(row[:2], 0):
            latest[row[:2]] = row.period
            kept.append(row)
    return kept


@pytest.mark.parametrize(
    "change",
    [
        see_final_values,
        see_first_values,
        see_a_day_later,
        see_a_day_earlier,
        leave_withdrawals_out,
        forget_older_periods,
    ],
)
def test_a_program_that_reads_something_else_is_caught(cases, change):
    case, wrong = cases["traps"], change_rows(change)
    assert any(
        find_mismatches(case, question, question.answers, wrong(case, question), tolerance=1e-6)
        for question in case.questions
    )


def test_a_program_that_sees_final_values_is_caught_by_what_comes_later(cases):
    wrong, case = change_rows(see_final_values), cases["six-vintages-q"]
    question = case.questions[0]
    earlier = answer_until(wrong, case, question, case.sessions[3])
    assert find_mismatches(case, question, earlier, wrong(case, question), tolerance=0)


def test_a_mismatch_says_what_was_asked_and_what_came(cases):
    case = cases["moutai-2019"]
    question = case.questions[0]
    found = {"SH600519": [0.5, *question.answers["SH600519"][1:]]}
    (wrong,) = find_mismatches(case, question, question.answers, found, tolerance=1e-6)
    assert str(wrong) == "moutai-2019: P($$roewa_q) of SH600519 on 20190102 is 0.5, not 0.25522"


def test_answers_that_are_too_few_are_refused(cases):
    case = cases["moutai-2019"]
    question = case.questions[0]
    for found in ({}, {"SH600519": [0.25522]}):
        with pytest.raises(DataError, match="no answer for every session of SH600519"):
            find_mismatches(case, question, question.answers, found, tolerance=1e-6)


def test_each_refusal_has_its_reason_and_no_answer(cases):
    refused = [question for case in cases.values() for question in case.questions if question.answers is None]
    assert len(refused) >= 25
    for question in refused:
        assert question.refused
        with pytest.raises(RefusedError):
            answer(cases["refusals"], question)


def never_refuse(case, question):
    """Answer what must be refused with nothing known."""
    try:
        return answer(case, question)
    except RefusedError:
        return {instrument: [math.nan] * len(case.sessions) for instrument in case.instruments}


def believe_the_order(case, question):
    """Take the rows as they come for the order in which they became known."""
    days = sorted(row.known_at for row in case.rows)
    rows = (row._replace(known_at=day) for row, day in zip(case.rows, days, strict=True))
    return answer(replace(case, rows=tuple(rows)), question)


@pytest.mark.parametrize(
    ("test", "wrong", "name"),
    [
        ("test_every_answer_is_the_expected_one", change_rows(see_first_values), "two-events"),
        ("test_what_means_nothing_or_looks_ahead_is_refused", never_refuse, "refusals"),
        ("test_what_becomes_known_later_changes_no_earlier_answer", change_rows(see_final_values), "two-events"),
        ("test_the_order_of_the_rows_says_nothing", believe_the_order, "two-events"),
    ],
)
def test_each_test_of_the_contract_fails_a_program_that_is_wrong(cases, test, wrong, name):
    run = getattr(PointInTimeContract(), test)
    run([cases[name]], answer)
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        run([cases[name]], wrong)
