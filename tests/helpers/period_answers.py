"""Our engine as a program under test: it answers the point-in-time test set over a market in memory."""

from __future__ import annotations

import re
from functools import lru_cache

import numpy as np
import pandas as pd

import qlib_period_files
from rollwright.market.folder.periods.kinds import KINDS_PATH, format_kinds, parse_kind
from rollwright.market.folder.provider import QlibProvider
from rollwright.market.frame import FrameSource
from rollwright.market.ingest.periods.period_import import import_periods
from rollwright.testing.market import expression_values

__all__ = ["answer", "ask", "import_folder", "source_of", "to_day", "write_folder"]


def answer(case, question):
    """Return the engine's values of each instrument of the case, one for each session.

    All questions of the case about fields of these kinds are answered together and kept: a market is made once.
    """
    alike = [one.expression for one in case.questions if one.kinds == question.kinds and one.answers is not None]
    together = tuple(dict.fromkeys([question.expression, *(alike if question.answers is not None else ())]))
    kinds = tuple(sorted(question.kinds.items()))
    return _answer_all(case.instruments, case.sessions, case.rows, kinds, frozenset(together))[question.expression]


@lru_cache(maxsize=64)
def _answer_all(instruments, sessions, rows, kinds, expressions):
    source = _source(instruments, sessions, rows, dict(kinds), expressions)
    return ask(source, instruments, sorted(expressions))


def ask(source, instruments, expressions):
    """Return for each of `expressions` the values of each instrument over `source`."""
    values = expression_values(source, *expressions, instruments=instruments)
    return {
        expression: dict(zip(instruments, found.T.tolist(), strict=True))
        for expression, found in zip(expressions, values, strict=True)
    }


def source_of(case, question):
    """Return the rows as a market in memory, with the kinds that the question says."""
    return _source(case.instruments, case.sessions, case.rows, question.kinds, [question.expression])


def _source(instruments, sessions, rows, kinds, expressions):
    """Return a market with the fields of the rows, and those that the expressions read and nobody has."""
    days = [to_day(session) for session in sessions]
    index = pd.MultiIndex.from_product([days, instruments], names=["datetime", "instrument"])
    frame = pd.DataFrame({"close": range(1, len(index) + 1)}, index=index, dtype=float)
    known = _latest_rows(rows)
    names = {row.field for row in known} | set(re.findall(r"\$\$(\w+_[qam])\b", " ".join(expressions)))
    by_period = {name: _table([row for row in known if row.field == name]) for name in sorted(names)}
    declared = {name: parse_kind(kind) for name, kind in kinds.items() if name in by_period}
    return FrameSource(frame, by_period=by_period, kinds=declared)


def write_folder(root, case, kinds):
    """Return the rows as a data folder in Qlib's layout, as another tool would have written it."""
    write_daily(root, case)
    files = {}
    for row in case.rows:
        files.setdefault((row.instrument, row.field), []).append((row.known_at, row.period, row.value))
    for (code, field), rows in files.items():
        qlib_period_files.write(root, code.lower(), field, rows)
    (root / KINDS_PATH).write_bytes(format_kinds({name: parse_kind(kind) for name, kind in kinds.items()}))
    return QlibProvider(root)


def import_folder(root, case, kinds):
    """Return the rows as a data folder, imported in three parts, the reports of later periods first."""
    write_daily(root, case)
    for part in reversed(range(3)):
        rows = [row for row in case.rows if row.period % 3 == part]
        if rows:
            table = pd.DataFrame(rows).rename(columns={"known_at": "date"})
            import_periods(
                table, root, kind={row.field: kinds[row.field] for row in rows if row.field in kinds}, allow_early=True
            )
    return QlibProvider(root)


def write_daily(root, case):
    """Write the sessions, the instruments and a daily field in Qlib's layout."""
    days = [f"{to_day(session):%Y-%m-%d}" for session in case.sessions]
    (root / "calendars").mkdir(parents=True)
    (root / "calendars" / "day.txt").write_text("\n".join(days) + "\n")
    (root / "instruments").mkdir()
    (root / "instruments" / "all.txt").write_text(
        "".join(f"{code}\t{days[0]}\t{days[-1]}\n" for code in case.instruments)
    )
    for code in case.instruments:
        folder = root / "features" / code.lower()
        folder.mkdir(parents=True)
        np.array([0, *range(1, len(days) + 1)], "<f4").tofile(folder / "close.day.bin")


def _latest_rows(rows):
    """Return the rows without those of a period that another of the same day takes the place of."""
    return list({row[:4]: row for row in rows}.values())


def to_day(number):
    return pd.Timestamp(str(number))


def _table(rows):
    return pd.DataFrame(
        {
            "instrument": [row.instrument for row in rows],
            "period": [row.period for row in rows],
            "known_at": [to_day(row.known_at) for row in rows],
            "value": [row.value for row in rows],
        }
    )
