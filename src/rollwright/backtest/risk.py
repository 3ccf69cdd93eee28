"""Risk and return metrics of a return series."""

from __future__ import annotations

import re
from typing import Final, Literal

import numpy as np
import pandas as pd

from rollwright.errors import ConfigError

__all__ = ["periods_per_year", "risk_analysis"]

# Qlib's trading year: 238 sessions of 240 minutes.
_PER_YEAR: Final = {"day": 238.0, "week": 50.0, "month": 12.0, "min": 240.0 * 238.0}
_SPELLINGS: Final = {"d": "day", "w": "week", "mon": "month", "minute": "min"}


def periods_per_year(freq: str) -> float:
    """Return how many periods of `freq` (``day``, ``5min``, ``week``, ``month``) a trading year has.

    Raises
    ------
    ConfigError
        For an unknown frequency.
    """
    found = re.fullmatch(r"([1-9]\d*)?([a-z]+)", freq.lower())
    unit = _SPELLINGS.get(found[2], found[2]) if found else ""
    if found is None or unit not in _PER_YEAR:
        raise ConfigError(f"{freq!r} is not a frequency", hint="write it as day, 5min, week or month")
    return _PER_YEAR[unit] / int(found[1] or 1)


def risk_analysis(
    r: pd.Series[float],
    N: float | None = None,  # noqa: N803 - Qlib's name
    freq: str = "day",
    mode: Literal["sum", "product"] = "sum",
) -> pd.DataFrame:
    """Return mean, standard deviation, annualised return, information ratio and maximum drawdown of `r`.

    Parameters
    ----------
    r : Series
        Returns per period, in order; NaN is left out.
    N : float, optional
        Periods per year; from `freq` if not given: 238 for ``day``, Qlib's trading year. `SigAnaRecord` annualises with
        252 unless it is told otherwise, as Qlib's does: annual figures of the two do not compare.
    freq : str
        Of the periods of `r`.
    mode : {"sum", "product"}
        With ``sum`` returns are added up: mean is the arithmetic one, annualized_return is the mean times the periods
        per year, and the drawdown is that of the running sum, so that figures of different times compare. With
        ``product`` they are compounded: mean and annualized_return are geometric, std is that of ``log(1 + r)``, and
        the drawdown is a share of the highest value so far.

    Returns
    -------
    DataFrame
        One column ``risk`` with the rows mean, std, annualized_return, information_ratio, max_drawdown; std has
        ddof 1, and information_ratio is ``mean / std * sqrt(N)``. A figure that is not defined (fewer than two returns,
        no variance) is NaN. As in Qlib, max_drawdown counts from the end of the first period: a loss in the first
        period itself is not part of it, so ``[-0.1, 0.05, 0.02]`` has none.

    Raises
    ------
    ConfigError
        For an unknown `freq` or `mode`.
    """
    periods = periods_per_year(freq) if N is None else float(N)
    values = np.asarray(r, dtype=np.float64)
    values = values[~np.isnan(values)]
    if mode == "sum":
        figures = _sum_returns(values, periods)
    elif mode == "product":
        figures = _compound_returns(values, periods)
    else:
        raise ConfigError(f"mode = {mode!r} is neither `sum` nor `product`")
    mean, std, annualized, drawdown = figures
    ratio = mean / std * np.sqrt(periods) if std > 0 else np.nan
    rows = {
        "mean": mean,
        "std": std,
        "annualized_return": annualized,
        "information_ratio": ratio,
        "max_drawdown": drawdown,
    }
    return pd.Series(rows).to_frame("risk")


def _std(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
    return float(values.std(ddof=1)) if len(values) > 1 else np.nan


def _sum_returns(
    values: np.ndarray[tuple[int], np.dtype[np.float64]], periods: float
) -> tuple[float, float, float, float]:
    if not len(values):
        return (np.nan,) * 4
    mean = float(values.mean())
    curve = values.cumsum()
    return mean, _std(values), mean * periods, float((curve - np.maximum.accumulate(curve)).min())


def _compound_returns(
    values: np.ndarray[tuple[int], np.dtype[np.float64]], periods: float
) -> tuple[float, float, float, float]:
    if not len(values):
        return (np.nan,) * 4
    curve = (1 + values).cumprod()
    size = len(values)
    mean = float(curve[-1] ** (1 / size) - 1)
    annualized = float(curve[-1] ** (periods / size) - 1)
    return mean, _std(np.log1p(values)), annualized, float((curve / np.maximum.accumulate(curve) - 1).min())
