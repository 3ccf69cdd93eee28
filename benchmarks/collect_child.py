"""One side of `collect.py`: records windows, collects them, or combines members; prints one line of JSON.

It runs under both interpreters: that of this project (``ours``), and one that has pyqlib (``peer``).
"""

# ruff: noqa: PLC0415 - each side imports what is its own
import argparse
import hashlib
import json
import logging
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

STEP, NAMES = 20, 300
DATASET = "qlib.data.dataset"


def segments(windows):
    """Return the test segments, one behind the other."""
    days = pd.bdate_range("2006-01-02", periods=windows * STEP)
    return [days[place : place + STEP] for place in range(0, len(days), STEP)]


def predict(number, days):
    """Return the prediction of one window."""
    names = [f"SH{600000 + place}" for place in range(NAMES)]
    index = pd.MultiIndex.from_product([days, names], names=["datetime", "instrument"])
    return pd.DataFrame({"score": np.random.default_rng(number).normal(size=len(index))}, index=index)


def tracker(side, folder):
    """Return R of that side, over a database in `folder`, and its collector and group."""
    folder.mkdir(parents=True, exist_ok=True)
    uri = f"sqlite:///{(folder / 'mlflow.db').resolve()}"
    if side == "ours":
        import rollwright
        from rollwright import R, RecorderCollector, RollingGroup

        settings = {"tracking__uri": uri, "tracking__artifacts": str(folder / "artifacts")}
        rollwright.init(**settings)
        return R, RecorderCollector, RollingGroup
    import mlflow
    import qlib
    from qlib.model.ens.group import RollingGroup
    from qlib.workflow import R
    from qlib.workflow.task.collect import RecorderCollector

    manager = {
        "class": "MLflowExpManager",
        "module_path": "qlib.workflow.expm",
        "kwargs": {"uri": uri, "default_exp_name": "Experiment"},
    }
    qlib.init(provider_uri=str(folder), exp_manager=manager, logging_level=logging.ERROR, kernels=1)
    if mlflow.get_experiment_by_name("exp") is None:
        mlflow.create_experiment("exp", artifact_location=(folder / "artifacts").resolve().as_uri())
    return R, RecorderCollector, RollingGroup


def record(side, folder, windows):
    """Record every window."""
    R, _, _ = tracker(side, folder)  # noqa: N806 - its name
    for number, days in enumerate(segments(windows)):
        task = {
            "model": {"class": "LGBModel", "module_path": "qlib.contrib.model.gbdt"},
            "dataset": {
                "class": "DatasetH",
                "module_path": DATASET,
                "kwargs": {"segments": {"test": (str(days[0].date()), str(days[-1].date()))}},
            },
        }
        pred = predict(number, days)
        with R.start(experiment_name="exp"):
            promised = {"expected_index.pkl": pred.iloc[:, :0]} if side == "ours" else {}
            R.save_objects(task=task, **{"pred.pkl": pred}, **promised)
    return {}


def collect(side, folder, windows):
    """Collect and join; from a start of the process on which everything is imported."""
    R, RecorderCollector, RollingGroup = tracker(side, folder)  # noqa: N806 - their names

    def rec_key(recorder):
        task = recorder.load_object("task")
        return task["model"]["class"], task["dataset"]["kwargs"]["segments"]["test"]

    def is_lgb(recorder):
        return rec_key(recorder)[0] == "LGBModel"

    options = {}
    if side == "ours":
        from rollwright import TradingCalendar

        days = pd.bdate_range("2006-01-02", periods=windows * STEP)
        options = {"calendar": TradingCalendar(days)}
    R.list_recorders(experiment_name="exp")
    started, cpu = time.perf_counter(), time.process_time()
    collector = RecorderCollector("exp", RollingGroup(**options), rec_key_func=rec_key, rec_filter_func=is_lgb)
    (joined,) = collector()["pred"].values()
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    digest = hashlib.sha256(joined["score"].to_numpy().tobytes() + str(joined.index[[0, -1]]).encode()).hexdigest()
    return {"seconds": seconds, "cpu": cpu, "digest": digest, "rows": len(joined)}


def combine(_side, _folder, _windows):
    """Combine ten members by each ensemble."""
    from rollwright import AverageEnsemble, ICWeightedEnsemble, RankEnsemble

    days = pd.bdate_range("2010-01-01", periods=2500)
    names = [f"SH{600000 + place}" for place in range(500)]

    def member(number):
        index = pd.MultiIndex.from_product([days, names], names=["datetime", "instrument"])
        return pd.DataFrame({"score": np.random.default_rng(number).normal(size=len(index))}, index=index)

    members, label = {number: member(number) for number in range(10)}, member(99)
    ensembles = (AverageEnsemble(), RankEnsemble(), ICWeightedEnsemble(label, label_span=2))
    found = {}
    for ensemble in ensembles:
        started = time.process_time()
        ensemble(members)
        found[type(ensemble).__name__] = time.process_time() - started
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("side", choices=["ours", "peer"])
    parser.add_argument("verb", choices=["record", "collect", "combine"])
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--windows", type=int, required=True)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    answer = {"record": record, "collect": collect, "combine": combine}[given.verb](
        given.side, given.folder, given.windows
    )
    sys.stdout.write(json.dumps(answer) + "\n")
