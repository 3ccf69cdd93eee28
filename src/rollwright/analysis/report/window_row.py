"""One window of the walk, as the report shows it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import pandas as pd

__all__ = ["DateRange", "WindowRow", "clean_window", "list_window_rows"]

DateRange: TypeAlias = "tuple[pd.Timestamp, pd.Timestamp]"


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowRow:
    """One window of the walk, as the report shows it.

    Attributes
    ----------
    name : str
    segments : mapping of str to (Timestamp, Timestamp)
        Closed ranges by role; ``train``, ``valid``, ``purge`` and ``test`` have a colour.
    state : str
        ``done``, ``failed``, ``running`` or ``waiting``.
    rows, best_iteration : int, optional
        Rows scored, rounds the model kept.
    ic, rank_ic : float, optional
        Means over the window's test sessions.
    seconds : float, optional
        Time the window took.
    recorder : str
        Where its artifacts are; "" when nowhere.
    """

    name: str
    segments: Mapping[str, DateRange] = field(default_factory=dict)
    state: str = "done"
    rows: int | None = None
    ic: float | None = None
    rank_ic: float | None = None
    best_iteration: int | None = None
    seconds: float | None = None
    recorder: str = ""


def list_window_rows(windows: pd.DataFrame | None) -> Sequence[WindowRow]:
    """Return the rows of the table `windows` of the stage `collect`."""
    if windows is None:
        return ()
    roles = [name.removesuffix("_start") for name in windows.columns if name.endswith("_start")]
    return [
        WindowRow(
            name=str(row["window"]),
            segments={
                role: (pd.Timestamp(row[f"{role}_start"]), pd.Timestamp(row[f"{role}_end"]))
                for role in roles
                if not pd.isna(row[f"{role}_start"])
            },
            rows=_to_int(row["rows"]),
            ic=_to_float(row["ic"]),
            rank_ic=_to_float(row["rank_ic"]),
            best_iteration=_to_int(row["best_iteration"]),
            seconds=_to_float(row["seconds"]),
            recorder=str(row["recorder"]),
        )
        for row in windows.to_dict("records")
    ]


def clean_window(window: WindowRow) -> WindowRow:
    """Return the window with None for a figure that is not a number: a window may have no day with a label yet."""
    segments = {role: (pd.Timestamp(start), pd.Timestamp(end)) for role, (start, end) in window.segments.items()}
    return replace(window, ic=_to_float(window.ic), rank_ic=_to_float(window.rank_ic), segments=segments)


def _to_float(value: Any) -> float | None:
    return None if value is None or pd.isna(value) or not math.isfinite(value) else float(value)


def _to_int(value: Any) -> int | None:
    return None if value is None or pd.isna(value) else int(value)
