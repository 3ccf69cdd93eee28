"""Render a campaign as one self-contained HTML file that needs no network."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Final

from rollwright.analysis.conventions import Conventions
from rollwright.analysis.health import HealthFinding, group_findings
from rollwright.analysis.health_text import count_findings, describe_group, name_severity
from rollwright.analysis.metrics import Metric, ShownMetric, show_metrics
from rollwright.analysis.report.blocks import Chart, ColumnHead, Section, TableBlock
from rollwright.analysis.report.downloads import EmbeddedTable, embed_tables, escape_json
from rollwright.analysis.report.label_unit import LabelUnit
from rollwright.analysis.report.sections.account_sections import (
    make_holdings,
    make_months,
    make_orders,
    make_performance,
    make_trading,
)
from rollwright.analysis.report.sections.friction_sections import (
    make_capacity,
    make_inert_settings,
    make_reconciliation,
    make_sensitivity,
    make_timing,
)
from rollwright.analysis.report.sections.honesty_section import make_honesty
from rollwright.analysis.report.sections.learning_sections import make_importance, make_learning
from rollwright.analysis.report.sections.signal_sections import (
    make_cuts,
    make_groups,
    make_ic,
    make_lasting,
    make_parts,
)
from rollwright.analysis.report.sections.walk_sections import make_coverage, make_timeline, make_windows
from rollwright.analysis.report.view import View
from rollwright.analysis.report.window_row import WindowRow, clean_window, list_window_rows
from rollwright.analysis.report.words import LANGUAGES, Language, Words, load_words, name_fact
from rollwright.analysis.stages.table import ResultTable, StageResult
from rollwright.core.atomic import write_text
from rollwright.errors import ConfigError

__all__ = ["CampaignReport", "VariantReport", "render_report", "report_html", "sections_html"]

_TEMPLATE: Final = "templates/report.html.j2"
_STYLE: Final = "templates/report.css"
_SCRIPT: Final = "templates/report.js"
_DETAILED: Final = 12  # variants that have charts and tables of their own; each takes a megabyte at most
_AGREEMENT: Final = 30  # members that a table of correlations can be read for
SECTIONS: Final[tuple[Callable[[View], Section | None], ...]] = (
    make_timeline,
    make_performance,
    make_honesty,
    make_months,
    make_ic,
    make_cuts,
    make_groups,
    make_lasting,
    make_parts,
    make_trading,
    make_holdings,
    make_orders,
    make_sensitivity,
    make_capacity,
    make_reconciliation,
    make_inert_settings,
    make_timing,
    make_windows,
    make_learning,
    make_importance,
    make_coverage,
)
"""The sections of a variant, in order: a new one is a function, and a line here."""
_HEADLINE: Final = (
    "ic", "rank_ic", "icir", "rank_icir", "excess_return", "information_ratio", "annualized_return",
    "max_drawdown", "sharpe", "psr", "deflated_sharpe", "turnover",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantReport:
    """What the report shows of one variant; what is empty, and what lacks its table, is left out.

    Attributes
    ----------
    name : str
        Shown only where there are several variants.
    stages : sequence of StageResult
        What the stages left: the tables that are shown.
    metrics : sequence of Metric
        Those that lead the page; those of the stages `analyze` and `backtest` if not given.
    days : int or None
        Sessions that were predicted; that of the stage `collect` if not given.
    windows : sequence of WindowRow
        The table `windows` of the stage `collect` if not given.
    is_signal : bool
        Whether it is the signal that is made of the others, whose windows are theirs.
    """

    name: str = "main"
    stages: Sequence[StageResult] = ()
    metrics: Sequence[Metric] = ()
    days: int | None = None
    windows: Sequence[WindowRow] = ()
    is_signal: bool = False

    def tables(self) -> Mapping[str, ResultTable]:
        """Return the tables of all stages by name."""
        return {name: table for stage in self.stages for name, table in stage.tables.items()}

    def shown_metrics(self) -> Sequence[Metric]:
        """Return the metrics that lead the page."""
        return self.metrics or [metric for stage in self.stages if stage.stage != "collect" for metric in stage.metrics]

    def shown_windows(self) -> Sequence[WindowRow]:
        """Return the windows, without figures that are no numbers."""
        given = self.windows
        if not given:
            table = self.tables().get("windows")
            given = list_window_rows(None if table is None else table.frame)
        return [clean_window(window) for window in given]

    def count_days(self) -> int | None:
        """Return how many sessions were predicted; None when nobody knows."""
        found = [metric.value for stage in self.stages for metric in stage.metrics if metric.key == "days"]
        return int(found[0]) if self.days is None and found else self.days


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
        Small print beneath the title, as the key of a fact (``fact_KEY`` of the words) or any name, and finished text.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """The sections of one variant; `title` is empty where there is only one, and a member of a signal is closed."""

    id: str
    title: str
    sections: Sequence[Section]
    is_closed: bool


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
        When a table lacks a column that its chart is made of.
    """
    if report.lang not in LANGUAGES:
        raise ConfigError(f"there is no report in language `{report.lang}`", hint=f"known: {', '.join(LANGUAGES)}")
    words = load_words(report.lang)
    several = len(report.variants) > 1
    parts = [
        _make_part(variant, report, words, number if several else 0)
        for number, variant in enumerate(report.variants[:_DETAILED], 1)
    ]
    lead = report.variants[0] if report.variants and (not several or report.variants[0].is_signal) else None
    charts = [
        block for part in parts for section in part.sections for block in section.blocks if isinstance(block, Chart)
    ]
    return _fill_template(
        charts,
        report=report,
        kind=words["kind"],
        shows_health=True,
        words=words,
        facts=[(name_fact(report.lang, key), text) for key, text in [*_count_facts(report), *report.facts]],
        parts=parts,
        health=_make_health_rows(report, several=several),
        health_count=count_findings(tuple(report.health), report.lang),
        conventions=[] if report.conventions is None else report.conventions.describe(report.lang),
        lead=[] if lead is None else _pick_headline(_show(report, lead)),
        has_lead=lead is not None,
        members=_compare(report, words) if several else None,
        agreement=_show_agreement(report.correlations, words),
        caveats=_list_caveats(report, words),
        left_out=_describe_left_out(report.variants, words),
        downloads=_embed(report.variants),
    )


