"""Notes when LightGBM learns: read by every Python whose PYTHONPATH names this folder, ours and the peer's.

Each fit is a line of JSON in the file that FIT_CLOCK names: its wall and CPU seconds, and when it began.
"""

import importlib.abc
import importlib.util
import json
import os
import sys
import time


class _Finder(importlib.abc.MetaPathFinder):
    """Puts a clock around the function `train`, once, when the module that has it is imported."""

    def find_spec(self, name, path=None, target=None):  # noqa: ARG002 - the protocol's signature
        if name != "lightgbm.engine":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        load = spec.loader.exec_module

        def load_with_clock(module):
            load(module)
            module.train = _clocked(module.train)

        spec.loader.exec_module = load_with_clock
        return spec


def _clocked(train):
    def clocked(*arguments, **kwargs):
        start, wall, cpu = time.time(), time.perf_counter(), time.process_time()
        try:
            return train(*arguments, **kwargs)
        finally:
            taken = {"start": start, "wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
            with open(os.environ["FIT_CLOCK"], "a") as file:
                file.write(json.dumps(taken) + "\n")

    return clocked


if "FIT_CLOCK" in os.environ:
    sys.meta_path.insert(0, _Finder())
