"""What serving one session came to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Self

from rollwright.core.canonical import JSON
from rollwright.online.entry import LedgerEntry
from rollwright.online.state import SignalReference

__all__ = ["DayResult", "Outcome"]

Outcome = Literal["published", "refused", "skipped", "waiting"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DayResult:
    """What serving one session came to.

    Attributes
    ----------
    session : str
    outcome : {"published", "refused", "skipped", "waiting"}
        Waiting: the data of the session are not there yet, and nothing was done for it.
    entry : LedgerEntry or None
        The entry that closed the session; None while it is waited for.
    signal : SignalReference or None
        The champions' signal; None where there is none.
    notes : tuple of str
        What people should know: rewritten history, late sessions, strategies that could not be scored or trained.
    violations : tuple of str
        A line for each bound that the signal violated.
    """

    session: str
    outcome: Outcome
    entry: LedgerEntry | None = None
    signal: SignalReference | None = None
    notes: tuple[str, ...] = ()
    violations: tuple[str, ...] = ()

    @classmethod
    def of_entry(cls, entry: LedgerEntry, *, session: str | None = None) -> Self:
        """Return what the entry says that closed a session.

        Parameters
        ----------
        entry : LedgerEntry
            A `publish`, `refuse` or `skip`.
        session : str, optional
            One of those that a `skip` left out; its last one if not given.
        """
        outcomes: Mapping[str, Outcome] = {"publish": "published", "refuse": "refused", "skip": "skipped"}
        signal = entry.body.get("signal")
        return cls(
            session=session if session is not None else str(entry.session),
            outcome=outcomes[entry.kind],
            entry=entry,
            signal=None if signal is None else SignalReference.from_json(signal),
            notes=_list_texts(entry.body.get("notes")),
            violations=_list_texts(entry.body.get("violations")),
        )


def _list_texts(value: JSON) -> tuple[str, ...]:
    return tuple(map(str, value)) if isinstance(value, list) else ()
