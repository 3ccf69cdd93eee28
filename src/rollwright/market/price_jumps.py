"""Prices that nobody adjusted: jumps of the size of a split, and what prices do when their factor changes.

`$close` is the raw price times `$factor`, so it does not jump at a split. A close that halves, whatever the factor does
on that day, is more often an unadjusted split than a market; over a whole market it is certain. Moves are measured in
logarithms, so that a split and a reverse split of the same ratio count alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rollwright.market.source import DataSource

__all__ = ["PriceJumps", "find_jumps", "find_price_jumps", "is_jump", "name_ratio"]

_JUMP: Final = float(np.log(1 / 0.55))
"""A fall of 45 percent, or a rise of 82: a 2:1 split with the move of its day, either way."""
_RATIOS: Final = (2, 2.5, 3, 4, 5, 6, 7, 8, 10, 15, 20, 25, 30, 40, 50, 100)
_BAND: Final = 0.1
_FACTOR_STEP: Final = float(np.log(1.25))
"""A change of the factor from which on one day alone tells whether the price took part in it."""
_CLOSE: Final = 1 / 3
_STEADY: Final = 1e-4
_LEAST_NOISE: Final = 0.005
_SIGMAS: Final = 6.0
_NAMES: Final = 256  # loaded at once


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceJumps:
    """How a market's prices jump.

    Attributes
    ----------
    instruments : int
        How many were looked at.
    jumps : int
        Days on which a close jumps as at a split.
    names : int
        Instruments that have such days.
    with_factor : int
        Jumps on a day when the factor changes by the same ratio the other way: raw prices beside a factor.
    examples : tuple of str
        The first few, with instrument, session and values.
    """

    instruments: int
    jumps: int
    names: int
    with_factor: int
    examples: tuple[str, ...]

    @property
    def likely_unadjusted(self) -> bool:
        """Whether the prices are likely not adjusted for splits: jumps of several names, or beside a factor."""
        return self.with_factor > 0 or self.names >= max(3, self.instruments // 50)

    def describe(self) -> str:
        """Return it as one sentence."""
        beside = f", {self.with_factor} of them on days when the factor changes" if self.with_factor else ""
        shown = f", as {'; '.join(self.examples)}" if self.examples else ""
        return f"likely unadjusted prices: {self.jumps} jumps on {self.names} names{beside}{shown}"


def is_jump(move: float) -> bool:
    """Say whether a move, in logarithms, is of the size of a split."""
    return abs(move) >= _JUMP


def name_ratio(move: float) -> str:
    """Return the split that a move looks like, as ``2:1`` or ``1:10``; empty when it is like none."""
    near = min(_RATIOS, key=lambda ratio: abs(abs(move) - np.log(ratio)))
    if abs(abs(move) - np.log(near)) > _BAND:
        return ""
    return f"{near:g}:1" if move < 0 else f"1:{near:g}"


def find_jumps(
    close: NDArray[np.floating], factor: NDArray[np.floating] | None
) -> tuple[NDArray[np.intp], NDArray[np.float64], NDArray[np.bool_]]:
    """Return the positions at which a series of closes jumps, the moves in logarithms, and which go with the factor.

    Parameters
    ----------
    close : ndarray
        Of one instrument; NaN and prices that are not positive are passed over.
    factor : ndarray or None
        Of the same rows.
    """
    known = np.flatnonzero(close > 0)
    if len(known) < 2:
        return np.empty(0, np.intp), np.empty(0), np.empty(0, bool)
    moves = np.diff(np.log(close[known].astype(np.float64)))
    beside = _find_raw(moves, factor[known]) if factor is not None else np.zeros(len(moves), bool)
    found = np.flatnonzero((np.abs(moves) >= _JUMP) | beside)
    return known[found + 1], moves[found], beside[found]


def _find_raw(moves: NDArray[np.float64], factor: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Return on which days a price moves against its factor by the same ratio, as a raw one does.

    A large change of the factor tells by itself. Small ones, of dividends, tell together: the slope of the moves on the
    factor's is 0 of adjusted prices and -1 of raw ones, and how far it may be from either by chance is known from the
    other days.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        steps = np.diff(np.log(factor.astype(np.float64)))
    against = np.abs(moves + steps) < _CLOSE * np.abs(steps)
    large = np.abs(steps) >= _FACTOR_STEP
    changed = np.isfinite(steps) & (np.abs(steps) > _STEADY)
    others = np.abs(moves[~changed])
    weight = float((steps[changed] ** 2).sum())
    if not weight or not len(others):
        return large & against
    noise = max(1.4826 * float(np.median(others)), _LEAST_NOISE)
    slope = -float((moves[changed] * steps[changed]).sum()) / weight
    sure = abs(slope - 1) < _CLOSE and slope * np.sqrt(weight) > _SIGMAS * noise
    near = np.abs(moves + steps) < np.maximum(_CLOSE * np.abs(steps), 3 * noise)
    return (large & against) | (changed & near & (np.abs(steps) > noise) & sure)


def find_price_jumps(
    source: DataSource, instruments: Sequence[str] | None = None, start: int = 0, stop: int | None = None
) -> PriceJumps:
    """Look through the closes of a market, and its factors where it has them, for jumps of the size of a split.

    Two fields are read, some instruments at a time; nothing else is.

    Parameters
    ----------
    source : DataSource
    instruments : sequence of str, optional
        All that have a series if not given.
    start, stop : int
        Calendar positions, half open; up to the last session that has data if not given.
    """
    codes = list(source.instruments() if instruments is None else instruments)
    calendar = source.calendar()
    end = calendar.known if stop is None else min(stop, calendar.known)
    missing = source.missing_fields(("close", "factor"))
    if "close" in missing or end - start < 2:
        return PriceJumps(instruments=len(codes), jumps=0, names=0, with_factor=0, examples=())
    fields = ["close"] if "factor" in missing else ["close", "factor"]
    jumps = names = with_factor = 0
    examples: list[str] = []
    for low in range(0, len(codes), _NAMES):
        part = codes[low : low + _NAMES]
        block = source.load(fields, part, start, end)
        for lane, code in enumerate(part):
            close = block[0, :, lane]
            places, moves, beside = find_jumps(close, block[1, :, lane] if len(fields) > 1 else None)
            jumps += len(places)
            names += bool(len(places))
            with_factor += int(beside.sum())
            if len(places) and len(examples) < 3:
                day = str(calendar[start + int(places[0])]).removesuffix(" 00:00:00")
                examples.append(f"{code} {day} {np.expm1(moves[0]):+.0%}")
    return PriceJumps(
        instruments=len(codes), jumps=jumps, names=names, with_factor=with_factor, examples=tuple(examples)
    )
