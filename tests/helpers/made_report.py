"""A report of made numbers that has every table there is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from rollwright.analysis.metrics import Metric
from rollwright.analysis.portfolio_tables.inert_settings import INERT_REASONS
from rollwright.analysis.portfolio_tables.performance_tables import list_monthly_returns
from rollwright.analysis.portfolio_tables.reconciliation import STEPS
from rollwright.analysis.portfolio_tables.timing import list_timing
from rollwright.analysis.report import CampaignReport, VariantReport, WindowRow
from rollwright.analysis.stages.learning_tables import make_learning_tables
from rollwright.analysis.stages.table import ResultTable, StageResult
from rollwright.backtest.unfilled import REASONS
from rollwright.models.learning import Learning

METRICS = (
    Metric(key="ic", value=0.0423, unit="correlation"),
    Metric(key="ic_error", value=0.0051, unit="correlation"),
    Metric(key="max_drawdown", value=-0.0927, unit="fraction"),
)
CALENDAR = pd.bdate_range("2018-01-01", periods=400)
DAYS = CALENDAR[140:340].rename("datetime")
CODES = tuple(f"SH60{number:04d}" for number in range(30))
CORRELATIONS = {"ic", "rank_ic", "error", "rank_error", "low", "high", "rank_low", "rank_high"}


def make_windows():
    """Return five windows of forty test sessions."""
    return [
        WindowRow(
            name=f"window {place}",
            segments={
                "train": (CALENDAR[place * 40], CALENDAR[place * 40 + 99]),
                "valid": (CALENDAR[place * 40 + 100], CALENDAR[place * 40 + 137]),
                "purge": (CALENDAR[place * 40 + 138], CALENDAR[place * 40 + 139]),
                "test": (CALENDAR[place * 40 + 140], CALENDAR[place * 40 + 179]),
            },
            rows=400,
            ic=0.01 * (place - 1),
            rank_ic=0.02,
            best_iteration=30 + place,
            seconds=1.25,
            recorder="0123456789abcdef",
        )
        for place in range(5)
    ]


def make_table(name, frame, units=None, unit="fraction"):
    """Return a table whose columns all have one unit, but for text, days and those of `units`."""
    known = dict(units or {})
    for column in frame.columns:
        values = frame[column]
        if pd.api.types.is_datetime64_any_dtype(values):
            known.setdefault(column, "date")
        elif pd.api.types.is_bool_dtype(values):
            known.setdefault(column, "flag")
        elif not pd.api.types.is_numeric_dtype(values):
            known.setdefault(column, "text")
        else:
            known.setdefault(column, unit)
    return ResultTable(name=name, frame=frame, units=known)


def make_learnt():
    """Return the tables of how five models learnt."""
    told = [
        Learning.of(
            {
                segment: {"l2": [1 / (1 + step / 9) + 0.001 * place for step in range(30)]}
                for segment in ("train", "valid")
            },
            basis="gain",
            weights=[(f"feature {number}", 12.0 - number + (number + place) % 4) for number in range(12)],
        )
        for place in range(5)
    ]
    return make_learning_tables([(f"window {place}", "main", one) for place, one in enumerate(told)])


def make_collected(**changes):
    """Return the stage `collect`."""
    missing = pd.DataFrame({"cause": ["suspended", "not listed long enough"], "rows": [12, 30]})
    stage = StageResult(
        stage="collect",
        tables={"missing_rows": make_table("missing_rows", missing, unit="count"), **make_learnt()},
        metrics=(
            Metric(key="days", value=float(len(DAYS)), unit="sessions"),
            Metric(key="expected_rows", value=2042.0, unit="count"),
            Metric(key="predicted_rows", value=2000.0, unit="count"),
        ),
    )
    return replace(stage, **changes)


def make_analysed(**frames):
    """Return the stage `analyze`; a frame that is given takes the place of one, None leaves it out."""
    rng = np.random.default_rng(0)
    size = len(DAYS)
    months = sorted({f"{day:%Y-%m}" for day in DAYS})
    parts = {"ic": 0.04, "error": 0.01, "rank_ic": 0.03, "rank_error": 0.01, "sessions": 20}
    horizons = [
        {"horizon": horizon, "kind": kind, "sampling": sampling, "ic": 0.05 / horizon, "low": 0.01, "high": 0.08}
        for horizon in (1, 5, 10)
        for kind, sampling in (("cumulative", "overlapping"), ("cumulative", "disjoint"), ("marginal", "disjoint"))
    ]
    member = dict.fromkeys(("ic", "ic_low", "ic_high", "ic_own", "ic_own_low", "ic_own_high"), 0.02)
    made = {
        "ic": pd.DataFrame({"ic": rng.normal(0.04, 0.1, size), "rank_ic": rng.normal(0.04, 0.1, size)}, index=DAYS),
        "groups": pd.DataFrame(
            rng.normal(size=(size, 5)), index=DAYS, columns=[f"Group{number}" for number in range(1, 6)]
        ),
        "group_summary": pd.DataFrame(
            {"group": ["Group1", "Group2", "long_short"], "mean": 0.01, "error": 0.002, "sessions": 200}
        ),
        "ic_by_month": pd.DataFrame([{"month": month, **parts} for month in months]),
        "ic_by_year": pd.DataFrame([{"year": year, **parts} for year in ("2018", "2019")]),
        "ic_by_group": pd.DataFrame([{"column": "sector", "group": group, **parts} for group in ("bank", "oil")]),
        "neutralised": pd.DataFrame([{"columns": "sector", "ic_before": 0.04, "ic_after": 0.03, "sessions": 200}]),
        "decay": pd.DataFrame(horizons),
        "autocorrelation": pd.DataFrame({"lag": [1, 5, 20], "rank_autocorrelation": [0.9, 0.6, 0.1]}),
        "turnover": pd.DataFrame({"top": rng.uniform(size=size), "bottom": rng.uniform(size=size)}, index=DAYS),
        "calibration": pd.DataFrame(
            [
                {"kind": kind, "bin": place, "score": place / 100, "label": place / 120, "error": 0.001, "rows": 900}
                for kind in ("within_day", "raw")
                for place in range(1, 6)
            ]
        ),
        "coverage": pd.DataFrame(
            [
                {"month": month, "bucket": bucket, "expected": 600, "scored_share": 0.9}
                for month in months
                for bucket in ("all", "SH600000–SH600014", "SH600015–SH600029")
            ]
        ),
        "contribution": pd.DataFrame([{"member": "trees", **member}, {"member": "line", **member}]),
    }
    units = {
        "sessions": "sessions", "horizon": "sessions", "lag": "sessions", "mean": "label", "score": "score",
        "label": "label", "bin": "count", "rows": "count", "expected": "count",
    }  # fmt: skip
    return StageResult(stage="analyze", tables=_make_tables(made | frames, units, "correlation"))


def make_traded(**frames):
    """Return the stage `backtest`; a frame that is given takes the place of one, None leaves it out."""
    rng = np.random.default_rng(1)
    daily = rng.normal(0.0, 0.01, len(DAYS))
    held = pd.MultiIndex.from_product([DAYS, CODES[:10]], names=["datetime", "instrument"])
    orders = held[:1100]
    reasons = [("buy", "cash"), ("settle", "cash"), *(("sell", reason) for reason in REASONS)]
    unfilled = pd.DataFrame(
        [
            {"side": side, "reason": reason, "wanted_amount": 100.0, "wanted_value": 1e4, "made_amount": 50.0 * (n < 7)}
            for side, reason in reasons
            for n in range(31)
        ],
        index=pd.MultiIndex.from_arrays(
            [np.tile(DAYS[:31], len(reasons)), np.repeat(CODES[: len(reasons)], 31)], names=["datetime", "instrument"]
        ),
    )
    cells = [
        {
            "topk": topk, "n_drop": n_drop, "cost_scale": cost, "delay": delay, "annualized_return": 0.1,
            "excess_return": 0.05 - 0.01 * delay, "information_ratio": 0.8,
            "is_base": (topk, n_drop, cost, delay) == (30, 5, 1.0, 1),
        }
        for topk in (20, 30) for n_drop in (3, 5) for cost in (1.0, 2.0) for delay in (0, 1, 2)
    ]  # fmt: skip
    made = {
        "account": pd.DataFrame(
            {"account": 1e8, "return": daily + 1e-3, "bench": daily, "cost": 1e-4, "turnover": 0.1}, index=DAYS
        ),
        "positions": pd.DataFrame({"amount": 100.0, "price": 12.5, "value": 9.5e6, "weight": 0.095}, index=held),
        "trades": pd.DataFrame(
            {"side": "buy", "amount": 100.0, "price": 12.5, "value": 1250.0, "cost": 1.0}, index=orders
        ),
        "unfilled": unfilled,
        "risk": pd.DataFrame(
            [
                {
                    "series": series,
                    "mode": mode,
                    "mean": 0.001,
                    "std": 0.01,
                    "annualized_return": 0.2,
                    "information_ratio": 1.5,
                    "max_drawdown": -0.1,
                }
                for mode in ("sum", "product")
                for series in ("excess_return_with_cost", "return_with_cost")
            ]
        ),
        "monthly": list_monthly_returns(pd.DataFrame({"return": daily + 1e-3, "bench": daily, "cost": 1e-4}, DAYS)),
        "drawdowns": pd.DataFrame(
            {
                "mode": ["sum", "product"],
                "start": pd.DatetimeIndex([DAYS[3], None]),
                "trough": DAYS[9],
                "end": pd.DatetimeIndex([DAYS[30], None]),
                "depth": [-0.1, -0.05],
                "sessions": [27, 30],
            }
        ),
        "capacity": pd.DataFrame(
            {
                "account": [1e5, 1e6, 1e7],
                "annualized_return": [0.05, 0.1, 0.12],
                "excess_return": [0.0, 0.05, 0.07],
                "cost": [0.06, 0.02, 0.01],
                "least_cost_share": [0.8, 0.1, 0.0],
                "unmade_share": [0.3, 0.02, 0.0],
                "held": [22.0, 30.0, 30.0],
                "is_enough": [False, False, True],
                "is_base": [False, True, False],
            }
        ),
        "reconciliation": pd.DataFrame(
            {
                "step": STEPS,
                "annualized_return": [0.4, 0.3, 0.28, 0.27, 0.26, 0.26, 0.25, 0.1],
                "difference": [np.nan, -0.1, -0.02, -0.01, -0.01, 0.0, -0.01, -0.15],
            }
        ),
        "inert_settings": pd.DataFrame(
            {"setting": "limit_threshold", "value": "0.095", "reason": [*INERT_REASONS]}, dtype="str"
        ),
        "timing": list_timing(label_span=2, sessions=DAYS),
        "sensitivity": pd.DataFrame(cells),
        "honesty": pd.DataFrame(
            [
                {
                    "number": number,
                    "standard": standard,
                    "count": count,
                    "trials": trials,
                    "value": value,
                    "unit": unit,
                    "reason": "",
                }
                for number, standard, count, trials, value, unit in (
                    ("sharpe", "", "", np.nan, 1.31, "ratio"),
                    ("deflated_sharpe", "2012/14", "raw", 12.0, 0.41, "probability"),
                    ("deflated_sharpe", "2025/26", "raw", 12.0, 0.44, "probability"),
                    ("pbo", "", "", 12.0, np.nan, "probability"),
                )
            ]
        ),
    }
    units = {
        "account": "currency", "value": "currency", "price": "price", "amount": "shares", "topk": "count",
        "n_drop": "count", "delay": "sessions", "cost_scale": "ratio", "wanted_amount": "shares",
        "wanted_value": "currency", "made_amount": "shares", "year": "count", "month": "count", "sessions": "sessions",
        "held": "count", "known_after": "sessions", "traded_after": "sessions", "information_ratio": "ratio",
    }  # fmt: skip
    return StageResult(stage="backtest", tables=_make_tables(made | frames, units, "fraction"))


def _make_tables(frames, units, unit):
    return {
        name: make_table(name, frame, {key: one for key, one in units.items() if _is_number(frame, key)}, unit)
        for name, frame in frames.items()
        if frame is not None
    }


def _is_number(frame, column):
    return column in frame and pd.api.types.is_numeric_dtype(frame[column])


def make_variant(**changes):
    """Return a variant with every table, changed."""
    variant = VariantReport(
        name="first",
        stages=(make_collected(), make_analysed(), make_traded()),
        metrics=METRICS,
        windows=make_windows(),
    )
    return replace(variant, **changes)


def make_report(**changes):
    """Return a report of one variant; changes are those of the report."""
    report = CampaignReport(
        name="A campaign",
        variants=[make_variant()],
        facts=[("reused", "3")],
        created="2026-01-02 03:04 UTC",
        notes=["No vwap in the data."],
        config="rolling:\n  step: 40\n",
    )
    return replace(report, **changes)
