"""Sections of how the models learnt: learning curves, and the importance of features, by window."""

from __future__ import annotations

from rollwright.analysis.report.blocks import Section
from rollwright.analysis.report.learning_charts import MOST_WINDOWS, draw_importance, draw_learning
from rollwright.analysis.report.view import View

__all__ = ["make_importance", "make_learning"]


def make_learning(view: View) -> Section | None:
    """Return the learning curves of the windows."""
    learning = view.frame("learning", "window", "metric", "series", "round", "value")
    if learning is None:
        return None
    drawn = min(learning["window"].nunique(), MOST_WINDOWS)
    return view.section("learning", [view.chart("learning", draw_learning(learning, view.words), windows=drawn)])


def make_importance(view: View) -> Section | None:
    """Return the share of each feature in each window."""
    importance = view.frame("importance", "window", "basis", "feature", "share")
    if importance is None:
        return None
    basis = view.words.get(f"basis_{importance['basis'].iloc[0]}", str(importance["basis"].iloc[0]))
    chart = view.chart("importance", draw_importance(importance, view.words), basis=basis)
    return view.section("importance", [chart])
