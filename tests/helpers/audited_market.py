"""A toy market, and the audit of one handler over it: what the tests of the audit share."""

from __future__ import annotations

import numpy as np

from rollwright.campaign.audit.audit import audit
from rollwright.campaign.plan import SinglePlan
from rollwright.testing.market import ArraySource

SESSIONS = 200
RETURN = "Ref($close,-2)/Ref($close,-1)-1"
SEGMENTS = {  # positions of the calendar; the label reads two sessions ahead
    "train": (20, 80),
    "valid": (83, 110),
    "test": (113, 185),
}


class ToyMarket(ArraySource):
    """An `ArraySource` that computes its identity once."""

    _generation: str | None = None

    @property
    def generation(self) -> str:
        self._generation = self._generation or super().generation
        return self._generation


def toy_market(seed: int = 0, *, instruments: int = 14, dropouts: int = 4, universes=None) -> ToyMarket:
    """Return a market with suspensions, two late listings and instruments that are delisted after the test begins."""
    rng = np.random.default_rng(seed)
    shape = (SESSIONS, instruments)
    close = 20 * np.exp(np.cumsum(rng.normal(0, 0.02, shape), axis=0))
    low = close * (1 - np.abs(rng.normal(0, 0.01, shape)))
    high = close * (1 + np.abs(rng.normal(0, 0.01, shape)))
    fields = {
        "open": low + (high - low) * rng.random(shape),
        "high": high,
        "low": low,
        "close": close,
        "volume": rng.lognormal(12, 1, shape),
        "vwap": (high + low + close) / 3,
    }
    suspended = rng.random(shape) < 0.01
    for values in fields.values():
        values[suspended] = np.nan
    bounds = np.tile([0, SESSIONS], (instruments, 1))
    bounds[0, 0], bounds[1, 0] = 60, 165  # listed within train, and late in test
    for number in range(dropouts):
        bounds[2 + 2 * number, 1] = 172 - number
    names = [f"SH{600000 + number}" for number in range(instruments)]
    return ToyMarket(fields, names, bounds=bounds, universes=universes)


def segments_of(market, places=None):
    """Return segments, given as positions, as dates."""
    calendar = market.calendar()
    return {role: (calendar[first], calendar[last]) for role, (first, last) in (places or SEGMENTS).items()}


def task_of(market, features=("$close/Ref($close,1)-1",), *, label=RETURN, places=None, dataset=None, **handler):
    """Return a task over columns that are called F0, F1, … and a label L."""
    fields = {"feature": (list(features), [f"F{number}" for number in range(len(features))])}
    if label is not None:
        fields["label"] = ([label], ["L"])
    loader = handler.pop("loader", {"class": "QlibDataLoader", "kwargs": {"config": fields}})
    kwargs = {"instruments": "all", "data_loader": loader, **handler}
    return {
        "model": {"class": "LinearModel", "module_path": "rollwright.models.linear"},
        "dataset": {
            "class": "DatasetH",
            "module_path": "rollwright.dataset.dataset",
            "kwargs": {
                "handler": {"class": "DataHandlerLP", "module_path": "rollwright.dataset.handler", "kwargs": kwargs},
                "segments": segments_of(market, places),
                **(dataset or {}),
            },
        },
    }


def audit_task(market, task, *, dates=1, names=12, allowed=None):
    """Return the report on a task that is trained once."""
    plan = SinglePlan(task=task, label=None, cuts=(), leaks=())
    return audit(plan, market, name="toy", allowed=allowed or {}, dates=dates, names=names)


def audit_toy(features=("$close/Ref($close,1)-1",), *, market=None, dates=1, allowed=None, **more):
    """Return the report on features over the toy market."""
    market = market or toy_market()
    return audit_task(market, task_of(market, features, **more), dates=dates, allowed=allowed)


def found_columns(report, *kinds):
    """Return the columns of the leaks of some kinds, any if none are given."""
    return {name for leak in report.leaks if not kinds or leak.kind in kinds for name in leak.columns}
