"""The reference answers what was worked out by hand, and keeps the contract it is the measure of."""

from __future__ import annotations

import math
import statistics

import pytest

from rollwright.testing.point_in_time.cases import PeriodCase, PeriodRow, Question, load_cases
from rollwright.testing.point_in_time.contract import PointInTimeContract
from rollwright.testing.point_in_time.reference import RefusedError, answer

NAN = math.nan


class TestReferenceContract(PointInTimeContract):
    refusal = (RefusedError,)

    @pytest.fixture
    def answer(self):
        return answer

    @pytest.mark.slow
    def test_what_becomes_known_later_changes_no_earlier_answer(self, cases, answer):
        super().test_what_becomes_known_later_changes_no_earlier_answer(cases, answer)


def ask(expression, rows, *, sessions=(20300101,), kinds=None):
    """Return the answers to one expression about one instrument; rows are (field, period, known at, value)."""
    case = PeriodCase(
        name="by hand",
        about="",
        instruments=("A",),
        sessions=sessions,
        rows=tuple(PeriodRow("A", *row) for row in rows),
        questions=(),
    )
    return answer(case, Question(expression=expression, kinds=kinds or {}, answers=None))["A"]


def quarters(first, values, field="x_q"):
    """Return a row for each value, of one quarter after the other from the first of `first`; None leaves one out."""
    return [
        (field, (first + place // 4) * 100 + place % 4 + 1, 20200101, value)
        for place, value in enumerate(values)
        if value is not None
    ]


def months(first, values):
    return [
        ("x_m", (first + place // 12) * 100 + place % 12 + 1, 20200101, value) for place, value in enumerate(values)
    ]


CUMULATIVE, DISCRETE, STOCK = ({"x_q": kind, "x_m": kind} for kind in ("flow-cumulative", "flow-discrete", "stock"))
TWO_YEARS = quarters(2018, [1, 3, 6, 10, 2, 5])


@pytest.mark.parametrize(
    ("expression", "rows", "kinds", "expected"),
    [
        ("P(TTM($$x_q))", TWO_YEARS, CUMULATIVE, 5 + 10 - 3),
        ("P(TTM($$x_q))", TWO_YEARS[:5], CUMULATIVE, 2 + 10 - 1),
        ("P(TTM($$x_q))", TWO_YEARS[:4], CUMULATIVE, 10),
        ("P(TTM($$x_q))", TWO_YEARS, DISCRETE, 6 + 10 + 2 + 5),
        ("P(TTM($$x_q))", TWO_YEARS[1:5], CUMULATIVE, NAN),
        ("P(TTM($$x_q))", TWO_YEARS[3:], DISCRETE, NAN),
        ("P(SQ($$x_q))", TWO_YEARS, CUMULATIVE, 3),
        ("P(SQ($$x_q))", TWO_YEARS[:5], CUMULATIVE, 2),
        ("P(SQ($$x_q))", TWO_YEARS[5:], CUMULATIVE, NAN),
        ("P(SQ($$x_q))", TWO_YEARS, DISCRETE, 5),
        ("P(LYR($$x_q))", TWO_YEARS, CUMULATIVE, 10),
        ("P(LYR($$x_q))", TWO_YEARS, STOCK, 10),
        ("P(LYR($$x_q))", TWO_YEARS, DISCRETE, 1 + 3 + 6 + 10),
        ("P(LYR($$x_q))", TWO_YEARS[:4], DISCRETE, 20),
        ("P(LYR($$x_q))", TWO_YEARS[:3], CUMULATIVE, NAN),
        ("P(YoY($$x_q))", TWO_YEARS, {}, (5 - 3) / 3),
        ("P(YoY($$x_q))", quarters(2018, [-4, 1, 1, 1, 2]), {}, 6 / 4),
        ("P(YoY($$x_q))", quarters(2018, [0, 1, 1, 1, 2]), {}, NAN),
        ("P(TTM($$x_m))", months(2018, [*range(1, 13), 2, 4]), CUMULATIVE, 4 + 12 - 2),
        ("P(TTM($$x_m))", months(2018, [*range(1, 13), 2, 4]), DISCRETE, sum(range(3, 13)) + 2 + 4),
        ("P(SQ($$x_m))", months(2018, [1, 3, 6]), CUMULATIVE, 3),
        ("P(LYR($$x_m))", months(2018, [*range(1, 13), 2]), CUMULATIVE, 12),
        ("P(YoY($$x_m))", months(2018, [*range(1, 13), 2]), {}, 1),
        ("P(Mean(SQ($$x_q), 4))", TWO_YEARS, CUMULATIVE, (3 + 4 + 2 + 3) / 4),
        ("P(TTM($$x_q * 2 - $$x_q / 4))", TWO_YEARS, CUMULATIVE, 12 * 1.75),
        ("P(Sum($$x_q, 6))", TWO_YEARS, {}, 27),
        ("P(Sum($$x_q, 7))", TWO_YEARS, {}, NAN),
        ("P(Sum($$x_q, 0))", TWO_YEARS, {}, 27),
        ("P(Sum($$x_q, 0))", quarters(2018, [1, None, 3]), {}, NAN),
        ("P(Sum($$x_q, 1))", quarters(2018, [1, None, 3]), {}, 3),
        ("P(Ref($$x_q, 1))", quarters(2018, [1, None, 3]), {}, NAN),
        ("P(Ref($$x_q, 2))", quarters(2018, [1, None, 3]), {}, 1),
        ("P(Count($$x_q, 2))", quarters(2018, [1, None, 3]), {}, 1),
        ("P(Count($$x_q, 5))", quarters(2018, [1, None, 3]), {}, 2),
        ("P(Ref($$x_q, 0))", TWO_YEARS, {}, 1),
        ("P(Delta($$x_q, 0))", TWO_YEARS, {}, 4),
        ("P(Delta($$x_q, 2))", quarters(2018, [1, None, 3]), {}, 2),
        ("PRef($$x_q, 201803)", TWO_YEARS, {}, 6),
        ("PRef(Mean($$x_q, 2), 201803)", TWO_YEARS, {}, 4.5),
        ("PRef($$x_q, 201903)", TWO_YEARS, {}, NAN),
        ("P($$x_q + $$y_q)", [*TWO_YEARS, *quarters(2018, [1], "y_q")], {}, NAN),
        ("P($$x_q) + P($$y_q)", [*TWO_YEARS, *quarters(2018, [1], "y_q")], {}, 6),
        ("P(Ref($$y_q, 5) + $$x_q)", [*TWO_YEARS, *quarters(2018, [1], "y_q")], {}, 6),
        ("P(Max($$x_q, 3) - Min($$x_q, 3))", TWO_YEARS, {}, 8),
        ("P(IdxMax($$x_q, 4))", TWO_YEARS, {}, 2),
        ("P(Rank($$x_q, 4))", TWO_YEARS, {}, 0.5),
        ("P(Std($$x_q, 2))", TWO_YEARS, {}, statistics.stdev([2, 5])),
        ("P(Var($$x_q, 1))", TWO_YEARS, {}, NAN),
        ("P(Slope($$x_q, 3))", TWO_YEARS, {}, -2.5),
        ("P(Resi($$x_q, 3))", TWO_YEARS, {}, 5 - (17 / 3 - 2.5)),
        ("P(Med($$x_q, 4))", TWO_YEARS, {}, 5.5),
        ("P(Quantile($$x_q, 5, 0.25))", TWO_YEARS, {}, 3),
        ("P(Corr($$x_q, 3 - 2 * $$x_q, 4))", TWO_YEARS, {}, -1),
        ("P(If($$x_q > 4, 1, 2))", TWO_YEARS, {}, 1),
        ("P($$x_q / 0)", quarters(2018, [0]), {}, NAN),
        ("P(Mean(1 / $$x_q, 2))", quarters(2018, [0, 1]), {}, NAN),
    ],
)
def test_what_was_worked_out_by_hand(expression, rows, kinds, expected):
    assert ask(expression, rows, kinds=kinds) == [pytest.approx(expected, rel=1e-7, nan_ok=True)]


def test_a_value_is_seen_on_its_day_and_not_before():
    rows = [("x_q", 201901, 20190425, 1.0), ("x_q", 201901, 20190718, 2.0)]
    days = (20190424, 20190425, 20190717, 20190718)
    assert ask("P($$x_q)", rows, sessions=days) == pytest.approx([NAN, 1, 1, 2], nan_ok=True)


def test_a_late_restatement_of_an_older_period_does_not_set_the_anchor_back():
    rows = [("x_q", 201804, 20190330, 1.0), ("x_q", 201901, 20190425, 2.0), ("x_q", 201804, 20190718, 3.0)]
    assert ask("P($$x_q)", rows) == [2]
    assert ask("P(Ref($$x_q, 1))", rows) == [3]


def test_a_withdrawn_value_is_missing_and_its_period_is_still_the_latest():
    rows = [("x_q", 201804, 20190330, 1.0), ("x_q", 201901, 20190425, 2.0), ("x_q", 201901, 20190718, NAN)]
    assert ask("P($$x_q)", rows) == [pytest.approx(NAN, nan_ok=True)]
    assert ask("P(Ref($$x_q, 1))", rows) == [1]


def find_published(name, expression):
    case = next(case for case in load_cases() if case.name == name)
    question = next(one for one in case.questions if one.expression == expression)
    return dict(zip(case.sessions, question.answers["SH600519"], strict=True))


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("P($$roewa_q)", (0.094737, 0.0, 0.175322)),
        ("P(Mean($$roewa_q, 2))", (0.219691, 0.047369, 0.135029)),
        ("P((Ref($$roewa_q, 1) + $$roewa_q) / 2)", (0.219691, 0.047369, 0.135029)),
        ("P(Ref($$roewa_q, 1))", (0.344644, 0.094737, 0.094737)),
        ("PRef($$roewa_q, 201902)", (NAN, 0.0, 0.175322)),
    ],
)
def test_the_set_has_the_answers_that_qlib_published_for_july_2019(expression, expected):
    found = find_published("moutai-2019", expression)
    assert [found[day] for day in (20190712, 20190715, 20190718)] == pytest.approx(expected, abs=1e-6, nan_ok=True)


def test_the_set_has_the_133_sessions_whose_mean_and_deviation_qlib_published():
    values = list(find_published("moutai-2019", "P($$roewa_q)").values())
    assert len(values) == 133
    assert statistics.mean(values) == pytest.approx(0.196412, abs=5e-7)
    assert statistics.stdev(values) == pytest.approx(0.097591, abs=5e-7)


def test_the_set_has_every_change_that_qlib_published():
    changes = find_published("moutai-history", "P($$roewa_q)")
    assert len(changes) == 54
    assert math.isnan(changes.pop(20050104))
    expected = {20070430: 0.090219, 20080303: 0.3479, 20080313: 0.395989, 20120323: 0.4039, 20120411: 0.403925}
    expected |= {20150421: 0.078494, 20190715: 0.0, 20190718: 0.175322, 20191016: 0.255819}
    assert {day: changes[day] for day in expected} == pytest.approx(expected, abs=5e-7)
    assert len(set(changes.values())) == len(changes)
