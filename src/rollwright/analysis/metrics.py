"""Metrics: numbers with a machine key and a unit, and the one place that formats them as text.

Programs compare keys and values; people read what `show_metrics` returns. The terminal, ``--json``, ``summary.json``
and the report are all made from the same `Metric` values.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, get_args

from rollwright.analysis.health import HealthFinding, group_findings
from rollwright.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "Metric",
    "ShownMetric",
    "Unit",
    "backtest_metrics",
    "join_marks",
    "metrics_from_json",
    "metrics_to_json",
    "name_recorder_metrics",
    "show_metrics",
    "to_recorder_metrics",
]

Unit: TypeAlias = Literal[
    "correlation",
    "ratio",
    "fraction",
    "fraction_per_session",
    "fraction_per_year",
    "sessions",
    "count",
    "probability",
    "years",
]
"""``fraction``: 0.05 is five percent; ``ratio``: a mean over a standard deviation."""

_UNITS: Final = frozenset(get_args(Unit))
_KEY: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")
_ERROR: Final = "_error"
_LOW: Final = "_low"
_HIGH: Final = "_high"
_BESIDE: Final = (_ERROR, _LOW, _HIGH)


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One number.

    Attributes
    ----------
    key : str
        Lower-case letters, digits and ``_``. ``X_error`` is the standard error of ``X``, ``X_low`` and ``X_high`` are
        the ends of its 95 % interval.
    value : float
        NaN where it is not defined; two that are not defined are equal.
    unit : Unit

    Raises
    ------
    DataError
        For another key or unit.
    """

    key: str
    value: float
    unit: Unit

    def __post_init__(self) -> None:
        if not _KEY.fullmatch(self.key):
            raise DataError(f"{self.key!r} is not a metric key", hint="use lower-case letters, digits and _")
        if self.unit not in _UNITS:
            raise DataError(f"metric `{self.key}` has the unknown unit {self.unit!r}", hint=f"known: {sorted(_UNITS)}")
        if math.isnan(self.value):  # one NaN for all, since a comparison of fields takes the same object as equal
            object.__setattr__(self, "value", math.nan)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownMetric:
    """A metric as people read it.

    Attributes
    ----------
    key, label, value : str
    error : str
        The standard error; empty when there is none.
    interval : str
        The ends of the 95 % interval, ``0.0321 … 0.0527``; empty when there is none.
    findings : tuple of int
        The numbers, from 1, of the findings that make the value doubtful.
    """

    key: str
    label: str
    value: str
    error: str
    findings: tuple[int, ...] = ()
    interval: str = ""

    @property
    def text(self) -> str:
        """The value, its standard error and its interval in one line."""
        error = f" ± {self.error}" if self.error else ""
        return f"{self.value}{error}{f' ({self.interval})' if self.interval else ''}"

    @property
    def mark(self) -> str:
        """The numbers of its findings as people read them, ``[1] [3]``; "" when there are none."""
        return " ".join(f"[{number}]" for number in self.findings)


def join_marks(metrics: Iterable[ShownMetric]) -> str:
    """Return the numbers of the findings about any of the metrics, each once and in order, ``[1] [3]``."""
    return " ".join(f"[{number}]" for number in sorted({number for metric in metrics for number in metric.findings}))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Label:
    """Words for a metric; one that is not shown stands in the tables and in JSON alone."""

    en: str
    zh: str
    recorder: str | None = None
    digits: int = 4
    is_shown: bool = True


_LABELS: Final[dict[str, _Label]] = {
    "ic": _Label(en="IC", zh="IC", recorder="IC"),
    "icir": _Label(en="ICIR", zh="ICIR", recorder="ICIR"),
    "rank_ic": _Label(en="Rank IC", zh="Rank IC", recorder="Rank IC"),
    "rank_icir": _Label(en="Rank ICIR", zh="Rank ICIR", recorder="Rank ICIR"),
    "ic_days": _Label(en="sessions with an IC", zh="有 IC 的交易日"),
    "monotonicity": _Label(en="order of the groups", zh="分组单调性"),
    "monotone_days": _Label(en="sessions with all groups in order", zh="各组依次递减的交易日", is_shown=False),
    "calibration_slope": _Label(en="slope of labels on scores, within the day", zh="标签对得分的斜率（日内）"),
    "calibration_raw_slope": _Label(en="slope of labels on scores", zh="标签对得分的斜率", is_shown=False),
    "calibration_intercept": _Label(en="intercept of labels on scores", zh="标签对得分的截距", is_shown=False),
    "coverage_scored": _Label(en="expected rows with a score", zh="应有行中有得分者"),
    "coverage_labelled": _Label(en="expected rows with score and label", zh="应有行中有得分和标签者", is_shown=False),
    "annualized_return": _Label(en="annualized return", zh="年化收益"),
    "excess_return": _Label(en="excess return", zh="年化超额收益"),
    "information_ratio": _Label(en="information ratio", zh="信息比率", digits=3),
    "max_drawdown": _Label(en="max drawdown", zh="最大回撤"),
    "turnover": _Label(en="turnover per day", zh="日均换手"),
    "sharpe": _Label(en="Sharpe ratio", zh="夏普比率", digits=3),
    "psr": _Label(en="PSR", zh="概率夏普比率"),
    "deflated_sharpe": _Label(en="deflated Sharpe ratio", zh="收缩夏普比率"),
    "trials": _Label(en="trials on these data", zh="该数据上的试验数"),
    "pbo": _Label(en="PBO", zh="回测过拟合概率"),
    "min_track_record": _Label(en="record needed, years", zh="所需业绩长度（年）"),
}


