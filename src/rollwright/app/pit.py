"""Commands and queries on fields by period: import, look, check."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rollwright.calendar.periods import to_period_ends
from rollwright.config.context import current_settings
from rollwright.config.settings import Settings
from rollwright.core.clock import SystemClock
from rollwright.core.file_uris import read_path
from rollwright.errors import NotPointInTimeError
from rollwright.market.as_of import AsOf
from rollwright.market.current import open_market
from rollwright.market.folder.layout import check_period_field
from rollwright.market.folder.periods.kinds import name_kind, parse_kind
from rollwright.market.folder.provider import QlibProvider, folder_from_settings
from rollwright.market.ingest.periods.period_check import PeriodCheck, check_periods
from rollwright.market.ingest.periods.period_import import declare_kind, import_periods
from rollwright.market.ingest.periods.period_text import read_period
from rollwright.market.ingest.symbols import find_code
from rollwright.market.seal import find_holdout
from rollwright.market.source import DataSource, Vintages, VintageSource
from rollwright.market.view import view

__all__ = [
    "FieldInfo",
    "KnownValue",
    "PeriodInfo",
    "Vintage",
    "check_fields",
    "declare_field",
    "describe_periods",
    "get_values",
    "import_periods",
    "list_known",
    "list_vintages",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownValue:
    """The value of a period that counts.

    Attributes
    ----------
    instrument, field : str
    period : int
    value : float or None
        None when it was withdrawn.
    known : str
        Day on which this value became known.
    first_known : str
        Day on which the first value of the period did.
    versions : int
        How many values of the period there are up to this one.
    """

    instrument: str
    field: str
    period: int
    value: float | None
    known: str
    first_known: str
    versions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Vintage:
    """One value of a period.

    Attributes
    ----------
    value : float or None
        None when it was withdrawn.
    known : str
        Day on which it became known.
    replaced : str or None
        Day on which another one took its place; None for the one that counts.
    days_after : int
        Days from the end of the period to that on which it became known.
    """

    value: float | None
    known: str
    replaced: str | None
    days_after: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldInfo:
    """What there is of one field by period.

    Attributes
    ----------
    field, kind : str
    instruments, values, restated : int
        Instruments that have it, values in all, and those that took the place of an earlier one.
    first_period, last_period : int
    first_known, last_known : str
    """

    field: str
    kind: str
    instruments: int
    values: int
    restated: int
    first_period: int
    last_period: int
    first_known: str
    last_known: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PeriodInfo:
    """The fields by period of a market."""

    path: Path
    generation: str
    fields: tuple[FieldInfo, ...]


class _Counting(NamedTuple):
    """Of each period of each instrument the value that counts; sorted by instrument, then period.

    Attributes
    ----------
    owner : int64
        Place of the instrument.
    row : int64
        Row of the value among the vintages.
    first : int64
        Row of the first value of the period.
    versions : int64
    """

    owner: NDArray[np.int64]
    row: NDArray[np.int64]
    first: NDArray[np.int64]
    versions: NDArray[np.int64]


def describe_periods(path: Path | str | None = None, *, settings: Settings | None = None) -> PeriodInfo:
    """Return what fields by period a market has before the sealed holdout; that of the settings when no path is given.

    Instruments without a daily series, which no expression reads, are left out.

    Raises
    ------
    DataNotFoundError
        When there is no market.
    CorruptFileError
        When a file is damaged.
    """
    market, source = _open(path, settings)
    codes = market.instruments()
    infos = [_describe_field(source, name, source.vintages(name, codes)) for name in source.period_fields()]
    return PeriodInfo(
        path=_find_folder(path, settings),
        generation=market.generation,
        fields=tuple(info for info in infos if info is not None),
    )


def get_values(
    instrument: str,
    field: str,
    *,
    path: Path | str | None = None,
    as_of: str | None = None,
    settings: Settings | None = None,
) -> tuple[KnownValue, ...]:
    """Return the value of each period of a field that counts, today or as it was known at the end of a day.

    Parameters
    ----------
    instrument : str
        In any spelling.
    field : str
        Without or with ``$$``.
    path : Path or str, optional
        Data folder; that of the settings if not given.
    as_of : str, optional
        A day; nothing that became known later is told.
    settings : Settings, optional

    Raises
    ------
    DataNotFoundError
        When there is no market.
    UnknownInstrumentError, UnknownFieldError
        For what the market does not have.
    HoldoutSealedError
        For a day in the sealed holdout.
    """
    market, source = _open(path, settings, as_of)
    name = _read_field(field)
    code = find_code(instrument, market.instruments())
    found = source.vintages(name, [code])
    return _to_values(found, _find_counting(found), [code], name)


def list_known(
    day: str,
    *,
    instruments: Sequence[str] = (),
    fields: Sequence[str] = (),
    path: Path | str | None = None,
    settings: Settings | None = None,
) -> tuple[KnownValue, ...]:
    """Return what a back-test could read at the end of a day: of each field and instrument the latest period.

    Parameters
    ----------
    day : str
    instruments, fields : sequence of str
        All there are when none is given.
    path, settings : optional
        As `get_values`.

    Raises
    ------
    DataNotFoundError, UnknownInstrumentError, UnknownFieldError, HoldoutSealedError
        As `get_values`.
    """
    market, source = _open(path, settings, day)
    known = market.instruments()
    codes = [find_code(text, known) for text in instruments] or list(known)
    values: list[KnownValue] = []
    for name in [_read_field(field) for field in fields] or source.period_fields():
        found = source.vintages(name, codes)
        counting = _find_counting(found)
        last = np.append(np.diff(counting.owner) != 0, True)[: len(counting.owner)]
        values += _to_values(found, _Counting(*(part[last] for part in counting)), codes, name)
    return tuple(sorted(values, key=lambda item: (item.instrument, item.field)))


def list_vintages(
    instrument: str, field: str, period: str, *, path: Path | str | None = None, settings: Settings | None = None
) -> tuple[Vintage, ...]:
    """Return all values of one period, in the order in which they became known; none when there are none.

    Parameters
    ----------
    instrument, field, path, settings : optional
        As `get_values`.
    period : str
        As ``201903``, ``2019Q3`` or ``2019-09-30``.

    Raises
    ------
    DataError
        For a text that is no period of the field.
    DataNotFoundError, UnknownInstrumentError, UnknownFieldError
        As `get_values`.
    """
    market, source = _open(path, settings)
    name, interval = check_period_field(_read_field(field))
    found = source.vintages(name, [find_code(instrument, market.instruments())])
    number = read_period(period, interval)
    rows = np.flatnonzero(found.period == number)
    end = to_period_ends([number], interval)[0]
    days = [_label(found.known_at[row]) for row in rows]
    return tuple(
        Vintage(
            value=_to_value(found.value[row]),
            known=day,
            replaced=later,
            days_after=int((found.known_at[row].astype("datetime64[D]") - end).astype(np.int64)),
        )
        for row, day, later in zip(rows.tolist(), days, [*days[1:], None][: len(days)], strict=True)
    )


def check_fields(path: Path | str | None = None, *, settings: Settings | None = None) -> PeriodCheck:
    """Check the files of fields by period; see `rollwright.market.ingest.periods.period_check.check_periods`."""
    return check_periods(_find_folder(path, settings), now=SystemClock().now(), holdout=find_holdout(settings))


def declare_field(
    field: str,
    kind: str,
    *,
    change: bool = False,
    path: Path | str | None = None,
    settings: Settings | None = None,
) -> str:
    """Declare what a field measures, and return what was declared before.

    Raises
    ------
    ConfigError
        For a kind that is none.
    DataNotFoundError, UnknownFieldError, DataError
        As `rollwright.market.ingest.periods.period_import.declare_kind`.
    """
    folder = _find_folder(path, settings)
    return name_kind(declare_kind(folder, _read_field(field), parse_kind(kind), change=change))


def _find_folder(path: Path | str | None, settings: Settings | None) -> Path:
    if path is not None:
        return read_path(path).resolve()
    return folder_from_settings(current_settings() if settings is None else settings)


def _open(
    path: Path | str | None, settings: Settings | None, as_of: str | None = None
) -> tuple[DataSource, VintageSource]:
    """Open a market as far as the settings let it be seen, as it was on a day if one is given."""
    present = current_settings() if settings is None else settings
    market = open_market(present) if path is None else view(QlibProvider(path), present)
    if as_of is not None:
        market = AsOf(market, as_of)
    if not isinstance(market, VintageSource):
        raise NotPointInTimeError(f"{market!r} has no fields by period")
    return market, market


def _read_field(text: str) -> str:
    return check_period_field(text.strip().removeprefix("$$"))[0]


def _find_counting(found: Vintages) -> _Counting:
    sizes = np.diff(found.offsets)
    owner = np.repeat(np.arange(len(sizes)), sizes)
    order = np.lexsort((found.known_at.astype(np.int64), found.period, owner))
    starts = np.ones(len(order), np.bool_)
    starts[1:] = (np.diff(owner[order]) != 0) | (np.diff(found.period[order]) != 0)
    first = np.flatnonzero(starts)
    last = np.append(first[1:], len(order))[: len(first)] - 1
    return _Counting(owner[order[first]], order[last], order[first], last - first + 1)


def _to_values(found: Vintages, counting: _Counting, codes: Sequence[str], field: str) -> tuple[KnownValue, ...]:
    return tuple(
        KnownValue(
            instrument=codes[owner],
            field=field,
            period=int(found.period[row]),
            value=_to_value(found.value[row]),
            known=_label(found.known_at[row]),
            first_known=_label(found.known_at[first]),
            versions=versions,
        )
        for owner, row, first, versions in zip(*(part.tolist() for part in counting), strict=True)
    )


def _describe_field(source: VintageSource, field: str, found: Vintages) -> FieldInfo | None:
    """Return what there is of a field; None when nothing is seen of it."""
    if not len(found.value):
        return None
    periods = len(_find_counting(found).row)
    return FieldInfo(
        field=field,
        kind=name_kind(source.field_kind(field)),
        instruments=int((np.diff(found.offsets) > 0).sum()),
        values=len(found.value),
        restated=len(found.value) - periods,
        first_period=int(found.period.min()),
        last_period=int(found.period.max()),
        first_known=_label(found.known_at.min()),
        last_known=_label(found.known_at.max()),
    )


def _to_value(value: np.float64) -> float | None:
    return None if np.isnan(value) else float(value)


def _label(moment: np.datetime64) -> str:
    text = str(moment.astype("datetime64[s]"))
    return text.removesuffix("T00:00:00").replace("T", " ")
