"""WeightStrategyBase: a strategy that says what weights it wants, and leaves the orders to a generator."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from rollwright.backtest.order_generator import OrderGenerator, OrderGenWOInteract, find_generator
from rollwright.backtest.position import Holding, Position
from rollwright.backtest.signal_scores import refuse_nested, resolve_scores
from rollwright.backtest.strategy import Account, BaseStrategy, Order, TradingDay
from rollwright.errors import ConfigError

__all__ = ["WeightStrategyBase"]


class WeightStrategyBase(BaseStrategy):
    """Base of strategies by weights: derive from it and say in `generate_target_weight_position` what is wanted.

    A session is traded when the one before has scores. Nothing is traded at a price limit, in either direction.

    Parameters
    ----------
    signal : Series, DataFrame or (model, dataset), optional
        Scores by (datetime, instrument); of a pair, what the model predicts of the dataset's segment ``test``.
    model, dataset : optional
        Both together are another way to write ``signal=(model, dataset)``.
    risk_degree : float
        Share of the account that is invested; `get_risk_degree` may say another one for each session.
    order_generator_cls_or_obj : OrderGenerator, its class or its name
        `OrderGenWOInteract` or `OrderGenWInteract`.
    trade_exchange, level_infra, common_infra : None
        Only None: Qlib's nested execution is not here.

    Raises
    ------
    ConfigError
        For a share that is none, and for what is not simulated.
    """

    def __init__(
        self,
        *,
        signal: Any = None,
        model: Any = None,
        dataset: Any = None,
        risk_degree: float = 0.95,
        order_generator_cls_or_obj: OrderGenerator | type[OrderGenerator] | str = OrderGenWOInteract,
        trade_exchange: None = None,
        level_infra: None = None,
        common_infra: None = None,
    ) -> None:
        refuse_nested(trade_exchange=trade_exchange, level_infra=level_infra, common_infra=common_infra)
        if not 0 < risk_degree <= 1:
            raise ConfigError(f"risk_degree = {risk_degree} is not a share of the account (0 to 1)")
        self.signal: Any = resolve_scores(signal, model, dataset)
        self.risk_degree = risk_degree
        self.order_generator = find_generator(order_generator_cls_or_obj)

    @property
    def forbid_all_trade_at_limit(self) -> bool:
        """Nothing is traded at a limit."""
        return True

    def get_risk_degree(self, trade_step: int | None = None) -> float:  # noqa: ARG002 - for who derives from it
        """Return the share of the account that is invested on a session, the `trade_step`-th of the simulation."""
        return self.risk_degree

    @abstractmethod
    def generate_target_weight_position(
        self,
        score: pd.Series[float],
        current: Position,
        trade_start_time: pd.Timestamp,
        trade_end_time: pd.Timestamp,
    ) -> Mapping[str, float] | None:
        """Return the weights that are wanted, by code; None orders nothing.

        Parameters
        ----------
        score : Series
            Scores of the session before by instrument, the best first, equal ones by lots; none is missing.
        current : Position
            Before the session, at its last prices.
        trade_start_time, trade_end_time : Timestamp
            The session of the trade, twice: bars are days.

        Returns
        -------
        mapping of str to float, or None
            Between 0 and 1, together at most 1. What is left out is sold.
        """

    def decide(self, day: TradingDay, account: Account) -> Iterator[Order]:
        """Return the orders of one session; see `OrderGenerator.generate`."""
        current, score = self.read_session(day, account)
        session = pd.Timestamp(self._dates(day)[day.number])
        target = self.generate_target_weight_position(
            score=score, current=current, trade_start_time=session, trade_end_time=session
        )
        if target is not None:
            yield from self.order_generator.generate(target, self.get_risk_degree(day.number), day, account)

    def read_session(self, day: TradingDay, account: Account) -> tuple[Position, pd.Series[float]]:
        """Return the position and the scores that `generate_target_weight_position` is given.

        Raises
        ------
        ConfigError
            Of a market without codes or dates.
        """
        self._dates(day)
        codes = day.names or ()
        known = np.flatnonzero(~np.isnan(day.scores))
        known = known[np.lexsort((day.lots[known], -day.scores[known]))]
        index = pd.Index(np.array(codes, dtype=object)[known], name="instrument")
        return _make_position(account, codes), pd.Series(day.scores[known], index=index, name="score")

    @staticmethod
    def _dates(day: TradingDay) -> pd.DatetimeIndex:
        if day.names is None or day.dates is None:
            raise ConfigError(
                "a strategy by weights goes by codes and dates, and the market has none",
                hint="give MarketPrices(names=…, dates=…), or take `backtest`",
            )
        return day.dates


def _make_position(account: Account, names: tuple[str, ...]) -> Position:
    held = sorted(account.held, key=lambda place: names[place])
    holdings = {
        names[place]: Holding(
            amount=float(account.amount[place]),
            price=float(account.known_price[place]),
            count=int(account.age[place]),
        )
        for place in held
    }
    return Position(cash=account.cash, holdings=holdings)
