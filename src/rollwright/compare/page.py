"""The page of a comparison: one file with its table, charts, costs and failures, which asks the network for nothing."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import pandas as pd

from rollwright.analysis.honesty.intervals import bound_mean
from rollwright.analysis.report.blocks import Cell, Chart, ColumnHead, HeatCell, HeatMap, Section, TableBlock
from rollwright.analysis.report.drawing import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    RED,
    SKY,
    Figure,
    draw_band,
    draw_line,
    escape_markup,
    make_date_axis,
    make_layout,
    make_value_axis,
    round_numbers,
)
from rollwright.analysis.report.page import sections_html
from rollwright.analysis.report.words import load_words
from rollwright.compare.costs import list_cost_cells, summarise_costs
from rollwright.compare.evaluation import RunEvaluation
from rollwright.compare.session_series import ModelRuns, gather_models, take_sessions
from rollwright.compare.standings import count_wins
from rollwright.compare.table import ComparisonTable
from rollwright.compare.table_text import describe_tests, list_cells
from rollwright.compare.table_words import TableLanguage, describe_note, say
from rollwright.core.atomic import write_text
from rollwright.core.masking import mask_secrets
from rollwright.core.text import escape_text

__all__ = ["PAGE_FILE", "comparison_html", "write_page"]

PAGE_FILE: Final = "comparison.html"
_DRAWN: Final = 12
"""Models whose curves are drawn: more lines cannot be told apart."""
_MOST_WINS: Final = 30
"""Models whose wins are shown pair by pair."""
_COLOURS: Final = (BLUE, ORANGE, GREEN, RED, PURPLE, SKY, GREY)
_DASHES: Final = ("solid", "dash")
_LONGEST: Final = 60

_TEXTS: Final[Mapping[str, tuple[str, str]]] = {
    "kind": ("Comparison of models", "模型比较"),
    "table": ("Results", "结果"),
    "table_read": (
        "Mean ± standard deviation over the runs of each model. Ranks and wins are of the common sessions.",
        "各模型多次运行的均值 ± 标准差；名次与胜率按共同交易日计算。",
    ),
    "ic": ("IC and Rank IC", "IC 与 Rank IC"),
    "ic_read": (
        "Mean of the daily coefficients, seeds averaged by session, with its interval.",
        "日度系数的均值（种子先按日平均）及其区间。",
    ),
    "ranks": ("Ranks", "名次"),
    "ranks_read": (
        "1 is the best. A wide interval says that the sessions do not tell the rank.",
        "1 为最佳；区间越宽，名次越不确定。",
    ),
    "curves": ("Excess return", "超额收益"),
    "curves_read": (
        "Added up over the benchmark after costs, mean of all seeds.",
        "相对基准、扣除成本后的累计超额收益，种子取均值。",
    ),
    "wins": ("Wins, pair by pair", "两两胜率"),
    "wins_read": (
        "Share of sessions on which the model of the row is better than that of the column.",
        "行模型优于列模型的交易日占比。",
    ),
    "costs": ("Costs", "开销"),
    "costs_read": (
        "What a run took on the machine of this comparison: another machine takes other times.",
        "每次运行在本机的开销，不同机器会有差异。",
    ),
    "failures": ("Without a result", "没有结果的运行"),
    "failures_read": ("Runs that failed or wait, each with its cause.", "失败或等待的运行及其原因。"),
    "seed": ("Seed", "种子"),
    "status": ("State", "状态"),
    "cumulated": ("Cumulated excess return", "累计超额收益"),
    "runs": ("runs with a result", "有结果的运行"),
    "models": ("models", "模型"),
}


def write_page(
    path: Path, name: str, table: ComparisonTable, evaluations: Sequence[RunEvaluation], *, lang: TableLanguage = "en"
) -> Path:
    """Write the page of a comparison to `path`, whole or not at all, and return `path`."""
    write_text(path, comparison_html(name, table, evaluations, lang=lang))
    return path


def comparison_html(
    name: str, table: ComparisonTable, evaluations: Sequence[RunEvaluation], *, lang: TableLanguage = "en"
) -> str:
    """Return the page of a comparison as HTML.

    Guarantees: one file, which asks the network for nothing and forbids the browser to; every name and cause is shown
    as text, secrets hidden.

    Parameters
    ----------
    name : str
        The title.
    table : ComparisonTable
        Of these `evaluations`.
    evaluations : sequence of RunEvaluation
    lang : {"en", "zh"}, default "en"
    """
    page = _Page(table, gather_models(evaluations), lang)
    made = [page.show_table(), page.show_ic(), page.show_ranks(), page.show_curves(), page.show_wins()]
    made += [page.show_costs(evaluations), page.show_failures()]
    tests = [line.replace("\\", "") for line in describe_tests(table, lang)]
    notes = [mask_secrets(escape_text(line)) for line in (*tests, *(describe_note(note, lang) for note in table.notes))]
    facts = [(page.text("models"), f"{len(table.rows):,}"), (page.text("runs"), f"{table.trials:,}")]
    return sections_html(
        escape_text(name),
        [section for section in made if section is not None],
        kind=page.text("kind"),
        facts=facts,
        notes=notes,
        lang=lang,
    )


class _Page:
    """The sections of one page."""

    def __init__(self, table: ComparisonTable, models: Sequence[ModelRuns], lang: TableLanguage) -> None:
        self._table = table
        self._lang: TableLanguage = lang
        runs = {one.name: one for one in models}
        self._ranked = [(row, runs[row.name]) for row in table.rows if row.standing is not None]
        several = len({row.dataset for row in table.rows}) > 1
        self._names = {row.name: _shorten(row.name if several else row.model) for row in table.rows}

    def text(self, key: str) -> str:
        """Return a text of the page."""
        english, chinese = _TEXTS[key]
        return chinese if self._lang == "zh" else english

    def _section(self, key: str, block: Any) -> Section:
        return Section(id=key, title=self.text(key), about="", blocks=[block])

    def _table_block(self, key: str, heads: Sequence[str], rows: Sequence[Sequence[str | Cell]], texts: int) -> Section:
        """Return a table whose first columns, `texts` of them, are no numbers."""
        columns = [ColumnHead(label=head, is_number=place >= texts) for place, head in enumerate(heads)]
        block = TableBlock(id=key, title="", read=self.text(f"{key}_read"), columns=columns, rows=rows)
        return self._section(key, block)

    def show_table(self) -> Section:
        """Return the table."""
        heads, rows = list_cells(self._table, lang=self._lang)
        cells = [[mask_secrets(cell) for cell in row] for row in rows]
        return self._table_block("table", heads, cells, 2)

    def show_ic(self) -> Section | None:
        """Return IC and rank IC of each model with their intervals."""
        if not self._ranked:
            return None
        traces = [self._draw_ic("ic", BLUE), self._draw_ic("rank_ic", ORANGE)]
        figure = _name_axis(traces, [self._names[row.name] for row, _ in self._ranked], make_value_axis("IC"))
        return self._section("ic", Chart(id="chart-ic", title="", read=self.text("ic_read"), figure=figure))

    def _draw_ic(self, key: Literal["ic", "rank_ic"], colour: str) -> Figure:
        found = []
        for _, runs in self._ranked:
            span = runs.require_terms().label_span
            found.append(bound_mean(runs.average(key).values, label_span=span, level=self._table.level))
        means, low, high = (list(each) for each in zip(*found, strict=True))
        return {
            "type": "scatter",
            "mode": "markers",
            "name": say(key, self._lang),
            "y": round_numbers(means),
            "error_y": draw_band(means, low, high, colour),
            "marker": {"color": colour, "size": 8},
            "hovertemplate": "%{y:.4f}<extra></extra>",
        }

    def show_ranks(self) -> Section | None:
        """Return the rank of each model with its interval; nothing where the sessions are too few."""
        known = [(row, standing) for row, _ in self._ranked if (standing := row.standing) and standing.rank_lower]
        if not known:
            return None
        ranks = [float(standing.rank) for _, standing in known]
        band = draw_band(
            ranks, [standing.rank_lower for _, standing in known], [standing.rank_upper for _, standing in known], GREY
        )
        trace: Figure = {
            "type": "scatter",
            "mode": "markers",
            "name": self.text("ranks"),
            "y": ranks,
            "error_y": band,
            "marker": {"color": [GREEN if standing.in_set else GREY for _, standing in known], "size": 10},
            "hovertemplate": "%{y}<extra></extra>",
        }
        axis = make_value_axis(say("rank", self._lang), autorange="reversed", tickformat="d")
        figure = _name_axis([trace], [self._names[row.name] for row, _ in known], axis)
        return self._section("ranks", Chart(id="chart-ranks", title="", read=self.text("ranks_read"), figure=figure))

    def show_curves(self) -> Section | None:
        """Return the excess return of the first models, added up."""
        traces = []
        for place, (row, runs) in enumerate(self._ranked[:_DRAWN]):
            series = runs.average("excess")
            if not len(series.values):
                continue
            values = pd.Series(series.values.cumsum(), index=pd.DatetimeIndex(series.sessions))
            colour = _COLOURS[place % len(_COLOURS)]
            dash = _DASHES[place // len(_COLOURS) % len(_DASHES)]
            traces.append(draw_line(values, escape_markup(self._names[row.name]), colour, dash=dash, percent=True))
        if not traces:
            return None
        layout = make_layout(
            420,
            xaxis=make_date_axis(load_words(self._lang)),
            yaxis=make_value_axis(self.text("cumulated"), ".0%"),
        )
        chart = Chart(
            id="chart-curves",
            title="",
            read=self.text("curves_read"),
            figure={"data": traces, "layout": layout},
        )
        return self._section("curves", chart)

    def show_wins(self) -> Section | None:
        """Return how often each model is better than each other one of the first group."""
        shown = [(row, runs) for row, runs in self._ranked if row.group == 0][:_MOST_WINS]
        if len(shown) < 2:
            return None
        series = [runs.average(self._table.metric) for _, runs in shown]
        sessions = np.unique(np.concatenate([one.sessions for one in series]))
        wins = count_wins(np.column_stack([take_sessions(one, sessions) for one in series]))
        names = [self._names[row.name] for row, _ in shown]
        rows = [
            (names[place], [_win_cell(float(share), is_own=other == place) for other, share in enumerate(shares)])
            for place, shares in enumerate(wins)
        ]
        heat = HeatMap(
            id="wins-map",
            title="",
            read=self.text("wins_read"),
            corner=say("model", self._lang),
            columns=names,
            rows=rows,
        )
        return self._section("wins", heat)

    def show_costs(self, evaluations: Sequence[RunEvaluation]) -> Section | None:
        """Return what the models took."""
        rows = summarise_costs(evaluations)
        return self._table_block("costs", *list_cost_cells(rows, lang=self._lang), 2) if rows else None

    def show_failures(self) -> Section | None:
        """Return the runs without a result."""
        rows = [*self._list_failures()]
        heads = [say("model", self._lang), say("dataset", self._lang), self.text("seed"), self.text("status")]
        return self._table_block("failures", [*heads, say("cause", self._lang)], rows, 5) if rows else None

    def _list_failures(self) -> Iterator[list[str | Cell]]:
        for row in self._table.rows:
            for one in row.failures:
                state = Cell(text=say(one.status, self._lang), state=one.status)
                cause = mask_secrets(escape_text(one.cause, longest=500))
                yield [escape_text(row.model), escape_text(row.dataset), str(one.seed), state, cause]


def _name_axis(traces: Sequence[Figure], names: Sequence[str], axis: Figure) -> Figure:
    """Return a figure over the names of models, which are told apart by their places and not by their texts."""
    layout = make_layout(
        420,
        hovermode="closest",
        yaxis=axis,
        xaxis={
            "tickvals": [*range(len(names))],
            "ticktext": [escape_markup(name) for name in names],
            "tickangle": -40,
            "zeroline": False,
            "automargin": True,
        },
    )
    return {"data": [{**trace, "x": [*range(len(names))]} for trace in traces], "layout": layout}


def _win_cell(share: float, *, is_own: bool) -> HeatCell:
    if is_own or math.isnan(share):
        return HeatCell(text="")
    return HeatCell(text=f"{share:.0%}", level=max(-1.0, min(1.0, (share - 0.5) * 5)))


def _shorten(name: str) -> str:
    return mask_secrets(escape_text(name, longest=_LONGEST))
