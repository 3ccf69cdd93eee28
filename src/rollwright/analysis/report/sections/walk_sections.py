"""Sections of the walk: its windows, how their models learnt, and which rows of the universe have no score."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rollwright.analysis.report.blocks import Block, Cell, ColumnHead, Section
from rollwright.analysis.report.view import View
from rollwright.analysis.report.walk_charts import draw_coverage, draw_timeline
from rollwright.analysis.report.window_row import WindowRow

__all__ = ["make_coverage", "make_timeline", "make_windows"]

_ROLES: Final = ("train", "valid", "test")
_STATES: Final = ("done", "failed", "running", "waiting")


def make_timeline(view: View) -> Section | None:
    """Return the walk as one row of bars for each window."""
    if not view.windows:
        return None
    return view.section("timeline", [view.chart("timeline", draw_timeline(view.windows, view.frame("ic"), view.words))])


def make_windows(view: View) -> Section | None:
    """Return the table of windows, with a bar for each IC that compares it with the largest."""
    if not view.windows:
        return None
    words = view.words
    roles = [role for role in _ROLES if any(role in window.segments for window in view.windows)]
    largest = max((abs(window.ic) for window in view.windows if window.ic is not None), default=0.0)
    rest = _find_columns(view.windows)
    heads = [
        ColumnHead(label=words["state"], is_number=False),
        *(ColumnHead(label=words[role], is_number=False) for role in roles),
        ColumnHead(label=words["rows"]),
        ColumnHead(label=words["window_ic"]),
        ColumnHead(label=words["window_ric"]),
        *(ColumnHead(label=words[name], is_number=name != "recorder", is_code=name == "recorder") for name in rest),
    ]
    rows = [_make_window(window, view, roles, rest, largest) for window in view.windows]
    table = view.table("windows", heads, rows, titles=[window.name for window in view.windows])
    return view.section("windows", [table])


def _make_window(
    window: WindowRow, view: View, roles: Sequence[str], rest: Sequence[str], largest: float
) -> list[str | Cell]:
    texts = {
        "best_iteration": "" if window.best_iteration is None else f"{window.best_iteration:,}",
        "seconds": "" if window.seconds is None else f"{window.seconds:.1f}",
        "recorder": window.recorder[:8],
    }
    spans = {role: f"{start:%Y-%m-%d} – {end:%Y-%m-%d}" for role, (start, end) in window.segments.items()}
    state = window.state if window.state in _STATES else "waiting"
    return [
        Cell(text=view.words.get(window.state, window.state), state=state),
        *(spans.get(role, "") for role in roles),
        "" if window.rows is None else f"{window.rows:,}",
        Cell(
            text="" if window.ic is None else f"{window.ic:+.4f}",
            bar=0 if window.ic is None or not largest else round(100 * abs(window.ic) / largest),
            is_below=window.ic is not None and window.ic < 0,
        ),
        "" if window.rank_ic is None else f"{window.rank_ic:+.4f}",
        *(texts[name] for name in rest),
    ]


def _find_columns(windows: Sequence[WindowRow]) -> list[str]:
    """Return the columns that some window fills: the windows of a signal of members have no model of their own."""
    given = {
        "best_iteration": any(window.best_iteration is not None for window in windows),
        "seconds": any(window.seconds is not None for window in windows),
        "recorder": any(window.recorder for window in windows),
    }
    return [column for column, is_given in given.items() if is_given]


def make_coverage(view: View) -> Section | None:
    """Return which rows of the universe have no score, by cause, and by month."""
    blocks: list[Block | None] = [_make_causes(view), _make_coverage_map(view)]
    return view.section("coverage", blocks) if any(blocks) else None


def _make_causes(view: View) -> Block | None:
    missing = view.tables.get("missing_rows")
    expected, predicted = view.facts.get("expected_rows"), view.facts.get("predicted_rows")
    words = view.words
    rows: list[list[str]] = []
    if expected is not None:
        rows.append([words["expected"], f"{expected:,.0f}", ""])
    if predicted is not None:
        rows.append([words["predicted"], f"{predicted:,.0f}", _share(predicted, expected)])
    marked = frozenset(range(len(rows)))
    rows += [
        [words.get(row["cause"], row["cause"]), f"{row['rows']:,}", _share(row["rows"], expected)]
        for row in ([] if missing is None else missing.frame.to_dict("records"))
    ]
    heads = [
        ColumnHead(label=words["cause"], is_number=False),
        ColumnHead(label=words["rows"]),
        ColumnHead(label=words["share"]),
    ]
    return view.table("missing_rows", heads, rows, marked=marked, is_narrow=True) if rows else None


def _share(part: float, whole: float | None) -> str:
    return f"{part / whole:.2%}" if whole else ""


def _make_coverage_map(view: View) -> Block | None:
    coverage = view.frame("coverage", "month", "bucket", "scored_share")
    if coverage is None:
        return None
    return view.chart("coverage_map", draw_coverage(coverage, view.words))
