"""A market that grows day by day, and a task that is trained on it, for tests of serving."""

from __future__ import annotations

import copy
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from rollwright.calendar.trading import TradingCalendar
from rollwright.config.context import Context, install
from rollwright.config.settings import load_settings
from rollwright.market.frame import FrameSource

DAYS = pd.bdate_range("2020-01-01", periods=160)
CODES = [f"SH60000{number}" for number in range(8)]
NORM = {"class": "RobustZScoreNorm", "kwargs": {"fields_group": "feature", "clip_outlier": True}}
FILL = {"class": "Fillna", "kwargs": {"fields_group": "feature"}}

MODELS: dict[str, dict[str, Any]] = {
    "linear": {
        "class": "LinearModel",
        "module_path": "rollwright.models.linear",
        "kwargs": {"estimator": "ridge", "alpha": 0.1},
    },
    "lightgbm": {
        "class": "LGBModel",
        "module_path": "rollwright.models.lightgbm",
        "kwargs": {"num_boost_round": 20, "min_data_in_leaf": 5, "early_stopping_rounds": 0},
    },
}
TASK: dict[str, Any] = {
    "model": MODELS["linear"],
    "dataset": {
        "class": "DatasetH",
        "module_path": "rollwright.dataset.dataset",
        "kwargs": {
            "handler": {
                "class": "DataHandlerLP",
                "module_path": "rollwright.dataset.handler",
                "kwargs": {
                    "instruments": "all",
                    "start_time": "2020-01-01",
                    "end_time": "2020-05-20",
                    "data_loader": {
                        "class": "QlibDataLoader",
                        "module_path": "rollwright.dataset.loader",
                        "kwargs": {
                            "config": {
                                "feature": [["$close/Ref($close, 5)", "$volume/Mean($volume, 5)"], ["MOM", "VOL"]],
                                "label": [["Ref($close, -2)/Ref($close, -1) - 1"], ["LABEL0"]],
                            }
                        },
                    },
                    "learn_processors": [{"class": "DropnaLabel"}],
                    "infer_processors": [
                        {**NORM, "kwargs": {**NORM["kwargs"], "fit_start_time": None, "fit_end_time": None}},
                        FILL,
                    ],
                },
            },
            "segments": {"train": ("2020-01-09", "2020-04-30"), "test": ("2020-05-11", None)},
        },
    },
    "record": [{"class": "SignalRecord", "module_path": "rollwright.analysis.records"}],
}
for _processor in TASK["dataset"]["kwargs"]["handler"]["kwargs"]["infer_processors"][:1]:
    _processor["kwargs"].update(fit_start_time="2020-01-09", fit_end_time="2020-04-30")


def place(day: str) -> int:
    """Return the number of a session."""
    return int(DAYS.get_loc(pd.Timestamp(day)))


def make_frame(days: pd.DatetimeIndex = DAYS) -> pd.DataFrame:
    """Return the whole market."""
    number = np.arange(len(DAYS))
    frames = []
    for step, code in enumerate(CODES):
        close = 50 + step + np.cumsum(np.sin(number * (0.3 + step / 10)))
        values = {"open": close, "close": close, "high": close + 1, "low": close - 1}
        index = pd.MultiIndex.from_product([DAYS, [code]], names=["datetime", "instrument"])
        frames.append(pd.DataFrame({**values, "volume": 1000.0 * (step + 1) + (number * (step + 3)) % 7}, index=index))
    whole = pd.concat(frames).sort_index()
    return whole[whole.index.get_level_values("datetime").isin(days)]


def make_task(model: str = "linear", *, test: tuple[Any, Any] | None = None, **kwargs: Any) -> dict[str, Any]:
    """Return the task with another model, test segment, or arguments of the dataset."""
    task = copy.deepcopy(TASK)
    task["model"] = copy.deepcopy(MODELS.get(model) or kwargs.pop("config"))
    if test is not None:
        task["dataset"]["kwargs"]["segments"]["test"] = test
    task["dataset"]["kwargs"].update(kwargs)
    return task


class ServingMarket:
    """A project whose market ends where the test says, and grows."""

    def __init__(self, folder: Path, *, until: str = "2020-05-20") -> None:
        self.settings = load_settings({"tracking.uri": f"memory:{uuid.uuid4().hex}"}, start=folder, environ={})
        self.frame = make_frame()
        self.grow(until)

    def grow(self, until: str, *, future: int = 0) -> None:
        """Let the last session with data be `until`; the calendar knows so many after it."""
        days = self.frame.index.get_level_values("datetime")
        frame = self.frame[days <= pd.Timestamp(until)]
        calendar = None
        if future:
            known = int((pd.Timestamp(until) >= DAYS).sum())
            calendar = TradingCalendar(DAYS[: known + future], known=known)
        install(Context(settings=self.settings, market=FrameSource(frame, calendar)))
