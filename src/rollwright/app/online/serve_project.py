"""Readers of the servings of a project, and the token of those who ask over the network."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

from rollwright.app.online.record import find_serving, list_servings, open_ledger
from rollwright.app.online.serve import ServingReader
from rollwright.config.context import Context, using
from rollwright.config.settings import Settings, load_settings
from rollwright.core.bounded_read import read_text
from rollwright.core.clock import Clock, SystemClock
from rollwright.errors import ConfigError, RollwrightError
from rollwright.market.current import open_market
from rollwright.online.signal_store import SignalStore
from rollwright.online.state import SignalReference

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ProjectSessions", "find_token", "open_readers", "read_token"]

_CALENDAR_SECONDS: Final = 10.0
_SHORTEST: Final = 32
_LONGEST: Final = 1_024


class ProjectSessions:
    """The sessions of a project's market data, read anew some seconds after the last time.

    Parameters
    ----------
    settings : Settings
        Name the market.
    clock : Clock, optional
    """

    def __init__(self, settings: Settings, *, clock: Clock | None = None) -> None:
        self._settings = settings
        self._clock: Clock = clock if clock is not None else SystemClock()
        self._lock = threading.Lock()
        self._read_at: float | None = None
        self._sessions: tuple[str, ...] = ()

    def last_session(self) -> str | None:
        """Return the last session that the data hold; None where there is none."""
        sessions = self._read()
        return sessions[-1] if sessions else None

    def count_after(self, session: str | None) -> int:
        """Return how many come after `session`; all of them after None."""
        return sum(1 for one in self._read() if session is None or one > session)

    def _read(self) -> tuple[str, ...]:
        with self._lock:
            now = self._clock.monotonic()
            if self._read_at is None or now - self._read_at >= _CALENDAR_SECONDS:
                calendar = open_market(self._settings).calendar().known_part()
                form = "%Y-%m-%d" if calendar.freq == "day" else "%Y-%m-%dT%H:%M:%S"
                self._sessions, self._read_at = tuple(calendar.to_index().strftime(form)), now
            return self._sessions


class _ProjectScores:
    """Loads scores in the context of a serving's project, whatever thread asks."""

    def __init__(self, serving: str, settings: Settings) -> None:
        self._store = SignalStore(serving)
        self._context = Context(settings=settings)

    def load(self, reference: SignalReference) -> pd.Series[float]:
        with using(self._context):
            return self._store.load(reference)


@contextmanager
def open_readers(
    names: Sequence[str] = (), *, project: Path | None = None, clock: Clock | None = None
) -> Iterator[list[ServingReader]]:
    """Open readers of servings, of all that the project has if none is named, for the block.

    Parameters
    ----------
    names : sequence of str
    project : Path, optional
        Where the search for the project folder starts; the working directory if not given.
    clock : Clock, optional

    Raises
    ------
    ConfigError, CorruptFileError, LedgerError
        As `rollwright.app.online.record.open_ledger`.
    """
    wanted = [*dict.fromkeys(names)] or [*list_servings(load_settings(start=project))]
    if not wanted:
        find_serving(project=project)  # says that there is none, and how to begin
    with ExitStack() as opened:
        readers = []
        for name in wanted:
            serving = opened.enter_context(open_ledger(name, project=project, clock=clock))
            readers.append(
                ServingReader(
                    serving.ledger,
                    _ProjectScores(serving.name, serving.settings),
                    sessions=ProjectSessions(serving.settings, clock=clock),
                    deadline=serving.options.deadline_time,
                    timezone=ZoneInfo(serving.options.timezone),
                    clock=clock,
                )
            )
        yield readers


def find_token(path: Path | None, *, project: Path | None = None) -> str | None:
    """Return the token of the file `path`, of the one that the setting ``serve.token_file`` names if None is given.

    Raises
    ------
    ConfigError
        As `read_token`.
    """
    if path is not None:
        return read_token(path)
    settings = load_settings(start=project)
    named = settings.serve.token_file
    return None if named is None else read_token(settings.resolve(named))


def read_token(path: Path) -> str:
    """Return the token that a file holds, which only its owner may read.

    Raises
    ------
    ConfigError
        When it cannot be read, others may read it, or what it holds can be guessed.
    """
    hint = "write another: (umask 077; openssl rand -hex 32 > FILE)"
    try:
        mode = path.stat().st_mode
        token = read_text(path, limit=_LONGEST).strip()
    except (OSError, ValueError, RollwrightError) as error:
        raise ConfigError(f"the token cannot be read from {path}: {error}", hint=hint) from error
    if os.name == "posix" and mode & 0o077:
        raise ConfigError(f"others than its owner may read {path}, which holds the token", hint=f"chmod 600 {path}")
    if not _SHORTEST <= len(token) <= _LONGEST or not token.isascii() or not token.isprintable() or " " in token:
        raise ConfigError(f"{path} holds no token: one line of {_SHORTEST} or more ASCII characters", hint=hint)
    return token
