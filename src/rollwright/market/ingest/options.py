"""How the rows of a source are to be read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from rollwright.calendar.date_text import DATE_FORMS
from rollwright.errors import ConfigError, nearest
from rollwright.market.ingest.presets import PRESETS, Preset

__all__ = ["SYMBOL_FORMS", "ReadOptions"]

SYMBOL_FORMS: Final = ("as-given", "qlib")
_ROLES: Final = ("symbol", "date", "time")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadOptions:
    """What is declared of a source, where its columns do not say it themselves.

    Attributes
    ----------
    symbol_column, date_column, time_column : str or None
        The columns to take, where the names are not the usual ones.
    symbol : str or None
        The one instrument that all rows are about, when there is no column of symbols.
    symbols : str or None
        ``qlib`` writes ``600000.SH``, ``sh.600000`` and ``600000.XSHG`` as ``SH600000``; ``as-given`` changes nothing.
        None leaves it to the preset.
    symbol_digits : int or None
        To how many digits a code of digits alone is filled up with zeros.
    timezone : str or None
        The market's time zone, to which dates that show a zone are converted before the zone is dropped.
    date_form : str
        One of `rollwright.calendar.date_text.DATE_FORMS`.
    intraday : bool
        Whether the sessions have a time of day.
    columns : mapping
        Fields by the names of their columns; ``symbol``, ``date`` and ``time`` are understood too.
    drop : tuple of str
        Columns to leave out.
    encoding : str or None
        Of text files; None when the bytes show it.
    preset : str or None
        Name of a known layout, see `rollwright.market.ingest.presets`.
    wide : str or None
        The field that a table with one column for each instrument (or each date) holds.
    adjust : bool or None
        Whether raw prices are to be adjusted by the factor, or by ``Adj Close``; None leaves it to the preset.

    Raises
    ------
    ConfigError
        For a value that is none of these.
    """

    symbol_column: str | None = None
    date_column: str | None = None
    time_column: str | None = None
    symbol: str | None = None
    symbols: str | None = None
    symbol_digits: int | None = None
    timezone: str | None = None
    date_form: str = "ymd"
    intraday: bool = False
    columns: Mapping[str, str] = field(default_factory=dict)
    drop: tuple[str, ...] = ()
    encoding: str | None = None
    preset: str | None = None
    wide: str | None = None
    adjust: bool | None = None

    def __post_init__(self) -> None:
        _check_choice("preset", self.preset, tuple(PRESETS))
        _check_choice("date form", self.date_form, DATE_FORMS)
        _check_choice("form of symbols", self.symbols, SYMBOL_FORMS)
        if self.symbol_digits is not None and not 1 <= self.symbol_digits <= 20:
            raise ConfigError(f"symbols of {self.symbol_digits} digits", hint="1 to 20; Chinese shares have 6")
        if self.encoding is not None:
            try:
                "a".encode(self.encoding)
            except LookupError as error:
                raise ConfigError(f"{self.encoding!r} is not an encoding", hint="as utf-8, gb18030, utf-16") from error
        for role in _ROLES:
            named = [name for name, target in self.columns.items() if target.strip().lower() == role]
            own = self.column_of(role)
            if len(named) > 1 or (named and own not in (None, named[0])):
                raise ConfigError(f"two columns are to be the {role}: {', '.join([*named, *([own] if own else [])])}")

    def column_of(self, role: str) -> str | None:
        """Return the column that was named for ``symbol``, ``date`` or ``time``."""
        own = {"symbol": self.symbol_column, "date": self.date_column, "time": self.time_column}[role]
        mapped = (name for name, target in self.columns.items() if target.strip().lower() == role)
        return own or next(mapped, None)

    @property
    def layout(self) -> Preset:
        """The preset that was named; one that assumes nothing when none was."""
        return PRESETS[self.preset] if self.preset is not None else Preset()

    @property
    def in_qlib_form(self) -> bool:
        """Whether symbols are to be written as Qlib does."""
        return self.symbols == "qlib" or (self.symbols is None and self.layout.qlib_symbols)


def _check_choice(what: str, value: str | None, choices: tuple[str, ...]) -> None:
    if value is not None and value not in choices:
        close = nearest(value, choices)
        raise ConfigError(
            f"{value!r} is not a {what}", hint=f"did you mean `{close}`?" if close else f"one of {', '.join(choices)}"
        )
