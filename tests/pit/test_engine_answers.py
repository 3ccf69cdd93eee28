"""The engine keeps the contract of point-in-time data, and what it answers may be used like a daily field."""

from __future__ import annotations

import contextlib
import dataclasses
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import Phase, given, note, settings
from hypothesis import strategies as st

import period_answers
import period_expressions
from rollwright.errors import RollwrightError
from rollwright.market.as_of import AsOf
from rollwright.market.frame import FrameSource
from rollwright.market.publication_lag import Visibility, lag
from rollwright.testing.market import expression_values
from rollwright.testing.point_in_time import reference
from rollwright.testing.point_in_time.cases import Question, find_mismatches, load_cases
from rollwright.testing.point_in_time.contract import PointInTimeContract


class TestEngineContract(PointInTimeContract):
    refusal = (RollwrightError,)

    @pytest.fixture
    def answer(self):
        return period_answers.answer

    @pytest.mark.slow
    def test_what_becomes_known_later_changes_no_earlier_answer(self, cases, answer):
        super().test_what_becomes_known_later_changes_no_earlier_answer(cases, answer)


@pytest.fixture(scope="module")
def cases():
    return {case.name: case for case in load_cases()}


def try_answer(answer, case, question, refusal):
    """Return the answers, or None when the program refuses the expression."""
    with contextlib.suppress(refusal):
        return answer(case, question)
    return None


@pytest.mark.parametrize("interval", ["q", "a", "m"])
@given(data=st.data())
@settings(max_examples=12, deadline=None, phases=[Phase.explicit, Phase.generate])
def test_the_engine_answers_as_the_reference_whatever_is_asked_of_whatever_became_known(interval, data):
    case = data.draw(period_expressions.cases(interval))
    kind = st.sampled_from(period_expressions.KINDS)
    kinds = data.draw(st.fixed_dictionaries({f"x_{interval}": kind, f"y_{interval}": kind}))
    question = Question(expression=data.draw(period_expressions.expressions(interval)), kinds=kinds, answers=None)
    note(f"{question.expression} {kinds}")
    expected = try_answer(reference.answer, case, question, reference.RefusedError)
    found = try_answer(period_answers.answer, case, question, RollwrightError)
    assert (found is None) == (expected is None)
    for instrument in case.instruments if expected else ():
        np.testing.assert_allclose(found[instrument], expected[instrument], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "words"), [("flow", "whether the reports of `.*` count from"), ("unknown", "is a flow or a stock")]
)
def test_a_refusal_says_what_is_not_known_of_the_field(cases, kind, words):
    question = Question(expression="P(TTM($$x_q))", kinds={"x_q": kind}, answers=None)
    with pytest.raises(RollwrightError, match=words):
        period_answers.answer(cases["traps"], question)


@pytest.mark.parametrize("expression", ["P(YoY($$x_q + $$y_q))", "P(YoY($$x_q / $$y_q))", "P(YoY(SQ($$x_q)))"])
def test_growth_over_a_year_is_told_of_whatever_is_compared(cases, expression):
    case = cases["traps"]
    kinds = {"x_q": "flow-cumulative", "y_q": "stock"}
    question = Question(expression=expression, kinds=kinds, answers=None)
    expected, found = reference.answer(case, question), period_answers.answer(case, question)
    assert not find_mismatches(case, question, expected, found, tolerance=1e-6)


