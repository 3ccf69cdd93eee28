"""Render a campaign as one self-contained HTML file that needs no network."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path
from typing import Any, Final

import pandas as pd

from rollwright.analysis.conventions import Conventions
from rollwright.analysis.health import HealthFinding, group_findings
from rollwright.analysis.health_text import count_findings, describe_group, name_severity
from rollwright.analysis.metrics import Metric, ShownMetric, show_metrics
from rollwright.analysis.order_counts import OrderCounts
from rollwright.analysis.report_figures import (
    Figure,
    LabelUnit,
    WindowRow,
    draw_group_bars,
    draw_group_lines,
    draw_ic,
    draw_performance,
    draw_timeline,
)
from rollwright.analysis.report_text import LANGUAGES, Language, Words, name_fact
from rollwright.core.atomic import write_text
from rollwright.errors import ConfigError, DataError

__all__ = ["CampaignReport", "VariantReport", "WindowRow", "render_report", "report_html"]

_TEMPLATE: Final = "templates/report.html.j2"
_STYLE: Final = "templates/report.css"
_SCRIPT: Final = "templates/report.js"
_DETAILED: Final = 12  # variants that have charts and tables of their own; each takes a megabyte at most
_AGREEMENT: Final = 30  # members that a table of correlations can be read for


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantReport:
    """What the report shows of one variant; a part that is None or empty is left out.

    Attributes
    ----------
    name : str
        Shown only where there are several variants.
    metrics : sequence of Metric
    days : int or None
        Sessions that were predicted.
    windows : sequence of WindowRow
    ic : DataFrame or None
        Columns ``ic`` and ``ric`` by day, over all windows.
    groups : DataFrame or None
        Mean label of each score group by day, best first.
    backtest : DataFrame or None
        By day: ``return``, and where known ``cost``, ``bench``, as parts of one; further columns are ignored.
    orders : OrderCounts or None
        How many orders were made whole, and what kept the others from it.
    coverage : mapping of str to int
        Cause to the number of rows without a score for it.
    expected_rows, predicted_rows : int or None
        Rows of the universe, and those with a score.
    is_signal : bool
        Whether it is the signal that is made of the others, whose windows are theirs.
    """

    name: str = "main"
    metrics: Sequence[Metric] = ()
    days: int | None = None
    windows: Sequence[WindowRow] = ()
    ic: pd.DataFrame | None = None
    groups: pd.DataFrame | None = None
    backtest: pd.DataFrame | None = None
    orders: OrderCounts | None = None
    coverage: Mapping[str, int] = field(default_factory=dict)
    expected_rows: int | None = None
    predicted_rows: int | None = None
    is_signal: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignReport:
    """Everything the report shows; a part that is empty is left out.

    Attributes
    ----------
    name : str
        The title.
    variants : sequence of VariantReport
        With several, a table compares their metrics, and the first of them have sections of their own.
    facts : sequence of (str, str)
        Small print beneath the title, as a key of `report_text.FACTS` or any name, and finished text.
    created : str
        Time of creation as text; the report reads no clock.
    notes : sequence of str
        Remarks to read with the numbers.
    health : sequence of HealthFinding
        What has to be known before the numbers are believed: it leads the page, and each number names its findings.
    conventions : Conventions or None
        What the numbers count in. Without it no label is taken for a return.
    config : str
        The YAML that made it.
    lang : {"en", "zh"}
    correlations : mapping of str to mapping of str to float or None
        How much the scores of each pair of members agree; a table shows them.
    """

    name: str
    variants: Sequence[VariantReport] = ()
    facts: Sequence[tuple[str, str]] = ()
    created: str = ""
    notes: Sequence[str] = ()
    health: Sequence[HealthFinding] = ()
    conventions: Conventions | None = None
    config: str = ""
    lang: Language = "en"
    correlations: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)


def render_report(report: CampaignReport, path: Path) -> Path:
    """Write the report to `path`, whole or not at all, and return `path`.

    Guarantees: equal reports give equal bytes with the same version of Plotly; every text of the report is shown as
    text, whatever it contains; the page names no resource outside itself and forbids the browser to fetch any.
    """
    write_text(path, report_html(report))
    return path


def report_html(report: CampaignReport) -> str:
    """Return the report as HTML.

    Raises
    ------
    ConfigError
        For a language there is no translation for.
    DataError
        When a frame lacks a column that its chart is made of.
    """
    if report.lang not in LANGUAGES:
        raise ConfigError(f"there is no report in language `{report.lang}`", hint=f"known: {', '.join(LANGUAGES)}")
    words = LANGUAGES[report.lang]
    several = len(report.variants) > 1
    unit = LabelUnit.of(report.conventions)
    figures: dict[str, Figure] = {}
    parts = []
    for number, variant in enumerate(report.variants[:_DETAILED], 1):
        suffix = f"-{number}" if several else ""
        windows = [_clean_window(window) for window in variant.windows]
        charts = _make_figures(variant, windows, words, unit)
        figures |= {name + suffix: figure for name, figure in charts.items()}
        parts.append(
            {
                "suffix": suffix,
                "title": variant.name if several else "",
                "charts": charts.keys(),
                "metrics": _show(report, variant),
                "windows": _make_window_rows(windows, words),
                "columns": _find_columns(windows),
                "orders": None if variant.orders is None else _show_orders(variant.orders, words),
                "coverage": _make_coverage_rows(variant, words),
                "expected_rows": variant.expected_rows,
                "predicted_rows": variant.predicted_rows,
            }
        )
    # Jinja and the five megabytes of Plotly's script are needed here only
    from jinja2 import Environment, StrictUndefined  # noqa: PLC0415
    from plotly.offline import get_plotlyjs  # noqa: PLC0415

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(_read_resource(_TEMPLATE))
    return template.render(
        report=report,
        words=words,
        facts=[(name_fact(report.lang, key), text) for key, text in [*_count_facts(report), *report.facts]],
        parts=parts,
        health=_make_health_rows(report, several=several),
        health_count=count_findings(tuple(report.health), report.lang),
        conventions=[] if report.conventions is None else report.conventions.describe(report.lang),
        groups_about=unit.describe(words),
        compared=_compare(report) if several else None,
        agreement=_show_agreement(report.correlations),
        lead=parts[0] if parts and (not several or report.variants[0].is_signal) else None,
        left_out=_describe_left_out(report.variants, words),
        figures={name: _escape_json(figure) for name, figure in figures.items()},
        style=_read_resource(_STYLE),
        script=_read_resource(_SCRIPT),
        plotly=get_plotlyjs().replace("</script", r"<\/script") if figures else "",
    )


def _show(report: CampaignReport, variant: VariantReport) -> list[ShownMetric]:
    return show_metrics(variant.metrics, report.lang, findings=report.health, variant=variant.name)


def _make_health_rows(report: CampaignReport, *, several: bool) -> list[dict[str, str]]:
    rows = []
    for group in group_findings(report.health):
        message, hint, variants = describe_group(group, report.lang, name_variants=several)
        severity = group[0].severity
        rows.append(
            {
                "severity": severity,
                "severity_text": name_severity(severity, report.lang),
                "message": message,
                "hint": hint,
                "variants": variants,
            }
        )
    return rows


def _compare(report: CampaignReport) -> dict[str, Any]:
    """Return the metrics of all variants as a table: labels, and for each variant its name and texts."""
    shown = {variant.name: _show(report, variant) for variant in report.variants}
    labels = {metric.key: metric.label for metrics in shown.values() for metric in metrics}
    texts = {name: {one.key: one.text for one in metrics} for name, metrics in shown.items()}
    doubts = {name: sorted({number for one in metrics for number in one.findings}) for name, metrics in shown.items()}
    rows = [(name, [found.get(key, "") for key in labels], doubts[name]) for name, found in texts.items()]
    return {"labels": list(labels.values()), "rows": rows, "is_doubted": any(doubts.values())}


def _show_agreement(correlations: Mapping[str, Mapping[str, float | None]]) -> list[tuple[str, list[str]]]:
    """Return the correlations as a table: for each member its name, and its correlation with each."""
    if len(correlations) > _AGREEMENT:
        return []
    return [
        (name, ["" if value is None else f"{value:+.3f}" for value in row.values()])
        for name, row in correlations.items()
    ]


def _count_facts(report: CampaignReport) -> list[tuple[str, str]]:
    """Return the number of windows of all variants, and of sessions: the most that a variant predicted."""
    windows = sum(len(variant.windows) for variant in report.variants if not variant.is_signal)
    days = max((variant.days for variant in report.variants if variant.days is not None), default=None)
    facts = [("windows", f"{windows:,}")] if windows else []
    return facts if days is None else [*facts, ("days", f"{days:,}")]


def _make_figures(
    variant: VariantReport, windows: Sequence[WindowRow], words: Words, unit: LabelUnit
) -> dict[str, Figure]:
    ic = _with_columns(variant.ic, ("ic",), "ic")
    backtest = _with_columns(variant.backtest, ("return",), "backtest")
    figures: dict[str, Figure] = {}
    if windows:
        figures["timeline"] = draw_timeline(windows, ic, words)
    if backtest is not None:
        figures["performance"] = draw_performance(backtest, words)
    if ic is not None:
        figures["ic"] = draw_ic(ic, words, label_span=unit.span)
    if variant.groups is not None and len(variant.groups):
        figures["group_lines"] = draw_group_lines(variant.groups, words, unit)
        figures["group_bars"] = draw_group_bars(variant.groups, words, unit)
    return figures


def _clean_window(window: WindowRow) -> WindowRow:
    """Return the window with None for a figure that is not a number: a window may have no day with a label yet."""
    ic, rank_ic = (
        None if value is None or not math.isfinite(value) else float(value) for value in (window.ic, window.rank_ic)
    )
    segments = {role: (pd.Timestamp(start), pd.Timestamp(end)) for role, (start, end) in window.segments.items()}
    return replace(window, ic=ic, rank_ic=rank_ic, segments=segments)


def _with_columns(frame: pd.DataFrame | None, columns: tuple[str, ...], what: str) -> pd.DataFrame | None:
    if frame is None or not len(frame):
        return None
    missing = [name for name in columns if name not in frame]
    if missing:
        raise DataError(f"the report's `{what}` has the columns {list(frame.columns)} and lacks {missing}")
    return frame


def _make_window_rows(windows: Sequence[WindowRow], words: Words) -> list[dict[str, Any]]:
    """Return the table of windows: text, and for each IC the width of a bar that compares it with the largest."""
    largest = max((abs(window.ic) for window in windows if window.ic is not None), default=0.0)
    return [
        {
            "name": window.name,
            "state": window.state,
            "state_text": words.get(window.state, window.state),
            "segments": {role: f"{start:%Y-%m-%d} – {end:%Y-%m-%d}" for role, (start, end) in window.segments.items()},
            "rows": "" if window.rows is None else f"{window.rows:,}",
            "ic": "" if window.ic is None else f"{window.ic:+.4f}",
            "ic_share": 0 if window.ic is None or not largest else round(100 * abs(window.ic) / largest),
            "ic_sign": "below" if window.ic is not None and window.ic < 0 else "above",
            "rank_ic": "" if window.rank_ic is None else f"{window.rank_ic:+.4f}",
            "best_iteration": "" if window.best_iteration is None else f"{window.best_iteration:,}",
            "seconds": "" if window.seconds is None else f"{window.seconds:.1f}",
            "recorder": window.recorder,
        }
        for window in windows
    ]


def _find_columns(windows: Sequence[WindowRow]) -> frozenset[str]:
    """Return the columns that some window fills: the windows of a signal of members have no model of their own."""
    given = {
        "best_iteration": any(window.best_iteration is not None for window in windows),
        "seconds": any(window.seconds is not None for window in windows),
        "recorder": any(window.recorder for window in windows),
    }
    roles = {role for window in windows for role in window.segments}
    return frozenset(roles | {column for column, is_given in given.items() if is_given})


def _describe_left_out(variants: Sequence[VariantReport], words: Words) -> str:
    """Return which variants have no charts here, and where their results are; empty when all have."""
    names = [variant.name for variant in variants[_DETAILED:]]
    return words["left_out"].format(shown=_DETAILED, names=words["comma"].join(names)) if names else ""


def _show_orders(orders: OrderCounts, words: Words) -> dict[str, Any]:
    """Return how many orders were made whole, as a sentence, and a row for each reason that kept others from it."""
    rows = [
        (words[one.side], words[one.reason], f"{one.orders:,}", f"{one.smaller:,}", f"{one.sessions:,}")
        for one in orders.reasons
    ]
    return {"about": words["orders_about"].format(wanted=f"{orders.wanted:,}", whole=f"{orders.whole:,}"), "rows": rows}


def _make_coverage_rows(variant: VariantReport, words: Words) -> list[tuple[str, str, str]]:
    whole = variant.expected_rows
    return [
        (words.get(cause, cause), f"{rows:,}", "" if not whole else f"{rows / whole:.2%}")
        for cause, rows in variant.coverage.items()
    ]


def _escape_json(figure: Figure) -> str:
    """Return JSON that can stand inside a script element: no character in it can end the element."""
    text = json.dumps(figure, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _read_resource(name: str) -> str:
    return resources.files("rollwright.analysis").joinpath(name).read_text(encoding="utf-8")
