"""Runs under the peer's interpreter: computes expressions by period with Qlib once and prints what it took.

It imports nothing of rollwright. Argument: JSON with folder, count, instruments, start and kernels.
"""

import json
import resource
import sys
import time
import warnings

import qlib
from pit_cases import expressions_by_period
from qlib.config import REG_CN
from qlib.data import D


def _cpu() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def main() -> None:
    request = json.loads(sys.argv[1])
    warnings.simplefilter("ignore")
    qlib.init(
        provider_uri=request["folder"], region=REG_CN, kernels=request["kernels"], expression_cache=None,
        dataset_cache=None, logging_level=40,
    )  # fmt: skip
    wall, cpu = time.perf_counter(), _cpu()
    frame = D.features(request["instruments"], expressions_by_period(request["count"]), start_time=request["start"])
    took = {"wall": time.perf_counter() - wall, "cpu": _cpu() - cpu}
    print(json.dumps({**took, "cells": frame.size, "known": int(frame.notna().sum().sum())}))


if __name__ == "__main__":
    main()
