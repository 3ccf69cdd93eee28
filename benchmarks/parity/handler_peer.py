"""Runs under the peer's interpreter: makes the frames of the cases with Qlib, or times one of them.

It imports nothing of rollwright. Argument: a JSON file with provider, cases, kernels and answer (a folder).
"""

import importlib
import json
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import qlib
from handler_cases import resolved
from handler_frames import sampled, save
from qlib.config import REG_CN
from qlib.data import D
from qlib.data.dataset import DatasetH, TSDatasetH

PROCESSORS = "qlib.data.dataset.processor"


def _dataset(case):
    segments = {name: tuple(pair) for name, pair in case["segments"].items()}
    handler = getattr(importlib.import_module("qlib.contrib.data.handler"), case["handler"])(**case["kwargs"])
    if case["kind"] == "series":
        return TSDatasetH(handler=handler, segments=segments, step_len=case["step_len"])
    return DatasetH(handler, segments)


def _frame(dataset, segment, columns, key):
    if segment is None:
        return dataset.handler.fetch(col_set=columns, data_key=key)
    return dataset.prepare(segment, col_set=columns, data_key=key)


def _frames(case):
    if case["kind"] == "features":
        kwargs = dict(case["kwargs"])
        universe = D.instruments(kwargs.pop("instruments"))
        return [D.features(universe, case["fields"], **kwargs)]
    if case["kind"] == "processor":
        return [_processed(case)]
    dataset = _dataset(case)
    if case["kind"] == "series":
        frames = [dataset.handler.fetch(col_set="__raw", data_key="raw")]
        for segment in case["sampled"]:
            sampler = dataset.prepare(segment, col_set=["feature", "label"], data_key="infer")
            sampler.config(fillna_type=case["fillna_type"])
            frames.append(sampled(sampler, case["step_len"]))
        return frames
    return [_frame(dataset, *fetch) for fetch in case["fetches"]]


def _processed(case):
    frame = pd.read_parquet(case["frame"]).set_index(["datetime", "instrument"])
    frame.columns = pd.MultiIndex.from_tuples([tuple(name.split("/")) for name in frame.columns])
    processor = getattr(importlib.import_module(PROCESSORS), case["class"])(**case["kwargs"])
    processor.fit(frame.copy())
    return processor(frame.copy())


def main():
    warnings.simplefilter("ignore")
    request = json.loads(Path(sys.argv[1]).read_text())
    answer = Path(request["answer"])
    qlib.init(
        provider_uri=request["provider"],
        region=REG_CN,
        kernels=request["kernels"],
        expression_cache=None,
        dataset_cache=None,
        logging_level=40,
    )
    sessions = [str(session)[:10] for session in D.calendar(freq="day")]
    notes = []
    for number, given in enumerate(request["cases"]):
        case = resolved(given, sessions, PROCESSORS)
        start = time.perf_counter()
        try:
            frames = _frames(case)
        except Exception as error:
            if request.get("timing"):
                raise
            notes.append({"error": f"{type(error).__name__}: {error}"[:300], "frames": 0})
            continue
        taken = time.perf_counter() - start
        notes.append({"error": None, "frames": len(frames), "wall": taken, "rows": [len(frame) for frame in frames]})
        if not request.get("timing"):
            for place, frame in enumerate(frames):
                save(answer / f"{number}-{place}.npz", frame)
    (answer / "notes.json").write_text(json.dumps(notes))
    print(json.dumps(notes[-1]))


if __name__ == "__main__":
    np.seterr(all="ignore")
    main()
