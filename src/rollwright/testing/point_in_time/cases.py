"""The point-in-time test set: rows, sessions, and questions with their answers, read from JSON files."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Final, NamedTuple, TypeAlias

from rollwright.errors import DataError

__all__ = [
    "EVERY",
    "FORMAT",
    "Answer",
    "Answers",
    "Mismatch",
    "PeriodCase",
    "PeriodRow",
    "Question",
    "answer_until",
    "find_mismatches",
    "load_cases",
    "read_case",
]

FORMAT: Final = 1
"""Number of the files' format; a file of another is refused."""

EVERY: Final = "*"
"""In place of an instrument: rows that each of the case begins with."""

Answers: TypeAlias = Mapping[str, Sequence[float]]
"""For each instrument a value for each session; NaN is "not known"."""


class PeriodRow(NamedTuple):
    """One value that became known.

    Attributes
    ----------
    instrument, field : str
        The field without ``$$``: ``x_q`` by quarter, ``x_a`` by year, ``x_m`` by month.
    period : int
        ``201903`` is the third quarter of 2019, or its March; ``2019`` is the year.
    known_at : int
        The day of the announcement, as ``20190425``.
    value : float
        NaN withdraws what was announced before.
    """

    instrument: str
    field: str
    period: int
    known_at: int
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """An expression and what a correct program answers.

    Attributes
    ----------
    expression : str
        In Qlib's language.
    kinds : mapping of str to str
        What the fields are: ``flow-cumulative`` (each report counts from the start of the year), ``flow-discrete``,
        ``flow`` (it is not known which), ``stock`` or ``unknown``; a field that is not named is ``unknown``.
    answers : mapping of str to tuple of float, optional
        Values of each instrument, one for each session of the case, rounded to float32; None for an expression that
        must be refused.
    refused : str
        Why it must be refused; empty when there are answers.
    """

    expression: str
    kinds: Mapping[str, str]
    answers: Answers | None
    refused: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PeriodCase:
    """Rows, the sessions to answer for, and questions about them.

    Attributes
    ----------
    name, about : str
    instruments : tuple of str
        All for which answers are wanted, also those without a row.
    sessions : tuple of int
        As ``20190425``, ascending. What became known on a day without a session is seen on the next.
    rows : tuple of PeriodRow
        Their order says nothing, with one exception: of several values of one period announced on one day the last
        one stands.
    questions : tuple of Question
    """

    name: str
    about: str
    instruments: tuple[str, ...]
    sessions: tuple[int, ...]
    rows: tuple[PeriodRow, ...]
    questions: tuple[Question, ...]


Answer: TypeAlias = Callable[[PeriodCase, Question], Answers]
"""A program under test: it reads ``case.rows`` and answers ``question.expression`` for ``case.sessions``.

It raises for an expression that it refuses. It must not look at ``question.answers``.
"""


class Mismatch(NamedTuple):
    """A value that is not the expected one."""

    case: str
    expression: str
    instrument: str
    session: int
    expected: float
    found: float

    def __str__(self) -> str:
        return (
            f"{self.case}: {self.expression} of {self.instrument} on {self.session} is {self.found!r}, "
            f"not {self.expected!r}"
        )


def load_cases() -> tuple[PeriodCase, ...]:
    """Return the whole set, as it is shipped.

    Raises
    ------
    DataError
        For a file of another format.
    """
    folder = files("rollwright.testing.point_in_time").joinpath("data")
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".json"))
    return tuple(read_case(json.loads(folder.joinpath(name).read_text(encoding="utf-8")), name) for name in names)


def read_case(content: Mapping[str, Any], where: str) -> PeriodCase:
    """Return the case of a parsed file.

    Raises
    ------
    DataError
        When it is of another format.
    """
    if content.get("format") != FORMAT:
        raise DataError(
            f"{where} has format {content.get('format')!r}, and format {FORMAT} is read",
            hint="take the files and the program from one release",
        )
    instruments, sessions = tuple(content["instruments"]), tuple(content["sessions"])
    nothing = (math.nan,) * len(sessions)
    return PeriodCase(
        name=content["name"],
        about=content["about"],
        instruments=instruments,
        sessions=sessions,
        rows=tuple(_rows(content["rows"], instruments)),
        questions=tuple(_question(one, dict.fromkeys(instruments, nothing)) for one in content["questions"]),
    )


def _rows(
    fields: Mapping[str, Mapping[str, Sequence[Sequence[Any]]]], instruments: Sequence[str]
) -> Iterator[PeriodRow]:
    for field, known in fields.items():
        for instrument in instruments:
            for period, known_at, value in (*known.get(EVERY, ()), *known.get(instrument, ())):
                yield PeriodRow(instrument, field, period, known_at, _number(value))


def _question(content: Mapping[str, Any], nothing: Answers) -> Question:
    """Return a question; an instrument without answers has NaN on every session, as in `nothing`."""
    answers: Answers | None = None
    if "answers" in content:
        answers = {**nothing, **{code: tuple(map(_number, values)) for code, values in content["answers"].items()}}
    return Question(
        expression=content["expression"],
        kinds=content.get("kinds", {}),
        answers=answers,
        refused=content.get("refused", ""),
    )


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def answer_until(answer: Answer, case: PeriodCase, question: Question, session: int) -> Answers:
    """Return what `answer` says when nothing that became known after `session` is there."""
    seen = tuple(row for row in case.rows if row.known_at <= session)
    sessions = tuple(day for day in case.sessions if day <= session)
    earlier = PeriodCase(
        name=case.name,
        about=case.about,
        instruments=case.instruments,
        sessions=sessions,
        rows=seen,
        questions=case.questions,
    )
    return answer(earlier, question)


def find_mismatches(
    case: PeriodCase, question: Question, expected: Answers, found: Answers, *, tolerance: float
) -> list[Mismatch]:
    """Return every value of `found` that is not within `tolerance`, relative to the expected one.

    Both are compared for the sessions that both have from the first on; NaN equals NaN alone.

    Raises
    ------
    DataError
        When an instrument or a session has no answer.
    """
    wrong = []
    for instrument, values in expected.items():
        if instrument not in found or len(found[instrument]) < len(values):
            raise DataError(f"{case.name}: {question.expression} has no answer for every session of {instrument}")
        for session, one, other in zip(case.sessions, values, found[instrument], strict=False):
            if not _is_near(one, float(other), tolerance):
                wrong.append(Mismatch(case.name, question.expression, instrument, session, one, float(other)))
    return wrong


def _is_near(expected: float, found: float, tolerance: float) -> bool:
    if math.isnan(expected) or math.isnan(found):
        return math.isnan(expected) and math.isnan(found)
    return expected == found or abs(found - expected) <= tolerance * abs(expected)
