"""Trade indicators: how far the orders of each session were filled, and their mean over a back-test."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

import numpy as np
import pandas as pd

from rollwright.backtest.daily import BacktestResult
from rollwright.errors import ConfigError, DataError, nearest

__all__ = ["INDICATORS", "METHODS", "Method", "indicator_analysis", "list_orders", "trade_indicators"]

Method: TypeAlias = Literal["mean", "amount_weighted", "value_weighted"]
INDICATORS: Final = ("ffr", "pa", "pos", "deal_amount", "value", "count")
METHODS: Final[dict[Method, str]] = {"mean": "count", "amount_weighted": "deal_amount", "value_weighted": "value"}
_REFUSED: Final = ("cash", "below_lot", "minimum_lot", "t_plus_1", "unsettled")
"""Why an order that reached the market was not filled; what had another reason never became one."""
_NO_ORDER: Final = ("below_lot", "minimum_lot")


def list_orders(made: BacktestResult) -> pd.DataFrame:
    """Return the orders that reached the market, filled or not.

    A name that was suspended, at its limit, not held long enough or without a place was never ordered, as in Qlib; nor
    was a holding that was settled at the end of its listing. `BacktestResult.unfilled` tells of those.

    Returns
    -------
    DataFrame
        Index (datetime, instrument), sorted, columns ``side`` (buy or sell), ``amount`` (wanted, in adjusted shares;
        0 for less than a lot or the smallest order), ``deal_amount``, ``value`` (traded), ``cost``, ``ffr`` (the share
        that was filled; NaN of an order of nothing).
    """
    keys = ["datetime", "instrument", "side"]
    trades = made.trades[made.trades["side"] != "settle"].set_index("side", append=True)
    refused = made.unfilled[made.unfilled["reason"].isin(_REFUSED) & (made.unfilled["side"] != "settle")]
    wanted = refused["wanted_amount"].where(~refused["reason"].isin(_NO_ORDER), 0.0)
    wanted = wanted.to_frame("amount").set_index(refused["side"], append=True)["amount"]
    index = trades.index.append(wanted.index).unique().set_names(keys)
    dealt = trades["amount"].reindex(index).fillna(0.0)
    amount = wanted.reindex(index).fillna(dealt)
    table = pd.DataFrame(
        {
            "amount": amount,
            "deal_amount": dealt,
            "value": trades["value"].reindex(index).fillna(0.0),
            "cost": trades["cost"].reindex(index).fillna(0.0),
            "ffr": dealt / amount.where(amount > 0),
        },
        index=index,
    )
    return table.reset_index("side").sort_index()


def trade_indicators(orders: pd.DataFrame, sessions: pd.DatetimeIndex) -> pd.DataFrame:
    """Return the trade indicators of each session, by Qlib's names.

    Parameters
    ----------
    orders : DataFrame
        Of `list_orders`.
    sessions : DatetimeIndex
        One row each; NaN where no order makes a share.

    Returns
    -------
    DataFrame
        ``ffr``: mean share of an order that was filled. ``pa``: price advantage over the price orders are filled at,
        and ``pos``: share of orders that had one; at one price a day both are 0. ``deal_amount``: adjusted shares
        traded. ``value``: traded, in currency. ``count``: orders, those of less than a lot among them.
    """
    day = orders.index.get_level_values("datetime")
    count = orders["amount"].groupby(day).size().reindex(sessions).fillna(0.0).astype(np.float64)
    zero = count.where(count == 0, 0.0).where(count > 0)
    table = {
        "ffr": orders["ffr"].groupby(day).mean().reindex(sessions),
        "pa": zero,
        "pos": zero,
        "deal_amount": orders["deal_amount"].groupby(day).sum().reindex(sessions).fillna(0.0),
        "value": orders["value"].groupby(day).sum().reindex(sessions).fillna(0.0),
        "count": count,
    }
    return pd.DataFrame(table, index=sessions.rename("datetime"), columns=list(INDICATORS))


def indicator_analysis(df: pd.DataFrame, method: Method = "mean") -> pd.DataFrame:
    """Return the means of ``ffr``, ``pa`` and ``pos`` over the sessions.

    Parameters
    ----------
    df : DataFrame
        Trade indicators, a row per session.
    method : {"mean", "amount_weighted", "value_weighted"}
        What a session counts by: its orders, the shares or the value it traded. ``pos`` always counts by orders.

    Returns
    -------
    DataFrame
        One column ``value``, rows ``ffr``, ``pa``, ``pos``; NaN where nothing was ordered.

    Raises
    ------
    ConfigError
        For another method.
    DataError
        When a column is missing.
    """
    weight = METHODS.get(method)
    if weight is None:
        near = nearest(method, METHODS)
        raise ConfigError(
            f"indicators are not averaged by {method!r}",
            hint=f"did you mean `{near}`?" if near else f"known: {', '.join(METHODS)}",
        )
    missing = [name for name in ("ffr", "pa", "pos", "count", weight) if name not in df.columns]
    if missing:
        raise DataError(f"the indicators lack {', '.join(dict.fromkeys(missing))}", hint="trade_indicators makes them")
    by_method, by_orders = df[weight].abs(), df["count"]
    found = {"ffr": _mean(df["ffr"], by_method), "pa": _mean(df["pa"], by_method), "pos": _mean(df["pos"], by_orders)}
    return pd.Series(found, dtype=np.float64).to_frame("value")


def _mean(values: pd.Series, weights: pd.Series) -> float:
    """Return the weighted mean; as in Qlib, a session without a value weighs too."""
    total = float(weights.sum())
    return float((values * weights).sum()) / total if total > 0 else float("nan")
