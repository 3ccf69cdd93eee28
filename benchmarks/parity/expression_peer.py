"""Runs under the peer's interpreter: computes expressions with Qlib and writes the values as arrays.

It imports nothing of rollwright. Argument: a JSON file with provider, expressions, start, stop, repeats and answer; or
with `each`, expressions whose series are asked for one by one, instrument by instrument, with the rows they have.
"""

import json
import os
import sys
import time
from pathlib import Path

import numpy as np
from peer_process import start_qlib, used_cpu
from qlib.data import D
from qlib.data.cache import H
from qlib.data.data import ExpressionD


def main() -> None:
    request = json.loads(Path(sys.argv[1]).read_text())
    start_qlib(request["provider"], kernels=2 if request["repeats"] else 1)
    calendar = D.calendar(freq="day")
    if "each" in request:
        _answer_each(request, len(calendar))
        return
    rows = calendar[request["start"] : request["stop"]]
    everybody = D.instruments("all")
    names = sorted(D.list_instruments(everybody, as_list=True))
    values = np.full((len(request["expressions"]), len(rows), len(names)), np.nan, np.float32)
    wall, cpu = [], []
    for _ in range(request["repeats"]):
        H.clear()
        before_wall, before_cpu = time.perf_counter(), used_cpu()
        D.features(everybody, request["expressions"], rows[0], rows[-1], freq="day")
        wall.append(time.perf_counter() - before_wall)
        cpu.append(used_cpu() - before_cpu)
    refused = [] if request["repeats"] else _fill(values, request["expressions"], everybody, names, rows)
    np.savez(
        request["answer"],
        values=values,
        wall=np.array(wall),
        cpu=np.array(cpu),
        refused=np.array(refused, dtype=np.int64),
    )


def _answer_each(request, sessions) -> None:
    names = sorted(D.list_instruments(D.instruments("all"), as_list=True))
    shape = (len(request["each"]), sessions, len(names))
    values, present = np.full(shape, np.nan, np.float32), np.zeros(shape, bool)
    raised = np.zeros((shape[0], shape[2]), bool)
    for place, text in enumerate(request["each"]):
        for column, name in enumerate(names):
            try:
                series = ExpressionD.expression(name, text, None, None, "day")
            except Exception:  # noqa: BLE001 - whatever the peer raises, the others are still to be compared
                raised[place, column] = True
                continue
            rows = series.index.to_numpy().astype(int)
            values[place, rows, column] = series.to_numpy(dtype=np.float32, na_value=np.nan)
            present[place, rows, column] = True
        H.clear()
    np.savez(request["answer"], values=values, present=present, raised=raised)


def _fill(values, expressions, everybody, names, rows) -> list[int]:
    """Compute in one call, or one by one when that fails; return the places of those the peer refuses."""
    try:
        _put(values, D.features(everybody, expressions, rows[0], rows[-1], freq="day"), names, rows)
    except Exception:  # noqa: BLE001 - whatever the peer raises, the others are still to be compared
        if len(expressions) == 1:
            return [0]
    else:
        return []
    return [
        place
        for place, expression in enumerate(expressions)
        if _fill(values[place : place + 1], [expression], everybody, names, rows)
    ]


def _put(values, frame, names, rows) -> None:
    place = {day: index for index, day in enumerate(rows)}
    listed = set(frame.index.get_level_values("instrument"))
    for column, name in enumerate(names):
        if name in listed:
            part = frame.loc[name]
            values[:, [place[day] for day in part.index], column] = part.to_numpy(dtype=np.float32).T


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
