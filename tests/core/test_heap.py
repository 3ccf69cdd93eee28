"""The working memory of evaluations is kept between them and given back on demand, in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

PROGRAM = """
import json, resource
import numpy as np
from rollwright.core.memory import keep_heap, trim_heap
from rollwright.expression.engine import evaluate_each
from rollwright.expression.planner import compile_plan
from rollwright.testing.market import random_source

source = random_source(np.random.default_rng(0), sessions=700, instruments=40)
plan = compile_plan([f"Std($close,{n})/Mean($close,{n})" for n in (5, 10, 20, 30, 60)])

def pages():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    evaluate_each(plan, source, lambda tile: None, instruments=source.instruments(), start=100, stop=700)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def pages_anew():
    trim_heap()
    return pages()

# What the threads of an evaluation take at a time differs on a busy machine: each figure is the best of three.
first, again = pages(), min(pages() for _ in range(3))
print(json.dumps({"kept": keep_heap(), "first": first, "again": again, "anew": max(pages_anew() for _ in range(3))}))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="counts the pages that Linux gives")
def test_memory_is_used_again_by_the_next_evaluation_and_given_back_on_demand() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COV_")}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=60, env=environment
    )
    found = json.loads(done.stdout)
    if not found["kept"]:
        pytest.skip("this C library keeps what it likes")
    assert found["again"] < found["first"] / 10
    assert found["anew"] > found["first"] / 4
