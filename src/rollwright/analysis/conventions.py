"""Conventions: what the numbers of a result count in, written where they are shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, Self, TypeAlias

__all__ = ["BacktestTerms", "Conventions", "DealPrice"]

DealPrice: TypeAlias = "str | tuple[str, str]"
"""Field that is traded at, or one for purchases and one for sales."""
_USUAL_RISK_DEGREE: Final = 0.95
_OF_LABEL: Final = 2  # sentences, with which the conventions begin


@dataclass(frozen=True, slots=True, kw_only=True)
class BacktestTerms:
    """What a back-test was made under.

    Attributes
    ----------
    topk, n_drop : int
    account : float
        Cash to begin with.
    benchmark : str
        ``mean`` of the scored instruments, or a code.
    open_cost, close_cost, min_cost : float
        Shares of the traded value, and the least cost of a trade in currency.
    trade_unit : int or None
        Shares in a lot; None trades any fraction.
    limit_threshold : float or None
        Daily change from which on nothing trades.
    mode : str
        ``strict`` or ``qlib``.
    deal_price : str or (str, str)
        Field that is traded at, or one for purchases and one for sales.
    risk_free : float
        The rate of a year that is earned without risk, as a fraction.
    rules : str or None
        The market whose dated rules held: duties beside the costs, and lots and limits in place of those above.
    hold_thresh : int
        Sessions a holding was kept at least.
    risk_degree : float
        Share of the cash that was spent.
    only_tradable : bool
        Whether only what could be traded on the session of the trade was ranked.
    forbid_all_trade_at_limit : bool
        Whether nothing was traded at its price limit, in neither direction.
    """

    topk: int
    n_drop: int
    account: float
    benchmark: str
    open_cost: float
    close_cost: float
    min_cost: float
    trade_unit: int | None
    limit_threshold: float | None
    mode: str = "strict"
    deal_price: DealPrice = "close"
    risk_free: float = 0.0
    rules: str | None = None
    hold_thresh: int = 1
    risk_degree: float = _USUAL_RISK_DEGREE
    only_tradable: bool = False
    forbid_all_trade_at_limit: bool = True

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return the terms that stand in `data`, those of a summary or of a stage; what it lacks is the usual.

        Raises
        ------
        KeyError, TypeError
            When it is of another form.
        """
        costs = data.get("costs", data)
        price = data.get("deal_price", "close")
        limit = costs["limit_threshold"]
        return cls(
            topk=data["topk"],
            n_drop=data["n_drop"],
            account=data["account"],
            benchmark=data["benchmark"],
            open_cost=costs["open_cost"],
            close_cost=costs["close_cost"],
            min_cost=costs["min_cost"],
            trade_unit=costs["trade_unit"],
            limit_threshold=None if isinstance(limit, Sequence) else limit,
            mode=data.get("mode", "strict"),
            deal_price=price if isinstance(price, str) else (price[0], price[1]),
            risk_free=data.get("risk_free", 0.0),
            rules=data.get("rules"),
            hold_thresh=data.get("hold_thresh", 1),
            risk_degree=data.get("risk_degree", _USUAL_RISK_DEGREE),
            only_tradable=data.get("only_tradable", False),
            forbid_all_trade_at_limit=data.get("forbid_all_trade_at_limit", True),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Conventions:
    """What the numbers of a campaign count in.

    Attributes
    ----------
    days_per_year : float
        Sessions of a year, in every annual figure.
    label_horizon : int or None
        Sessions over which the return that the label is runs; None when it is no return, or that is not known.
    label_span : int or None
        Sessions of future that the label reads; None when that is not known.
    backtest : BacktestTerms or None
        None without a back-test.
    """

    days_per_year: float
    label_horizon: int | None
    label_span: int | None
    backtest: BacktestTerms | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON, with what is the same in every result: how returns, drawdown and ties are counted."""
        return {
            **asdict(self),
            "returns": "added up",
            "drawdown": "from the value before the first session",
            "ties": "a holding before a newcomer, then by lot; groups share",
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Conventions:
        """Return what `to_json` wrote.

        Raises
        ------
        KeyError, TypeError
            When it is of another form.
        """
        terms = data["backtest"]
        return cls(
            days_per_year=float(data["days_per_year"]),
            label_horizon=data["label_horizon"],
            label_span=data["label_span"],
            backtest=None if terms is None else BacktestTerms.from_json(terms),
        )

    def describe(self, language: Literal["en", "zh"] = "en", *, with_label: bool = True) -> list[str]:
        """Return the conventions as sentences; those of the label and the errors only if `with_label`."""
        lines = _describe_zh(self) if language == "zh" else _describe_en(self)
        return [line for line in lines[0 if with_label else _OF_LABEL :] if line]


def _describe_en(told: Conventions) -> list[str]:
    span, horizon, terms = told.label_span, told.label_horizon, told.backtest
    reads = "" if span is None else f" that reads {span} session{'s' * (span != 1)} ahead"
    if horizon is None:
        label = f"Label: none that is known to be a return{reads}; its figures are in its own unit, none is annual."
    elif horizon == 1:
        label = f"Label: the return over 1 session{reads}."
    else:
        label = f"Label: the return over {horizon} sessions{reads}; neighbouring sessions share {horizon - 1} of them."
    least = f", over at least {span - 1} lags, since labels overlap" if span is not None and span > 2 else ""
    lines = [label, f"± is the Newey–West standard error of the mean{least}."]
    if terms is None:
        return lines
    bench = (
        "the mean of the scored instruments, at equal weights, without costs"
        if terms.benchmark == "mean"
        else f"{terms.benchmark}, without costs"
    )
    price = _name_price(terms.deal_price, one="traded at the {0}", two="bought at the {0} and sold at the {1}")
    lot = "any fraction of a share" if terms.trade_unit is None else f"lots of {terms.trade_unit:,}"
    limit = "no price limit" if terms.limit_threshold is None else f"no trade beyond ±{terms.limit_threshold:.3g} a day"
    lines.append(
        f"Back-test: the top {terms.topk}, at most {terms.n_drop} replaced a day, {price} of the session "
        f"after the scores, from {terms.account:,.0f} in cash. Equal scores: what is held stays, the rest by lot."
    )
    held = f"{lot}; {limit}"
    if terms.rules is not None:
        held = f"duties, lots and price limits by board and date, of the rules of `{terms.rules}`"
    lines.append(
        f"Costs: {terms.open_cost:.3%} to buy, {terms.close_cost:.3%} to sell, {terms.min_cost:g} at least; {held}."
    )
    lines.append(f"Benchmark: {bench}.")
    lines.append(
        f"A year is {told.days_per_year:g} sessions; the risk-free rate is {terms.risk_free:.2%} a year. Returns are "
        "added up, not compounded; the drawdown counts from the value before the first session."
    )
    lines += [english for english, _ in _describe_rules(terms)]
    if terms.mode == "qlib":
        lines.append("Mode `qlib`: the numbers of pyqlib, with what it does that no exchange does.")
    return lines


def _describe_rules(terms: BacktestTerms) -> list[tuple[str, str]]:
    """Return a sentence, in English and in Chinese, for each rule of the strategy that is not the usual one."""
    told = (
        (
            terms.hold_thresh > 1,
            f"A holding is kept at least {terms.hold_thresh} sessions.",
            f"每只持仓至少持有 {terms.hold_thresh} 个交易日。",
        ),
        (
            terms.risk_degree != _USUAL_RISK_DEGREE,
            f"{terms.risk_degree:.4g} of the cash is spent.",
            f"动用现金的 {terms.risk_degree:.4g}。",
        ),
        (
            terms.only_tradable,
            (
                "Only names that can be traded on the session of the trade are ranked: at the time of the orders that "
                "is not known yet."
            ),
            "只对成交当日可交易的标的排序：下单时这一点尚不可知。",
        ),
        (
            not terms.forbid_all_trade_at_limit,
            "At its upper price limit a name can be sold, at its lower one bought.",
            "涨停时可卖出，跌停时可买入。",
        ),
    )
    return [(english, chinese) for holds, english, chinese in told if holds]


def _name_price(price: DealPrice, *, one: str, two: str) -> str:
    if isinstance(price, str):
        return one.format(price.removeprefix("$"))
    return two.format(*(each.removeprefix("$") for each in price))


def _describe_zh(told: Conventions) -> list[str]:
    span, horizon, terms = told.label_span, told.label_horizon, told.backtest
    reads = "" if span is None else f"，读取未来 {span} 个交易日"
    if horizon is None:
        label = f"标签：无法确认是某段时间的收益{reads}；相关数字以标签自身单位表示，均不年化。"
    elif horizon == 1:
        label = f"标签：1 个交易日的收益{reads}。"
    else:
        label = f"标签：{horizon} 个交易日的收益{reads}；相邻交易日的标签有 {horizon - 1} 日重叠。"
    least = f"，因标签重叠，滞后阶数不少于 {span - 1}" if span is not None and span > 2 else ""
    lines = [label, f"± 为均值的 Newey–West 标准误{least}。"]
    if terms is None:
        return lines
    bench = "已打分标的的等权平均，不计成本" if terms.benchmark == "mean" else f"{terms.benchmark}，不计成本"
    lot = "可买卖零碎股" if terms.trade_unit is None else f"每手 {terms.trade_unit:,} 股"
    price = _name_price(terms.deal_price, one="按 {0} 价成交", two="按 {0} 价买入、{1} 价卖出")
    limit = "无涨跌停限制" if terms.limit_threshold is None else f"日涨跌幅超过 ±{terms.limit_threshold:.3g} 不成交"
    lines.append(
        f"回测：持有分数最高的 {terms.topk} 只，每日最多换 {terms.n_drop} 只，在打分次日{price}，初始资金 "
        f"{terms.account:,.0f}。分数相同时：持仓优先，其余抽签决定。"
    )
    held = f"{lot}；{limit}"
    if terms.rules is not None:
        held = f"印花税、手数与涨跌幅限制按 {terms.rules} 各板块、各时期的规则"
    lines.append(
        f"成本：买入 {terms.open_cost:.3%}，卖出 {terms.close_cost:.3%}，每笔最低 {terms.min_cost:g}；{held}。"
    )
    lines.append(f"基准：{bench}。")
    lines.append(
        f"一年按 {told.days_per_year:g} 个交易日计；无风险年利率 {terms.risk_free:.2%}。收益累加，不复利；"
        "回撤从首个交易日之前的净值算起。"
    )
    lines += [chinese for _, chinese in _describe_rules(terms)]
    if terms.mode == "qlib":
        lines.append("模式 `qlib`：与 pyqlib 的数字一致，包括其与真实交易所不符之处。")
    return lines
