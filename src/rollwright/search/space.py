"""The space of a search: which keys may be tried, and how a trial's values are written over its file."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator, Mapping

from rollwright.campaign.search_section import IC_METRICS, SearchSection
from rollwright.core.canonical import JSON
from rollwright.errors import nearest

__all__ = ["SEARCHED_ROOTS", "count_grid", "find_key_problems", "list_grid", "make_overrides", "show_value"]

SEARCHED_ROOTS = ("task", "rolling", "seed", "backtest")
"""What a key of a space begins with: all other sections say where and how is measured, not what is tried."""


_SEGMENTS = ["task", "dataset", "kwargs", "segments"]


def make_overrides(params: Mapping[str, JSON]) -> tuple[str, ...]:
    """Return a trial's values as overrides of its file, ``dotted.key=value``; what stands above is set first.

    A value is written as JSON, which YAML reads as the same.
    """
    keys = sorted(params, key=lambda key: key.count("."))
    return tuple(f"{key}={show_value(params[key])}" for key in keys)


def show_value(value: JSON) -> str:
    """Return a value of a trial as JSON on one line."""
    return json.dumps(value, ensure_ascii=False)


def list_grid(section: SearchSection) -> Iterator[dict[str, JSON]]:
    """Yield every combination of a grid, in the order of the file: the last key changes first."""
    points = [dimension.list_points() or [] for dimension in section.space.values()]
    for row in itertools.product(*points):
        yield dict(zip(section.space, row, strict=True))


def count_grid(section: SearchSection) -> int:
    """Return how many combinations a grid has."""
    return math.prod(len(dimension.list_points() or []) for dimension in section.space.values())


def find_key_problems(section: SearchSection) -> dict[str, str]:
    """Return for each key that cannot be searched the reason; values are not looked at."""
    problems: dict[str, str] = {}
    keys = list(section.space)
    for key in keys:
        parts = key.split(".")
        above = next((other for other in keys if other != key and key.startswith(f"{other}.")), None)
        if not all(parts):
            problems[key] = "a dotted key of the campaign is needed, as task.model.kwargs.alpha"
        elif parts[0] not in SEARCHED_ROOTS:
            near = nearest(parts[0], SEARCHED_ROOTS)
            meant = f"did you mean `{near}`?" if near else f"a key begins with {', '.join(SEARCHED_ROOTS)}"
            problems[key] = f"it cannot be searched; {meant}"
        elif above is not None:
            problems[key] = f"it lies beneath `{above}`, which is searched too: each would replace the other"
        elif parts[:4] == _SEGMENTS and (len(parts) == 4 or parts[4] in ("test", section.segment)):
            problems[key] = "the trials would be judged on other sessions; of the segments, `train` can be searched"
        elif parts[0] == "backtest" and section.metric in IC_METRICS:
            problems[key] = f"it changes no {section.metric}: choose by `information_ratio` or `excess_return`"
        elif parts[0] == "rolling" and section.prune is not None and section.prune.rule == "median":
            problems[key] = "windows of other lengths are not compared one by one: prune by `paired`"
    return problems