def sections_html(
    name: str,
    sections: Sequence[Section],
    *,
    kind: str,
    facts: Sequence[tuple[str, str]] = (),
    notes: Sequence[str] = (),
    lang: Language = "en",
) -> str:
    """Return a page of sections alone as HTML, under the guarantees of `render_report`.

    Parameters
    ----------
    name : str
        The title.
    sections : sequence of Section
    kind : str
        What sort of page it is, beside the name of the program.
    facts : sequence of (str, str)
        Small print beneath the title: a name, and finished text.
    notes : sequence of str
        Remarks to read with the numbers.
    lang : {"en", "zh"}
        Of the page's own words.
    """
    charts = [block for section in sections for block in section.blocks if isinstance(block, Chart)]
    return _fill_template(
        charts,
        report=CampaignReport(name=name, notes=notes, lang=lang),
        kind=kind,
        shows_health=False,
        words=load_words(lang),
        facts=facts,
        parts=[_Part(id="all", title="", sections=sections, is_closed=False)],
        health=[],
        health_count="",
        conventions=[],
        lead=[],
        has_lead=False,
        members=None,
        agreement=None,
        caveats=[],
        left_out="",
        downloads=(),
    )


def _fill_template(charts: Sequence[Chart], **values: Any) -> str:
    """Return the page of some values, with the scripts that its charts need."""
    from plotly.offline import get_plotlyjs  # noqa: PLC0415 - five megabytes of script

    page: str = _load_template().render(
        figures={chart.id: escape_json(chart.figure) for chart in charts},
        style=_read_resource(_STYLE),
        script=_read_resource(_SCRIPT),
        plotly=get_plotlyjs().replace("</script", r"<\/script") if charts else "",
        **values,
    )
    return page


def _make_part(variant: VariantReport, report: CampaignReport, words: Words, number: int) -> _Part:
    """Return the sections of a variant; its `number` is 0 where there is no other."""
    settings = [stage.settings for stage in variant.stages if stage.stage == "backtest"]
    view = View(
        words=words,
        unit=LabelUnit.of(report.conventions),
        tables=variant.tables(),
        windows=variant.shown_windows(),
        suffix=f"-{number}" if number else "",
        facts={metric.key: metric.value for stage in variant.stages for metric in stage.metrics},
        settings=settings[0] if settings else {},
    )
    made = [make(view) for make in SECTIONS]
    return _Part(
        id=f"variant-{number}",
        title=variant.name if number else "",
        is_closed=report.variants[0].is_signal and not variant.is_signal,
        sections=[section for section in [_list_numbers(view, _show(report, variant)), *made] if section is not None],
    )


