"""What the sections of one variant are made of: its tables, in the words of one language."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import pandas as pd

from rollwright.analysis.report.blocks import Block, Chart, ColumnHead, HeatMap, Section, TableBlock
from rollwright.analysis.report.drawing import MOST_POINTS, Figure, format_day
from rollwright.analysis.report.label_unit import LabelUnit
from rollwright.analysis.report.window_row import WindowRow
from rollwright.analysis.report.words import Language, Words, name_key
from rollwright.analysis.stages.table import ResultTable
from rollwright.errors import DataError

__all__ = ["Texts", "View", "format_value"]

Texts: TypeAlias = Mapping[str, Mapping[str, str]]
"""Texts by key and language."""

_TEXTS: Final = ("text", "date", "flag")
_FORMS: Final[dict[str, str]] = {
    **dict.fromkeys(("text", "flag"), "{}"),
    **dict.fromkeys(("sessions", "count", "currency", "rank", "rows"), "{:,.0f}"),
    **dict.fromkeys(("fraction", "fraction_per_session", "fraction_per_year"), "{:.2%}"),
    **dict.fromkeys(("ratio", "probability"), "{:.3f}"),
    **dict.fromkeys(("seconds", "years"), "{:,.1f}"),
    "correlation": "{:+.4f}",
    "price": "{:,.2f}",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """The tables of one variant, and how they are told.

    Attributes
    ----------
    words : Words
    unit : LabelUnit
    tables : mapping of str to ResultTable
        Of all stages.
    windows : sequence of WindowRow
    suffix : str
        What makes the names of its sections and figures its own in a page of several variants.
    facts : mapping of str to float
        The values of its metrics.
    settings : mapping
        Those of the back-test.
    """

    words: Words
    unit: LabelUnit = field(default_factory=LabelUnit)
    tables: Mapping[str, ResultTable] = field(default_factory=dict)
    windows: Sequence[WindowRow] = ()
    suffix: str = ""
    facts: Mapping[str, float] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def language(self) -> Language:
        """The language of the words."""
        return "zh" if self.words["html_lang"].startswith("zh") else "en"

    def frame(self, name: str, *columns: str) -> pd.DataFrame | None:
        """Return the frame of a table; None when there is none or it has no row.

        Raises
        ------
        DataError
            When it lacks one of `columns`.
        """
        table = self.tables.get(name)
        if table is None or not len(table.frame):
            return None
        missing = [column for column in columns if column not in table.frame]
        if missing:
            raise DataError(f"the report's `{name}` has the columns {list(table.frame.columns)} and lacks {missing}")
        return table.frame

    def section(self, name: str, blocks: Sequence[Block | None], *, about: str = "", is_pair: bool = False) -> Section:
        """Return a section of those blocks that there are; `about` as text."""
        return Section(
            id=name + self.suffix,
            title=self.words[name],
            about=about,
            blocks=[block for block in blocks if block is not None],
            is_pair=is_pair,
        )

    def chart(self, name: str, figure: Figure, *, sessions: int = 0, **fields: object) -> Chart:
        """Return a chart with its words; `sessions` is the length of its lines, which are thinned if it is large."""
        read = self.words[f"{name}_read"].format(**fields)
        if sessions > MOST_POINTS:
            read += self.words["thinned"].format(sessions=f"{sessions:,}", points=f"{MOST_POINTS:,}")
        return Chart(id=name + self.suffix, title=self.words[f"{name}_title"], read=read, figure=figure)

    def heat(self, name: str, corner: str, columns: Sequence[str], rows: Sequence[Any], **fields: object) -> HeatMap:
        """Return a heat map with its words."""
        return HeatMap(
            id=name + self.suffix,
            title=self.words[f"{name}_title"].format(**fields),
            read=self.words[f"{name}_read"].format(**fields),
            corner=corner,
            columns=columns,
            rows=rows,
        )

    def table(self, name: str, columns: Sequence[ColumnHead], rows: Sequence[Any], **changes: Any) -> TableBlock:
        """Return a table with its words."""
        return TableBlock(
            id=name + self.suffix,
            title=self.words[f"{name}_title"],
            read=self.words[f"{name}_read"],
            columns=columns,
            rows=rows,
            **changes,
        )

    def whole_table(
        self,
        name: str,
        *,
        of: str = "",
        columns: Sequence[str] = (),
        prefix: str = "value",
        texts: Mapping[str, Texts] | None = None,
        codes: Collection[str] = (),
        heads: Mapping[str, str] | None = None,
        **changes: Any,
    ) -> TableBlock | None:
        """Return a table of a stage as it is: heads are the words of its columns, cells as their units say.

        Parameters
        ----------
        name : str
            Of its words.
        of : str
            The table, where it is not called `name`.
        columns : sequence of str, optional
            Those that are shown, as far as there are any; all if not given.
        prefix : str
            Of the keys of words for what stands in columns of text.
        texts : mapping of str to Texts, optional
            For a column of keys, what each key means in each language.
        codes : collection of str
            Columns whose texts are names in a program.
        heads : mapping of str to str, optional
            The keys of words of columns that are not called ``column_NAME``.
        **changes
            As `TableBlock` has them.
        """
        source = of or name
        frame = self.frame(source)
        if frame is None:
            return None
        shown = [column for column in (columns or frame.columns) if column in frame]
        units = self.tables[source].units
        told = {} if texts is None else texts
        return self.table(
            name,
            [
                ColumnHead(
                    label=self.words[heads[column]] if heads and column in heads else self.name_column(column),
                    is_number=units[column] not in _TEXTS,
                    is_wrapped=units[column] == "text" and column not in codes,
                    is_code=column in codes,
                )
                for column in shown
            ],
            [
                [
                    self.find_text(told[column], row[column])
                    if column in told
                    else str(row[column])
                    if column in codes
                    else self.format(row[column], units[column], prefix=prefix)
                    for column in shown
                ]
                for row in frame[shown].to_dict("records")
            ],
            **changes,
        )

    def month_names(self) -> list[str]:
        """Return the heads of twelve months."""
        return [self.words["month_name"].format(month=month) for month in range(1, 13)]

    def name_column(self, column: str) -> str:
        """Return the head of a column."""
        return name_key(self.words, "column", column)

    def find_text(self, texts: Texts, key: Any) -> str:
        """Return what a key means in the language of the page; an unknown one without its underscores."""
        known = texts.get(str(key))
        return str(key).replace("_", " ") if known is None else known[self.language]

    def format(self, value: Any, unit: str, *, prefix: str = "value") -> str:
        """Return a value of a table as text."""
        if unit == "text":
            return name_key(self.words, prefix, str(value))
        if unit == "flag":
            return "" if pd.isna(value) else self.words["yes" if value else "no"]
        if unit == "label" and self.unit.horizon is not None:
            return "–" if not math.isfinite(value) else f"{value * self.unit.scale:+.2f} {self.words['basis_points']}"
        return format_value(value, unit)


def format_value(value: Any, unit: str) -> str:
    """Return a value as text by the unit of its column; ``–`` where there is none."""
    if value is None or pd.isna(value) or (isinstance(value, float) and not math.isfinite(value)):
        return "–"
    if unit == "date":
        return format_day(pd.Timestamp(value))
    return _FORMS.get(unit, "{:,.4g}" if isinstance(value, int | float) else "{}").format(value)
