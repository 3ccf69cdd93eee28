"""Runs under the peer's interpreter: computes expressions by period with Qlib once and prints what it took.

It imports nothing of rollwright. Argument: JSON with folder, count, instruments, start and kernels.
"""

import json
import sys
import time
import warnings

from peer_process import start_qlib, used_cpu
from pit_cases import expressions_by_period
from qlib.data import D


def main() -> None:
    request = json.loads(sys.argv[1])
    warnings.simplefilter("ignore")
    start_qlib(request["folder"], kernels=request["kernels"])
    wall, cpu = time.perf_counter(), used_cpu()
    frame = D.features(request["instruments"], expressions_by_period(request["count"]), start_time=request["start"])
    took = {"wall": time.perf_counter() - wall, "cpu": used_cpu() - cpu}
    print(json.dumps({**took, "cells": frame.size, "known": int(frame.notna().sum().sum())}))


if __name__ == "__main__":
    main()
