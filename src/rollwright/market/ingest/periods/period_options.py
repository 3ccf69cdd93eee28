"""How the rows of a source of fields by period are to be read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from rollwright.calendar.periods import Interval
from rollwright.errors import ConfigError, nearest
from rollwright.market.folder.layout import check_period_field
from rollwright.market.folder.periods.kinds import parse_kind
from rollwright.market.ingest.options import ReadOptions
from rollwright.market.source import FieldKind

__all__ = ["INTERVALS", "PeriodOptions", "read_kind_options"]

INTERVALS: Final[Mapping[str, Interval]] = {"quarterly": "q", "annual": "a", "monthly": "m", "dated": "d"}
"""Names of intervals, the first two as Qlib's dumper has them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PeriodOptions:
    """What is declared of a source of fields by period, where its columns do not say it themselves.

    Attributes
    ----------
    source : ReadOptions
        What is declared of its symbols, dates and texts.
    period_column, value_column, field_column : str or None
        The columns to take, where the names are not the usual ones.
    field_name : str or None
        The one field that all rows are about, when there is no column of fields.
    wide : mapping of str to str
        Of a table with a column for each field: the columns, and the fields that they are. Empty for one value a row.
    interval : str or None
        One of `INTERVALS`: what fields that do not end with an interval are, as those in files for Qlib's dumper.
    kinds : mapping
        What fields measure, by name; under ``*`` what all fields of the source do.
    allow_early : bool
        Whether a value may have become known before its period ended, as a forecast.

    Raises
    ------
    ConfigError
        For a value that is none of these.
    """

    source: ReadOptions = field(default_factory=ReadOptions)
    period_column: str | None = None
    value_column: str | None = None
    field_column: str | None = None
    field_name: str | None = None
    wide: Mapping[str, str] = field(default_factory=dict)
    interval: str | None = None
    kinds: Mapping[str, FieldKind] = field(default_factory=dict)
    allow_early: bool = False

    def __post_init__(self) -> None:
        if self.interval is not None and self.interval not in INTERVALS:
            close = nearest(self.interval, INTERVALS)
            hint = f"did you mean `{close}`?" if close else f"one of {', '.join(INTERVALS)}"
            raise ConfigError(f"{self.interval!r} is no interval of periods", hint=hint)
        if self.field_name is not None and self.field_column is not None:
            raise ConfigError(
                f"all rows are to be `{self.field_name}`, and the column `{self.field_column}` is to say it"
            )
        odd = next((name for name in (self.field_name, self.field_column, self.value_column) if name is not None), None)
        if self.wide and odd is not None:
            raise ConfigError(
                f"the columns {', '.join(self.wide)} are a field each, so `{odd}` cannot be the field or value of all"
            )
        names = [name.lower() for name in self.wide.values()]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ConfigError(f"two columns are to be the field `{twice}`")


def read_kind_options(words: Mapping[str, str]) -> dict[str, FieldKind]:
    """Return kinds by the names of fields, of which ``*`` stands for all of a source.

    Raises
    ------
    ConfigError
        For a kind that is none.
    UnknownFieldError
        For a name that cannot be that of a field by period.
    """
    return {name if name == "*" else check_period_field(name)[0]: parse_kind(word) for name, word in words.items()}
