"""Risk, monthly returns and drawdowns of a back-test, as tables."""

from __future__ import annotations

from typing import Final, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rollwright.backtest.risk import ReturnMode, RiskFigures, draw_down, measure_risk
from rollwright.errors import ConfigError

__all__ = ["MODES", "list_drawdowns", "list_monthly_returns", "list_risk"]

MODES: Final[tuple[ReturnMode, ...]] = get_args(ReturnMode)
"""Returns are added up, and compounded."""


def _series_of(report: pd.DataFrame) -> dict[str, pd.Series]:
    """Return the series whose risk is told; each is a fraction of the account the session before."""
    gross, bench = report["return"], report["bench"]
    net = gross - report["cost"]
    return {
        "excess_return_without_cost": gross - bench,
        "excess_return_with_cost": gross - bench - report["cost"],
        "return_without_cost": gross,
        "return_with_cost": net,
        "benchmark": bench,
    }


def list_risk(report: pd.DataFrame, *, periods: float) -> pd.DataFrame:
    """Return what `risk_analysis` finds of a back-test: over the benchmark and by itself, before and after costs.

    Parameters
    ----------
    report : DataFrame
        As `BacktestResult` has it.
    periods : float
        Sessions of a year.

    Returns
    -------
    DataFrame
        Columns ``series`` (excess_return_without_cost, excess_return_with_cost, return_without_cost, return_with_cost,
        benchmark), ``mode`` (sum, product) and the figures of `RiskFigures`, float64.
    """
    rows = [
        {"series": name, "mode": mode} | measure_risk(values.to_numpy(np.float64), periods=periods, mode=mode)._asdict()
        for mode in MODES
        for name, values in _series_of(report).items()
    ]
    return pd.DataFrame(rows, columns=["series", "mode", *RiskFigures._fields])


def list_monthly_returns(report: pd.DataFrame) -> pd.DataFrame:
    """Return the returns of each month after costs, added up and compounded, beside the benchmark's.

    Returns
    -------
    DataFrame
        A row for each month that has sessions, in order: ``year``, ``month``, ``sessions``, ``return`` and
        ``bench`` (added up), ``excess`` (the one less the other), ``compounded`` and ``compounded_bench`` (of the
        account, as if it had begun with the month).
    """
    net, bench = report["return"] - report["cost"], report["bench"]
    dates = pd.DatetimeIndex(report.index)
    month = [dates.year.rename("year"), dates.month.rename("month")]
    table = pd.DataFrame(
        {
            "sessions": net.groupby(month).size(),
            "return": net.groupby(month).sum(),
            "bench": bench.groupby(month).sum(),
            "compounded": (1 + net).groupby(month).prod() - 1,
            "compounded_bench": (1 + bench).groupby(month).prod() - 1,
        }
    )
    table.insert(3, "excess", table["return"] - table["bench"])
    return table.reset_index()


def list_drawdowns(report: pd.DataFrame, *, count: int = 5) -> pd.DataFrame:
    """Return the deepest drawdowns after costs, returns added up and compounded.

    A drawdown begins with the highest value so far (that before the first session, if nothing was higher), and ends on
    the session on which the value is that high again.

    Parameters
    ----------
    report : DataFrame
    count : int
        How many of either kind, at most.

    Returns
    -------
    DataFrame
        ``mode`` (sum, product), ``start`` (session of the highest value; NaT where that is the value before the first
        one), ``trough``, ``end`` (NaT while it lasts), ``depth`` (below zero; with ``sum`` a difference, with
        ``product`` a share of the highest value), ``sessions`` (from after the start to the end, or the last session).
        By mode, the deepest first; that of the first row of a mode is its `max_drawdown`.

    Raises
    ------
    ConfigError
        For a `count` below one.
    """
    if count < 1:
        raise ConfigError(f"count = {count}: at least one drawdown is told")
    net = (report["return"] - report["cost"]).to_numpy(np.float64)
    dates = pd.DatetimeIndex(report.index)
    parts = [_find_drawdowns(net, dates, mode, count) for mode in MODES]
    return pd.DataFrame([row for part in parts for row in part], columns=list(_DRAWDOWN)).astype(_DRAWDOWN)


_DRAWDOWN: Final = {
    "mode": "str",
    "start": "datetime64[s]",
    "trough": "datetime64[s]",
    "end": "datetime64[s]",
    "depth": "float64",
    "sessions": "int64",
}


def _find_drawdowns(
    returns: NDArray[np.float64], dates: pd.DatetimeIndex, mode: ReturnMode, count: int
) -> list[dict[str, object]]:
    below = draw_down(returns, mode)
    # runs of values below the highest one: from the place after a peak to before the next
    under = np.concatenate([[False], below < 0, [False]])
    edges = np.flatnonzero(under[1:] != under[:-1])
    rows = []
    for begin, stop in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        trough = begin + int(below[begin:stop].argmin())
        rows.append(
            {
                "mode": mode,
                "start": dates[begin - 2] if begin > 1 else pd.NaT,  # place 0 is before the first session
                "trough": dates[trough - 1],
                "end": dates[stop - 1] if stop < len(below) else pd.NaT,
                "depth": float(below[trough]),
                "sessions": min(stop, len(below) - 1) - begin + 1,
            }
        )
    return sorted(rows, key=lambda row: row["depth"])[:count]
