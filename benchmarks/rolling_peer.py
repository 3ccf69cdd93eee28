"""Runs under the peer's interpreter: trains a task once, or over rolling windows with Qlib's collection.

It imports nothing of rollwright. Argument: JSON with market, task, step (None for one task) and cached.
"""

import json
import os
import sys
import warnings

os.environ["MLFLOW_ALLOW_FILE_STORE"] = (
    "true"  # Qlib's default store, which MLflow no longer likes and which is fastest
)

import qlib
from qlib.config import REG_CN


def roll(task, step, *, cached):
    from qlib.model.ens.ensemble import RollingEnsemble  # noqa: PLC0415 - one task needs none of it
    from qlib.model.trainer import TrainerR  # noqa: PLC0415 - as above
    from qlib.workflow.task.collect import RecorderCollector  # noqa: PLC0415 - as above
    from qlib.workflow.task.gen import RollingGen, task_generator  # noqa: PLC0415 - as above
    from qlib.workflow.task.utils import replace_task_handler_with_cache  # noqa: PLC0415 - as above

    tasks = task_generator(task, RollingGen(step=step, rtype=RollingGen.ROLL_SD))
    if cached:
        tasks = [replace_task_handler_with_cache(each, cache_dir=".") for each in tasks]
    TrainerR(experiment_name="bench")(tasks)

    def key_of(recorder):
        definition = recorder.load_object("task")
        return definition["model"]["class"], str(definition["dataset"]["kwargs"]["segments"]["test"])

    collected = RecorderCollector(
        experiment="bench", process_list=RollingEnsemble(), rec_key_func=key_of,
        artifacts_key=["pred", "label"], artifacts_path={"pred": "pred.pkl", "label": "label.pkl"},
    )()  # fmt: skip
    return {"tasks": len(tasks), "rows": {name: len(frame) for name, frame in collected.items()}}


def main():
    warnings.simplefilter("ignore")
    request = json.loads(sys.argv[1])
    qlib.init(
        provider_uri=request["market"], region=REG_CN, kernels=2, expression_cache=None, dataset_cache=None,
        logging_level=40,
    )  # fmt: skip
    if request["step"] is not None:
        answer = roll(request["task"], request["step"], cached=request["cached"])
    else:
        from qlib.model.trainer import task_train  # noqa: PLC0415 - as above

        recorder = task_train(request["task"], experiment_name="bench")
        answer = {"tasks": 1, "rows": {"pred": len(recorder.load_object("pred.pkl"))}}
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
