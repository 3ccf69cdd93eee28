"""Runs under the peer's interpreter: computes the expressions of a case with Qlib once and prints what it took.

It imports nothing of rollwright. Argument: JSON with folder, kind and kernels.
"""

import json
import sys
import time
import warnings

from features_cases import expressions_of
from peer_process import start_qlib, used_cpu
from qlib.data import D


def main() -> None:
    request = json.loads(sys.argv[1])
    warnings.simplefilter("ignore")
    start_qlib(request["folder"], kernels=request["kernels"])
    wall, cpu = time.perf_counter(), used_cpu()
    frame = D.features(D.instruments("all"), expressions_of(request["kind"]), freq="day")
    print(json.dumps({"calls": [{"wall": time.perf_counter() - wall, "cpu": used_cpu() - cpu, "rows": len(frame)}]}))


if __name__ == "__main__":
    main()
