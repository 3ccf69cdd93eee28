"""Sharpe ratios with their doubt: probabilistic and deflated Sharpe ratio, and the length of record they need.

Two published standards give different numbers, and here each carries its name:

``2012``
    Bailey and López de Prado, *The Sharpe Ratio Efficient Frontier* (2012) and *The Deflated Sharpe Ratio* (2014).
    The error is taken at the ratio that was observed, over T − 1 returns, without autocorrelation.
``2025``
    López de Prado, Lipton and Zoonekynd, *Sharpe Ratio Inference: A New Standard* (2025). The error is taken at the
    ratio it is compared with, over T returns, with the first autocorrelation, and multiplied by the variance of the
    largest of K normal values when the ratio is the best of K.

Of the two the earlier is the stricter for a deflated ratio of many trials, and verdicts here follow it.

Every ratio is *per period* of the returns, never annual: an annual ratio put beside a number of daily returns is the
commonest error with these formulas. Kurtosis is the raw fourth moment, 3 for normal returns, not the excess.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rollwright.analysis.honesty.maximum import expected_normal_maximum, measure_normal_maximum
from rollwright.backtest.risk import standard_deviation
from rollwright.errors import DataError

__all__ = [
    "ReturnMoments",
    "Standard",
    "critical_sharpe_ratio",
    "deflated_sharpe_ratio",
    "expected_maximum_sharpe_ratio",
    "measure_returns",
    "minimum_track_record_length",
    "observed_false_discovery_rate",
    "probabilistic_sharpe_ratio",
    "sharpe_ratio_error",
    "sharpe_ratio_power",
]

Standard = Literal["2012", "2025"]

_NORMAL: Final = NormalDist()
_LEAST: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class ReturnMoments:
    """What the formulas need of a series of returns.

    Attributes
    ----------
    count : int
        Number of returns, T.
    sharpe : float
        Mean over standard deviation (``ddof=1``) of the returns less the risk-free rate, per period.
    skewness, kurtosis : float
        Third and fourth standardised moment (of the population; kurtosis is 3 for normal returns).
    autocorrelation : float
        First-order autocorrelation; used by the standard of 2025 alone.
    """

    count: int
    sharpe: float
    skewness: float = 0.0
    kurtosis: float = 3.0
    autocorrelation: float = 0.0

    def __post_init__(self) -> None:
        if self.count < _LEAST:
            raise DataError(f"{self.count} returns: a Sharpe ratio with an error needs at least {_LEAST}")
        figures = (self.sharpe, self.skewness, self.kurtosis, self.autocorrelation)
        if not all(math.isfinite(figure) for figure in figures):
            raise DataError(f"moments that are not finite: {self}")
        if not -1 < self.autocorrelation < 1:
            raise DataError(f"an autocorrelation of {self.autocorrelation}: it must lie between -1 and 1")


def measure_returns(returns: ArrayLike, *, risk_free: float = 0.0) -> ReturnMoments:
    """Return the moments of a series of returns.

    Parameters
    ----------
    returns : array-like, shape (T,)
        Returns of one strategy, one for each period in order.
    risk_free : float, default 0.0
        Rate of a period, in the units of the returns, which is taken off each.

    Raises
    ------
    DataError
        For fewer than three returns, one that is not finite, or returns that are all equal.
    """
    values = np.asarray(returns, dtype=np.float64)
    if values.ndim != 1:
        raise DataError(f"returns of shape {values.shape}: one series is needed")
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        raise DataError(
            f"{len(bad)} of {len(values)} returns are not finite, the first at place {bad[0]}: {values[bad[0]]}",
            hint="leave periods without a return out, or give them 0 if nothing was held",
        )
    if len(values) < _LEAST:
        raise DataError(f"{len(values)} returns: a Sharpe ratio with an error needs at least {_LEAST}")
    excess = values - risk_free
    deviation = standard_deviation(excess)
    if deviation == 0:
        raise DataError(f"all {len(values)} returns are {values[0]}: a Sharpe ratio is not defined")
    centred = excess - excess.mean()
    return ReturnMoments(
        count=len(values),
        sharpe=float(excess.mean()) / deviation,
        skewness=_standardised_moment(centred, 3),
        kurtosis=_standardised_moment(centred, 4),
        autocorrelation=float(centred[1:] @ centred[:-1] / (centred @ centred)),
    )


def sharpe_ratio_error(
    moments: ReturnMoments, *, standard: Standard, at: float | None = None, trials: float = 1
) -> float:
    """Return the standard error of a Sharpe ratio.

    ``√((a − b γ₃ SR + c (γ₄ − 1)/4 SR²) / n)``: with a = b = c = 1 and n = T − 1 by the standard of 2012, and with
    ``a = 1 + 2ρ/(1−ρ)``, ``b = 1 + ρ/(1−ρ) + ρ²/(1−ρ²)``, ``c = 1 + 2ρ²/(1−ρ²)`` and n = T by that of 2025.

    Parameters
    ----------
    at : float, optional
        The ratio at which the error is taken. None takes the observed one.
    trials : float, default 1
        By the standard of 2025 the error of the best of so many; not used by that of 2012.

    Raises
    ------
    DataError
        When the moments give a negative variance, as a skewness too large for its kurtosis does.
    """
    ratio = moments.sharpe if at is None else at
    rho = moments.autocorrelation if standard == "2025" else 0.0
    once, twice = rho / (1 - rho), rho * rho / (1 - rho * rho)
    variance = (
        (1 + 2 * once)
        - (1 + once + twice) * moments.skewness * ratio
        + (1 + 2 * twice) * (moments.kurtosis - 1) / 4 * ratio * ratio
    )
    if variance <= 0:
        raise DataError(
            f"skewness {moments.skewness:.6g} and kurtosis {moments.kurtosis:.6g} give no positive variance "
            f"at a ratio of {ratio:.6g}"
        )
    if standard == "2012":
        return math.sqrt(variance / (moments.count - 1))
    return math.sqrt(variance / moments.count * measure_normal_maximum(trials).variance)


def probabilistic_sharpe_ratio(
    moments: ReturnMoments, *, benchmark: float = 0.0, standard: Standard = "2012", trials: float = 1
) -> float:
    """Return the probability that the true Sharpe ratio is above `benchmark`, in [0, 1].

    Source: both standards; ``Φ((SR − SR₀) / σ)``, σ by `sharpe_ratio_error`, at SR in 2012 and at SR₀ in 2025.

    Parameters
    ----------
    benchmark : float, default 0.0
        SR₀, per period.
    trials : float, default 1
        By the standard of 2025, of how many the ratio is the best.
    """
    at = moments.sharpe if standard == "2012" else benchmark
    error = sharpe_ratio_error(moments, standard=standard, at=at, trials=trials)
    return _NORMAL.cdf((moments.sharpe - benchmark) / error)


def expected_maximum_sharpe_ratio(trials: float, *, deviation: float, mean: float = 0.0) -> float:
    """Return the Sharpe ratio that the best of `trials` worthless strategies is expected to show.

    Parameters
    ----------
    trials : float
        How many strategies were tried, or an effective number of them; 1 or more.
    deviation : float
        Standard deviation of the trials' Sharpe ratios, per period.
    mean : float, default 0.0
        Their mean.
    """
    if not (math.isfinite(deviation) and deviation >= 0):
        raise DataError(f"a deviation of {deviation} between the trials' Sharpe ratios: 0 or more is needed")
    return mean + deviation * expected_normal_maximum(trials)


def deflated_sharpe_ratio(
    moments: ReturnMoments, *, trials: float, deviation: float, mean: float = 0.0, standard: Standard = "2012"
) -> float:
    """Return the probability that a Sharpe ratio, the best of `trials`, is above what the best by luck would show.

    The probabilistic Sharpe ratio against `expected_maximum_sharpe_ratio`; by the standard of 2025 the error is that of
    the best of `trials`.
    """
    expected = expected_maximum_sharpe_ratio(trials, deviation=deviation, mean=mean)
    return probabilistic_sharpe_ratio(moments, benchmark=expected, standard=standard, trials=trials)


def minimum_track_record_length(
    moments: ReturnMoments, *, benchmark: float = 0.0, confidence: float = 0.95, standard: Standard = "2012"
) -> float:
    """Return how many returns such a Sharpe ratio needs to be above `benchmark` with `confidence`; infinite if never.

    The number is not rounded; ``moments.count`` plays no part in it.
    """
    _check_probability("confidence", confidence)
    if moments.sharpe <= benchmark:
        return math.inf
    once = sharpe_ratio_error(
        moments, standard=standard, at=moments.sharpe if standard == "2012" else benchmark
    ) ** 2 * (moments.count - 1 if standard == "2012" else moments.count)
    needed = once * (_NORMAL.inv_cdf(confidence) / (moments.sharpe - benchmark)) ** 2
    return 1 + needed if standard == "2012" else needed


def critical_sharpe_ratio(
    moments: ReturnMoments, *, benchmark: float = 0.0, confidence: float = 0.95, trials: float = 1
) -> float:
    """Return the ratio from which on `benchmark` is rejected with `confidence` (standard of 2025)."""
    _check_probability("confidence", confidence)
    error = sharpe_ratio_error(moments, standard="2025", at=benchmark, trials=trials)
    return benchmark + _NORMAL.inv_cdf(confidence) * error


def sharpe_ratio_power(
    moments: ReturnMoments, *, true: float, benchmark: float = 0.0, confidence: float = 0.95
) -> float:
    """Return the probability that a true ratio of `true` would be found above `benchmark` (standard of 2025)."""
    critical = critical_sharpe_ratio(moments, benchmark=benchmark, confidence=confidence)
    return 1 - _NORMAL.cdf((critical - true) / sharpe_ratio_error(moments, standard="2025", at=true))


def observed_false_discovery_rate(
    moments: ReturnMoments, *, true: float, prior: float, benchmark: float = 0.0
) -> float:
    """Return the probability that nothing is behind a ratio as high as the observed one (standard of 2025).

    Parameters
    ----------
    true : float
        The ratio a strategy with an edge would have, per period.
    prior : float
        Share of strategies with such an edge among all that are tried, in (0, 1).
    """
    _check_probability("prior", prior)
    by_luck = 1 - probabilistic_sharpe_ratio(moments, benchmark=benchmark, standard="2025")
    by_edge = 1 - probabilistic_sharpe_ratio(moments, benchmark=true, standard="2025")
    return by_luck * (1 - prior) / (by_luck * (1 - prior) + by_edge * prior)


def _standardised_moment(centred: NDArray[np.float64], power: int) -> float:
    scale = math.sqrt(float(centred @ centred) / len(centred))
    return float(((centred / scale) ** power).mean())


def _check_probability(name: str, value: float) -> None:
    if not 0 < value < 1:
        raise DataError(f"{name} {value}: a number between 0 and 1 is needed")
