"""Runs under the peer's interpreter: computes expressions with Qlib and writes the values as arrays.

It imports nothing of rollwright. Argument: a JSON file with provider, expressions, start, stop, repeats and answer.
"""

import json
import os
import resource
import sys
import time
from pathlib import Path

import numpy as np
import qlib
from qlib.config import REG_CN
from qlib.data import D
from qlib.data.cache import H


def _cpu() -> float:
    own = resource.getrusage(resource.RUSAGE_SELF)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def main() -> None:
    request = json.loads(Path(sys.argv[1]).read_text())
    qlib.init(
        provider_uri=request["provider"],
        region=REG_CN,
        kernels=2 if request["repeats"] else 1,
        expression_cache=None,
        dataset_cache=None,
        logging_level=40,
    )
    calendar = D.calendar(freq="day")
    names = sorted(D.list_instruments(D.instruments("all"), as_list=True))
    first, last = calendar[request["start"]], calendar[request["stop"] - 1]
    wall, cpu = [], []
    frame = None
    for _ in range(max(1, request["repeats"])):
        H.clear()
        before_wall, before_cpu = time.perf_counter(), _cpu()
        frame = D.features(names, request["expressions"], first, last, freq="day")
        wall.append(time.perf_counter() - before_wall)
        cpu.append(_cpu() - before_cpu)
    values = np.full((len(request["expressions"]), request["stop"] - request["start"], len(names)), np.nan, np.float32)
    rows = calendar[request["start"] : request["stop"]]
    place = {day: index for index, day in enumerate(rows)}
    for column, name in enumerate(names):
        if name not in frame.index.get_level_values("instrument"):
            continue
        part = frame.loc[name]
        index = [place[day] for day in part.index]
        values[:, index, column] = part.to_numpy(dtype=np.float32).T
    np.savez(request["answer"], values=values, wall=np.array(wall), cpu=np.array(cpu))


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
