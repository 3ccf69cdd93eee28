"""The signal that was published last, ready to be sent: looked for by one thread, read by all."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self
from urllib.parse import quote

from rollwright.app.online.serve import ServingReader
from rollwright.core.clock import Clock, SystemClock
from rollwright.errors import RollwrightError
from rollwright.web.media import Media
from rollwright.web.renditions import Rendition, render_latest

__all__ = ["LatestSignal", "LatestSignals", "latest_path"]

_logger: Final = logging.getLogger("rollwright.web")

EVERY: Final = 0.25
"""Seconds between two looks at the ledgers."""
PATIENCE: Final = 30.0
"""Seconds after which what was seen is no longer given out as the latest."""


def latest_path(serving: str) -> bytes:
    """Return the path of the latest signal of a serving, as a client sends it."""
    return f"/v1/servings/{quote(serving, safe='')}/signal".encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class LatestSignal:
    """What the thread knows of one serving.

    Attributes
    ----------
    at : float
        When its ledger was read last, by the monotonic clock.
    entry : int
        The number of its last entry; 0 before the first.
    session : str or None
        The session that was published last.
    renditions : mapping of Media to Rendition
        Its signal; empty before the first.
    """

    at: float
    entry: int = 0
    session: str | None = None
    renditions: Mapping[Media, Rendition]


class LatestSignals:
    """Keeps the latest signal of each serving as bytes.

    Parameters
    ----------
    readers : sequence of ServingReader
    every : float
        Seconds between two looks.
    patience : float
        Seconds for which the last look is good when the ledger cannot be read.
    clock : Clock, optional

    Guarantees: what `find` returns was the latest signal when the ledger was read, which is at most `every` seconds
    ago, or `patience` seconds where it cannot be read; after that it returns nothing. Requests never wait for a ledger.
    """

    def __init__(
        self,
        readers: Sequence[ServingReader],
        *,
        every: float = EVERY,
        patience: float = PATIENCE,
        clock: Clock | None = None,
    ) -> None:
        self._readers = {reader.serving: reader for reader in readers}
        self._every = every
        self._patience = patience
        self._clock: Clock = clock if clock is not None else SystemClock()
        self._looks: dict[str, LatestSignal] = {}
        self._by_path = {latest_path(name): name for name in self._readers}
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._failing: set[str] = set()

    def __enter__(self) -> Self:
        self.refresh()
        self._thread = threading.Thread(target=self._run, name="rollwright-latest-signals", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        if self._thread is not None:
            self._thread.join(timeout=2.0)

    def find(self, serving: str) -> LatestSignal | None:
        """Return what is known of a serving; None where its ledger was not read for too long."""
        look = self._looks.get(serving)
        if look is None or self._clock.monotonic() - look.at > self._patience:
            return None
        return look

    def find_by_path(self, path: bytes) -> LatestSignal | None:
        """Return what is known of the serving whose latest signal has this path; None of any other path."""
        name = self._by_path.get(path)
        return None if name is None else self.find(name)

    def refresh(self) -> None:
        """Look at all ledgers once; one that cannot be read is told in the log, and kept for a while as it was."""
        for name, reader in self._readers.items():
            try:
                self._looks[name] = self._look(reader, self._looks.get(name))
            except (RollwrightError, OSError) as error:
                if name not in self._failing:
                    _logger.warning("serve.unreadable serving=%s reason=%s", name, error)
                self._failing.add(name)
            else:
                self._failing.discard(name)

    def _look(self, reader: ServingReader, before: LatestSignal | None) -> LatestSignal:
        at = self._clock.monotonic()
        head = reader.read_head()
        if head is None:
            return LatestSignal(at=at, renditions={})
        if before is not None and before.entry == head.number:
            return LatestSignal(at=at, entry=before.entry, session=before.session, renditions=before.renditions)
        scores = reader.load_latest()
        if scores is None:
            return LatestSignal(at=at, entry=head.number, renditions={})
        known = next(iter(before.renditions.values()), None) if before is not None else None
        if before is not None and known is not None and known.etag.startswith(f"{scores.identity}."):
            return LatestSignal(at=at, entry=head.number, session=scores.session, renditions=before.renditions)
        _logger.info("serve.signal serving=%s session=%s entry=%d", reader.serving, scores.session, scores.entry)
        return LatestSignal(at=at, entry=head.number, session=scores.session, renditions=render_latest(scores))

    def _run(self) -> None:
        while not self._ended.wait(self._every):
            self.refresh()
