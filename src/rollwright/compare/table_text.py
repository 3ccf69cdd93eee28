"""The table of a comparison as Markdown and as CSV."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Sequence
from typing import Any, Final

from rollwright.analysis.honesty.paired import PairedDifference
from rollwright.compare.evaluation import METRIC_KEYS
from rollwright.compare.table import ComparisonTable
from rollwright.compare.table_rows import MetricSummary, RankStanding, TableRow
from rollwright.compare.table_words import TableLanguage, describe_note, say
from rollwright.core.text import escape_text

__all__ = [
    "describe_tests",
    "escape_markdown",
    "list_cells",
    "table_to_csv",
    "table_to_markdown",
    "write_csv",
    "write_markdown",
]

_SPECIAL: Final = re.compile(r"([\\`*_{}\[\]<>|~&#$])")
_LINKED: Final = re.compile(r"(:)(?=//)|(\.)(?=[\w-])|(@)(?=\w)")
_FORMULA: Final = ("=", "+", "-", "@", "\t")
_TESTS: Final = {
    "en": (
        "Ranked by the mean {metric} of {sessions} sessions ({first} to {last}), seeds averaged by session first; "
        "intervals of ranks and the confidence set are of level {level}.\n"
        "{trials} runs were tried. {name}: annual Sharpe ratio of the return over the benchmark {sharpe}, which is "
        "above 0 with probability {probabilistic}, and above the best of so many worthless runs with {deflated} "
        "(deflated Sharpe ratio)."
    ),
    "zh": (
        "按 {first} 至 {last} 共 {sessions} 个交易日的日均 {metric} 排名，种子先按日平均；"
        "名次区间与置信集水平 {level}。\n"
        "共尝试 {trials} 次；{name} 超额收益的年化夏普比率 {sharpe}，真实值大于 0 的概率 {probabilistic}，"
        "扣除尝试次数后 {deflated}。"
    ),
}
"""What ranks and tests are of, and what is left of the winner."""
_LONGEST_CAUSE: Final = 200
_VERSUS: Final = ("ic", "rank_ic", "annualized_return", "information_ratio")
_BASELINE_SERIES: Final = {"rank_ic": "rank_ic", "ic": "ic", "excess": "annualized_return"}


def table_to_markdown(table: ComparisonTable, *, lang: TableLanguage = "en") -> str:
    """Return the table as Markdown: the columns of Qlib's table first, cells ``mean±std``, then ranks and tests.

    Guarantees: a name or a cause is shown as text, whatever it contains: no markup, no link, no further cell.

    Parameters
    ----------
    table : ComparisonTable
    lang : {"en", "zh"}, default "en"
    """
    heads, rows = list_cells(table, lang=lang)
    lines = write_markdown(heads, rows)
    notes = [f"- {escape_markdown(describe_note(note, lang))}" for note in table.notes]
    notes = [*[f"- {line}" for line in describe_tests(table, lang)], *notes]
    return "\n".join([*lines, "", *notes]) + "\n"


def list_cells(table: ComparisonTable, *, lang: TableLanguage = "en") -> tuple[list[str], list[list[str]]]:
    """Return the heads and the cells of the table as plain text, as terminal, Markdown and page show them."""
    with_base, with_cause = bool(table.baseline), any(row.failures for row in table.rows)
    keys = ["model", "dataset", *METRIC_KEYS, "runs", "rank", "set", "wins"]
    keys += ["versus", "versus_wins"] if with_base else []
    keys += ["cause"] if with_cause else []
    heads = [say(key, lang).format(baseline=table.baseline) if "versus" in key else say(key, lang) for key in keys]
    if with_base:
        measured = say(_BASELINE_SERIES[table.metric], lang)
        heads[keys.index("versus")] = f"{measured}: {heads[keys.index('versus')]}"
    rows = []
    for row in table.rows:
        texts = {"model": row.model, "dataset": row.dataset, "cause": _tell_causes(row, lang)}
        texts |= {key: _tell_summary(row.metrics.get(key)) for key in METRIC_KEYS}
        texts["runs"] = _tell_runs(row)
        texts |= _tell_standing(row.standing, table, lang)
        rows.append([texts[key] for key in keys])
    return heads, rows


def describe_tests(table: ComparisonTable, lang: TableLanguage) -> list[str]:
    """Return what the columns of ranks and tests say, and what is left of the winner, as Markdown."""
    lines = []
    for group in table.groups:
        winner = group.winner
        if winner is None:
            continue
        values = {
            "metric": say(table.metric, lang),
            "first": group.first,
            "last": group.last,
            "sessions": group.sessions,
            "level": f"{table.level:.0%}",
            "trials": winner.trials,
            "name": escape_markdown(f"{winner.model}/{winner.dataset}"),
            "sharpe": _tell(winner.sharpe, ".2f"),
            "probabilistic": _tell(winner.probabilistic, ".1%"),
            "deflated": _tell(winner.deflated, ".1%"),
        }
        lines += _TESTS[lang].format(**values).splitlines()
    return lines


def table_to_csv(table: ComparisonTable) -> str:
    """Return the table as CSV: a line for each row, numbers in full, an empty cell where one is not known.

    Guarantees: no cell is taken for a formula by a spreadsheet.
    """
    heads = ["model", "dataset", "group", "runs", "failed", "waiting", "sessions"]
    heads += [f"{key}_{part}" for key in METRIC_KEYS for part in MetricSummary._fields]
    ranks = [name for name in RankStanding._fields if name != "versus"]
    heads += ranks
    heads += [f"versus_{key}_{part}" for key in _VERSUS for part in PairedDifference._fields]
    heads += ["versus_win_sessions", "versus_win_seeds", "digests", "cause"]
    rows = []
    for row in table.rows:
        statuses = [failure.status for failure in row.failures]
        cells: list[Any] = [row.model, row.dataset, row.group if row.group >= 0 else "", len(row.digests)]
        cells += [statuses.count("failed"), statuses.count("waiting"), row.sessions]
        for key in METRIC_KEYS:
            cells += row.metrics.get(key, MetricSummary(math.nan, math.nan, 0))
        standing = row.standing
        cells += [None] * len(ranks) if standing is None else [getattr(standing, name) for name in ranks]
        versus = None if standing is None else standing.versus
        for key in _VERSUS:
            cells += [None] * 4 if versus is None else getattr(versus, key)
        cells += [None, None] if versus is None else [versus.win_sessions, versus.win_seeds]
        cells += [" ".join(row.digests.values()), _tell_causes(row, "en")]
        rows.append(cells)
    return write_csv(heads, rows)


def write_csv(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Return lines of CSV; a text that a spreadsheet would take for a formula begins with an apostrophe."""
    made = io.StringIO()
    writer = csv.writer(made, lineterminator="\n")
    writer.writerow(heads)
    writer.writerows([_csv_cell(cell) for cell in row] for row in rows)
    return made.getvalue()