@pytest.mark.parametrize(
    "outer",
    [
        "{} / $close", "Mean({}, 3)", "Std({}, 0)", "EMA({}, 3)", "Ref({}, 2)", "Corr({}, $close, 5)", "CSRank({})",
        "CSZScore({} / $close)", "Rank({}, 4)", "If({0} > Ref({0}, 1), {0}, 0 - $close)",
        "Delta({}, 1) / Mean($close, 2)",
    ],
)  # fmt: skip
@pytest.mark.parametrize("inner", ["P($$income_q)", "P(TTM($$income_q) / $$equity_q)"])
def test_outside_of_p_a_field_by_period_is_a_daily_field_like_any_other(cases, outer, inner):
    case = cases["random-q"]
    kinds = {"income_q": "flow-cumulative", "equity_q": "stock"}
    source = period_answers.source_of(case, Question(expression=inner, kinds=kinds, answers=None))
    values = expression_values(source, inner, "$close")
    index = pd.MultiIndex.from_product(
        [source.calendar().to_index(), source.instruments()], names=["datetime", "instrument"]
    )
    daily = FrameSource(pd.DataFrame({"told": values[0].ravel(), "close": values[1].ravel()}, index=index))
    one, other = expression_values(source, outer.format(inner)), expression_values(daily, outer.format("$told"))
    assert np.isfinite(one).any()
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", ["two-events", "traps", "random-q", "random-a", "random-m"])
def test_a_part_of_the_sessions_and_instruments_has_the_values_of_the_whole(cases, name):
    case = cases[name]
    questions = [question for question in case.questions if question.kinds == case.questions[-1].kinds]
    source = period_answers.source_of(case, questions[0])
    codes = case.instruments[::-2]
    for start, stop in ((0, 1), (3, 9), (len(case.sessions) - 1, len(case.sessions))):
        texts = [question.expression for question in questions]
        found = expression_values(source, *texts, instruments=codes, start=start, stop=stop)
        for question, values in zip(questions, found, strict=True):
            expected = np.array([question.answers[code][start:stop] for code in codes], np.float32).T
            np.testing.assert_allclose(values, expected, rtol=1e-6, err_msg=question.expression)


@pytest.mark.parametrize(("lag_days", "same_day", "shift"), [(0, False, 1), (3, True, 3), (30, False, 31)])
@pytest.mark.parametrize("name", ["two-events", "traps", "random-q"])
def test_what_is_seen_later_is_answered_as_if_it_were_announced_later(cases, name, lag_days, same_day, shift):
    case = cases[name]
    later = tuple(row._replace(known_at=add_days(row.known_at, shift)) for row in case.rows)
    for question in case.questions[:12]:
        expected = reference.answer(dataclasses.replace(case, rows=later), question)
        seen = lag(period_answers.source_of(case, question), Visibility(lag_days=lag_days, same_day=same_day))
        found = period_answers.ask(seen, case.instruments, [question.expression])[question.expression]
        wrong = find_mismatches(case, question, expected, found, tolerance=1e-6)
        assert not wrong, wrong[0]


def add_days(day, count):
    return int((period_answers.to_day(day) + pd.Timedelta(days=count)).strftime("%Y%m%d"))


@pytest.mark.parametrize("name", ["two-events", "six-vintages-q", "traps", "random-a", "random-m"])
def test_a_market_seen_from_a_session_answers_as_it_did_then(cases, name):
    case = cases[name]
    questions = [question for question in case.questions if question.answers is not None][:8]
    for question in questions:
        source = period_answers.source_of(case, question)
        for row, (session, after) in enumerate(pairwise(case.sessions)):
            if not any(session < report.known_at <= after for report in case.rows):
                continue
            seen = AsOf(source, period_answers.to_day(session))
            found = expression_values(seen, question.expression, stop=row + 1)[0]
            expected = np.array([question.answers[code][: row + 1] for code in seen.instruments()], np.float32).T
            np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("name", ["two-events", "six-vintages-q", "traps", "random-a", "random-m", "moutai-history"])
@pytest.mark.parametrize("write", [period_answers.write_folder, period_answers.import_folder])
def test_the_set_written_to_files_and_read_back_has_the_same_answers(cases, tmp_path, name, write):
    case = cases[name]
    alike = {}
    for question in case.questions:
        alike.setdefault(tuple(question.kinds.items()), []).append(question)
    for number, questions in enumerate(alike.values()):
        source = write(tmp_path / str(number), case, questions[0].kinds)
        found = period_answers.ask(source, case.instruments, [question.expression for question in questions])
        for question in questions:
            wrong = find_mismatches(case, question, question.answers, found[question.expression], tolerance=1e-6)
            assert not wrong, wrong[0]
