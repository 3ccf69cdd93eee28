"""Trade indicators: how far the orders of each session were filled, and their mean over a back-test."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

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
    was a holding that was settled at the end of its listing. `BacktestResult.unfilled` tells of those. Orders of one
    side for one instrument in one session are one row.

    Returns
    -------
    DataFrame
        Index (datetime, instrument), sorted, columns ``side`` (buy or sell), ``amount`` (wanted, in adjusted shares;
        0 for less than a lot or the smallest order), ``deal_amount``, ``value`` (traded), ``cost``, ``ffr`` (the share
        that was filled; NaN of an order of nothing).
    """
    trades = made.trades[(made.trades["side"] != "settle").to_numpy()]
    refused = made.unfilled[(made.unfilled["reason"].isin(_REFUSED) & (made.unfilled["side"] != "settle")).to_numpy()]
    days, day = _number([trades, refused], "datetime")
    names, name = _number([trades, refused], "instrument")
    buys = np.concatenate([(table["side"] == "buy").to_numpy(dtype=bool) for table in (trades, refused)])
    # 1. Which rows are of one order, or of two of the same side: numbered by session and instrument, and among those
    #    of the same pair by what comes first.
    keys, first, order = np.unique((day * len(names) + name) * 2 + buys, return_index=True, return_inverse=True)
    place = np.empty(len(keys), dtype=np.intp)
    place[np.lexsort((first, keys // 2))] = np.arange(len(keys))
    order, count = place[order], len(keys)
    rows = np.empty(count, dtype=np.intp)
    rows[place] = first
    # 2. What was dealt, and what was wanted beyond it: an order that was made smaller is a trade and a refusal.
    dealt, refusal = order[: len(trades)], order[len(trades) :]
    deal_amount, value, cost = (
        np.bincount(dealt, weights=trades[column], minlength=count).astype(np.float64)
        for column in ("amount", "value", "cost")
    )
    wanted = refused["wanted_amount"].where(~refused["reason"].isin(_NO_ORDER), 0.0).to_numpy()
    partly = refused["made_amount"].to_numpy()
    known = ~np.isnan(wanted)
    amount = deal_amount - np.bincount(refusal[known], weights=partly[known], minlength=count)
    amount += np.bincount(refusal[known], weights=wanted[known], minlength=count)
    ffr = np.divide(deal_amount, amount, out=np.full(count, np.nan), where=amount > 0)
    levels: list[Any] = [days, names]
    codes: list[Any] = [day[rows], name[rows]]
    index = pd.MultiIndex(levels=levels, codes=codes, names=["datetime", "instrument"]).remove_unused_levels()
    side = pd.array(["sell", "buy"], dtype="str").take(buys[rows].astype(np.intp))
    columns = {"side": side, "amount": amount, "deal_amount": deal_amount, "value": value, "cost": cost, "ffr": ffr}
    return pd.DataFrame(columns, index=index)


def _number(tables: Sequence[pd.DataFrame], level: str) -> tuple[pd.Index[Any], NDArray[np.intp]]:
    """Return the sorted values of a level of the tables' indices, and the number of each row's value among them."""
    found: list[tuple[pd.Index[Any], NDArray[np.intp]]] = []
    for table in tables:
        index = table.index
        if not isinstance(index, pd.MultiIndex):
            raise DataError("trades and unfilled orders need rows with the index (datetime, instrument)")
        at = list(index.names).index(level)
        found.append((index.levels[at], np.asarray(index.codes[at], dtype=np.intp)))
    values = found[0][0]
    if values.is_monotonic_increasing and all(values.equals(other) for other, _ in found):
        return values, np.concatenate([codes for _, codes in found])
    for other, _ in found[1:]:
        values = values.union(other)
    values = values.sort_values()
    return values, np.concatenate([values.get_indexer(other)[codes] for other, codes in found]).astype(np.intp)


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
    days, day = _number([orders], "datetime")
    place = sessions.get_indexer(days)[day]
    inside = place >= 0
    count = np.bincount(place[inside], minlength=len(sessions)).astype(np.float64)
    zero = np.where(count > 0, 0.0, np.nan)
    table = {"ffr": np.full(len(sessions), np.nan), "pa": zero, "pos": zero}
    table |= {name: np.zeros(len(sessions)) for name in ("deal_amount", "value")}
    for name in ("ffr", "deal_amount", "value"):
        grouped = pd.Series(orders[name].to_numpy()[inside]).groupby(place[inside])
        found = grouped.mean() if name == "ffr" else grouped.sum()
        table[name][found.index] = found
    return pd.DataFrame(table | {"count": count}, index=sessions.rename("datetime"), columns=list(INDICATORS))


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
