"""Settings of a back-test that changed nothing on these data: each is tried without."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import pandas as pd

from rollwright.backtest.case import Case, CaseResults
from rollwright.backtest.inputs import BacktestInputs
from rollwright.backtest.simulate import MarketPrices
from rollwright.backtest.topk_dropout import TopkDropoutStrategy

__all__ = ["INERT_REASONS", "find_inert_settings", "list_setting_cases"]

INERT_REASONS: Final[Mapping[str, Mapping[str, str]]] = {
    "no_factors": {
        "en": "the market has no factors, so lots cannot be told and any fraction trades",
        "zh": "行情没有复权因子，无法确定手数，按零碎股成交",
    },
    "no_limit_met": {
        "en": "no order met a price at its limit",
        "zh": "没有任何委托遇到涨跌停价",
    },
    "no_other_limit_met": {
        "en": "no sale met the upper limit, and no purchase the lower one",
        "zh": "没有卖单遇到涨停，也没有买单遇到跌停",
    },
    "always_whole": {"en": "every order was of whole lots anyway", "zh": "所有委托本来就是整手"},
    "rates_cost_more": {"en": "every trade cost more than that by its rate", "zh": "每笔交易按费率计的成本都更高"},
    "least_cost_more": {"en": "the least cost of a trade was always more", "zh": "每笔最低成本总是更高"},
    "nothing_traded": {"en": "nothing was traded", "zh": "没有任何成交"},
    "never_more": {"en": "there were never more to replace", "zh": "从未需要替换更多"},
    "never_sooner": {"en": "nothing was to be sold sooner", "zh": "没有持仓需要更早卖出"},
    "always_tradable": {"en": "whatever was wanted could be traded", "zh": "想交易的都能成交"},
    "nothing_spent": {"en": "nothing was bought", "zh": "没有任何买入"},
    "no_sale_refused": {"en": "every planned sale was made", "zh": "所有计划的卖出都已成交"},
    "no_listing_ended": {"en": "no holding's listing ended", "zh": "没有持仓退市"},
    "same_price": {"en": "it was the close in every trade", "zh": "每笔成交价都等于收盘价"},
    "cash_enough": {"en": "no purchase needed the proceeds of the day", "zh": "没有买入需要当日卖出所得"},
}
"""Why a setting changed nothing, in the words of each language."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Trial:
    """The back-test without one of its settings.

    `market` is another one than its own, if need be. A `case` of None needs no simulation: without a holding that was
    settled, the setting was asked nothing.
    """

    setting: str
    value: str
    reason: str
    case: Case | None
    market: MarketPrices | None = None


def list_setting_cases(inputs: BacktestInputs) -> list[Case]:
    """Return the back-test, and the cases of `find_inert_settings` that trade in its own market."""
    trials = _list_trials(inputs)
    return [inputs.case, *[trial.case for trial in trials if trial.case is not None and trial.market is None]]


def find_inert_settings(inputs: BacktestInputs, *, made: CaseResults | None = None) -> pd.DataFrame:
    """Simulate the back-test again without each of its settings, and return those that changed nothing.

    A setting is one that was given something to do: a limit, lots, a least cost, a number of sales below that of the
    holdings. Where the account without it is, on every session and to the last bit, the account with it, whoever
    believes that it was tested is mistaken.

    Parameters
    ----------
    inputs : BacktestInputs
    made : CaseResults, optional
        What became of `list_setting_cases`, where they were simulated together with others.

    Returns
    -------
    DataFrame
        A row for each: ``setting``, ``value`` (as text), ``reason``, a key of `INERT_REASONS`.
    """
    trials = _list_trials(inputs)
    rows = []
    lots = [one.trade_unit for one in inputs.terms.kinds if one.trade_unit is not None]
    if inputs.market.factor is None and lots:
        rows.append(("trade_unit", _tell(lots), "no_factors"))
    base = inputs.compare(list_setting_cases(inputs)) if made is None else made
    place = 0
    for trial in trials:
        if trial.case is None:
            is_inert = not base.settled[0]
        elif trial.market is None:
            place += 1
            is_inert = _is_same(base, 0, base, place)
        else:
            is_inert = _is_same(base, 0, inputs.compare([trial.case], market=trial.market), 0)
        if is_inert:
            reason = trial.reason if base.turnover[:, 0].any() else "nothing_traded"
            rows.append((trial.setting, trial.value, reason))
    return pd.DataFrame(rows, columns=["setting", "value", "reason"]).astype("str")


