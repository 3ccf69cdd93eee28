"""Trials made up for the tests of their registry."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np

from rollwright.trials.return_series import ReturnSeries
from rollwright.trials.trial import Trial


class SteppingClock:
    """A clock that goes on by a second whenever it is asked."""

    def __init__(self):
        self._now = datetime(2026, 11, 30, 12, tzinfo=UTC)

    def now(self):
        self._now += timedelta(seconds=1)
        return self._now

    def monotonic(self):
        return self._now.timestamp()

    def sleep(self, seconds):
        raise AssertionError(f"nobody waits for {seconds} s here")


def make_series(seed=0, *, count=60, start="2020-01-01", skip=0):
    """Return a random series; of one seed each length is the beginning of the longer ones."""
    sessions = np.datetime64(start, "D") + np.arange(skip, skip + count)
    return ReturnSeries.of(sessions, np.random.default_rng(seed).normal(0, 0.01, 500)[skip : skip + count])


def make_trial(seed=0, *, data="market", name=None, count=60, **fields):
    """Return a trial with the returns of `make_series`."""
    return Trial(
        **{
            "data": data,
            "source": "member",
            "name": f"trial {seed}" if name is None else name,
            "settings": {"topk": 5},
            **fields,
        },
        series=make_series(seed, count=count),
    )
