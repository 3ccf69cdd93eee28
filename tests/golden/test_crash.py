"""Killed in the middle, given again, and the answer is the same to the last byte."""

from __future__ import annotations

import time
from pathlib import Path

import psutil
import pytest

from killed_campaign import make_campaign, make_project
from rollwright.market.demo import make_demo_market

CAMPAIGN = make_campaign(
    "small",
    kwargs="num_boost_round: 80, early_stopping_rounds: 80, learning_rate: 0.02, min_data_in_leaf: 40",
    more="""\
  record:
    - {class: SignalRecord, module_path: rollwright.analysis.records}
    - {class: SigAnaRecord, module_path: rollwright.analysis.records}
rolling: {step: 60, rtype: sliding}
""",
)
PRED = Path("results") / "small" / "pred.parquet"


@pytest.fixture(scope="module")
def market(tmp_path_factory) -> Path:
    home = tmp_path_factory.mktemp("crash")
    make_demo_market(home / "market", instruments=20, sessions=700, seed=3)
    return home


def project(home: Path, name: str) -> Path:
    return make_project(home, name, file="small.yaml", text=CAMPAIGN)


@pytest.fixture(scope="module")
def undisturbed(market, shell) -> bytes:
    folder = project(market, "undisturbed")
    done = shell.run("roll", "small.yaml", "-j", "1", cwd=folder)
    assert done.returncode == 0, done.stderr
    return (folder / PRED).read_bytes()


def wait_for(condition, what: str, *, seconds: float = 180.0):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.02)
    pytest.fail(f"waited {seconds:.0f} s for {what}")


@pytest.mark.slow
def test_two_slots_give_the_bytes_of_one(market, shell, undisturbed):
    folder = project(market, "two")
    done = shell.run("roll", "small.yaml", "-j", "2", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert (folder / PRED).read_bytes() == undisturbed


def test_a_killed_worker_and_a_killed_roll_lose_nothing(market, shell, undisturbed, tmp_path):
    folder = project(market, "killed")
    log = tmp_path / "log"
    first = shell.start("roll", "small.yaml", "-j", "2", cwd=folder, log=log)

    def finished() -> int:
        return sum(line.startswith("window") and " done" in line for line in log.read_text().splitlines())

    wait_for(lambda: finished() >= 1 or first.poll() is not None, "the first finished window")
    assert first.poll() is None, log.read_text()
    roll = psutil.Process(first.pid)
    slots = roll.children()
    assert len(slots) == 2, "the slots alone: nothing else is started"
    slots[0].kill()
    wait_for(lambda: finished() >= 2 or first.poll() is not None, "a window after the slot was killed")
    assert first.poll() is None, log.read_text()
    family = roll.children(recursive=True)
    roll.kill()
    first.wait()
    # That a slot dies within a second is proven in tests/pool; here, beside other tests, that none stays.
    _, alive = psutil.wait_procs(family, timeout=10)
    assert not alive, f"{alive} outlived their parent"
    assert not (folder / PRED).exists()

    again = shell.run("roll", "small.yaml", "-j", "2", cwd=folder)
    assert again.returncode == 0, again.stderr
    assert "finished already and kept" in again.stderr
    assert (folder / PRED).read_bytes() == undisturbed


@pytest.mark.crash
def test_resume_goes_on_with_the_last_campaign(market, shell, undisturbed, tmp_path):
    folder = project(market, "resumed")
    log = tmp_path / "log"
    first = shell.start("roll", "small.yaml", "-j", "1", cwd=folder, log=log)
    wait_for(lambda: " done" in log.read_text() or first.poll() is not None, "the first finished window")
    assert first.poll() is None, log.read_text()
    first.terminate()
    assert first.wait(timeout=15) == 130
    assert "rollwright resume small" in log.read_text()
    again = shell.run("resume", cwd=folder)
    assert again.returncode == 0, again.stderr
    assert (folder / PRED).read_bytes() == undisturbed


@pytest.mark.crash
@pytest.mark.parametrize("go_on", [("resume", "small"), ("roll", "small.yaml", "-j", "1")], ids=lambda words: words[0])
def test_a_killed_roll_in_the_background_goes_on_with(market, shell, undisturbed, go_on):
    folder = project(market, f"detached-{go_on[0]}")
    begun = shell.run("roll", "small.yaml", "-j", "1", "--detach", cwd=folder)
    assert begun.returncode == 0, begun.stderr
    assert "rollwright status small --watch" in begun.stdout
    log = folder / ".rollwright" / "logs" / "small" / "roll.log"
    wait_for(lambda: " done" in log.read_text(), "the first finished window")
    (held,) = (folder / ".rollwright" / "detached").glob("small~*")
    roll = psutil.Process(int(held.name.partition("~")[2]))
    twice = shell.run("roll", "small.yaml", "--detach", cwd=folder)
    assert twice.returncode == 2
    assert f"by process {roll.pid}" in twice.stderr
    assert "rollwright status small --watch" in twice.stderr
    family = roll.children(recursive=True)
    roll.kill()
    _, alive = psutil.wait_procs([roll, *family], timeout=10)
    assert not alive, f"{alive} outlived their parent"
    assert not (folder / PRED).exists()

    again = shell.run(*go_on, cwd=folder)
    assert again.returncode == 0, again.stderr
    assert "finished already and kept" in again.stderr
    assert (folder / PRED).read_bytes() == undisturbed
    ended = shell.run("cancel", "small", "--yes", cwd=folder)
    assert "0 windows cancelled" in ended.stdout
    assert "in the background" not in ended.stdout, "what was killed is not taken for a roll"