def _is_same(one: CaseResults, place: int, other: CaseResults, at: int) -> bool:
    """Tell whether the accounts of two cases are the same on every session, to the last bit."""
    return np.array_equal(one.cash[:, place], other.cash[:, at]) and np.array_equal(
        one.value[:, place], other.value[:, at]
    )


def _list_trials(inputs: BacktestInputs) -> list[_Trial]:
    case, terms, market = inputs.case, inputs.terms, inputs.market
    trials = []

    def try_terms(setting: str, reason: str, without: Any, *, is_set: Callable[[Any], bool] = bool) -> None:
        values = [getattr(one, setting) for one in terms.kinds]
        if any(is_set(value) for value in values):
            changed = replace(terms, kinds=tuple(replace(one, **{setting: without}) for one in terms.kinds))
            shown = _tell([value for value in values if is_set(value)])
            trials.append(_Trial(setting=setting, value=shown, reason=reason, case=replace(case, costs=changed)))

    if terms.upper is not None:
        free = replace(terms, upper=None, lower=None)
        free = replace(free, kinds=tuple(replace(one, limit_threshold=None) for one in free.kinds))
        trials.append(_Trial(setting="limits", value="", reason="no_limit_met", case=replace(case, costs=free)))
    else:
        try_terms("limit_threshold", "no_limit_met", None)
    if market.factor is not None:
        try_terms("trade_unit", "always_whole", None)
        try_terms("min_unit", "always_whole", None)
    try_terms("min_cost", "rates_cost_more", 0.0)
    for name in ("open_cost", "close_cost"):
        try_terms(name, "least_cost_more", 0.0)
    for name in ("open_duty", "close_duty"):
        try_terms(name, "nothing_traded", 0.0)
    try_terms("cash_next_day", "cash_enough", without=False)
    if inputs.mode == "strict" and market.ends is not None:
        try_terms("delisting", "no_listing_ended", 1.0, is_set=lambda share: bool(share < 1))
        trials.append(_Trial(setting="settle_delisted", value="true", reason="no_listing_ended", case=None))
    if market.buy_price is not None or market.sell_price is not None:
        closes = replace(market, buy_price=None, sell_price=None)
        trials.append(_Trial(setting="deal_price", value="", reason="same_price", case=case, market=closes))
    if isinstance(inputs.strategy, TopkDropoutStrategy):
        trials += _try_rules(inputs.strategy, case, has_limits=terms.upper is not None or terms.goes_by_change())
    return trials


def _try_rules(strategy: TopkDropoutStrategy, case: Case, *, has_limits: bool) -> list[_Trial]:
    """Return the trials without the settings of the top-k dropout rule."""
    changes: list[tuple[str, bool, Any, str]] = [
        ("n_drop", 0 < strategy.n_drop < strategy.topk, strategy.topk, "never_more"),
        ("hold_thresh", strategy.hold_thresh > 1, 0, "never_sooner"),
        ("only_tradable", strategy.only_tradable, False, "always_tradable"),
        ("forbid_all_trade_at_limit", strategy.forbid_all_trade_at_limit and has_limits, False, "no_other_limit_met"),
        ("risk_degree", strategy.risk_degree < 1, 1.0, "nothing_spent"),
        ("exceed_topk", strategy.exceed_topk, False, "no_sale_refused"),
    ]
    return [
        _Trial(
            setting=name,
            value=_tell([getattr(strategy, name)]),
            reason=reason,
            case=replace(case, strategy=replace(strategy, **{name: without})),
        )
        for name, is_set, without, reason in changes
        if is_set
    ]


def _tell(values: list[Any]) -> str:
    """Return different values as text."""
    told = [str(value).lower() if isinstance(value, bool) else f"{value:g}" for value in dict.fromkeys(values)]
    return ", ".join(told)
