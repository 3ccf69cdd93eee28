"""Charts of an account: what it earned, what trading cost, what it held."""

from __future__ import annotations

import pandas as pd

from rollwright.analysis.report.drawing import (
    BLUE,
    GREY,
    ORANGE,
    RED,
    SKY,
    Figure,
    add_alpha,
    draw_line,
    make_date_axis,
    make_layout,
    make_value_axis,
)
from rollwright.analysis.report.words import Words
from rollwright.analysis.signal import rolling_mean

__all__ = ["draw_activity", "draw_compounded", "draw_holdings", "draw_performance", "net_of"]


def net_of(account: pd.DataFrame) -> pd.Series:
    """Return the daily return after costs."""
    return account["return"] - account.get("cost", 0.0)


def _list_curves(account: pd.DataFrame, words: Words) -> list[tuple[str, str, pd.Series, str]]:
    net = net_of(account)
    curves = [("strategy", words["strategy"], net, BLUE)]
    if "bench" in account:
        curves += [
            ("benchmark", words["benchmark"], account["bench"], GREY),
            ("excess", words["excess"], net - account["bench"], ORANGE),
        ]
    return curves


def draw_performance(account: pd.DataFrame, words: Words) -> Figure:
    """Return the cumulative returns of strategy, benchmark and excess, and below them their drawdowns.

    Parameters
    ----------
    account : DataFrame
        Index datetime; columns ``return`` and, where known, ``cost`` and ``bench``: daily, as parts of one.
    """
    traces: list[Figure] = []
    for key, name, daily, colour in _list_curves(account, words):
        total = daily.fillna(0.0).cumsum()
        traces.append(draw_line(total, name, colour, percent=True))
        if key != "benchmark":  # three falls in one chart would hide each other
            below = total - total.cummax().clip(lower=0.0)
            traces.append(
                draw_line(
                    below,
                    name,
                    colour,
                    percent=True,
                    width=1.2,
                    yaxis="y2",
                    fill="tozeroy",
                    fillcolor=add_alpha(colour, 0.18),
                    showlegend=False,
                )
            )
    layout = make_layout(
        470,
        xaxis=make_date_axis(words, anchor="y2"),
        yaxis=make_value_axis(words["return_axis"], ".0%", domain=[0.34, 1]),
        yaxis2=make_value_axis(words["drawdown_axis"], ".0%", domain=[0, 0.28]),
    )
    return {"data": traces, "layout": layout}


def draw_compounded(account: pd.DataFrame, words: Words) -> Figure:
    """Return what one unit grew to in strategy and benchmark, with each day's return put back in, on a log axis.

    Excess is the one over the other, as what somebody has who sold the benchmark to buy the strategy.
    """
    growth = {
        key: (1.0 + daily.fillna(0.0)).cumprod() for key, _, daily, _ in _list_curves(account, words) if key != "excess"
    }
    if "benchmark" in growth:
        growth["excess"] = growth["strategy"] / growth["benchmark"]
    names = {"strategy": words["strategy"], "benchmark": words["benchmark"], "excess": words["relative"]}
    colours = {"strategy": BLUE, "benchmark": GREY, "excess": ORANGE}
    traces = [draw_line(values, names[key], colours[key]) for key, values in growth.items()]
    layout = make_layout(
        330, xaxis=make_date_axis(words), yaxis=make_value_axis(words["growth_axis"], ".2f", type="log", nticks=8)
    )  # fmt: skip
    return {"data": traces, "layout": layout}


def draw_activity(account: pd.DataFrame, words: Words, *, window: int = 20) -> Figure:
    """Return the traded share of the account as a rolling mean, and below it what trading has cost so far."""
    turnover = rolling_mean(account["turnover"], window)
    traces = [
        draw_line(turnover, words["traded"].format(window=window), SKY, percent=True, width=2.0),
        draw_line(
            account["cost"].fillna(0.0).cumsum(),
            words["cost_so_far"],
            RED,
            percent=True,
            yaxis="y2",
            fill="tozeroy",
            fillcolor=add_alpha(RED, 0.12),
        ),
    ]
    layout = make_layout(
        360,
        xaxis=make_date_axis(words, anchor="y2"),
        yaxis=make_value_axis(words["traded_axis"], ".1%", domain=[0.5, 1], rangemode="tozero"),
        yaxis2=make_value_axis(words["cost_axis"], ".1%", domain=[0, 0.42], rangemode="tozero"),
    )
    return {"data": traces, "layout": layout}


def draw_holdings(names: pd.Series, top: pd.DataFrame, invested: pd.Series | None, words: Words) -> Figure:
    """Return how many names are held, and below it the weight of the largest ones and the invested share.

    Parameters
    ----------
    names : Series
        Held names by day.
    top : DataFrame
        By day: ``largest``, ``top_five``, shares of the account.
    invested : Series or None
        Share of the account that is not cash.
    """
    step = {"color": BLUE, "width": 1.6, "shape": "hv"}
    traces = [
        draw_line(names.astype(float), words["names_held"], BLUE, line=step, hovertemplate="%{y:.0f}<extra></extra>"),
        draw_line(top["largest"], words["largest_weight"], ORANGE, percent=True, yaxis="y2"),
        draw_line(top["top_five"], words["top_weights"], RED, percent=True, yaxis="y2"),
    ]
    if invested is not None:
        traces.append(draw_line(invested, words["invested"], GREY, percent=True, yaxis="y2", dash="dot"))
    layout = make_layout(
        400,
        xaxis=make_date_axis(words, anchor="y2"),
        yaxis=make_value_axis(words["names_axis"], domain=[0.58, 1], rangemode="tozero"),
        yaxis2=make_value_axis(words["weight_axis"], ".0%", domain=[0, 0.5], rangemode="tozero"),
    )
    return {"data": traces, "layout": layout}
