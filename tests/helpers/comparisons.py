"""Evaluations of made-up runs, whose daily coefficients and returns are known."""

from __future__ import annotations

import numpy as np
import pandas as pd

from rollwright.compare.evaluation import RunCost, RunEvaluation, RunKey, RunTerms

TERMS = RunTerms(label="Ref($close,-2)/Ref($close,-1)-1", universe="all", benchmark="mean", label_span=2, periods=252.0)
NOTHING = pd.Series([], index=pd.DatetimeIndex([], dtype="datetime64[ns]", name="datetime"), dtype="float64")


def make_sessions(days, start="2019-01-02"):
    """Return so many working days."""
    return pd.bdate_range(start, periods=days, name="datetime").as_unit("ns")


def make_run(model, seed=1, *, ic=0.03, edge=0.0002, days=300, dataset="Alpha158", market=7, terms=TERMS, start=0):
    """Return a run that is done, whose coefficients and returns share the days of the `market`."""
    shared = np.random.default_rng(market).normal(size=(4, days + start + 1))[:, start:]
    own = np.random.default_rng([market, seed, *model.encode()]).normal(size=(4, days + 1))
    mixed = shared * 0.8 + own * 0.6
    coefficients = ic + 0.05 * (mixed[:2, 1:] + mixed[:2, :-1])
    excess = edge + 0.004 * mixed[2, 1:]
    returns = excess + 0.01 * shared[3, 1:]
    index = make_sessions(days + start)[start:]
    series = {
        name: pd.Series(values, index=index, name=name)
        for name, values in zip(("ic", "rank_ic", "excess", "returns"), (*coefficients, excess, returns), strict=True)
    }
    return RunEvaluation(
        key=RunKey(model, dataset, seed),
        status="done",
        cause="",
        **series,
        metrics=judge(series, terms.periods),
        cost=RunCost(seconds=2.0 + seed, cpu_seconds=3.0 + seed, peak_bytes=100_000_000 + seed),
        digest=f"{abs(hash_text(f'{model}{dataset}{seed}')):064x}",
        terms=terms,
    )


def hash_text(text):
    """Return a number of a text, the same in every process."""
    return int.from_bytes(text.encode(), "big") % (1 << 255)


def judge(series, periods):
    """Return the metrics of the series of a run."""
    excess = series["excess"]
    total = excess.cumsum()
    return {
        "ic": float(series["ic"].mean()),
        "icir": float(series["ic"].mean() / series["ic"].std()),
        "rank_ic": float(series["rank_ic"].mean()),
        "rank_icir": float(series["rank_ic"].mean() / series["rank_ic"].std()),
        "annualized_return": float(excess.mean() * periods),
        "information_ratio": float(excess.mean() / excess.std() * periods**0.5),
        "max_drawdown": float((total - total.cummax()).min()),
    }


def make_failure(model, seed=1, *, cause="ValueError: num_leaves must be > 1", dataset="Alpha158", status="failed"):
    """Return a run without a result."""
    return RunEvaluation(
        key=RunKey(model, dataset, seed),
        status=status,
        cause=cause,
        ic=NOTHING,
        rank_ic=NOTHING,
        excess=NOTHING,
        returns=NOTHING,
        metrics={},
        cost=None,
        digest="",
    )


def make_comparison(models=("LightGBM", "Linear", "XGBoost"), seeds=3, **changes):
    """Return the runs of several models; the first has the highest coefficients."""
    return [
        make_run(model, seed, ic=0.04 - 0.008 * place, edge=0.0004 - 0.0001 * place, **changes)
        for place, model in enumerate(models)
        for seed in range(1, seeds + 1)
    ]
