"""Runs under the peer's interpreter: simulates online serving with Qlib's `OnlineManager`.

It imports nothing of rollwright. Argument: JSON with market, task, step, begin and end. The last line of its output is
what it took: the simulation's seconds, those inside `lightgbm.train` by themselves, and the signals' rows.
"""

import json
import os
import sys
import time
import warnings

os.environ["MLFLOW_ALLOW_FILE_STORE"] = (
    "true"  # Qlib's default store, which MLflow no longer likes and which is fastest
)

import qlib
from qlib.config import REG_CN


def clock_fits():
    """Return a list to which each call of `lightgbm.train` adds its seconds."""
    import lightgbm  # noqa: PLC0415 - after Qlib, which imports it

    fits, train = [], lightgbm.train

    def timed(*arguments, **terms):
        start = time.perf_counter()
        try:
            return train(*arguments, **terms)
        finally:
            fits.append(time.perf_counter() - start)

    lightgbm.train = timed
    return fits


def main():
    warnings.simplefilter("ignore")
    request = json.loads(sys.argv[1])
    qlib.init(
        provider_uri=request["market"], region=REG_CN, kernels=2, expression_cache=None, dataset_cache=None,
        logging_level=40,
    )  # fmt: skip
    from qlib.model.trainer import TrainerR  # noqa: PLC0415 - after `init`, as Qlib's examples do
    from qlib.workflow.online.manager import OnlineManager  # noqa: PLC0415 - as above
    from qlib.workflow.online.strategy import RollingStrategy  # noqa: PLC0415 - as above
    from qlib.workflow.task.gen import RollingGen  # noqa: PLC0415 - as above
    from qlib.workflow.task.utils import replace_task_handler_with_cache  # noqa: PLC0415 - as above

    task = request["task_config"]
    fits = clock_fits()
    start = time.perf_counter()
    if request["cached"]:
        task = replace_task_handler_with_cache(task, cache_dir=".")
    strategy = RollingStrategy("bench", task, RollingGen(step=request["step"], rtype=RollingGen.ROLL_SD))
    manager = OnlineManager(strategy, trainer=TrainerR(experiment_name="bench"), begin_time=request["begin"])
    signals = manager.simulate(end_time=request["end"])
    wall = time.perf_counter() - start
    answer = {"wall": wall, "fits": sum(fits), "fit_count": len(fits), "rows": len(signals)}
    print("\n" + json.dumps(answer))


if __name__ == "__main__":
    main()
