"""SoftTopkStrategy: hold the best at equal weights, and change at most so much weight a day."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias, get_args

import pandas as pd

from rollwright.backtest.order_generator import OrderGenerator, OrderGenWInteract
from rollwright.backtest.position import Position
from rollwright.backtest.weight_strategy import WeightStrategyBase
from rollwright.errors import ConfigError

__all__ = ["BuyMethod", "SoftTopkStrategy"]

BuyMethod: TypeAlias = Literal["first_fill", "average_fill"]


class SoftTopkStrategy(WeightStrategyBase):
    """Hold the best `topk` at equal weights, and sell the others little by little.

    On the first session each of the best gets ``1 / topk``. From then on every holding that is not among them loses up
    to `max_sold_weight` of its weight, and what is sold goes to the best: each is filled up to ``1 / topk``, the best
    first (``first_fill``), or all get the same of it (``average_fill``). Weights are those of the holdings alone; cash
    is not one of them.

    This is the rule of pyqlib 0.9.7, whose class itself cannot be built there. Its version of 2026 is another rule
    (arguments ``trade_impact_limit``, ``priority``), which is not here.

    Parameters
    ----------
    topk : int
    max_sold_weight : float
        Of each holding and session.
    buy_method : {"first_fill", "average_fill"}
    order_generator_cls_or_obj : OrderGenerator, its class or its name
        `OrderGenWInteract` if not given, as in Qlib.
    signal, model, dataset, risk_degree, trade_exchange, level_infra, common_infra
        As in `WeightStrategyBase`.
    trade_impact_limit, priority : None
        Only None, see above.

    Raises
    ------
    ConfigError
        For a `topk` below 1, a share that is none, an unknown method.
    """

    def __init__(
        self,
        model: Any = None,
        dataset: Any = None,
        topk: int = 50,
        order_generator_cls_or_obj: OrderGenerator | type[OrderGenerator] | str = OrderGenWInteract,
        max_sold_weight: float = 1.0,
        risk_degree: float = 0.95,
        buy_method: BuyMethod = "first_fill",
        trade_exchange: None = None,
        level_infra: None = None,
        common_infra: None = None,
        *,
        signal: Any = None,
        trade_impact_limit: None = None,
        priority: None = None,
    ) -> None:
        super().__init__(
            signal=signal,
            model=model,
            dataset=dataset,
            risk_degree=risk_degree,
            order_generator_cls_or_obj=order_generator_cls_or_obj,
            trade_exchange=trade_exchange,
            level_infra=level_infra,
            common_infra=common_infra,
        )
        if trade_impact_limit is not None or priority is not None:
            raise ConfigError(
                "`trade_impact_limit` and `priority` are of another rule of the same name, of 2026",
                hint="the one here is of pyqlib 0.9.7: topk, max_sold_weight, buy_method",
            )
        if topk < 1:
            raise ConfigError(f"topk = {topk} holds nothing", hint="topk=50")
        if not 0 < max_sold_weight <= 1:
            raise ConfigError(f"max_sold_weight = {max_sold_weight} is not a weight (0 to 1)")
        if buy_method not in get_args(BuyMethod):
            raise ConfigError(
                f"buy_method = {buy_method!r} is not simulated", hint=f"take {' or '.join(get_args(BuyMethod))}"
            )
        self.topk = topk
        self.max_sold_weight = max_sold_weight
        self.buy_method: BuyMethod = buy_method

    def generate_target_weight_position(
        self,
        score: pd.Series[float],
        current: Position,
        trade_start_time: pd.Timestamp,  # noqa: ARG002 - the rule is the same on every session
        trade_end_time: pd.Timestamp,  # noqa: ARG002
    ) -> Mapping[str, float]:
        """Return the weights of the holdings and the best, as the class tells."""
        best = [str(code) for code in score.index[: self.topk]]
        if not current.holdings:
            return dict.fromkeys(best, 1 / self.topk)
        weights = current.get_stock_weight_dict(only_stock=True)
        left = 0.0
        for code in [code for code in weights if code not in set(best)]:
            sold = min(self.max_sold_weight, weights[code])
            weights[code] -= sold
            left += sold
        for code in best:
            has = weights.get(code, 0.0)
            if self.buy_method == "average_fill":
                weights[code] = has + left / len(best)
                continue
            added = min(max(1 / self.topk - has, 0.0), left)
            weights[code] = has + added
            left -= added
        return weights
