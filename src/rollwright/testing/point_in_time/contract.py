"""The point-in-time test set as tests: what every program promises that answers for data by period.

Subclass `PointInTimeContract` and give it an ``answer`` fixture, an `Answer`: given rows, sessions and an expression,
what does the program say?
"""

# ruff: noqa: D102 - the name of a test is its sentence
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import ClassVar

import pytest

from rollwright.testing.point_in_time.cases import (
    Answer,
    PeriodCase,
    PeriodRow,
    Question,
    answer_until,
    find_mismatches,
    load_cases,
)

__all__ = ["PointInTimeContract"]


class PointInTimeContract:
    """Tests of a program over the whole set.

    Attributes
    ----------
    tolerance : float
        How far an answer may be from the expected one, as a share of it.
    refusal : tuple of exception types
        What the program raises for an expression that it refuses.
    """

    tolerance: ClassVar[float] = 1e-6
    refusal: ClassVar[tuple[type[Exception], ...]] = (Exception,)

    @pytest.fixture
    def cases(self) -> Sequence[PeriodCase]:
        """Return the cases to run; a program that lacks something leaves out what needs it."""
        return load_cases()

    def test_every_answer_is_the_expected_one(self, cases: Sequence[PeriodCase], answer: Answer) -> None:
        wrong = [
            mismatch
            for case, question in _questions(cases)
            if question.answers is not None
            for mismatch in find_mismatches(
                case, question, question.answers, answer(case, question), tolerance=self.tolerance
            )
        ]
        assert not wrong, f"{len(wrong)} values are wrong, first {wrong[0]}"

    def test_what_means_nothing_or_looks_ahead_is_refused(self, cases: Sequence[PeriodCase], answer: Answer) -> None:
        for case, question in _questions(cases):
            if question.answers is None:
                with pytest.raises(self.refusal):
                    pytest.fail(f"{case.name}: {question.expression} was answered by {answer(case, question)}")

    def test_what_becomes_known_later_changes_no_earlier_answer(
        self, cases: Sequence[PeriodCase], answer: Answer
    ) -> None:
        for case, question in _questions(cases):
            if question.answers is None:
                continue
            whole = answer(case, question)
            for session in _moments(case):
                earlier = answer_until(answer, case, question, session)
                changed = find_mismatches(case, question, earlier, whole, tolerance=0.0)
                assert not changed, f"{len(changed)} values before {session} change with what came later: {changed[0]}"

    def test_the_order_of_the_rows_says_nothing(self, cases: Sequence[PeriodCase], answer: Answer) -> None:
        for case, question in _questions(cases):
            if question.answers is not None:
                one, other = answer(case, question), answer(replace(case, rows=_turned(case.rows)), question)
                assert not find_mismatches(case, question, one, other, tolerance=0.0)


def _questions(cases: Sequence[PeriodCase]) -> list[tuple[PeriodCase, Question]]:
    return [(case, question) for case in cases for question in case.questions]


def _moments(case: PeriodCase) -> list[int]:
    """Return the sessions but the last, of those that know the same the later one."""
    days = {row.known_at for row in case.rows}
    return [one for one, after in pairwise(case.sessions) if any(one < day <= after for day in days)]


def _turned(rows: Sequence[PeriodRow]) -> tuple[PeriodRow, ...]:
    """Return the rows from the last to the first, those of one period and one day in their own order."""
    last: dict[tuple[str, str, int, int], list[PeriodRow]] = {}
    for row in rows:
        last.setdefault(row[:4], []).append(row)
    return tuple(row for group in reversed(list(last.values())) for row in group)
