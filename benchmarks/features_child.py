"""One measured process of `features.py`: writes a market, or computes expressions on it twice and prints what it took.

Argument: JSON with the task (``market`` or ``features``), the folder, and the market's size or the expressions' kind.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).with_name("parity")))
from features_cases import expressions_of


def write(request: dict[str, Any]) -> None:
    """Write the market."""
    import numpy as np  # noqa: PLC0415 - only here: the other task is to take what its user takes
    from expression_market import write_market  # noqa: PLC0415 - as above

    from rollwright.testing.market import random_source  # noqa: PLC0415 - as above

    rng = np.random.default_rng(1)
    source = random_source(rng, sessions=request["sessions"], instruments=request["instruments"], suspensions=0.01)
    write_market(source, Path(request["folder"]))


def features(request: dict[str, Any]) -> list[dict[str, float]]:
    """Call D.features twice; return what each call took."""
    from rollwright.config.context import init  # noqa: PLC0415 - as above
    from rollwright.features.api import D  # noqa: PLC0415 - as above

    init(provider_uri=request["folder"], kernels=request["kernels"])
    calls = []
    for _ in range(2):
        before, start = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
        frame = D.features("all", expressions_of(request["kind"]))
        wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF)
        calls.append(
            {
                "wall": wall,
                "cpu": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
                "system": after.ru_stime - before.ru_stime,
                "faults": after.ru_minflt - before.ru_minflt,
                "rows": len(frame),
            }
        )
        del frame
    return calls


def main() -> None:
    request = json.loads(sys.argv[1])
    if request["task"] == "market":
        write(request)
        print("{}")
    else:
        print(json.dumps({"calls": features(request)}))


if __name__ == "__main__":
    main()
