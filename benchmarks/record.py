"""Recording a run beside MLflow alone, in the same process.

    python benchmarks/record.py [--repeats 7] [--json FILE]

Target: a run of 100 parameters, 10 metrics and 5 artifacts costs at most half of the same calls of MLflow alone, on a
database of its own. Each figure is the median ratio of neighbours, measured by turns; a missed target ends the program
with 1.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"  # before the peer is imported

import machine
import mlflow
import report
from prediction_frame import compare, interleaved

from rollwright.config.context import using
from rollwright.config.settings import load_settings
from rollwright.tracking.location import TrackingLocation
from rollwright.tracking.r import R
from rollwright.tracking.stores.embedded.store import EmbeddedStore

PARAMS = {f"param.{place}": f"value {place}" for place in range(100)}
METRICS = {f"metric.{place}": place / 7 for place in range(10)}
RUN = "a run of 100 parameters, 10 metrics, 5 artifacts"
RUN_LIMIT = 0.5


def record_runs(folder, repeats):
    """One run of 100 parameters, 10 metrics and 5 artifacts: `R`, and the same calls of MLflow."""
    settings = load_settings(start=folder, environ={})
    objects = {f"sig/part{place}.pkl": {"values": list(range(100))} for place in range(5)}
    with using(settings):
        place = TrackingLocation.from_settings(settings)
        assert isinstance(place.store, EmbeddedStore)
        experiment = R.exp_manager.create_exp("ours")
        client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{folder}/peer.db")
        peers = client.create_experiment("peer", artifact_location=str(folder / "peer"))
        sources = folder / "sources"
        sources.mkdir()

        def ours():
            with R.start(experiment_id=experiment.id):
                R.log_params(**PARAMS)
                R.log_metrics(**METRICS)
                R.save_objects(**objects)

        def peer_batched():
            run = client.create_run(peers)
            entities = mlflow.entities
            client.log_batch(
                run.info.run_id,
                params=[entities.Param(key, value) for key, value in PARAMS.items()],
                metrics=[entities.Metric(key, value, 0, 0) for key, value in METRICS.items()],
            )
            for name, obj in objects.items():
                path = sources / Path(name).with_suffix(".json").name
                path.write_text(json.dumps(obj))
                client.log_artifact(run.info.run_id, str(path), "sig")
            client.set_terminated(run.info.run_id)

        def peer_one_by_one():
            run = client.create_run(peers)
            for key, value in PARAMS.items():
                client.log_param(run.info.run_id, key, value)
            for key, value in METRICS.items():
                client.log_metric(run.info.run_id, key, value)
            for name, obj in objects.items():
                path = sources / Path(name).with_suffix(".json").name
                path.write_text(json.dumps(obj))
                client.log_artifact(run.info.run_id, str(path), "sig")
            client.set_terminated(run.info.run_id)

        for call in (ours, peer_batched, peer_one_by_one):
            call()
        return [
            compare(RUN, *interleaved(ours, peer_batched, repeats), RUN_LIMIT, "MLflow's log_batch"),
            compare(RUN, *interleaved(ours, peer_one_by_one, repeats), RUN_LIMIT, "MLflow's single calls"),
        ]


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(arguments)
    machine.pin()
    with tempfile.TemporaryDirectory() as folder:
        rows = record_runs(Path(folder), given.repeats)
    return report.finish("record", rows, path=given.json, repeats=given.repeats)


if __name__ == "__main__":
    sys.exit(main())