def _csv_cell(value: Any) -> str:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    text = escape_text(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def write_markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a Markdown table of plain texts."""
    lines = [heads, ["---"] * len(heads)]
    shown = ["| " + " | ".join(line if line[0] == "---" else map(escape_markdown, line)) + " |" for line in lines]
    return [*shown, *("| " + " | ".join(map(escape_markdown, row)) + " |" for row in rows)]


def escape_markdown(text: str) -> str:
    """Return `text` on one line, so that Markdown shows it as it is: no markup, no link, no end of a cell."""
    escaped = _SPECIAL.sub(r"\\\1", escape_text(text))
    return _LINKED.sub(_break_link, escaped)


def _break_link(found: re.Match[str]) -> str:
    start = found.string[max(0, found.start() - 3) : found.start()].lower()
    if found.group(2) is not None and start != "www":
        return found.group()
    return f"\\{found.group()}"


def _tell(value: float, shape: str) -> str:
    return format(value, shape) if math.isfinite(value) else "—"


def _tell_summary(one: MetricSummary | None) -> str:
    if one is None or not one.runs:
        return ""
    return f"{one.mean:.4f}±{one.std:.4f}"


def _tell_runs(row: TableRow) -> str:
    return f"{len(row.digests)}/{len(row.digests) + len(row.failures)}" if row.failures else str(len(row.digests))


def _tell_causes(row: TableRow, lang: TableLanguage) -> str:
    """Return each cause once, with how many runs it ended."""
    counts: dict[str, int] = {}
    for failure in row.failures:
        text = f"{say(failure.status, lang)}: {failure.cause}" if failure.cause else say(failure.status, lang)
        counts[text] = counts.get(text, 0) + 1
    told = [text if number == 1 else f"{number}× {text}" for text, number in counts.items()]
    return escape_text("; ".join(told), longest=_LONGEST_CAUSE)


def _tell_standing(standing: RankStanding | None, table: ComparisonTable, lang: TableLanguage) -> dict[str, str]:
    names = ("rank", "set", "wins", "versus", "versus_wins")
    if standing is None:
        return dict.fromkeys(names, "")
    interval = f" [{standing.rank_lower}–{standing.rank_upper}]" if standing.rank_lower else ""
    in_set = standing.in_set
    told = dict.fromkeys(names, "")
    told["rank"] = f"{standing.rank}{interval}"
    told["set"] = "" if in_set is None else f"{say('yes' if in_set else 'no', lang)} ({standing.set_p:.3f})"
    told["wins"] = "" if math.isnan(standing.win_sessions) else f"{standing.win_sessions:.1%}"
    versus = standing.versus
    if versus is not None:
        one: PairedDifference = getattr(versus, _BASELINE_SERIES[table.metric])
        told["versus"] = f"{one.difference:+.4f}" if math.isfinite(one.difference) else ""
        if math.isfinite(one.lower):
            told["versus"] += f" [{one.lower:+.4f}, {one.upper:+.4f}]"
        told["versus_wins"] = "" if math.isnan(versus.win_sessions) else f"{versus.win_sessions:.1%}"
    return told
