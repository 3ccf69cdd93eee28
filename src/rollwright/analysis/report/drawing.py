"""What all charts share: colours, axes, lines, and how long series are thinned.

Figures hold no colours of the page: backgrounds, text and grid follow the reader's light or dark theme, which the page
sets. Colours of the data are from the palette of Okabe and Ito, from its orange to its blue for ordered groups: they
stay apart for readers who do not see all colours, and on a light and a dark page.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import pairwise
from typing import Any, Final, TypeAlias

import numpy as np
import pandas as pd

from rollwright.analysis.report.words import Words

__all__ = [
    "BLUE",
    "GREEN",
    "GREY",
    "MOST_POINTS",
    "ORANGE",
    "PURPLE",
    "RED",
    "SKY",
    "Figure",
    "add_alpha",
    "draw_band",
    "draw_line",
    "draw_steps",
    "escape_markup",
    "format_day",
    "format_days",
    "make_date_axis",
    "make_layout",
    "make_value_axis",
    "pick_colours",
    "round_numbers",
    "thin",
]

Figure: TypeAlias = "dict[str, Any]"

BLUE: Final = "#0072B2"
SKY: Final = "#56B4E9"
ORANGE: Final = "#E69F00"
GREEN: Final = "#009E73"
RED: Final = "#D55E00"
PURPLE: Final = "#CC79A7"
GREY: Final = "#8a8f98"
MOST_POINTS: Final = 1500
"""Points of a line at most: more than a wide screen can show."""

_BEST_TO_WORST: Final = (ORANGE, GREY, BLUE)


def thin(values: pd.Series, most: int = MOST_POINTS) -> pd.Series:
    """Return at most `most` points of a long series: its ends, and the lowest and highest of each stretch."""
    size = len(values)
    if size <= most:
        return values
    numbers = values.to_numpy(dtype=np.float64)
    bounds = np.linspace(0, size, max(most // 2 - 1, 1) + 1).astype(np.intp)
    kept = {0, size - 1}
    for start, stop in pairwise(bounds.tolist()):
        part = numbers[start:stop]
        if np.isnan(part).all():
            kept.add(start)  # a gap stays one
            continue
        kept |= {start + int(np.nanargmin(part)), start + int(np.nanargmax(part))}
    return values.iloc[sorted(kept)]


def make_layout(height: int, **changes: Any) -> Figure:
    """Return the layout that all charts begin with."""
    return {
        "height": height,
        "margin": {"l": 60, "r": 16, "t": 32, "b": 44},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "hovermode": "x unified",
        "legend": {"orientation": "h", "x": 0, "xanchor": "left", "y": 1.0, "yanchor": "bottom"},
    } | changes


def make_date_axis(words: Words, **changes: Any) -> Figure:
    """Return an axis of sessions."""
    return {
        "type": "date",
        "title": {"text": words["date"]},
        "tickformatstops": [
            {"dtickrange": ["M1", None], "value": "%Y-%m"},
            {"dtickrange": [None, "M1"], "value": "%Y-%m-%d"},
        ],
        "hoverformat": "%Y-%m-%d",
        "automargin": True,
    } | changes


def make_value_axis(title: str, tickformat: str = "", **changes: Any) -> Figure:
    """Return an axis of numbers with a title, which has their unit."""
    axis: Figure = {"title": {"text": title}, "automargin": True}
    return axis | ({"tickformat": tickformat} if tickformat else {}) | changes


def draw_line(
    values: pd.Series,
    name: str,
    colour: str,
    *,
    dash: str = "solid",
    width: float = 1.8,
    percent: bool = False,
    **changes: Any,
) -> Figure:
    """Return a line over the days that `values` are indexed by; a long one is thinned."""
    shown = thin(values)
    shape = "%{y:.2%}" if percent else "%{y:.4f}"
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": format_days(shown.index),
        "y": round_numbers(shown),
        "line": {"color": colour, "width": width, "dash": dash},
        "hovertemplate": f"{shape}<extra>{escape_markup(name)}</extra>",
    } | changes


def draw_steps(
    places: Iterable[Any], values: Iterable[float], name: str, colour: str, *, shape: str = "%{y:.4f}", **changes: Any
) -> Figure:
    """Return points that a line joins, over numbers or names."""
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": name,
        "x": list(places),
        "y": round_numbers(values),
        "line": {"color": colour, "width": 1.8},
        "marker": {"size": 7},
        "hovertemplate": f"{shape}<extra>{escape_markup(name)}</extra>",
    } | changes


def draw_band(values: Iterable[float], low: Iterable[float], high: Iterable[float], colour: str) -> Figure:
    """Return the error bars that reach from `low` to `high`; a point whose interval is not known has none."""
    above, below = [], []
    for value, least, most in zip(values, low, high, strict=True):
        known = math.isfinite(value) and math.isfinite(least) and math.isfinite(most)
        above.append(most - value if known else math.nan)
        below.append(value - least if known else math.nan)
    return {
        "type": "data",
        "symmetric": False,
        "array": round_numbers(above),
        "arrayminus": round_numbers(below),
        "color": colour,
        "thickness": 1.5,
        "width": 4,
    }


def pick_colours(count: int) -> list[str]:
    """Return `count` evenly spaced colours, from the best group to the last."""
    table = np.array([_parse_rgb(colour) for colour in _BEST_TO_WORST], dtype=float)
    spots = np.linspace(0.0, len(table) - 1.0, count)
    mixed = np.stack([np.interp(spots, np.arange(len(table)), table[:, channel]) for channel in range(3)], axis=1)
    return ["#{:02x}{:02x}{:02x}".format(*(round(value) for value in row)) for row in mixed.tolist()]


def _parse_rgb(colour: str) -> tuple[int, int, int]:
    red, green, blue = (int(colour[start : start + 2], 16) for start in (1, 3, 5))
    return red, green, blue


def add_alpha(colour: str, share: float) -> str:
    """Return the colour, `share` of it opaque."""
    red, green, blue = _parse_rgb(colour)
    return f"rgba({red},{green},{blue},{share})"


def round_numbers(values: Iterable[float], *, digits: int = 6) -> list[float | None]:
    """Return the numbers to six digits, which is more than a screen can show; None where there is none."""
    numbers = np.asarray(values if isinstance(values, np.ndarray | pd.Series) else list(values), dtype=np.float64)
    known = np.isfinite(numbers)
    finite = tuple(numbers[known].tolist())
    rounded = map(float, (f"%.{digits}g " * len(finite) % finite).split())  # one text for all is the faster way
    return [next(rounded) if is_known else None for is_known in known.tolist()]


def format_days(index: pd.Index) -> list[str]:
    """Return the days as ISO text, with the time where there is one."""
    stamps = pd.DatetimeIndex(index)
    days = stamps.to_numpy().astype("datetime64[D]")
    if stamps.tz is None and bool((days == stamps.to_numpy()).all()):
        return [str(day) for day in days.astype(str).tolist()]
    return [format_day(stamp) for stamp in stamps]


def format_day(stamp: pd.Timestamp) -> str:
    """Return a day as ISO text, with the time where there is one."""
    return f"{stamp:%Y-%m-%d}" if stamp == stamp.normalize() else f"{stamp:%Y-%m-%d %H:%M:%S}"


def escape_markup(text: str) -> str:
    """Return `text` without what Plotly would take for markup or for a field of a template."""
    return text.replace("<", "‹").replace(">", "›").replace("%{", "% {")
