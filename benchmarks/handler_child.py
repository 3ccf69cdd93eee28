"""One measured process of `handler.py`: does the task of its argument (JSON) and prints what it took as one line."""

from __future__ import annotations

import json
import sys
import threading
import time
from typing import Any

import machine

sys.path.insert(0, str(machine.Path(__file__).with_name("parity")))
import numpy as np
from handler_cases import resolved

from rollwright.config.context import init
from rollwright.dataset import alpha as features
from rollwright.dataset.dataset import DatasetH
from rollwright.features.api import D


def dataset_of(case: dict[str, Any]) -> DatasetH:
    """Return the dataset of a case; nothing is read yet."""
    handler = getattr(features, case["handler"])(**case["kwargs"])
    return DatasetH(handler, {name: tuple(pair) for name, pair in case["segments"].items()})


def prepare(case: dict[str, Any]) -> dict[str, Any]:
    """Make handler, dataset and frames."""
    start = time.perf_counter()
    dataset = dataset_of(case)
    frames = [dataset.prepare(name, col_set=columns, data_key=key) for name, columns, key in case["fetches"]]
    return {"wall": time.perf_counter() - start, "rows": [len(frame) for frame in frames]}


def fold(case: dict[str, Any], key: Any = "learn") -> dict[str, float]:
    """Make handler, dataset and the arrays of the train segment, and read each feature once."""
    start, used = time.perf_counter(), time.process_time()
    found = dataset_of(case).fold("train", data_key=key)
    np.add.reduce(found.features[:, 0])
    return {"wall": time.perf_counter() - start, "cpu": time.process_time() - used}


def open_panel(case: dict[str, Any]) -> dict[str, Any]:
    """Compute the features of the handler, and no more."""
    start, used = time.perf_counter(), time.process_time()
    panel = dataset_of(case).handler.panel
    taken, used = time.perf_counter() - start, time.process_time() - used
    return {"wall": taken, "cpu": used, "rows": len(panel.rows(0, len(panel.dates)))}


def hold(case: dict[str, Any]) -> None:
    """Keep the train segment, without processors, until standard input ends."""
    found = dataset_of(case).fold("train", data_key="infer")
    _touch(found.features)
    print("{}", flush=True)
    sys.stdin.read()


def lightgbm_memory(case: dict[str, Any], *, copied: bool) -> dict[str, Any]:
    """Measure the private memory that the train segment takes as arrays, and in LightGBM."""
    dataset = dataset_of(case)
    dataset.inference_index("train")
    before = _private()
    found = dataset.fold("train", data_key="infer")
    _touch(found.features)
    answer = {"size": found.features.nbytes, "fold": max(0, _private() - before)}
    before = _private()
    learn = dataset.fold("train", data_key="learn")
    _touch(learn.features)
    answer["learn"] = max(0, _private() - before)
    del learn
    label = np.nan_to_num(found.label)
    _construct(np.ascontiguousarray(found.features[:64]), label[:64])  # the libraries
    answer["construct"] = _peak(lambda: _construct(np.array(found.features) if copied else found.features, label))
    return answer


def _touch(values: Any) -> None:
    for low in range(0, len(values), 4096):
        np.add.reduce(values[low : low + 4096], axis=None)


def _construct(values: Any, label: Any) -> object:
    import lightgbm  # noqa: PLC0415 - only here: its libraries would count as memory of the others

    return lightgbm.Dataset(values, label, params={"num_threads": 2, "verbose": -1}).construct()


def _private() -> int:
    return machine.smaps(machine.os.getpid())["Pss_Anon"]


def _peak(call: Any) -> int:
    before, seen, done = _private(), [0], threading.Event()

    def sample() -> None:
        while not done.wait(0.005):
            seen[0] = max(seen[0], _private())

    sampler = threading.Thread(target=sample)
    sampler.start()
    call()
    seen[0] = max(seen[0], _private())
    done.set()
    sampler.join()
    return seen[0] - before


def main() -> None:
    request = json.loads(sys.argv[1])
    init(provider_uri=request["market"], store__path=request["store"], kernels=request["kernels"])
    sessions = [str(session)[:10] for session in D.calendar()]
    case = resolved(request["case"], sessions, "rollwright.dataset.processors")
    task = request["task"]
    if task == "prepare":
        answer = prepare(case)
    elif task == "fold":
        answer = dict(fold(case, request.get("key", "learn")))
        if "again" in request:
            answer["again"] = fold(resolved(request["again"], sessions, "rollwright.dataset.processors"))
    elif task == "open":
        answer = open_panel(case)
    elif task == "lightgbm":
        answer = lightgbm_memory(case, copied=request["copied"])
    else:
        return hold(case)
    print(json.dumps(answer))
    return None


if __name__ == "__main__":
    main()
