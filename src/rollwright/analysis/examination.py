"""What scores, labels and an account show that has to be known before their numbers are believed."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rollwright.analysis.health import ACCOUNT, SIGNAL, HealthFinding, Severity
from rollwright.analysis.panel import DayPanel, Frame, build_day_panel, find_places, find_varied_days, share_places

__all__ = ["examine_account", "examine_scores"]

_TIED: Final = 0.1  # a session counts as tied when so many of its scores equal another
_FEW_DAYS: Final = (20, 60)
_FEW_NAMES: Final = (5, 20)
_IMPLAUSIBLE_IC: Final = 0.3
_EXTREME: Final = 0.5  # of a return over one session


def examine_scores(
    pred: Frame, label: Frame, ic: pd.Series, *, topk: int | None = None, label_span: int | None = None
) -> list[HealthFinding]:
    """Return what the scores and labels of one variant show.

    Constant and tied scores, sessions without an IC and why, too few sessions or instruments, `topk` against the number
    of instruments, labels and coefficients that are too large to be believed.

    Parameters
    ----------
    pred, label : DataFrame or Series
        Scores and raw labels, by (datetime, instrument).
    ic : Series
        The daily IC of them.
    topk : int, optional
        Of the back-test, if there is one.
    label_span : int, optional
        Sessions of future that the label reads; so many at the end have none yet.
    """
    whole = build_day_panel(pred, label)
    panel = whole.select(np.isfinite(whole.score))
    names = panel.count_rows()
    if not len(panel.days) or not names.any():
        return [HealthFinding(kind="no_scores", severity="serious")]
    typical = float(np.median(names))
    return [
        *_examine_ties(panel, names, topk),
        *_examine_days(panel, ic, label_span or 0),
        *_examine_names(typical, topk),
        *_examine_sizes(panel, ic, typical, label_span or 2),
    ]


def _examine_ties(panel: DayPanel, names: NDArray[np.intp], topk: int | None) -> list[HealthFinding]:
    days = len(panel.days)
    constant = ~find_varied_days(panel.day, panel.score, days) & (names > 1)
    found = []
    if constant.any():
        found.append(
            HealthFinding(
                kind="constant_scores",
                severity=_grade(constant.mean(), 0.1),
                values={"days": int(constant.sum()), "of": days, "share": float(constant.mean())},
            )
        )
    distinct = _count_distinct(panel)
    tied = ~constant & (names - distinct >= np.maximum(_TIED * names, 1))
    if tied.mean() >= 0.01:
        values = {
            "days": int(tied.sum()),
            "of": days,
            "share": float(tied.mean()),
            "distinct": float(np.median(distinct[tied])),
            "names": float(np.median(names[tied])),
        }
        found.append(HealthFinding(kind="tied_scores", severity=_grade(tied.mean(), 0.25), values=values))
    if topk is not None and (cut := _find_tied_cuts(panel, names, topk)).mean() >= 0.01:
        values = {"days": int(cut.sum()), "of": days, "share": float(cut.mean()), "topk": topk}
        found.append(
            HealthFinding(kind="tied_at_topk", severity=_grade(cut.mean(), 0.1), values=values, metrics=ACCOUNT)
        )
    return found


def _count_distinct(panel: DayPanel) -> NDArray[np.intp]:
    """Return how many different scores each day has."""
    low, high = find_places(panel.day, panel.score)
    shares = np.bincount(panel.day, weights=1 / (high - low), minlength=len(panel.days))
    return np.rint(shares).astype(np.intp)


def _find_tied_cuts(panel: DayPanel, names: NDArray[np.intp], topk: int) -> NDArray[np.bool_]:
    """Return on which days equal scores stand on both sides of place `topk`."""
    shares = share_places(panel.day, -panel.score, 0 * names, np.minimum(names, topk))
    return np.bincount(panel.day[(shares > 0) & (shares < 1)], minlength=len(panel.days)) > 0


def _examine_days(panel: DayPanel, ic: pd.Series, label_span: int) -> list[HealthFinding]:
    days = len(ic)
    known = int(ic.notna().sum())
    found = []
    if missing := days - known:
        causes = _find_causes(panel, ic)
        pending = label_span and causes["no_label"] == missing and missing <= label_span + 1
        if not pending:  # the last sessions of every walk have no label yet
            share = (missing - causes["no_label"]) / days
            found.append(
                HealthFinding(
                    kind="days_without_ic",
                    severity=_grade(share, 0.1) if share else "warning" if causes["no_label"] > 0.2 * days else "note",
                    values={"days": missing, "of": days, "share": missing / days, **causes},
                    metrics=SIGNAL,
                )
            )
    if known < _FEW_DAYS[1]:
        values = {"days": known, "wanted": _FEW_DAYS[1], "overlapping": bool(label_span and 0 < known < label_span)}
        found.append(
            HealthFinding(kind="few_days", severity="serious" if known < _FEW_DAYS[0] else "warning", values=values)
        )
    return found


def _find_causes(panel: DayPanel, ic: pd.Series) -> dict[str, int]:
    """Return why days have no IC: one cause for each of them."""
    size = len(panel.days)
    paired = panel.select(~np.isnan(panel.label))
    pairs = paired.count_rows()
    missing = ic.reindex(panel.days).isna().to_numpy()
    alike = ~find_varied_days(panel.day, panel.score, size)
    same = ~find_varied_days(paired.day, paired.label, size)
    broken = np.bincount(paired.day[~np.isfinite(paired.label)], minlength=size) > 0
    causes: dict[str, NDArray[np.bool_]] = {
        "no_label": pairs == 0,
        "infinite_labels": broken,
        "one_instrument": pairs < 2,
        "equal_scores": alike,
        "equal_labels": same,
    }
    left, counts = missing, {}
    for name, holds in causes.items():
        counts[name] = int((left & holds).sum())
        left = left & ~holds
    counts["other"] = int(left.sum()) + len(ic) - len(panel.days)
    return counts


def _examine_names(typical: float, topk: int | None) -> list[HealthFinding]:
    found = []
    if typical < _FEW_NAMES[1]:
        severity: Severity = "serious" if typical < _FEW_NAMES[0] else "warning"
        values = {"names": typical, "wanted": _FEW_NAMES[1]}
        found.append(HealthFinding(kind="few_instruments", severity=severity, values=values))
    if topk is not None and topk > typical / 2:
        found.append(
            HealthFinding(
                kind="topk_against_universe",
                severity="serious" if topk >= typical else "warning",
                values={"topk": topk, "names": typical, "share": topk / typical},
                metrics=ACCOUNT,
            )
        )
    return found


def _examine_sizes(panel: DayPanel, ic: pd.Series, typical: float, label_span: int) -> list[HealthFinding]:
    found = []
    label = panel.label[~np.isnan(panel.label)]
    limit = _EXTREME * float(np.sqrt(max(label_span - 1, 1)))  # a return over four sessions varies twice as much
    extreme = np.abs(label) > limit
    if len(label) and 0 < extreme.sum() <= 0.01 * len(label):  # more than that is a label in another unit
        finite = label[np.isfinite(label)]
        largest = float(finite[np.abs(finite).argmax()])
        infinite = int(np.isinf(label).sum())
        values = {"rows": int(extreme.sum()), "limit": limit, "infinite": infinite, "largest": largest}
        severity: Severity = "serious" if np.isinf(label).any() else "warning"
        found.append(HealthFinding(kind="extreme_labels", severity=severity, values=values))
    mean = float(ic.mean())
    if abs(mean) > _IMPLAUSIBLE_IC and typical >= _FEW_NAMES[1] and ic.notna().sum() >= _FEW_DAYS[0]:
        found.append(HealthFinding(kind="implausible_ic", severity="serious", values={"ic": mean}))
    return found


def examine_account(report: pd.DataFrame, *, benchmark: str | None, benchmark_gaps: int = 0) -> list[HealthFinding]:
    """Return what the daily back-test shows: no trade, idle cash, a benchmark without prices, an account used up.

    Parameters
    ----------
    report : DataFrame
        By session: ``account``, ``value``, ``turnover``.
    benchmark : str or None
    benchmark_gaps : int
        Sessions on which the benchmark has no price, and counts as unchanged.
    """
    found: list[HealthFinding] = []
    if not (report["turnover"] > 0).any():
        return [HealthFinding(kind="no_trades", severity="serious", metrics=ACCOUNT)]
    held = (report["value"] / report["account"]).iloc[1:]
    if held.mean() < 0.5:
        values = {"share": float(held.mean())}
        found.append(HealthFinding(kind="idle_cash", severity="warning", values=values, metrics=ACCOUNT))
    if benchmark_gaps:
        found.append(
            HealthFinding(
                kind="benchmark_gaps",
                severity=_grade(benchmark_gaps / len(report), 0.05),
                values={"days": benchmark_gaps, "of": len(report), "benchmark": str(benchmark)},
                metrics=("excess_return", "information_ratio"),
            )
        )
    return found


def _grade(share: float, serious: float) -> Severity:
    return "serious" if share >= serious else "warning"
