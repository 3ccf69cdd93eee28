"""Real processes at one chain: two that write at once, and one that is killed while it writes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from crash_size import sized
from rollwright.trials.registry import TrialRegistry

HELPERS = Path(__file__).parents[1] / "helpers"

WRITER = """
import sys
from pathlib import Path

sys.path.insert(0, sys.argv[1])
from made_trials import make_trial
from rollwright.trials.registry import TrialRegistry

registry = TrialRegistry(Path(sys.argv[2]))
first, count = int(sys.argv[3]), int(sys.argv[4])
print("ready", flush=True)
sys.stdin.readline()
for seed in range(first, first + count):
    registry.register([make_trial(seed)])
    print(seed, flush=True)
"""


def start(folder, first, count):
    command = [sys.executable, "-B", "-c", WRITER, str(HELPERS), str(folder), str(first), str(count)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    return process


def go(process):
    process.stdin.write("\n")
    process.stdin.flush()


def end(process):
    process.stdin.close()
    process.stdout.close()
    return process.wait(60)


def test_two_processes_that_register_at_once_lose_nothing(tmp_path):
    writers = [start(tmp_path, first, 20) for first in (0, 15)]
    for writer in writers:
        go(writer)
    for writer in writers:
        assert len(writer.stdout.read().split()) == 20
        assert end(writer) == 0
    state = TrialRegistry(tmp_path).read()
    assert state.damage == ()
    assert sorted(one.name for one in state.distinct("market")) == sorted(f"trial {seed}" for seed in range(35))


@pytest.mark.crash
def test_what_was_reported_as_registered_survives_the_kill_of_its_writer(tmp_path):
    registry = TrialRegistry(tmp_path)
    reported = set()
    for round_ in range(sized(40, 12)):
        writer = start(tmp_path, 1000 * round_, 1000)
        go(writer)
        reported |= {int(writer.stdout.readline()) for _ in range(1 + round_ % 4)}
        writer.kill()
        reported |= {int(line) for line in writer.stdout.read().split("\n")[:-1]}
        end(writer)
        state = registry.read()
        assert state.damage == ()
        assert {f"trial {seed}" for seed in reported} <= {one.name for one in state.trials}
    kinds = [record.kind for record in registry.read().records]
    assert len(kinds) - kinds.count("recovered") - 1 == len(registry.read().trials)


@pytest.mark.crash
def test_a_reader_beside_writers_never_sees_damage(tmp_path):
    registry = TrialRegistry(tmp_path)
    writers = [start(tmp_path, first, 40) for first in (0, 100, 200)]
    for writer in writers:
        go(writer)
    reads = 0
    while any(writer.poll() is None for writer in writers) and reads < 2000:
        assert registry.read().damage == ()
        reads += 1
    assert [end(writer) for writer in writers] == [0, 0, 0]
    assert len(registry.read().distinct("market")) == 120
