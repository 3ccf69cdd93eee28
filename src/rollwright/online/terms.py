"""On which terms a serving is carried on: missed sessions, deadlines, bounds, failures."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, time
from typing import Final, Literal, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from rollwright.calendar.trading import SessionLike, to_session
from rollwright.errors import ConfigError
from rollwright.online.checks.check import SignalCheck

__all__ = ["CATCH_UP", "CatchUp", "ServingTerms", "TrainingFailure"]

CatchUp = Literal["all", "latest", "none"]
CATCH_UP: Final = get_args(CatchUp)
TrainingFailure = Literal["stop", "keep"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingTerms:
    """On which terms a serving is carried on.

    Attributes
    ----------
    catch_up : {"all", "latest", "none"}
        What becomes of sessions that were missed: all are served, in order; only the latest one is; none is, and
        serving goes on with the next session that arrives. Those left out are noted as skipped.
    catch_up_window : int, optional
        Of those that were missed, only the last so many are served with ``all``.
    deadline : time, optional
        When the data of a session are due, on its own day. Until then a session is waited for, from then on it is late.
    timezone : str
        Where the deadline's clock hangs, as ``Asia/Shanghai``.
    checks : sequence of SignalCheck
        What is asked before a signal is published.
    max_missing_share : float
        A session that lacks more of the universe than this is not published.
    on_training_failure : {"stop", "keep"}
        Whether a session whose models could not be trained waits for them, or is served by those that are online.
    train_ahead : bool
        Train a window that begins with the next session as soon as the one before it is closed, where the calendar
        knows the next one. What cannot be trained then is trained on its day.
    """

    catch_up: CatchUp = "all"
    catch_up_window: int | None = None
    deadline: time | None = None
    timezone: str = "UTC"
    checks: tuple[SignalCheck, ...] = ()
    max_missing_share: float = 0.5
    on_training_failure: TrainingFailure = "stop"
    train_ahead: bool = True

    def __post_init__(self) -> None:
        if self.catch_up not in CATCH_UP:
            raise ConfigError(f"catch_up = {self.catch_up!r} is none of {', '.join(CATCH_UP)}")
        if self.on_training_failure not in get_args(TrainingFailure):
            raise ConfigError(f"on_training_failure = {self.on_training_failure!r} is neither `stop` nor `keep`")
        if self.catch_up_window is not None and self.catch_up_window < 1:
            raise ConfigError(f"catch_up_window = {self.catch_up_window} would serve no session", hint="catch_up: none")
        if not 0 <= self.max_missing_share <= 1:
            raise ConfigError(f"max_missing_share = {self.max_missing_share} is no share of 0 to 1")
        find_zone(self.timezone)

    def is_late(self, session: SessionLike, now: datetime) -> bool:
        """Tell whether the data of `session` should be there at `now`; never without a deadline."""
        if self.deadline is None:
            return False
        due = datetime.combine(to_session(session).date(), self.deadline, tzinfo=find_zone(self.timezone))
        return now >= due


def find_zone(name: str) -> ZoneInfo:
    """Return the time zone of that name.

    Raises
    ------
    ConfigError
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ConfigError(f"there is no time zone {name[:80]!r}", hint="write it as Asia/Shanghai or UTC") from error
