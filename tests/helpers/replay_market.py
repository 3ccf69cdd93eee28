"""A market of twelve instruments that comes in day by day, with what real feeds do: late rows, restated prices.

A feed is made by its seed alone: whoever delivers the same events in the same order writes the same files.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from rollwright.market.ingest.importer import import_market

CODES: Final = [f"SH6000{number:02}" for number in range(12)]
BEFORE: Final = 90
"""Sessions that are there before the first one is served."""


class Feed:
    """Delivers a market into a folder.

    Parameters
    ----------
    folder : Path
    days : int
        Sessions that will be served.
    """

    def __init__(self, folder: Path, days: int) -> None:
        self.folder = folder
        self.days = pd.bdate_range("2020-01-01", periods=BEFORE + days)
        self._frame = _make_rows(self.days)

    def session(self, position: int) -> str:
        """Return the session at a position, counted from the first that is served."""
        return f"{self.days[BEFORE + position]:%Y-%m-%d}"

    def begin(self) -> None:
        """Deliver what was before serving."""
        self._import(self.days[:BEFORE])

    def deliver(self, first: int, last: int, *, revise: bool = False) -> None:
        """Deliver the sessions from one position to another."""
        self._import(self.days[BEFORE + first : BEFORE + last + 1], revise=revise)

    def insert(self, position: int) -> None:
        """Deliver one that was withheld."""
        self.deliver(position, position)

    def restate(self, upto: int) -> None:
        """Adjust the prices of one instrument anew, on all sessions that are there before a position."""
        code = CODES[upto % len(CODES)]
        there = pd.DatetimeIndex((self.folder / "calendars/day.txt").read_text().split())
        chosen = there[there < self.days[BEFORE + upto]]
        columns = ["open", "close", "high", "low"]
        own = self._frame["symbol"] == code
        self._frame.loc[own & (self._frame["date"] < self.days[BEFORE + upto]), columns] *= 0.9
        self._import(chosen, codes=[code], revise=True)

    def _import(self, days: pd.DatetimeIndex, *, codes: Sequence[str] = CODES, revise: bool = False) -> None:
        frame = self._frame
        import_market(frame[frame["date"].isin(days) & frame["symbol"].isin(codes)], self.folder, revise=revise)


def _make_rows(days: pd.DatetimeIndex) -> pd.DataFrame:
    """Return all rows; an instrument has no values on one session of fifty, as when it is suspended.

    It has a row then, as feeds have it. Without one it would live to its last row, and be no member of a session that
    is the last one until a later row comes.
    """
    generator = np.random.default_rng(7)
    frames = []
    for place, code in enumerate(CODES):
        close = 20 * (1 + place / 10) * np.exp(np.cumsum(generator.normal(0, 0.02, len(days))))
        volume = 1000.0 * (place + 1) * np.exp(generator.normal(0, 0.3, len(days)))
        frame = pd.DataFrame({"open": close, "close": close, "high": close * 1.01, "low": close * 0.99})
        frame["volume"] = volume
        frame.insert(0, "symbol", code)
        frame.insert(1, "date", days)
        suspended = generator.random(len(days)) < 0.02
        suspended[[0, BEFORE]] = False
        frame.loc[suspended, ["open", "close", "high", "low", "volume"]] = np.nan
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)
