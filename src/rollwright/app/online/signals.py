"""The signals and scores that a serving made, of a session or of a range, read back from where they are kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import pandas as pd

from rollwright.app.online.serving import OpenServing
from rollwright.core.atomic import write_atomically
from rollwright.errors import ConfigError, OnlineError, nearest
from rollwright.online.entry import LedgerEntry, read_session
from rollwright.online.ledger import ServingLedger
from rollwright.online.state import ServingState, SignalReference, read_references

__all__ = [
    "PUBLISHED",
    "ServedScores",
    "check_out",
    "list_entries_of",
    "read_signals",
    "tabulate",
    "write_signals",
    "write_table",
]

PUBLISHED: Final = "published"
_SUFFIXES: Final = (".csv", ".parquet")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedScores:
    """Scores of one session.

    Attributes
    ----------
    session : str
    of : str
        The strategy that made them, ``published`` for the signal that was published.
    entry : int
        The entry that names them.
    reference : SignalReference
    scores : Series
        Indexed by instrument, sorted.
    """

    session: str
    of: str
    entry: int
    reference: SignalReference
    scores: pd.Series


def read_signals(
    serving: OpenServing,
    *,
    start: str | None = None,
    end: str | None = None,
    role: Literal["champion", "challenger", "shadow"] | None = None,
    strategy: str | None = None,
) -> list[ServedScores]:
    """Return what was published, or what strategies scored, in order of the sessions.

    Parameters
    ----------
    serving : OpenServing
    start, end : str, optional
        First and last session, as ``2024-05-17``; the last one there is if neither is given.
    role : str, optional
        The scores of the strategies that had this role then, instead of what was published.
    strategy : str, optional
        The scores of this strategy instead.

    Raises
    ------
    ConfigError
        For a session that is written wrong, a strategy that was never served, and both a role and a strategy.
    OnlineError
        When nothing of the kind was made in the range.
    LedgerError
        When scores are gone, or are not those that the ledger names.
    """
    _, state = serving.read_head()
    if role is not None and strategy is not None:
        raise ConfigError("a role and a strategy were given", hint="give one of them")
    if strategy is not None and strategy not in state.strategies:
        near = nearest(strategy, [*state.strategies])
        raise ConfigError(
            f"no strategy `{strategy}` was ever served by {serving.name}",
            hint=f"did you mean `{near}`?" if near else f"served: {', '.join(state.strategies)}",
        )
    for given in (start, end):
        if given is not None:
            read_session(given)
    ledger = serving.ledger
    if start is None and end is None:
        start = end = state.published if role is None and strategy is None else _find_last_scored(ledger)
    made = [
        ServedScores(
            session=str(entry.session), of=name, entry=entry.number, reference=one, scores=serving.signals.load(one)
        )
        for entry in list_entries_of(ledger, start, end)
        for name, one in _choose(entry, role=role, strategy=strategy)
    ]
    if not made:
        what = f"by a {role}" if role is not None else f"by {strategy}" if strategy is not None else "and published"
        first, last = start or state.begin, end or state.reached or state.begin
        span = first if first == last else f"{first} to {last}"
        raise OnlineError(
            f"no signal of {span} was made {what}", hint=f"what was done when: rollwright online history {serving.name}"
        )
    return made


def list_entries_of(ledger: ServingLedger, start: str | None, end: str | None) -> Iterator[LedgerEntry]:
    """Yield the entries that were made while sessions from `start` to `end` were served, in order.

    What lies outside is not read: the cost grows with the range, and with the logarithm of the ledger.
    """
    head = ledger.read_head()
    if head is None:
        return
    before = None if start is None else ledger.find_last(lambda entry: _reached(entry) < start)
    upto = head if end is None else ledger.find_last(lambda entry: _reached(entry) <= end)
    if upto is None:
        return
    yield from ledger.list_entries(1 if before is None else before.number + 1, upto.number + 1)


def _reached(entry: LedgerEntry) -> str:
    return ServingState.from_json(entry.state).reached or ""


def _find_last_scored(ledger: ServingLedger) -> str | None:
    state = ledger.read_state()
    if state is None or state.last is None:
        return None
    if state.day is not None and state.day.scores is not None:
        return state.day.session
    return state.last.session


def _choose(entry: LedgerEntry, *, role: str | None, strategy: str | None) -> list[tuple[str, SignalReference]]:
    if role is None and strategy is None:
        if entry.kind != "publish":
            return []
        return [(PUBLISHED, SignalReference.from_json(entry.body.get("signal")))]
    if entry.kind != "score":
        return []
    scores = read_references(entry.body.get("scores"))
    if strategy is not None:
        return [(strategy, scores[strategy])] if strategy in scores else []
    state = ServingState.from_json(entry.state)
    chosen = [name for name in sorted(scores) if name in state.strategies and state.strategies[name].role == role]
    return [(name, scores[name]) for name in chosen]


def tabulate(made: list[ServedScores]) -> pd.DataFrame:
    """Return scores as one table: ``session``, ``of``, ``instrument``, ``score``."""
    return pd.concat(
        [
            pd.DataFrame(
                {"session": one.session, "of": one.of, "instrument": one.scores.index, "score": one.scores.to_numpy()}
            )
            for one in made
        ],
        ignore_index=True,
    )


def check_out(path: Path) -> None:
    """Refuse a name of a file that `write_signals` cannot write.

    Raises
    ------
    ConfigError
        When it ends with neither ``.csv`` nor ``.parquet``.
    """
    if path.suffix not in _SUFFIXES:
        raise ConfigError(f"{path} ends with neither {' nor '.join(_SUFFIXES)}", hint="name it so: --out signals.csv")


def write_signals(made: list[ServedScores], path: Path) -> int:
    """Write scores to a CSV or Parquet file, whole or not at all; return how many rows it has.

    Raises
    ------
    ConfigError
        As `check_out`.
    """
    table = tabulate(made)
    write_table(table, path)
    return len(table)


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write a table to a CSV or Parquet file, whole or not at all.

    Raises
    ------
    ConfigError
        As `check_out`.
    """
    check_out(path)

    def write(draft: Path) -> None:
        if path.suffix == ".csv":
            table.to_csv(draft, index=False, lineterminator="\n")
        else:
            table.to_parquet(draft, index=False)

    write_atomically(path, write)