def _list_numbers(view: View, metrics: Sequence[ShownMetric]) -> Section | None:
    """Return every metric of a variant as a table."""
    words = view.words
    columns = {
        "column_number": [one.label for one in metrics],
        "column_figure": [one.value for one in metrics],
        "column_error": [one.error for one in metrics],
        "interval": [one.interval for one in metrics],
        "findings": [one.mark for one in metrics],
    }
    filled = {name: texts for name, texts in columns.items() if any(texts)}
    heads = [ColumnHead(label=words[name], is_number=name not in ("column_number", "findings")) for name in filled]
    rows = [list(row) for row in zip(*filled.values(), strict=True)]
    table = view.table("numbers_table", heads, rows, is_narrow=True)
    if not rows:
        return None
    return Section(id="numbers" + view.suffix, title=words["numbers"], blocks=[table], is_closed=True)


def _show(report: CampaignReport, variant: VariantReport) -> list[ShownMetric]:
    return show_metrics(variant.shown_metrics(), report.lang, findings=report.health, variant=variant.name)


def _pick_headline(metrics: Sequence[ShownMetric]) -> list[ShownMetric]:
    """Return the metrics that lead, in their order; all when none of these is there."""
    known = {metric.key: metric for metric in metrics}
    return [known[key] for key in _HEADLINE if key in known] or list(metrics)


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


def _compare(report: CampaignReport, words: Words) -> dict[str, Any]:
    """Return the metrics of all variants as a table: labels, and for each variant its name and texts."""
    shown = {variant.name: _pick_headline(_show(report, variant)) for variant in report.variants}
    labels = {metric.key: metric.label for metrics in shown.values() for metric in metrics}
    texts = {name: {one.key: one.text for one in metrics} for name, metrics in shown.items()}
    doubts = {name: sorted({number for one in metrics for number in one.findings}) for name, metrics in shown.items()}
    rows = [(name, [found.get(key, "") for key in labels], doubts[name]) for name, found in texts.items()]
    return {
        "labels": list(labels.values()),
        "rows": rows,
        "is_doubted": any(doubts.values()),
        "read": words["members_read"],
    }


def _show_agreement(correlations: Mapping[str, Mapping[str, float | None]], words: Words) -> Section | None:
    """Return the correlations as a table: for each member its name, and its correlation with each."""
    if not correlations or len(correlations) > _AGREEMENT:
        return None
    table = TableBlock(
        id="agreement-table",
        title="",
        read=words["agreement_read"],
        columns=[
            ColumnHead(label=words["variant"], is_number=False),
            *(ColumnHead(label=name) for name in correlations),
        ],
        rows=[
            [name, *("" if value is None else f"{value:+.3f}" for value in row.values())]
            for name, row in correlations.items()
        ],
    )
    return Section(id="agreement", title=words["agreement"], blocks=[table])


def _list_caveats(report: CampaignReport, words: Words) -> list[str]:
    """Return what no number of the page tells, and every reader has to know."""
    traded = any(stage.stage == "backtest" for variant in report.variants for stage in variant.stages)
    keys = ["survivorship", "label"] if report.variants else []
    if traded:
        keys += ["fills", "borrowing", "impact", "taxes", "past"]
    return [words[f"caveat_{key}"] for key in keys]


def _count_facts(report: CampaignReport) -> list[tuple[str, str]]:
    """Return the number of windows of all variants, and of sessions: the most that a variant predicted."""
    windows = sum(len(variant.shown_windows()) for variant in report.variants if not variant.is_signal)
    days = max((found for variant in report.variants if (found := variant.count_days()) is not None), default=None)
    facts = [("windows", f"{windows:,}")] if windows else []
    return facts if days is None else [*facts, ("days", f"{days:,}")]


def _describe_left_out(variants: Sequence[VariantReport], words: Words) -> str:
    """Return which variants have no charts here, and where their results are; empty when all have."""
    names = [variant.name for variant in variants[_DETAILED:]]
    return words["left_out"].format(shown=_DETAILED, names=words["comma"].join(names)) if names else ""


def _embed(variants: Sequence[VariantReport]) -> Sequence[EmbeddedTable]:
    """Return the tables of the first variant, which is the signal of several members."""
    return embed_tables(variants[0].stages) if variants else ()


@cache
def _load_template() -> Any:
    """Return the template of the page, which is compiled once for each process."""
    from jinja2 import Environment, StrictUndefined  # noqa: PLC0415 - needed here only

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(_read_resource(_TEMPLATE))


def _read_resource(name: str) -> str:
    return resources.files("rollwright.analysis.report").joinpath(name).read_text(encoding="utf-8")
