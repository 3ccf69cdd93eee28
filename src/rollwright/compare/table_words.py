"""The words of a comparison's table, its costs and its page, in English and Chinese."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

from rollwright.compare.table_rows import TableNote

__all__ = ["COLUMNS", "NOTES", "TableLanguage", "describe_note", "say"]

TableLanguage: TypeAlias = Literal["en", "zh"]

COLUMNS: Final[Mapping[str, tuple[str, str]]] = {
    "model": ("Model Name", "模型"),
    "dataset": ("Dataset", "数据集"),
    "ic": ("IC", "IC"),
    "icir": ("ICIR", "ICIR"),
    "rank_ic": ("Rank IC", "Rank IC"),
    "rank_icir": ("Rank ICIR", "Rank ICIR"),
    "annualized_return": ("Annualized Return", "年化收益"),
    "information_ratio": ("Information Ratio", "信息比率"),
    "max_drawdown": ("Max Drawdown", "最大回撤"),
    "runs": ("Runs", "运行次数"),
    "rank": ("Rank", "名次"),
    "set": ("In set (p)", "置信集 (p)"),
    "wins": ("Wins", "胜率"),
    "versus": ("Against {baseline}", "相对 {baseline}"),
    "versus_wins": ("Wins against {baseline}", "对 {baseline} 胜率"),
    "cause": ("Cause", "原因"),
    "failed": ("failed", "失败"),
    "waiting": ("waiting", "等待"),
    "seconds": ("Seconds", "秒"),
    "cpu_seconds": ("CPU Seconds", "CPU 秒"),
    "peak_mb": ("Peak Memory (MB)", "内存峰值 (MB)"),
    "total": ("all runs", "全部运行"),
    "yes": ("yes", "是"),
    "no": ("no", "否"),
    "excess": ("daily excess return", "日超额收益"),
}
"""Texts by what they name; the columns of Qlib's own table under the names that it gives them."""

NOTES: Final[Mapping[str, tuple[str, str]]] = {
    "baseline_missing": (
        "The baseline {model} has no result: no model is compared with it.",
        "基准模型 {model} 没有结果，未与其比较。",
    ),
    "few_sessions": (
        "{sessions} common sessions are too few for confidence sets and intervals of ranks.",
        "共同交易日仅 {sessions} 个，不足以计算置信集与名次区间。",
    ),
    "left_out": (
        "{row} is not compared: it has a value on {sessions} sessions, and others on up to {most}.",
        "{row} 未参与比较：仅 {sessions} 个交易日有值，其他模型最多 {most} 个。",
    ),
    "not_comparable": (
        "The models form {groups} groups that differ in {terms}: they are compared within each group alone.",
        "模型按 {terms} 的不同分为 {groups} 组，只在组内比较。",
    ),
    "one_seed": (
        "One run: std 0 says nothing of how much another seed would change: {rows}.",
        "只运行一次，标准差 0 不代表不同种子下的波动：{rows}。",
    ),
    "runs_failed": ("Runs that failed: {runs}.", "{runs} 次运行失败。"),
    "runs_waiting": (
        "Runs that wait: {runs}. The comparison was interrupted, and the same command goes on with it.",
        "{runs} 次运行等待中：比较被中断，重新执行同一命令即可继续。",
    ),
    "same_predictions": (
        "All seeds give the same prediction, so their std is 0: {rows}.",
        "所有种子的预测相同，标准差为 0：{rows}。",
    ),
    "sessions_dropped": (
        "Compared on the {sessions} sessions that all models have; {dropped} that some lack are left out.",
        "在所有模型共有的 {sessions} 个交易日上比较，略去部分模型缺少的 {dropped} 个。",
    ),
    "too_many_models": (
        "{models} models are too many to test every pair (at most {most}): the set is that of T_max alone.",
        "模型数 {models} 超过逐对检验的上限 {most}，置信集仅由 T_max 得出。",
    ),
    "unequal_seeds": (
        "The models have different numbers of runs with a result.",
        "各模型有结果的运行次数不同。",
    ),
}


def say(key: str, lang: TableLanguage) -> str:
    """Return a text in a language."""
    english, chinese = COLUMNS[key]
    return chinese if lang == "zh" else english


def describe_note(note: TableNote, lang: TableLanguage = "en") -> str:
    """Return a note as a sentence."""
    english, chinese = NOTES[note.kind]
    known = {"model": "?", "sessions": "?", "row": "?", "most": "?", "groups": "?", "terms": "?", "rows": "?"}
    text = chinese if lang == "zh" else english
    return text.format(**{**known, "runs": "?", "dropped": "?", "models": "?", **note.values})