def show_metrics(
    metrics: Iterable[Metric],
    language: Literal["en", "zh"] = "en",
    *,
    findings: Sequence[HealthFinding] = (),
    variant: str = "",
) -> list[ShownMetric]:
    """Return label and text of each metric, in order; error and interval stand beside the metric they belong to.

    Details that a table of the results tells better (`monotone_days`, `calibration_raw_slope`, `calibration_intercept`,
    `coverage_labelled`) are left out.

    Of `findings`, the numbers of those groups that make a metric of `variant` doubtful stand beside it.
    """
    groups = group_findings(findings)
    found = {metric.key: metric for metric in metrics}
    return [
        ShownMetric(
            key=key,
            label=_label(key, language),
            value=_format_value(metric),
            error=_format_value(found[key + _ERROR]) if key + _ERROR in found else "",
            interval=_format_interval(found, key),
            findings=tuple(
                number for number, group in enumerate(groups, 1) if any(one.touches(key, variant) for one in group)
            ),
        )
        for key, metric in found.items()
        if (key not in _LABELS or _LABELS[key].is_shown)
        and not any(key.endswith(end) and key.removesuffix(end) in found for end in _BESIDE)
    ]


def _format_interval(found: Mapping[str, Metric], key: str) -> str:
    """Return both ends of the interval of a metric as text; "" without one, or when it is not defined."""
    ends = [found[key + end] for end in (_LOW, _HIGH) if key + end in found]
    if len(ends) < 2 or not all(math.isfinite(end.value) for end in ends):
        return ""
    return " … ".join(_format_value(replace(end, key=key)) for end in ends)


def _label(key: str, language: Literal["en", "zh"]) -> str:
    known = _LABELS.get(key)
    if known is None:
        return key.replace("_", " ")
    return known.zh if language == "zh" else known.en


def _format_value(metric: Metric) -> str:
    if not math.isfinite(metric.value):
        return "–"
    if metric.unit in ("sessions", "count"):
        return f"{metric.value:,.0f}"
    if metric.unit in ("correlation", "ratio"):
        known = _LABELS.get(metric.key)
        return f"{metric.value:.{known.digits if known else 4}f}"
    if metric.unit == "probability":
        return f"{metric.value:.3f}"
    if metric.unit == "years":
        return f"{metric.value:.1f}"
    return f"{metric.value:.2%}"


def to_recorder_metrics(metrics: Iterable[Metric]) -> dict[str, float]:
    """Return the metrics that recorders of Qlib hold too, under the names they have there (``IC``, ``Rank ICIR`` …)."""
    names = {metric: _LABELS[metric.key].recorder for metric in metrics if metric.key in _LABELS}
    return {name: metric.value for metric, name in names.items() if name is not None}


def name_recorder_metrics(metrics: Iterable[Metric]) -> dict[str, float]:
    """Return all metrics by the names they have in a recorder: those of `to_recorder_metrics`, else their keys."""
    every = list(metrics)
    known = {one.key: _LABELS[one.key].recorder for one in every if one.key in _LABELS}
    return {known.get(one.key) or one.key: one.value for one in every}


def metrics_to_json(
    metrics: Iterable[Metric], *, findings: Sequence[HealthFinding] = (), variant: str = ""
) -> dict[str, Any]:
    """Return ``{key: {"value": …, "unit": …}}``; a value that is not defined is null.

    Where findings make a metric of `variant` doubtful, their kinds stand beside it, under ``findings``.
    """
    return {
        metric.key: {
            "value": metric.value if math.isfinite(metric.value) else None,
            "unit": metric.unit,
            **({"findings": kinds} if (kinds := _doubts(metric.key, findings, variant)) else {}),
        }
        for metric in metrics
    }


def _doubts(key: str, findings: Sequence[HealthFinding], variant: str) -> list[str]:
    for end in _BESIDE:
        key = key.removesuffix(end)
    return [one.kind for one in findings if one.touches(key, variant)]


def metrics_from_json(data: Mapping[str, Any]) -> tuple[Metric, ...]:
    """Return the metrics that `metrics_to_json` wrote.

    Raises
    ------
    DataError, KeyError, TypeError, ValueError
        When it is of another form.
    """
    return tuple(
        Metric(
            key=key,
            value=math.nan if entry["value"] is None else float(entry["value"]),
            unit=entry["unit"],
        )
        for key, entry in data.items()
    )


_BACKTEST: Final[Mapping[str, Unit]] = {
    "annualized_return": "fraction_per_year",
    "excess_return": "fraction_per_year",
    "information_ratio": "ratio",
    "max_drawdown": "fraction",
    "turnover": "fraction_per_session",
}


def backtest_metrics(report: pd.DataFrame, *, periods: float | None = None) -> tuple[Metric, ...]:
    """Return the metrics of a daily back-test, after costs.

    Parameters
    ----------
    report : DataFrame
        By session: ``return`` before costs, ``cost``, ``bench`` and ``turnover``, as fractions of the account.
    periods : float, optional
        Sessions of a year; those of the settings if not given.
    """
    # metrics are read and shown without pandas
    from rollwright.backtest.risk import measure_account, periods_per_year  # noqa: PLC0415

    found = measure_account(
        (report["return"] - report["cost"]).to_numpy("float64"),
        report["bench"].to_numpy("float64"),
        report["turnover"].to_numpy("float64"),
        periods=periods_per_year("day") if periods is None else periods,
    )
    return tuple(Metric(key=key, value=value, unit=_BACKTEST[key]) for key, value in found._asdict().items())
