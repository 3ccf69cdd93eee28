"""Returns as the registry keeps them: whole numbers of a hundred-millionth, equal on every machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Final, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rollwright.core.canonical import JSON, dump_canonical, sha256_hex
from rollwright.errors import DataError

__all__ = ["DECIMALS", "ReturnSeries"]

DECIMALS: Final = 8
"""Digits behind the point that are kept of a return: a ten-thousandth of a basis point."""

_UNIT: Final = 10.0**DECIMALS
_LEAST: Final = 3
_MOST_SESSIONS: Final = 50_000
_MOST_DAYS: Final = 100_000
_LARGEST: Final = 10**14
"""A return of a million, in units: no account makes it in a session."""
_TOLERANCE: Final = 1
"""Units by which two computations of one return may differ: they may lie on two sides of where it is rounded."""
_FIELDS: Final = frozenset(("decimals", "first", "steps", "values"))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ReturnSeries:
    """The returns of one strategy, after costs, by session.

    Attributes
    ----------
    sessions : ndarray of datetime64[D], shape (T,)
        Rising.
    units : ndarray of int64, shape (T,)
        The returns, in units of ``10 ** -DECIMALS``.
    """

    sessions: NDArray[np.datetime64]
    units: NDArray[np.int64]

    @classmethod
    def of(cls, sessions: ArrayLike, returns: ArrayLike) -> Self:
        """Return the series of some returns, rounded to `DECIMALS` digits.

        Raises
        ------
        DataError
            For fewer than three returns or more than 50,000, one that is not finite or beyond a million, sessions that
            do not rise or are no whole days, and for returns that are all the same, as of a strategy that never traded:
            no Sharpe ratio is defined for them.
        """
        given = np.asarray(sessions)
        days = given.astype("datetime64[D]")
        values = np.asarray(returns, dtype=np.float64)
        if days.ndim != 1 or days.shape != values.shape:
            raise DataError(
                f"returns of shape {values.shape} for sessions of shape {days.shape}: one for each is needed"
            )
        if given.dtype.kind == "M" and (given != days).any():
            raise DataError("returns of less than a day: trials are compared by session")
        bad = np.flatnonzero(~(np.abs(values) * _UNIT < _LARGEST))
        if len(bad):
            raise DataError(f"a return of {values[bad[0]]} on {days[bad[0]]}: it is none")
        made = cls(sessions=days, units=np.rint(values * _UNIT).astype(np.int64))
        made._check()
        return made

    @property
    def returns(self) -> NDArray[np.float64]:
        """The returns, as float64, as they were rounded."""
        return self.units / _UNIT

    @property
    def digest(self) -> str:
        """SHA-256 of sessions and returns, in hex."""
        return sha256_hex(dump_canonical(self.to_json()).encode())

    def extends(self, other: ReturnSeries) -> bool:
        """Tell whether this is `other`, gone on with or not: the same sessions first, with the same returns.

        A return may differ by one unit: two computations of it may lie on two sides of where it is rounded.
        """
        length = len(other.units)
        if length > len(self.units) or self.sessions[0] != other.sessions[0]:
            return False
        return bool(
            (self.sessions[:length] == other.sessions).all()
            and (np.abs(self.units[:length] - other.units) <= _TOLERANCE).all()
        )

    def to_json(self) -> dict[str, JSON]:
        """Return it as JSON: the first session, the days from each to the next, and the returns in units."""
        return {
            "decimals": DECIMALS,
            "first": str(self.sessions[0]),
            "steps": np.diff(self.sessions).astype(np.int64).tolist(),
            "values": self.units.tolist(),
        }

    @classmethod
    def from_json(cls, value: object) -> Self:
        """Return the series of what `to_json` made.

        Raises
        ------
        ValueError
            When it is of another form, or no series that `of` would have made.
        """
        if not isinstance(value, Mapping) or value.keys() != _FIELDS or value["decimals"] != DECIMALS:
            raise ValueError("the series is of another form")
        first, steps, values = value["first"], value["steps"], value["values"]
        if not isinstance(first, str) or not isinstance(steps, list) or not isinstance(values, list):
            raise ValueError("the series is of another form")
        if len(values) != len(steps) + 1 or len(values) > _MOST_SESSIONS:
            raise ValueError(f"the series has {len(values):,} returns and {len(steps):,} steps")
        days = np.cumsum(_integers(steps, limit=_MOST_DAYS))
        try:
            start = np.datetime64(date.fromisoformat(first), "D")
        except ValueError as error:
            raise ValueError(f"the series begins on {first[:20]!r}, which is no day") from error
        if len(days) and not 0 < int(days[-1]) < _MOST_DAYS:
            raise ValueError(f"the series goes on for {int(days[-1]):,} days")
        made = cls(
            sessions=np.concatenate([[start], start + days]).astype("datetime64[D]"),
            units=_integers(values, limit=_LARGEST),
        )
        try:
            made._check()
        except DataError as error:
            raise ValueError(error.message) from error
        return made

    def _check(self) -> None:
        if not _LEAST <= len(self.units) <= _MOST_SESSIONS:
            raise DataError(f"{len(self.units):,} returns: a trial has from {_LEAST} to {_MOST_SESSIONS:,}")
        if np.isnat(self.sessions).any() or (np.diff(self.sessions).astype(np.int64) <= 0).any():
            raise DataError("the sessions of the returns do not rise")
        if (self.units == self.units[0]).all():
            raise DataError(f"all {len(self.units)} returns are the same: a Sharpe ratio is not defined for them")


def _integers(values: list[Any], *, limit: int) -> NDArray[np.int64]:
    """Return a list of JSON as whole numbers; nothing else may be in it."""
    if not set(map(type, values)) <= {int} or (values and max(map(abs, values)) > limit):
        raise ValueError("the series holds what is no whole number, or one too large")
    return np.array(values, dtype=np.int64)
