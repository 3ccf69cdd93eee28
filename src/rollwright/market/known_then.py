"""Memberships and adjustment factors as they were known at a moment, where a source has the dates.

They are *dated* fields by period (``_d``): `member_<universe>_d` is 1 from the day on that an instrument joins and 0
from the day that it is out, and `factor_d` is the factor of its prices from a day on. Each row has the moment at which
it became known. Qlib reads neither: it finds the universe and the prices of today.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rollwright.calendar.periods import to_period_ends
from rollwright.calendar.trading import Session
from rollwright.errors import NotPointInTimeError
from rollwright.market.generations import name_known
from rollwright.market.source import DataSource, Lifetimes, Vintages, VintageSource
from rollwright.market.viewpoint import Viewpoint

__all__ = ["FACTOR_FIELD", "KnownThen", "member_field", "see_known"]

FACTOR_FIELD: Final = "factor_d"
"""The dated field of adjustment factors: ``price = raw x factor``, and the volume is the raw one divided by it."""

_PRICES: Final = ("open", "high", "low", "close", "vwap", "factor")
_VOLUME: Final = "volume"
_ADJUSTED: Final = frozenset((*_PRICES, _VOLUME))
_MEMBER: Final = re.compile(r"member_\w+_d")
_NO_WORD: Final = re.compile(r"\W")
_DAY: Final = pd.Timedelta(days=1)


class _Steps(NamedTuple):
    """What holds from a day on, in the order of the days; nothing was said twice of one."""

    days: NDArray[np.datetime64]
    values: NDArray[np.float64]


def member_field(universe: str) -> str:
    """Return the dated field that tells who belongs to `universe`, without ``$$``.

    Examples
    --------
    >>> member_field("csi300"), member_field("S&P-500")
    ('member_csi300_d', 'member_s_p_500_d')
    """
    return f"member_{_NO_WORD.sub('_', universe.lower())}_d"


def see_known(source: DataSource, moment: Session) -> DataSource:
    """Return `source` with the memberships and factors that were known at `moment`; itself where none has dates."""
    fields = source.period_fields() if isinstance(source, VintageSource) else ()
    has_dates = FACTOR_FIELD in fields or any(_MEMBER.fullmatch(field) for field in fields)
    return KnownThen(source, moment, fields) if has_dates else source


class KnownThen(Viewpoint):
    """What `source` is with the memberships and the adjustment factors that were known at `moment`.

    Of a universe without a dated field, and without `FACTOR_FIELD`, everything is as the source has it. With it, prices
    are the raw ones, ``price / factor``, times the factor then known, and volumes the other way round. An instrument of
    which no factor was known keeps its prices; of any other a session before the first of its factors is NaN. So give
    each instrument a factor from its first session on, known then.

    .. warning:: **Look-ahead.** Columns of the user's own that were made from adjusted prices are not adjusted back.

    Parameters
    ----------
    source : DataSource
        With fields by period.
    moment : Session
    fields : sequence of str
        Its fields by period.
    """

    def __init__(self, source: DataSource, moment: Session, fields: Sequence[str]) -> None:
        super().__init__(source)
        self._moment = moment
        self._dated = frozenset(fields)
        self._steps: dict[str, dict[str, _Steps]] = {}

    def __repr__(self) -> str:
        return f"KnownThen({self._source!r}, {self._moment})"

    @property
    def generation(self) -> str:
        """Identity of the data: that of the source, and of what was known of its memberships and factors."""
        own = self._source.generation
        if FACTOR_FIELD in self._dated:
            own = name_known("adjusted", self._digest([FACTOR_FIELD]), own)
        members = sorted(field for field in self._dated if _MEMBER.fullmatch(field))
        return name_known("members", self._digest(members), own) if members else own

    def members(self, universe: str) -> Lifetimes:
        """Return who belonged to `universe` by what was known, from the announced days on.

        A range that goes on ends with the last session of the calendar.

        Raises
        ------
        UnknownInstrumentError
            When the source has no such universe, and no dates of it.
        """
        field = member_field(universe)
        if field not in self._dated:
            return self._source.members(universe)
        last = self._source.calendar().last
        found = {code: tuple(_find_spans(steps, last)) for code, steps in self._known(field).items()}
        return {code: spans for code, spans in found.items() if spans}

    def load(self, fields: Sequence[str], instruments: Sequence[str], start: int, stop: int) -> NDArray[np.float32]:
        """Return ``[fields, stop - start, instruments]``, prices and volumes adjusted by the factors then known.

        Raises
        ------
        NotPointInTimeError
            When the source has the dates of factors and no ``$factor``, so that nothing tells what its prices were
            multiplied by.
        """
        loaded = self._source.load(fields, instruments, start, stop)
        adjusted = [number for number, name in enumerate(fields) if name.lower() in _ADJUSTED]
        if FACTOR_FIELD not in self._dated or not adjusted:
            return loaded
        change = self._find_change(instruments, start, stop)
        loaded = loaded.copy()
        for number in adjusted:
            values = loaded[number].astype(np.float64)
            with np.errstate(divide="ignore", invalid="ignore"):
                loaded[number] = values / change if fields[number].lower() == _VOLUME else values * change
        return loaded

    def unchanged_before(self, generation: str) -> int:
        """Return how many sessions have in every series the values of another `generation`; 0 by other factors."""
        if FACTOR_FIELD not in self._dated:
            return self._source.unchanged_before(generation)
        prefix = name_known("adjusted", self._digest([FACTOR_FIELD]), "")
        known = generation.removeprefix(prefix)
        return self._source.unchanged_before(known) if known != generation else 0

    def _find_change(self, instruments: Sequence[str], start: int, stop: int) -> NDArray[np.float64]:
        """Return ``[stop - start, instruments]``: the factor then known over that of today."""
        if self._source.missing_fields(["factor"]):
            raise NotPointInTimeError(
                f"{self._source!r} has `$${FACTOR_FIELD}` and no `$factor`, so its prices cannot be adjusted back",
                hint="import the factor of each session too, or leave the dated factors out",
            )
        now = self._source.load(["factor"], instruments, start, stop)[0].astype(np.float64)
        days = self._source.calendar().values[start:stop].astype("datetime64[D]")
        change: NDArray[np.float64] = np.ones(now.shape)
        steps = self._known(FACTOR_FIELD)
        for column, code in enumerate(instruments):
            if code not in steps:
                continue
            place = np.searchsorted(steps[code].days, days, "right") - 1
            rounded = steps[code].values.astype(np.float32).astype(np.float64)  # as the factors of sessions are
            then = np.where(place >= 0, rounded[place], np.nan)
            with np.errstate(divide="ignore", invalid="ignore"):
                change[:, column] = then / now[:, column]
        return change

    def _known(self, field: str) -> dict[str, _Steps]:
        """Return what was known of a dated field, of the instruments of which anything was."""
        if field not in self._steps:
            codes = self._source.instruments()
            found = self.vintages(field, codes)
            steps = (_read_steps(found, number, self._moment) for number in range(len(codes)))
            self._steps[field] = {code: own for code, own in zip(codes, steps, strict=True) if own is not None}
        return self._steps[field]

    def _digest(self, fields: Sequence[str]) -> str:
        digest = hashlib.sha256()
        for field in fields:
            digest.update(f"{field}\n".encode())
            for code, steps in sorted(self._known(field).items()):
                digest.update(f"{code} {len(steps.days)}\n".encode() + steps.days.tobytes() + steps.values.tobytes())
        return digest.hexdigest()[:16]


def _read_steps(found: Vintages, number: int, moment: Session) -> _Steps | None:
    """Return what is known of one instrument at `moment`: of each day what was said of it last.

    A value that was withdrawn takes its day back.
    """
    rows = slice(int(found.offsets[number]), int(found.offsets[number + 1]))
    seen = found.known_at[rows] <= np.datetime64(moment, "s")
    if not seen.any():
        return None
    latest = dict(zip(found.period[rows][seen].tolist(), found.value[rows][seen].tolist(), strict=True))
    days = sorted(day for day, value in latest.items() if value == value)  # noqa: PLR0124 - not NaN
    values = np.array([latest[day] for day in days], np.float64)
    return _Steps(days=to_period_ends(days, "d"), values=values)


def _find_spans(steps: _Steps, last: Session) -> Iterator[tuple[Session, Session]]:
    """Yield the closed ranges of days on which the value is not 0."""
    start: Session | None = None
    for day, value in zip(steps.days, steps.values.tolist(), strict=True):
        moment = pd.Timestamp(day).as_unit("s")
        if value and start is None:
            start = moment
        elif not value and start is not None:
            yield start, moment - _DAY
            start = None
    if start is not None:
        yield start, max(start, last)
