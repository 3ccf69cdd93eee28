"""The words of the report, in English and Chinese."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

__all__ = ["FACTS", "LANGUAGES", "Language", "Words", "name_fact"]

Language: TypeAlias = Literal["en", "zh"]
Words: TypeAlias = Mapping[str, str]

_EN: Final[dict[str, str]] = {
    "html_lang": "en",
    "kind": "Walk-forward report",
    "headline": "Headline numbers",
    "variant": "Member",
    "agreement": "How much the members agree",
    "agreement_about": "The mean daily rank correlation of their scores, on the instruments that all of them score.",
    "members": "The members and their signal",
    "findings": "findings",
    "left_out": (
        "The first {shown} of this page have charts; the others are compared above, their figures are in summary.json, "
        "and their predictions in members/, each in a folder of its name: {names}."
    ),
    "comma": ", ",
    "notes": "Read this first",
    "timeline": "The walk",
    "timeline_about": (
        "One row per window: the model learns from the past, is watched on the valid sessions, and is judged on the "
        "test sessions, which it has never seen; the number beside a test bar is the IC of the window. Below, the "
        "daily IC of all test sessions added up."
    ),
    "performance": "Back-test",
    "performance_about": (
        "Daily returns added up, not compounded; strategy after costs. Excess is strategy less benchmark. "
        "Drawdown is the distance below the highest point so far, the start included."
    ),
    "ic": "Information coefficient",
    "ic_about": (
        "Correlation of score and label across the instruments of a day. The band is the mean with two standard errors "
        "to either side (Newey–West)."
    ),
    "groups": "Score groups",
    "groups_about": (
        "Each day the instruments are cut into groups by score, the first being the best; a group's return is the "
        "mean label of its instruments. Equal scores share the groups that they reach into. Shown is what is above the "
        "mean of all groups."
    ),
    "windows": "Windows",
    "coverage": "Coverage",
    "coverage_about": "What the universe held on the predicted sessions, and why some of it has no score.",
    "config": "The configuration that made this",
    "noscript": "The charts need JavaScript; the numbers and tables below do not.",
    "footer": "This page is one file. It opens from a disk, and asks the network for nothing.",
    "train": "train",
    "valid": "valid",
    "purge": "purge gap",
    "test": "test",
    "window": "Window",
    "state": "State",
    "rows": "Rows",
    "best_iteration": "Trees",
    "seconds": "Seconds",
    "recorder": "Recorder",
    "window_ic": "IC",
    "window_ric": "Rank IC",
    "date": "session",
    "cumulative_ic": "cumulative IC",
    "daily_ic": "daily IC",
    "ic_axis": "IC",
    "rank_ic": "Rank IC",
    "rolling": "mean of {window} sessions",
    "mean": "mean",
    "strategy": "strategy, after costs",
    "benchmark": "benchmark",
    "excess": "excess, after costs",
    "return_axis": "sum of daily returns",
    "drawdown_axis": "drawdown",
    "group": "group",
    "groups_several": (
        " The label is the {horizon}-session return: the curves count a part of 1/{horizon} of it each session, as an "
        "account does that is spread over {horizon} overlapping holdings; the bars show it whole, and their errors "
        "allow for the overlap."
    ),
    "groups_own_unit": " The label is not known to be a return: its figures are in its own unit.",
    "group_axis_one": "sum of daily excess return",
    "group_axis_several": "sum of excess, 1/{horizon} of the {horizon}-session return",
    "group_axis_own": "sum of excess label",
    "group_mean_axis_one": "mean excess, 1-session return (bp)",
    "group_mean_axis_several": "mean excess, {horizon}-session return (bp)",
    "group_mean_axis_own": "mean excess label",
    "basis_points": "bp",
    "group_lines": "Added up over the walk",
    "group_bars": "Mean, with two standard errors",
    "health": "Health",
    "health_about": "Read this before any number. A number in brackets beside a figure names a finding about it.",
    "healthy": "Nothing was found that stands against reading the numbers as they are.",
    "hint": "What to do: ",
    "stop": ".",
    "conventions": "How the numbers are counted",
    "orders": "Orders",
    "orders_about": (
        "Of {wanted} orders that the strategy wanted, {whole} were made whole. The others stand below with what kept "
        "them from it; each of them is in backtest/unfilled.parquet, and rollwright explain-trade tells of one."
    ),
    "order_side": "Side",
    "made_smaller": "made smaller",
    "sessions": "Sessions",
    "buy": "buy",
    "sell": "sell",
    "settle": "settle",
    "no_factor": "no factor, so no lots",
    "limit_up": "at the upper limit",
    "limit_down": "at the lower limit",
    "hold_thresh": "not held long enough",
    "cash": "cash does not cover it",
    "below_lot": "less than one lot",
    "no_room": "no room: a sale was not made",
    "minimum_lot": "less than the smallest order",
    "t_plus_1": "bought on that day",
    "unsettled": "cash of that day's sales",
    "no series": "no series",
    "suspended": "suspended",
    "dropped": "dropped by a processor",
    "cause": "Cause",
    "share": "Share",
    "expected": "In the universe",
    "predicted": "Scored",
    "done": "done",
    "failed": "failed",
    "running": "running",
    "waiting": "waiting",
    "to": "to",
}

_ZH: Final[dict[str, str]] = {
    "html_lang": "zh-CN",
    "kind": "滚动回测报告",
    "headline": "核心指标",
    "variant": "成员",
    "agreement": "成员之间的一致程度",
    "agreement_about": "各成员分数的日均秩相关系数，只计所有成员都打分的标的。",
    "members": "各成员与合成信号",
    "findings": "健康提示",
    "left_out": (
        "本页只为前 {shown} 个成员绘图；其余成员见上方对比表，数字在 summary.json 中，"
        "预测在 members/ 下各自同名的文件夹中：{names}。"
    ),
    "comma": "、",
    "notes": "阅读须知",
    "timeline": "滚动窗口",
    "timeline_about": (
        "每行一个窗口：模型用过去的数据训练，在验证段上早停，在从未见过的测试段上评估；"
        "测试条旁的数字为该窗口的 IC。下方为全部测试日的 IC 累计。"
    ),
    "performance": "组合回测",
    "performance_about": (
        "日收益累加（不复利），策略收益已扣成本；超额为策略减基准；回撤为距此前最高点（含起点）的距离。"
    ),
    "ic": "信息系数 IC",
    "ic_about": "当日各标的预测分数与标签的相关系数。阴影为均值上下两个标准误（Newey–West）。",
    "groups": "分组收益",
    "groups_about": (
        "每日按分数分组，第一组分数最高；组收益为组内标签均值；分数相同的标的按比例分属各组。图中为相对各组平均的超额。"
    ),
    "windows": "窗口明细",
    "coverage": "覆盖率",
    "coverage_about": "预测区间内股票池的成员数，以及部分成员没有分数的原因。",
    "config": "生成本报告的配置",
    "noscript": "图表需要 JavaScript；下方的数字与表格不需要。",
    "footer": "本页为单个文件，可离线打开，不发出任何网络请求。",
    "train": "训练",
    "valid": "验证",
    "purge": "清除间隔",
    "test": "测试",
    "window": "窗口",
    "state": "状态",
    "rows": "行数",
    "best_iteration": "树数",
    "seconds": "秒",
    "recorder": "记录器",
    "window_ic": "IC",
    "window_ric": "Rank IC",
    "date": "交易日",
    "cumulative_ic": "累计 IC",
    "daily_ic": "每日 IC",
    "ic_axis": "IC",
    "rank_ic": "Rank IC",
    "rolling": "{window} 日均值",
    "mean": "均值",
    "strategy": "策略（扣成本）",
    "benchmark": "基准",
    "excess": "超额（扣成本）",
    "return_axis": "日收益累加",
    "drawdown_axis": "回撤",
    "group": "第",
    "groups_several": (
        "标签为 {horizon} 日收益：曲线每日只计其 1/{horizon}，相当于把资金分成 {horizon} 份重叠持有；"
        "柱图为完整的 {horizon} 日收益，标准误已计入重叠。"
    ),
    "groups_own_unit": "无法确认标签是收益：数字以标签自身单位表示。",
    "group_axis_one": "日超额累加",
    "group_axis_several": "{horizon} 日收益的 1/{horizon} 超额累加",
    "group_axis_own": "标签超额累加",
    "group_mean_axis_one": "1 日收益平均超额（基点）",
    "group_mean_axis_several": "{horizon} 日收益平均超额（基点）",
    "group_mean_axis_own": "标签平均超额",
    "basis_points": "基点",
    "group_lines": "区间累加",
    "group_bars": "均值与两个标准误",
    "health": "健康检查",
    "health_about": "请先阅读本节再看数字。数字旁的方括号编号指向影响它的问题。",
    "healthy": "未发现妨碍如实阅读数字的问题。",
    "hint": "建议：",
    "stop": "。",
    "conventions": "数字的口径",
    "orders": "订单",
    "orders_about": (
        "策略共提出 {wanted} 笔订单，其中 {whole} 笔足额成交；其余列于下表并注明原因。逐笔明细见结果文件夹。"
    ),
    "order_side": "方向",
    "made_smaller": "部分成交",
    "sessions": "交易日数",
    "buy": "买入",
    "sell": "卖出",
    "settle": "退市了结",
    "no_factor": "无复权因子，无法计算手数",
    "limit_up": "涨停",
    "limit_down": "跌停",
    "hold_thresh": "持有时间不足",
    "cash": "现金不足",
    "below_lot": "不足一手",
    "no_room": "卖出未成，没有空位",
    "minimum_lot": "低于最小申报数量",
    "t_plus_1": "当日买入，次日方可卖出",
    "unsettled": "当日卖出所得资金未到账",
    "no series": "无行情",
    "suspended": "停牌",
    "dropped": "被处理器剔除",
    "cause": "原因",
    "share": "占比",
    "expected": "股票池成员",
    "predicted": "已打分",
    "done": "完成",
    "failed": "失败",
    "running": "运行中",
    "waiting": "等待",
    "to": "至",
}

LANGUAGES: Final[dict[Language, Words]] = {"en": _EN, "zh": _ZH}

FACTS: Final[dict[str, tuple[str, str]]] = {
    "windows": ("windows", "窗口数"),
    "days": ("sessions", "交易日"),
    "reused": ("windows kept from an earlier run", "沿用此前结果的窗口"),
    "version": ("rollwright", "rollwright"),
}


def name_fact(language: Language, key: str) -> str:
    """Return the label of the fact `key` in the small print; an unknown key is returned as it is."""
    english, chinese = FACTS.get(key, (key, key))
    return chinese if language == "zh" else english
