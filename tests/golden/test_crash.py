"""Killed in the middle, given again, and the answer is the same to the last byte."""

from __future__ import annotations

import time
from pathlib import Path

import psutil
import pytest

from rollwright.market.demo import make_demo_market

CAMPAIGN = """\
experiment_name: small
qlib_init: {provider_uri: ../market, region: us}
task:
  model:
    class: LGBModel
    module_path: rollwright.models.lightgbm
    kwargs: {num_boost_round: 150, early_stopping_rounds: 150, learning_rate: 0.02, min_data_in_leaf: 40}
  dataset:
    class: DatasetH
    module_path: rollwright.dataset.dataset
    kwargs:
      handler:
        class: Alpha158
        module_path: rollwright.dataset.alpha
        kwargs: {instruments: all, start_time: 2015-01-05, end_time: 2017-12-29}
      segments:
        train: [2015-06-01, 2016-03-31]
        valid: [2016-04-01, 2016-06-30]
        test: [2016-07-01, 2017-06-30]
  record:
    - {class: SignalRecord, module_path: rollwright.analysis.records}
    - {class: SigAnaRecord, module_path: rollwright.analysis.records}
rolling: {step: 40, rtype: sliding}
backtest: {topk: 10, n_drop: 2}
"""

PRED = Path("results") / "small" / "pred.parquet"


@pytest.fixture(scope="module")
def market(tmp_path_factory) -> Path:
    home = tmp_path_factory.mktemp("crash")
    make_demo_market(home / "market", instruments=40, sessions=700, seed=3)
    return home


def project(home: Path, name: str) -> Path:
    folder = home / name
    (folder / ".rollwright").mkdir(parents=True)
    (folder / "small.yaml").write_text(CAMPAIGN)
    return folder


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
    slots = [child for child in roll.children(recursive=True) if child.parent() != roll]
    assert slots, "the slots are grandchildren, behind the fork server"
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
