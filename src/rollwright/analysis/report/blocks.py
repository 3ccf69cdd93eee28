"""What a page is made of: sections of charts, tables and heat maps, each with a sentence that says how it is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

__all__ = [
    "Block",
    "Cell",
    "Chart",
    "ColumnHead",
    "HeatCell",
    "HeatGrid",
    "HeatMap",
    "HeatPanel",
    "Section",
    "TableBlock",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A figure that is drawn by the chart library.

    Attributes
    ----------
    id : str
        Its name, once in a page.
    title, read : str
        What it shows, and how it is read.
    figure : dict
        Traces and layout.
    """

    id: str
    title: str
    read: str
    figure: dict[str, Any]
    kind: ClassVar[str] = "chart"


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnHead:
    """The head of a column: its text, and whether its cells are numbers, which stand to the right, code, or long."""

    label: str
    is_number: bool = True
    is_code: bool = False
    is_wrapped: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A cell that is more than a text.

    Attributes
    ----------
    text : str
    bar : int or None
        Width of a bar behind the text, in percent.
    is_below : bool
        Whether the bar stands for a number below 0.
    state : str
        ``done``, ``failed``, ``running`` or ``waiting``: the text has its colour.
    """

    text: str
    bar: int | None = None
    is_below: bool = False
    state: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TableBlock:
    """Rows of finished text.

    Attributes
    ----------
    columns : sequence of ColumnHead
    rows : sequence of sequence of (str or Cell)
    marked : frozenset of int
        Rows that stand out.
    titles : sequence of str
        For each row what a pointer over it tells; empty for nothing.
    is_narrow : bool
        Whether it has few columns.
    """

    id: str
    title: str
    read: str
    columns: Sequence[ColumnHead]
    rows: Sequence[Sequence[str | Cell]]
    marked: frozenset[int] = frozenset()
    titles: Sequence[str] = ()
    is_narrow: bool = False
    kind: ClassVar[str] = "table"


@dataclass(frozen=True, slots=True, kw_only=True)
class HeatCell:
    """One cell: its text, its colour as a level from −1 (orange) to 1 (blue), and whether it stands out."""

    text: str
    level: float | None = None
    title: str = ""
    is_framed: bool = False
    is_strong: bool = False

    @property
    def colour(self) -> str:
        """The background; faint enough for text in a light and a dark page."""
        if self.level is None:
            return ""
        share = min(abs(self.level), 1.0) * 0.55
        return f"rgba({'0,114,178' if self.level >= 0 else '230,120,0'},{share:.2f})"


@dataclass(frozen=True, slots=True, kw_only=True)
class HeatMap:
    """A grid of numbers with colours: text in every cell, so that it is read without colours too.

    Attributes
    ----------
    corner : str
        What rows and columns are.
    columns : sequence of str
    rows : sequence of (str, sequence of HeatCell)
    """

    id: str
    title: str
    read: str
    corner: str
    columns: Sequence[str]
    rows: Sequence[tuple[str, Sequence[HeatCell]]]
    kind: ClassVar[str] = "heat"


@dataclass(frozen=True, slots=True, kw_only=True)
class HeatPanel:
    """One of several grids that are read together."""

    title: str
    corner: str
    columns: Sequence[str]
    rows: Sequence[tuple[str, Sequence[HeatCell]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class HeatGrid:
    """Several heat maps that share their colours."""

    id: str
    title: str
    read: str
    panels: Sequence[HeatPanel]
    kind: ClassVar[str] = "grid"


Block: TypeAlias = Chart | TableBlock | HeatMap | HeatGrid


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A part of the page.

    Attributes
    ----------
    id, title : str
    about : str
        What it is about; "" where its blocks say enough.
    blocks : sequence of Block
    is_pair : bool
        Whether blocks stand side by side where there is room.
    is_closed : bool
        Whether its blocks are shown only when the reader opens it.
    """

    id: str
    title: str
    about: str = ""
    blocks: Sequence[Block] = ()
    is_pair: bool = False
    is_closed: bool = False
