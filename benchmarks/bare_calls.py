"""What a window records, by MLflow and pandas alone: a run with its parameters, metrics, tags and three frames.

Argument: a folder. Prints the CPU seconds of a run, the mean of as many as windows are measured, since those are summed
too; the database, the imports and the first runs are not counted.
"""

import json
import os
import sys
import time
from pathlib import Path

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"

import mlflow
import numpy as np
import pandas as pd

WARM, RUNS = 10, 80


def main():
    folder = Path(sys.argv[1])
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{folder}/mlflow.db")
    experiment = client.create_experiment("e", artifact_location=str(folder / "artifacts"))
    days = pd.bdate_range("2023-01-02", periods=5)
    index = pd.MultiIndex.from_product([days, [f"SH{600000 + n}" for n in range(92)]], names=["datetime", "instrument"])
    scores = pd.DataFrame({"score": np.random.default_rng(0).normal(size=len(index))}, index=index)
    frames = {"pred": scores, "label": scores.rename(columns={"score": "label"}), "index": pd.DataFrame(index=index)}
    params = [mlflow.entities.Param(f"task.param.{n}", f"value {n}") for n in range(27)]
    metrics = [mlflow.entities.Metric(name, 0.1, 0, 0) for name in ("IC", "ICIR", "Rank IC", "Rank ICIR")]
    tags = [mlflow.entities.RunTag(f"tag.{n}", f"value {n}") for n in range(6)]
    for number in range(WARM + RUNS):
        if number == WARM:
            start = time.process_time()
        run = client.create_run(experiment).info.run_id
        client.log_batch(run, params=params, metrics=metrics, tags=tags)
        for name, frame in frames.items():
            path = folder / f"{name}.parquet"
            frame.to_parquet(path)
            client.log_artifact(run, str(path))
        client.set_terminated(run)
    print(json.dumps({"cpu": (time.process_time() - start) / RUNS}))


if __name__ == "__main__":
    main()
