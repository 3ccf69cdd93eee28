"""Read of a market what a back-test needs: prices, what is dealt at, limits and the rules that hold."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rollwright.backtest.costs import Costs
from rollwright.backtest.rules.exchange_rules import ExchangeRules
from rollwright.backtest.simulate import MarketPrices
from rollwright.backtest.terms import DatedTerms
from rollwright.errors import ConfigError, DataError
from rollwright.expression.engine import evaluate
from rollwright.expression.planner import compile_plan
from rollwright.market.source import DataSource

__all__ = ["load_deal_prices", "load_prices", "load_terms"]

_logger: Final = logging.getLogger("rollwright.backtest")

Floats = NDArray[np.float64]

_SIDES: Final = 2
_LONG_AGO: Final = -(1 << 30)


def load_prices(source: DataSource, names: Sequence[str], start: int, stop: int, *, settle: bool) -> MarketPrices:
    """Return the prices of the sessions ``[start, stop)``, positions of the source's calendar.

    Raises
    ------
    DataError
        When nothing has a price.
    """
    begin = max(start - 1, 0)
    loaded = source.load(["close", "factor"], list(names), begin, stop).astype(np.float64)
    close, factor = loaded[0], loaded[1]
    priced = np.isfinite(close) & (close > 0)
    if not priced[start - begin :].any():
        raise DataError(f"none of the {len(names)} predicted instruments has a price in the sessions simulated")
    lacking = int((priced & ~(factor > 0)).sum())
    if lacking:
        _logger.warning(
            "backtest.factor_missing missing=%d prices=%d action=adjusted_shares_without_lots", lacking, priced.sum()
        )
    ends = None
    if settle:
        last = source.bounds(list(names))[:, 1] - start
        ends = np.where(last >= stop - start, np.iinfo(np.int64).max, last).astype(np.int64)
    return MarketPrices(
        close=close[start - begin :],
        factor=None if lacking else factor[start - begin :],
        before=close[0] if begin < start else None,
        ends=ends,
        names=tuple(names),
        dates=source.calendar().to_index()[start:stop],
    )


def load_deal_prices(
    market: MarketPrices, source: DataSource, names: Sequence[str], start: int, deal_price: str | tuple[str, str]
) -> MarketPrices:
    """Return the market with the prices that purchases and sales are made at.

    Raises
    ------
    ConfigError
        For what is neither a field nor a pair of fields.
    DataError
        When a field has no price anywhere.
    """
    asked = (deal_price, deal_price) if isinstance(deal_price, str) else tuple(deal_price)
    if len(asked) != _SIDES or not all(isinstance(one, str) for one in asked):
        raise ConfigError(f"deal_price = {deal_price!r} is neither a field nor a pair of fields", hint="take `open`")
    fields = [one.removeprefix("$") for one in asked]
    others = [one for one in dict.fromkeys(fields) if one != "close"]
    if not others:
        return market
    found = source.load(others, list(names), start, start + len(market.close)).astype(np.float64)
    prices = dict(zip(others, found, strict=True))
    traded = market.traded()
    for field, price in prices.items():
        lacking = int((traded & ~(np.isfinite(price) & (price > 0))).sum())
        if lacking == traded.sum():
            raise DataError(
                f"deal_price: the market has no `{field}` on any day on which there is a close",
                hint="trade at the close, or add the field to the data",
            )
        if lacking:
            _logger.warning(
                "backtest.deal_price_missing field=%s missing=%d prices=%d action=close", field, lacking, traded.sum()
            )
    buy, sell = fields
    return replace(market, buy_price=prices.get(buy), sell_price=prices.get(sell))


def load_terms(
    costs: Costs, rules: ExchangeRules | None, market: MarketPrices, source: DataSource, start: int
) -> DatedTerms:
    """Return the terms of each session and instrument: those of `rules`, or `costs` for all.

    Raises
    ------
    ConfigError
        For instruments or sessions that the rules do not know.
    ExpressionError
        For limits that are no expressions.
    """
    names = market.names or ()
    if rules is not None:
        special = None
        if isinstance(rules.special, str):
            field = rules.special.removeprefix("$")
            found = source.load([field], list(names), start, start + len(market.close))[0]
            special = np.isfinite(found) & (found != 0)
        first = source.bounds(list(names))[:, 0]
        return rules.make_terms(
            costs,
            names,
            source.calendar().values[start : start + len(market.close)],
            close=market.close,
            last=market.last_prices(),
            factor=market.factor,
            # a series that begins with the calendar may have been listed long before
            listed=np.where(first > 0, first - start, _LONG_AGO).astype(np.int64),
            special=special,
        )
    if not isinstance(costs.limit_threshold, tuple):
        return DatedTerms.of(costs)
    upper, lower = _evaluate(costs.limit_threshold, source, names, start, start + len(market.close))
    return DatedTerms(kinds=(replace(costs, limit_threshold=None),), upper=upper, lower=lower)


def _evaluate(
    expressions: tuple[str, str], source: DataSource, names: Sequence[str], start: int, stop: int
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return where each expression is not 0; where it has no value it is not known, and counts as at the limit."""
    plan = compile_plan(expressions)
    found = np.full((_SIDES, stop - start, len(names)), np.nan, dtype=np.float32)
    for tile in evaluate(plan, source, instruments=names, start=start, stop=stop):
        found[:, tile.rows.start - start : tile.rows.stop - start, tile.columns] = tile.values
    return found[0] != 0, found[1] != 0
