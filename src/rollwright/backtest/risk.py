"""Risk and return metrics of a return series."""

from __future__ import annotations

import math
import re
from typing import Final, Literal, NamedTuple, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rollwright.config.context import current_settings
from rollwright.errors import ConfigError, DataError

__all__ = [
    "AccountFigures",
    "ReturnMode",
    "RiskFigures",
    "draw_down",
    "measure_account",
    "measure_risk",
    "periods_per_year",
    "risk_analysis",
    "standard_deviation",
]

Floats: TypeAlias = NDArray[np.float64]
ReturnMode: TypeAlias = Literal["sum", "product"]
"""``sum``: returns are added up; ``product``: they are compounded."""

_PER_YEAR: Final = {"week": 50.0, "month": 12.0}
_MINUTES: Final = {"cn": 240.0, "tw": 270.0, "us": 390.0}
_SPELLINGS: Final = {"d": "day", "w": "week", "mon": "month", "minute": "min"}
_ROUNDING: Final = 1e-12


def periods_per_year(freq: str) -> float:
    """Return how many periods of `freq` (``day``, ``5min``, ``week``, ``month``) a year has.

    A year has the sessions of the setting ``data.days_per_year``, which goes by the region where it is not set: 238 in
    ``cn`` and ``tw``, as in Qlib, and 252 in ``us``. A session has the minutes of its region: 240, 270, 390. A year has
    50 weeks, as in Qlib, and 12 months.

    Raises
    ------
    ConfigError
        For an unknown frequency.
    """
    found = re.fullmatch(r"([1-9]\d*)?([a-z]+)", freq.lower())
    unit = _SPELLINGS.get(found[2], found[2]) if found else ""
    data = current_settings().data
    known = {
        **_PER_YEAR,
        "day": data.sessions_per_year,
        "min": data.sessions_per_year * _MINUTES[data.region],
    }
    if found is None or unit not in known:
        raise ConfigError(f"{freq!r} is not a frequency", hint="write it as day, 5min, week or month")
    return known[unit] / int(found[1] or 1)


def standard_deviation(values: Floats) -> float:
    """Return the standard deviation (``ddof`` 1): NaN with fewer than two values, and 0 when they are all equal.

    Values that differ by rounding only count as equal, so that no ratio is taken over a rounding error.
    """
    if len(values) < 2:
        return math.nan
    found = float(values.std(ddof=1))
    return found if found > _ROUNDING * float(np.abs(values).max()) else 0.0


class RiskFigures(NamedTuple):
    """What `risk_analysis` finds of one series of returns; a figure that is not defined is NaN."""

    mean: float
    std: float
    annualized_return: float
    information_ratio: float
    max_drawdown: float


class AccountFigures(NamedTuple):
    """What is told of a back-test after costs; a figure that is not defined is NaN."""

    annualized_return: float
    excess_return: float
    information_ratio: float
    max_drawdown: float
    turnover: float


def risk_analysis(
    r: pd.Series[float],
    N: float | None = None,  # noqa: N803 - Qlib's name
    freq: str = "day",
    mode: ReturnMode = "sum",
) -> pd.DataFrame:
    """Return mean, standard deviation, annualised return, information ratio and maximum drawdown of `r`.

    Parameters
    ----------
    r : Series
        Returns per period, in order; NaN is left out.
    N : float, optional
        Periods per year; those of `freq` if not given, see `periods_per_year`.
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
        no variance) is NaN. max_drawdown counts from the value before the first period, so a loss in it is part of the
        drawdown: that of ``[-0.1, 0.05, 0.02]`` is -0.1, where Qlib, which counts from its end, finds none. Compounded,
        an account that lost everything has a mean, an annualized_return and a max_drawdown of -1, and no std.

    Raises
    ------
    ConfigError
        For an unknown `freq` or `mode`, and for an `N` that is not above zero.
    DataError
        For a return that is infinite.
    """
    periods = periods_per_year(freq) if N is None else float(N)
    figures = measure_risk(np.asarray(r, dtype=np.float64), periods=periods, mode=mode)
    return pd.Series(figures._asdict()).to_frame("risk")


def measure_account(returns: Floats, bench: Floats, turnover: Floats, *, periods: float) -> AccountFigures:
    """Return the figures of a back-test: those of its returns, and, as ``excess``, over the benchmark.

    Parameters
    ----------
    returns, bench, turnover : ndarray of float64 [sessions]
        Returns after costs, changes of the benchmark, and traded value, as fractions of the account.
    periods : float
        Of a year.

    Raises
    ------
    ConfigError, DataError
        As `risk_analysis`.
    """
    whole, excess = measure_risk(returns, periods=periods), measure_risk(returns - bench, periods=periods)
    return AccountFigures(
        annualized_return=whole.annualized_return,
        excess_return=excess.annualized_return,
        information_ratio=excess.information_ratio,
        max_drawdown=whole.max_drawdown,
        turnover=float(turnover.mean()),
    )


def measure_risk(values: Floats, *, periods: float, mode: ReturnMode = "sum") -> RiskFigures:
    """Return the figures of `risk_analysis`, of returns in an array; NaN is left out.

    Parameters
    ----------
    values : ndarray of float64 [sessions]
    periods : float
        Of a year.
    mode : {"sum", "product"}

    Raises
    ------
    ConfigError, DataError
        As `risk_analysis`.
    """
    if not 0 < periods < math.inf:
        raise ConfigError(f"N = {periods}: a year has more than no periods, and not infinitely many")
    values = values[~np.isnan(values)]
    if np.isinf(values).any():
        raise DataError(
            f"{int(np.isinf(values).sum())} of {len(values)} returns are infinite",
            hint="look for prices of zero beneath them",
        )
    if mode == "sum":
        figures = _sum_returns(values, periods)
    elif mode == "product":
        figures = _compound_returns(values, periods)
    else:
        raise ConfigError(f"mode = {mode!r} is neither `sum` nor `product`")
    mean, std, annualized, drawdown = figures
    ratio = mean / std * math.sqrt(periods) if std > 0 else math.nan
    return RiskFigures(mean=mean, std=std, annualized_return=annualized, information_ratio=ratio, max_drawdown=drawdown)


def draw_down(values: Floats, mode: ReturnMode) -> Floats:
    """Return how far each value is below the highest so far: before the first of the returns, and after each.

    Parameters
    ----------
    values : ndarray of float64 [sessions]
        Returns, without NaN.
    mode : {"sum", "product"}

    Returns
    -------
    ndarray of float64 [sessions + 1]
        At most 0; with ``sum`` a difference, with ``product`` a share of the highest value.
    """
    if mode == "sum":
        curve = np.concatenate([[0.0], values.cumsum()])
        return np.asarray(curve - np.maximum.accumulate(curve))
    curve = np.concatenate([[1.0], (1 + values).cumprod()])
    return np.asarray(curve / np.maximum.accumulate(curve) - 1)


def _sum_returns(values: Floats, periods: float) -> tuple[float, float, float, float]:
    if not len(values):
        return (math.nan,) * 4
    mean = float(values.mean())
    return mean, standard_deviation(values), mean * periods, float(draw_down(values, "sum").min())


def _compound_returns(values: Floats, periods: float) -> tuple[float, float, float, float]:
    if not len(values):
        return (math.nan,) * 4
    if (values <= -1).any():
        return -1.0, math.nan, -1.0, -1.0
    whole, size = float((1 + values).cumprod()[-1]), len(values)
    return (
        whole ** (1 / size) - 1,
        standard_deviation(np.log1p(values)),
        whole ** (periods / size) - 1,
        float(draw_down(values, "product").min()),
    )
