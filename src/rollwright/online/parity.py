"""Whether what was served day by day is what one batch over the same sessions gives, bit for bit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
import pandas as pd

from rollwright.calendar.trading import to_session
from rollwright.errors import LedgerError
from rollwright.online.ledger import ServingLedger
from rollwright.online.state import DayOutcome, ServingState, SignalReference, read_references

__all__ = [
    "SIGNAL",
    "Parity",
    "PartParity",
    "RowDifference",
    "ServedDay",
    "SignalReader",
    "compare_days",
    "compare_part",
    "list_served_days",
]

SIGNAL: Final = "signal"
"""How the names of parts begin that are signals of champions, beside one part for each strategy."""

_SHOWN: Final = 20


class SignalReader(Protocol):
    """Loads scores that an entry of the ledger names."""

    def load(self, reference: SignalReference) -> pd.Series:
        """Return them, indexed by instrument."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedDay:
    """A session that was served.

    Attributes
    ----------
    session : str
    outcome : {"published", "refused"}
    champions : tuple of str
        The strategies of whose scores the signal was made.
    signal : SignalReference
        The champions' signal; it is there where it was refused, too.
    scores : mapping of str to SignalReference
        The scores of each strategy.
    coverage : tuple of mapping
        For each universe that its champions study its members, those that have a score, and the others by cause.
    """

    session: str
    outcome: DayOutcome
    champions: tuple[str, ...]
    signal: SignalReference
    scores: Mapping[str, SignalReference]
    coverage: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RowDifference:
    """A row that is not the same; a score is None where there is none."""

    session: str
    instrument: str
    served: float | None
    batch: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PartParity:
    """How one strategy's scores, or the signal, compare.

    Attributes
    ----------
    name : str
        A strategy's, or `SIGNAL` and of which champions it is.
    sessions, rows : int
        How many were compared.
    differences : int
        Rows that are not the same, or are on one side only.
    first : tuple of RowDifference
        The first twenty of them, in order of session and instrument.
    """

    name: str
    sessions: int
    rows: int
    differences: int
    first: tuple[RowDifference, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Parity:
    """How a serving compares with a batch.

    Attributes
    ----------
    parts : tuple of PartParity
    published, refused : int
        Sessions by what became of them. The signal of a refused session is compared like any other; a session that was
        skipped has none.
    uncovered : tuple of str
        A line for each session of which the ledger counts other names without a score, by cause, than the batch.
    """

    parts: tuple[PartParity, ...]
    published: int
    refused: int
    uncovered: tuple[str, ...] = ()

    @property
    def same(self) -> bool:
        """Whether every row is the same, bit for bit, and so are the names that have none."""
        return not self.uncovered and not any(part.differences for part in self.parts)


def list_served_days(ledger: ServingLedger, first: str | None = None, last: str | None = None) -> Iterator[ServedDay]:
    """Yield the sessions that were served from `first` to `last`, in order; what was skipped is not among them.

    Raises
    ------
    LedgerError
        At an entry that is damaged.
    """
    begun = None if first is None else ledger.find_last(lambda entry: _is_before(entry.state, first))
    scores: Mapping[str, SignalReference] = {}
    champions: tuple[str, ...] = ()
    for entry in ledger.list_entries(1 if begun is None else begun.number):
        session = entry.session
        if session is None or (first is not None and session < first):
            continue
        if last is not None and session > last and entry.kind == "open":
            return
        if entry.kind == "score":
            scores = read_references(entry.body.get("scores"))
            champions = ServingState.from_json(entry.state).with_role("champion")
        elif entry.kind in ("publish", "refuse") and entry.body.get("override") is not True:
            state = ServingState.from_json(entry.state)
            if state.last is None or state.last.signal is None:
                raise LedgerError(f"entry {entry.number} closes session {session} without a signal")
            yield ServedDay(
                session=session,
                outcome=state.last.outcome,
                champions=champions,
                signal=state.last.signal,
                scores=scores,
                coverage=_list_coverage(entry.body.get("coverage")),
            )


def _list_coverage(value: object) -> tuple[Mapping[str, Any], ...]:
    return tuple(one for one in value if isinstance(one, Mapping)) if isinstance(value, list) else ()


def _is_before(state: Mapping[str, object], first: str) -> bool:
    reached = ServingState.from_json(state).reached
    return reached is None or reached < first


def compare_days(
    days: list[ServedDay],
    signals: SignalReader,
    batch: Mapping[str, pd.Series],
    *,
    combined: Mapping[tuple[str, ...], pd.Series] | None = None,
) -> Parity:
    """Compare what was served with what a batch gives.

    Parameters
    ----------
    days : list of ServedDay
    signals : SignalReader
    batch : mapping of str to Series
        The batch's scores by strategy, each by (datetime, instrument). A strategy that is not among them is not
        compared.
    combined : mapping of tuple of str to Series, optional
        The batch's signals by the champions that they are made of, as `ServedDay` names them. Where no signal of a
        session's champions is given, its signal is not compared.
    """
    parts = []
    for name, scores in sorted(batch.items()):
        served = {day.session: signals.load(day.scores[name]) for day in days if name in day.scores}
        parts.append(compare_part(name, served, scores))
    for champions, signal in sorted((combined or {}).items()):
        served = {day.session: signals.load(day.signal) for day in days if day.champions == champions}
        parts.append(compare_part(f"{SIGNAL} of {', '.join(champions)}", served, signal))
    outcomes = [day.outcome for day in days]
    return Parity(parts=tuple(parts), published=outcomes.count("published"), refused=outcomes.count("refused"))


def compare_part(name: str, served: Mapping[str, pd.Series], batch: pd.Series) -> PartParity:
    """Compare the scores of the sessions that were served with those of a batch; its other sessions are left out.

    Parameters
    ----------
    name : str
    served : mapping of str to Series
        By session; each indexed by instrument.
    batch : Series
        By (datetime, instrument).
    """
    by_session = {_write_session(day): rows.droplevel("datetime") for day, rows in batch.groupby(level="datetime")}
    rows, found = 0, list[RowDifference]()
    nothing = pd.Series([], index=pd.Index([], dtype=object), dtype=np.float64)
    for session in sorted(served):
        differences, compared = _compare_session(session, served[session], by_session.get(session, nothing))
        rows += compared
        found += differences
    return PartParity(name=name, sessions=len(served), rows=rows, differences=len(found), first=tuple(found[:_SHOWN]))


def _write_session(day: Any) -> str:
    """Return a session as entries of a ledger write it."""
    session = to_session(day)
    return f"{session:%Y-%m-%d}" if session == session.normalize() else f"{session:%Y-%m-%dT%H:%M:%S}"


def _compare_session(session: str, served: pd.Series, batch: pd.Series) -> tuple[list[RowDifference], int]:
    names = sorted({*served.index} | {*batch.index})
    left, right = (_take_bits(each, names) for each in (served, batch))
    wrong = np.flatnonzero((left[0] != right[0]) | (left[1] != right[1]))
    differences = [
        RowDifference(
            session=session,
            instrument=str(names[place]),
            served=_value(served, names[place]),
            batch=_value(batch, names[place]),
        )
        for place in wrong
    ]
    return differences, len(names)


def _take_bits(scores: pd.Series, names: list[str]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return for each name whether it is there, and the bits of its score."""
    values = scores.astype(np.float64).reindex(names).to_numpy()
    return np.isin(names, list(scores.index)), values.view(np.int64)


def _value(scores: pd.Series, name: str) -> float | None:
    return float(scores[name]) if name in scores.index else None
