"""Recording a run, and saving and loading a large frame, each beside its peer in the same process.

Targets: a run of 100 parameters, 10 metrics and 5 artifacts costs at most 1.6 times the same calls of MLflow alone; a
1,000,000-row prediction frame is saved and loaded at least twice as fast, and half as large, as a pandas pickle. The
figures go to stdout, and with ``--json FILE`` into a file with the machine's description.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import json
import os
import pickle
import platform
import statistics
import tempfile
import time
from functools import partial
from pathlib import Path

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"  # before the peer is imported

import mlflow
import numpy as np
import pandas as pd

from rollwright.codecs.frames import ParquetCodec
from rollwright.config.context import using
from rollwright.config.settings import load_settings
from rollwright.tracking.artifacts import ArtifactWrite, LocalArtifactStore
from rollwright.tracking.location import TrackingLocation
from rollwright.tracking.r import R
from rollwright.tracking.stores.mlflow.store import MlflowStore

PARAMS = {f"param.{place}": f"value {place}" for place in range(100)}
METRICS = {f"metric.{place}": place / 7 for place in range(10)}


def interleaved(ours, peer, repeats):
    """Return the seconds of each, measured in turns so that a slow moment of the machine hits both."""
    times = ([], [])
    for _ in range(repeats):
        for taken, call in zip(times, (ours, peer), strict=True):
            gc.collect()
            start = time.perf_counter()
            call()
            taken.append(time.perf_counter() - start)
    return times


def row(what, ours, peer, target):
    """Print and return one comparison: medians, ranges, and the median ratio of neighbours."""
    ratio = statistics.median(a / b for a, b in zip(ours, peer, strict=True))
    shown = [f"{statistics.median(t) * 1e3:8.1f} ms [{min(t) * 1e3:.1f}, {max(t) * 1e3:.1f}]" for t in (ours, peer)]
    print(f"{what:<44} ours {shown[0]:<28} peer {shown[1]:<28} ratio {ratio:5.2f}  target {target}")
    return {"what": what, "ours": ours, "peer": peer, "ratio": ratio, "target": target}


def record_runs(folder, repeats):
    """One run of 100 parameters, 10 metrics and 5 artifacts: `R`, and the same calls of MLflow."""
    settings = load_settings(start=folder, environ={})
    objects = {f"sig/part{place}.pkl": {"values": list(range(100))} for place in range(5)}
    with using(settings):
        place = TrackingLocation.from_settings(settings)
        assert isinstance(place.store, MlflowStore)
        experiment = R.exp_manager.create_exp("ours")
        client = mlflow.MlflowClient(tracking_uri=place.uri)
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
            row("a run, beside MLflow's log_batch", *interleaved(ours, peer_batched, repeats), "<= 1.6"),
            row("a run, beside MLflow's single calls", *interleaved(ours, peer_one_by_one, repeats), "<= 1.6"),
        ]


def prediction_frame(kind):
    """1,000,000 rows of scores: `full` of 53 random bits, `float32` as a model's single-precision output."""
    rng = np.random.default_rng(7)
    days = pd.bdate_range("2016-01-01", periods=2000, unit="us")
    index = pd.MultiIndex.from_product([days, [f"SH{600000 + place}" for place in range(515)]])
    index = index.set_names(["datetime", "instrument"])
    index = index[rng.random(len(index)) > 0.03][:1_000_000]
    scores = rng.normal(size=len(index))
    if kind == "float32":
        scores = scores.astype("float32").astype("float64")
    elif kind == "trees":  # a boosted model gives few distinct values: here 40 rounds of 32 leaves
        leaves = rng.normal(scale=0.01, size=(40, 32))
        scores = sum(leaves[tree][rng.integers(0, 32, len(index))] for tree in range(4))
    return pd.DataFrame({"score": scores}, index=index)


def frames(folder, repeats):
    """The codec beside `to_pickle`; and the whole safe path beside a pickle made as safe by hand."""
    rows = []
    codec = ParquetCodec()
    parquet, pickled = folder / "x.parquet", folder / "x.pkl"
    for kind in ("full", "float32", "trees"):
        frame = prediction_frame(kind)
        saved = interleaved(lambda f=frame: codec.write(f, parquet), lambda f=frame: f.to_pickle(pickled), repeats)
        rows.append(row(f"save 1,000,000 rows ({kind})", *saved, "<= 0.5"))
        loaded = interleaved(lambda: codec.read(parquet), lambda: pd.read_pickle(pickled), repeats)
        rows.append(row(f"load 1,000,000 rows ({kind})", *loaded, "<= 0.5"))
        size = parquet.stat().st_size / pickled.stat().st_size
        print(f"{'':<44} {parquet.stat().st_size:,} bytes beside {pickled.stat().st_size:,}: {size:.2f}")
        rows.append({"what": f"size ({kind})", "ratio": size, "target": "<= 0.5"})
    frame = prediction_frame("full")
    files = LocalArtifactStore(folder / "run")

    def ours():
        files.write([artifact(frame)])

    def peer():
        body = pickle.dumps(frame, protocol=5)
        draft = pickled.with_suffix(".tmp")
        with draft.open("wb") as handle:
            handle.write(body)
            handle.flush()
            os.fsync(handle.fileno())
        draft.replace(pickled)
        (folder / "x.sha256").write_text(hashlib.sha256(body).hexdigest())

    def peer_load():
        body = pickled.read_bytes()
        assert hashlib.sha256(body).hexdigest() == (folder / "x.sha256").read_text()
        pickle.loads(body)

    def artifact(obj):
        return ArtifactWrite(name="pred.pkl", kind="parquet", suffix=".parquet", fill=partial(codec.write, obj))

    rows.append(row("save, durable and with SHA-256", *interleaved(ours, peer, repeats), "<= 0.5"))
    loaded = interleaved(lambda: codec.read(files.local_path("pred.pkl")[0]), peer_load, repeats)
    rows.append(row("load, SHA-256 verified", *loaded, "<= 0.5"))
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = record_runs(Path(folder), given.repeats) + frames(Path(folder), given.repeats)
    if given.json:
        machine = {
            "cpus": os.cpu_count(), "machine": platform.machine(), "system": platform.system(),
            "python": platform.python_version(), "pandas": pd.__version__, "numpy": np.__version__,
        }  # fmt: skip
        given.json.write_text(json.dumps({"machine": machine, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
