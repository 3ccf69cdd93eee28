"""Rolling tasks from a template to collected predictions, with Qlib's names and Qlib's imports but for their root.

    python examples/task_manager_rolling.py main                                 # one process, task after task
    python examples/task_manager_rolling.py main --task-pool rolling             # through a pool
    python examples/task_manager_rolling.py worker --task-pool rolling           # beside it, or on another machine
    python examples/task_manager_rolling.py task_collecting --task-pool rolling  # what is finished by now
    python examples/task_manager_rolling.py main --trainer DelayTrainerRM        # prepared first, trained afterwards

`--trainer` is TrainerR, TrainerRM, DelayTrainerR or DelayTrainerRM; those that end in M share a pool. The steps are
verbs: `reset`, `task_generating`, `task_training`, `worker`, `task_collecting`; `main` is all but `worker`, one after
another. Two models learn from windows that slide over a synthetic market; give `--provider-uri` for data of your own in
Qlib's layout, and change the templates for it.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from pprint import pprint
from typing import Any

from rollwright.model.ens.group import RollingGroup
from rollwright.model.trainer import DelayTrainerR, DelayTrainerRM, TrainerR, TrainerRM
from rollwright.workflow import R
from rollwright.workflow.task.collect import RecorderCollector
from rollwright.workflow.task.gen import RollingGen, task_generator
from rollwright.workflow.task.manage import TaskManager

import rollwright
from rollwright.config import REG_CN
from rollwright.core.clock import SystemClock
from rollwright.market.demo import make_demo_market

DATASET = {
    "class": "DatasetH",
    "module_path": "rollwright.data.dataset",
    "kwargs": {
        "handler": {
            "class": "DataHandlerLP",
            "module_path": "rollwright.data.dataset.handler",
            "kwargs": {
                "instruments": "all",
                "start_time": "2015-01-01",
                "end_time": "2016-12-30",
                "data_loader": {
                    "class": "QlibDataLoader",
                    "module_path": "rollwright.data.dataset.loader",
                    "kwargs": {
                        "config": {
                            "feature": [["$close/Ref($close, 5) - 1", "Std($close, 10)/$close"], ["MOM5", "STD10"]],
                            "label": [["Ref($close, -2)/Ref($close, -1) - 1"], ["LABEL0"]],
                        }
                    },
                },
                "learn_processors": [{"class": "DropnaLabel"}],
                "infer_processors": [{"class": "Fillna"}],
            },
        },
        "segments": {
            "train": ("2015-02-02", "2015-12-31"),
            "valid": ("2016-01-04", "2016-03-31"),
            "test": ("2016-04-01", "2016-12-30"),
        },
    },
}
RECORD = {"class": "SignalRecord", "module_path": "rollwright.workflow.record_temp"}
LGB_TASK = {
    "model": {
        "class": "LGBModel",
        "module_path": "rollwright.contrib.model.gbdt",
        "kwargs": {"num_boost_round": 20, "num_leaves": 8, "num_threads": 1, "seed": 0},
    },
    "dataset": DATASET,
    "record": [RECORD],
}
LINEAR_TASK = {
    "model": {"class": "LinearModel", "module_path": "rollwright.contrib.model.linear"},
    "dataset": DATASET,
    "record": [RECORD],
}


TRAINERS = {kind.__name__: kind for kind in (TrainerR, TrainerRM, DelayTrainerR, DelayTrainerRM)}


class RollingTaskExample:
    """The steps of a rolling study.

    Parameters
    ----------
    provider_uri : str
        Market data; a folder that is not there gets a synthetic market.
    region : str
    task_url : str, optional
        Where the pool is: ``sqlite:///…``, ``postgresql://…``, ``mongodb://…``; the project's own file if not given.
    experiment_name : str
    task_pool : str, optional
        The pool's name; that of the experiment if not given.
    trainer : str, optional
        One of `TRAINERS`; TrainerRM with a `task_pool`, else TrainerR, which trains one task after another.
    task_config : list of dict, optional
        The templates.
    rolling_step : int
        Sessions by which the windows slide.
    rolling_type : str
    """

    def __init__(
        self,
        provider_uri: str = "rolling-market",
        region: str = REG_CN,
        task_url: str | None = None,
        experiment_name: str = "rolling_exp",
        task_pool: str | None = None,
        trainer: str | None = None,
        task_config: list[dict[str, Any]] | None = None,
        rolling_step: int = 80,
        rolling_type: str = RollingGen.ROLL_SD,
    ) -> None:
        if not Path(provider_uri).exists():
            make_demo_market(Path(provider_uri), instruments=20, sessions=560)
        rollwright.init(provider_uri=provider_uri, region=region, **({"pool__url": task_url} if task_url else {}))
        self.experiment_name = experiment_name
        kind = TRAINERS[trainer or ("TrainerR" if task_pool is None else "TrainerRM")]
        self.task_pool = (task_pool or experiment_name) if issubclass(kind, TrainerRM) else None
        self.trainer: TrainerR | TrainerRM
        if self.task_pool is not None:
            self.trainer = kind(experiment_name, self.task_pool)
        elif task_pool is not None:
            raise SystemExit(f"{kind.__name__} has no pool: leave --task-pool out, or take {kind.__name__}M")
        else:
            self.trainer = kind(experiment_name=experiment_name)
        self.task_config = [LGB_TASK, LINEAR_TASK] if task_config is None else task_config
        # The label reads two sessions ahead: what is learnt from ends three before the window.
        self.rolling_gen = RollingGen(step=rolling_step, rtype=rolling_type, trunc_days=3)

    def reset(self) -> None:
        """Remove the pool's tasks and the experiment's recorders."""
        print("========== reset ==========")
        if self.task_pool is not None:
            TaskManager(self.task_pool).remove()
        exp = R.get_exp(experiment_name=self.experiment_name)
        for rid in exp.list_recorders():
            exp.delete_recorder(rid)

    def task_generating(self) -> list[dict[str, Any]]:
        """Return a task for each template and window."""
        print("========== task_generating ==========")
        tasks = task_generator(tasks=self.task_config, generators=self.rolling_gen)
        pprint([{name: task[name] for name in ("model",)} | task["dataset"]["kwargs"]["segments"] for task in tasks])
        return tasks

    def task_training(self, tasks: list[dict[str, Any]]) -> None:
        """Train the tasks; with a pool, together with whoever is a `worker` of it.

        A delayed trainer prepares them all first, and trains them afterwards.
        """
        print("========== task_training ==========")
        recorders = self.trainer.train(tasks)
        if self.trainer.is_delay():
            print(f"{len(recorders)} tasks are prepared")
        self.trainer.end_train(recorders)

    def worker(self) -> None:
        """Train what the pool has, until nothing is left; with a delayed trainer, what is prepared."""
        print("========== worker ==========")
        if not isinstance(self.trainer, TrainerRM):
            raise SystemExit("a worker needs a pool: give --task-pool, or --trainer TrainerRM")
        self.trainer.worker()

    def task_collecting(self) -> dict[str, Any]:
        """Return the predictions of LightGBM's windows, joined."""
        print("========== task_collecting ==========")

        def rec_key(recorder: Any) -> tuple[str, Any]:
            task_config = recorder.load_object("task")
            model_key = task_config["model"]["class"]
            rolling_key = task_config["dataset"]["kwargs"]["segments"]["test"]
            return model_key, rolling_key

        def my_filter(recorder: Any) -> bool:
            model_key, _ = rec_key(recorder)
            return model_key == "LGBModel"

        collector = RecorderCollector(
            experiment=self.experiment_name,
            process_list=RollingGroup(),
            rec_key_func=rec_key,
            rec_filter_func=my_filter,
        )
        collected: dict[str, Any] = collector()
        print(collected)
        return collected

    def main(self) -> dict[str, Any]:
        """Do all of it."""
        started = SystemClock().monotonic()
        self.reset()
        tasks = self.task_generating()
        self.task_training(tasks)
        collected = self.task_collecting()
        print(f"{len(tasks)} tasks in {SystemClock().monotonic() - started:.1f} s")
        return collected


VERBS = ("main", "reset", "task_generating", "task_training", "worker", "task_collecting")


def run(arguments: list[str] | None = None) -> Any:
    """Run the verb that the command line names, with the arguments of `RollingTaskExample`."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("verb", choices=VERBS)
    parser.add_argument("--provider-uri", default="rolling-market")
    parser.add_argument("--region", default=REG_CN)
    parser.add_argument("--task-url")
    parser.add_argument("--experiment-name", default="rolling_exp")
    parser.add_argument("--task-pool")
    parser.add_argument("--trainer", choices=[*TRAINERS])
    parser.add_argument("--rolling-step", type=int, default=80)
    parser.add_argument("--rolling-type", default=RollingGen.ROLL_SD, choices=[RollingGen.ROLL_SD, RollingGen.ROLL_EX])
    given = vars(parser.parse_args(arguments))
    verb = given.pop("verb")
    example = RollingTaskExample(**given)
    if verb == "task_training":
        return example.task_training(example.task_generating())
    return getattr(example, verb)()


if __name__ == "__main__":
    run()
