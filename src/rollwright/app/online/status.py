"""How a serving stands, by its ledger alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rollwright.app.online.record import open_ledger
from rollwright.core.canonical import JSON
from rollwright.core.clock import Clock
from rollwright.online.state import ClosedDay, OpenDay, ServingState, StrategyState

__all__ = ["ServingStatus", "read_serving_status"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingStatus:
    """How a serving stands.

    Attributes
    ----------
    name : str
    file : str
        The campaign's, relative to the project when it lies there.
    entry : int
        Number of the last entry of the ledger.
    digest : str
        Its digest: whoever has noted it can tell later whether the ledger up to there is still the same.
    at : str
        When it was made, in UTC.
    state : ServingState
    next_command : str
        What to type next.
    """

    name: str
    file: str
    entry: int
    digest: str
    at: str
    state: ServingState
    next_command: str

    @property
    def strategies(self) -> dict[str, StrategyState]:
        """The strategies that were not removed."""
        return {name: one for name, one in self.state.strategies.items() if one.status != "removed"}

    def to_json(self) -> dict[str, JSON]:
        """Return it as JSON."""
        return {
            "serving": self.name,
            "file": self.file,
            "entry": self.entry,
            "digest": self.digest,
            "at": self.at,
            "next": self.next_command,
            **self.state.to_json(),
        }

    @property
    def day(self) -> OpenDay | None:
        """The session that is being served."""
        return self.state.day

    @property
    def last(self) -> ClosedDay | None:
        """The last session that was closed."""
        return self.state.last


def read_serving_status(
    name: str | None = None, *, project: Path | None = None, clock: Clock | None = None
) -> ServingStatus:
    """Return how a serving stands; no data are read, and nothing is changed.

    Raises
    ------
    ConfigError, CorruptFileError, LedgerError
        As `open_ledger` says.
    """
    with open_ledger(name, project=project, clock=clock) as opened:
        head, state = opened.read_head()
        return ServingStatus(
            name=opened.name,
            file=opened.record.file,
            entry=head.number,
            digest=head.digest,
            at=head.at,
            state=state,
            next_command=_find_next(opened.name, state),
        )


def _find_next(name: str, state: ServingState) -> str:
    routine = f"rollwright online routine {name}"
    if state.day is None and state.last is not None and state.last.outcome == "refused":
        return f'rollwright online publish {name} --override --reason "…", or the next session: {routine}'
    return routine
