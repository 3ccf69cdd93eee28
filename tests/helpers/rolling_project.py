"""A project over a small market, which rolls a campaign in this process and counts the models that are trained."""

from __future__ import annotations

import uuid
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rollwright.campaign.config import CampaignConfig, ObjectConfig
from rollwright.campaign.plan import WindowKey, make_plan
from rollwright.campaign.run import Submission, count_training, submit
from rollwright.campaign.summary import TrainingCounts
from rollwright.config.context import install
from rollwright.config.settings import load_settings
from rollwright.market.folder.provider import provider_from_settings
from rollwright.models.lightgbm import LGBModel
from rollwright.pool.manager import TaskManager
from rollwright.pool.stores.memory import MemoryStore
from rollwright.tracking.r import R
from rollwright.tracking.recorder import Recorder
from rollwright.training.pooled import train_in_slot

DAYS = pd.bdate_range("2020-01-01", periods=210)
CODES = [f"SH60000{number}" for number in range(8)]
FIELDS = ["open", "close", "high", "low", "volume"]

HANDLER = {
    "class": "DataHandlerLP",
    "module_path": "rollwright.dataset.handler",
    "kwargs": {
        "instruments": "all",
        "start_time": "2020-01-01",
        "data_loader": {
            "class": "QlibDataLoader",
            "module_path": "rollwright.dataset.loader",
            "kwargs": {
                "config": {
                    "feature": [["$close/Ref($close, 5)", "CSRank($volume)"], ["MOM", "VOL"]],
                    "label": [["Ref($close, -2)/Ref($close, -1) - 1"], ["LABEL0"]],
                }
            },
        },
        "learn_processors": [{"class": "DropnaLabel"}],
    },
}


def rows(days: pd.DatetimeIndex, codes=CODES, *, factor: float = 1.0) -> pd.DataFrame:
    frames = []
    for place, code in enumerate(codes):
        walk = 10 + place + np.cumsum(np.sin(np.arange(len(DAYS) + 50) * (0.3 + place / 10)))
        close = pd.Series(walk[DAYS.get_indexer(days)] if set(days) <= set(DAYS) else walk[: len(days)], days)
        frames.append(pd.DataFrame({"open": close, "close": close * factor, "high": close + 1, "low": close - 1}))
        frames[-1]["volume"] = 1000.0 * (place + 1) + np.arange(len(days)) % 7
        frames[-1].insert(0, "symbol", code)
        frames[-1].insert(1, "date", days)
    return pd.concat(frames, ignore_index=True)


def config(end: str, **handler) -> CampaignConfig:
    chosen = {**HANDLER, "kwargs": {**HANDLER["kwargs"], **handler}}
    segments = {"train": ["2020-01-08", "2020-04-30"], "test": ["2020-05-11", end]}
    return CampaignConfig.model_validate(
        {
            "task": {
                "model": {
                    "class": "LGBModel",
                    "module_path": "rollwright.models.lightgbm",
                    "kwargs": {"num_boost_round": 3, "min_data_in_leaf": 5, "early_stopping_rounds": 0},
                },
                "dataset": {
                    "class": "DatasetH",
                    "module_path": "rollwright.dataset.dataset",
                    "kwargs": {"handler": chosen, "segments": segments},
                },
                "record": {"class": "SignalRecord", "module_path": "rollwright.analysis.records"},
            },
            "rolling": {"step": 20, "rtype": "sliding"},
        }
    )


class Project:
    """A project over a market; it rolls in this process."""

    def __init__(self, folder: Path, market: Path) -> None:
        folder.mkdir()
        self.settings = load_settings(
            {"tracking.uri": f"memory:{uuid.uuid4().hex}", "data.provider_uri": str(market)}, start=folder, environ={}
        )
        install(self.settings)
        self.manager = TaskManager("p", store=MemoryStore())

    def roll(self, asked: CampaignConfig) -> tuple[Submission, dict[str, dict[str, str]]]:
        """Return what was submitted, and the digest of every artifact by window."""
        install(self.settings)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(LGBModel, "fit", self._counting())
            return self._roll(asked)

    learnt = 0
    counts: TrainingCounts

    def recorders(self, submission: Submission) -> dict[WindowKey, Recorder]:
        """Return the recorder of each window."""
        install(self.settings)  # another project may have rolled meanwhile, and a reference is read in its own store
        return {key: self.manager.re_query(task_id)["res"] for key, task_id in submission.ids.items()}

    def drop_leases(self) -> None:
        """Do what the pool does when the lease of a dead worker is over, and the tracker when its run is found."""
        self.manager.reset_waiting({}, force=True)
        for recorder in R.get_exp(experiment_name="p").list_recorders("list", status="RUNNING"):
            recorder.end_run("FAILED")

    def _counting(self):
        def fit(model, *args, **kwargs):
            self.learnt += 1
            return FIT(model, *args, **kwargs)

        return fit

    def _roll(self, asked: CampaignConfig) -> tuple[Submission, dict[str, dict[str, str]]]:
        provider = provider_from_settings(self.settings)
        plan = make_plan(asked, name="p", calendar=provider.calendar())
        submission = submit(plan, self.manager)
        known = R.get_exp(experiment_name="p", create=True).list_recorders("list")
        while (task := self.manager.fetch_task()) is not None:
            result = train_in_slot(task["def"], experiment_name="p")
            self.manager.commit_task_res(task, result.value, validity=result.validity)
        recorders = self.recorders(submission)
        self.counts = count_training(submission, recorders, before={one.id for one in known if one.status != "RUNNING"})
        sums = {}
        for name, task_id in submission.ids.items():
            recorder = self.manager.re_query(task_id)["res"]
            sums[name] = {name: sha for name, sha in recorder.list_digests().items() if name not in SKIPPED}
        return submission, sums


FIT = LGBModel.fit
SKIPPED = ("provenance", "validity")  # they tell of the data, which grew


def day(place: int) -> str:
    return f"{DAYS[place]:%Y-%m-%d}"


def afresh(folder: Path, market: Path, asked: CampaignConfig) -> dict[str, dict[str, str]]:
    """Return the artifacts of the same campaign where nothing was ever learnt before."""
    return Project(folder, market).roll(asked)[1]


SIGNAL = {"class": "SignalRecord", "module_path": "rollwright.analysis.records"}
ANALYSIS = {"class": "SigAnaRecord", "module_path": "rollwright.analysis.records"}


def recorded(asked: CampaignConfig, *records: dict) -> CampaignConfig:
    """Return the campaign with other records."""
    asked_for = [ObjectConfig.model_validate(record) for record in records]
    return asked.model_copy(update={"task": asked.task.model_copy(update={"record": asked_for})})
