"""The point-in-time test set is what its rules and the reference make of it; ``--write`` renews it."""

from __future__ import annotations

import json
import math
import struct
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from finding import ROOT, Finding, tell
from period_cases import all_cases

from rollwright.testing.point_in_time.cases import EVERY, FORMAT, PeriodCase, Question
from rollwright.testing.point_in_time.reference import RefusedError, answer

FOLDER: Final = ROOT / "src" / "rollwright" / "testing" / "point_in_time" / "data"
MAX_BYTES: Final = 200_000


def write_files() -> dict[str, str]:
    """Return the text of each file by its name."""
    return {f"{case.name}.json": write_case(_answered(case)) for case in all_cases()}


def _answered(case: PeriodCase) -> PeriodCase:
    return replace(case, questions=tuple(_answer(case, question) for question in case.questions))


def _answer(case: PeriodCase, question: Question) -> Question:
    try:
        answers = answer(case, question)
    except RefusedError:
        if not question.refused:
            raise
        return question
    assert not question.refused, f"{question.expression} was to be refused"
    return replace(question, answers=answers)


def write_case(case: PeriodCase) -> str:
    """Return the file of a case, with an instrument on each line."""
    fields: dict[str, dict[str, list[list[Any]]]] = {}
    for row in case.rows:
        fields.setdefault(row.field, {}).setdefault(row.instrument, []).append(
            [row.period, row.known_at, _number(row.value, is_single=False)]
        )
    rows = ",\n".join(f'"{field}": {_lines(_share_rows(known, case.instruments))}' for field, known in fields.items())
    questions = ",\n".join(_write_question(question) for question in case.questions)
    head = "".join(
        f"{json.dumps(name)}: {json.dumps(value)},\n"
        for name, value in (
            ("format", FORMAT),
            ("name", case.name),
            ("about", case.about),
            ("instruments", case.instruments),
            ("sessions", case.sessions),
        )
    )
    return f'{{\n{head}"rows": {{\n{rows}\n}},\n"questions": [\n{questions}\n]\n}}\n'


def _share_rows(known: Mapping[str, list[list[Any]]], instruments: Sequence[str]) -> dict[str, list[list[Any]]]:
    """Return the rows of each instrument, and under ``*`` those that all of them begin with."""
    all_rows = [known.get(code, []) for code in instruments]
    count = 0
    while len(all_rows) > 1 and all(rows[: count + 1] == all_rows[0][: count + 1] for rows in all_rows):
        if len(all_rows[0]) == count:
            break
        count += 1
    own = {code: rows[count:] for code, rows in known.items() if rows[count:]}
    return {EVERY: all_rows[0][:count], **own} if count else own


def _write_question(question: Question) -> str:
    parts = [f'"expression": {json.dumps(question.expression)}']
    if question.kinds:
        parts.append(f'"kinds": {json.dumps(question.kinds)}')
    if question.answers is None:
        parts.append(f'"refused": {json.dumps(question.refused)}')
    else:
        shown = {
            code: [_number(value, is_single=True) for value in values]
            for code, values in question.answers.items()
            if not all(map(math.isnan, values))
        }
        parts.append(f'"answers": {_lines(shown)}')
    return f"{{{', '.join(parts)}}}"


def _lines(values: Mapping[str, Sequence[Any]]) -> str:
    lines = ",\n".join(f'"{code}": {json.dumps(value, separators=(",", ":"))}' for code, value in values.items())
    return f"{{\n{lines}\n}}"


def _number(value: float, *, is_single: bool) -> float | None:
    """Return the shortest number that is the same float32 or float64; None for NaN."""
    if math.isnan(value):
        return None
    assert math.isfinite(value), "JSON has no infinities"
    short = next(
        number
        for digits in range(1, 18)
        if (number := float(f"{value:.{digits}g}")) == value
        or (is_single and struct.pack("<f", number) == struct.pack("<f", value))
    )
    return int(short) if short.is_integer() else short


def findings() -> Iterator[Finding]:
    """Yield every file that is not as it should be, and the set when it is too large."""
    files = write_files()
    for name, text in files.items():
        path = FOLDER / name
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            yield _finding(
                path, "not what the rules and the reference make; run: python tools/check_period_cases.py --write"
            )
    for path in sorted(FOLDER.glob("*.json")):
        if path.name not in files:
            yield _finding(path, "no case makes it")
    size = sum(path.stat().st_size for path in FOLDER.iterdir())
    if size > MAX_BYTES:
        yield _finding(FOLDER, f"{size:,} bytes; at most {MAX_BYTES:,} are shipped")


def _finding(path: Path, text: str) -> Finding:
    return Finding(path=path, line=1, text=text)


if __name__ == "__main__":
    if "--write" in sys.argv[1:]:
        for name, text in write_files().items():
            (FOLDER / name).write_text(text, encoding="utf-8")
    sys.exit(tell("period cases", findings()))
