"""A campaign whose workers a real Slurm starts, preempts and loses: two nodes on this machine."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

import slurm_server
from crash_size import SMALL, sized
from rollwright.app.campaign import roll_campaign
from rollwright.app.cluster import open_launcher
from rollwright.app.open_campaign import open_campaign
from rollwright.errors import LaunchError
from rollwright.pool.states import Status
from rollwright.pool.store import PoolStore
from slurm_campaign import Attacker, attack, check_history, make_slow_project, open_store, roll_on_slurm

pytestmark = pytest.mark.crash

_RESULTS = ("pred.parquet", "label.parquet")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[slurm_server.SlurmServer]:
    reason = slurm_server.missing()
    if reason is not None:
        pytest.skip(reason)
    server = slurm_server.SlurmServer(tmp_path_factory.mktemp("slurm"), cores=sized(6, 2))
    server.start()
    yield server
    server.stop()


@pytest.fixture(autouse=True)
def _slurm_environment(cluster: slurm_server.SlurmServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in cluster.environ.items():
        monkeypatch.setenv(name, value)
    cluster.wait_for_nodes()


def read_results(file: Path) -> list[bytes]:
    return [(file.parent / "results" / "small" / name).read_bytes() for name in _RESULTS]


def test_preempted_members_and_nodes_that_die_lose_nothing_and_give_the_same_bytes(
    cluster: slurm_server.SlurmServer,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    windows, jobs = sized(1300, 150), sized(12, 4)
    reference = make_slow_project(tmp_path / "here", windows=windows)
    assert roll_campaign(open_campaign(reference, project=reference.parent), jobs=2) is not None
    gate = tmp_path / "all_is_done"
    file = make_slow_project(tmp_path / "disturbed", windows=windows, seconds=sized(5.0, 0.5), gate=gate)
    harm_wanted = {"preemptions": sized(200, 6), "nodes": sized(4, 2), "at_once": sized(4, 1)}
    with closing(open_store(file)) as store:
        attacker = attack(cluster, store, windows=windows, gate=gate, **harm_wanted)
        with attacker:
            seconds = roll_on_slurm(file, jobs=jobs)

    harm = attacker.harm
    assert harm.preempted >= harm_wanted["preemptions"]
    assert (harm.nodes_killed, harm.nodes_lost) == (harm_wanted["nodes"] // 2,) * 2
    assert read_results(file) == read_results(reference)
    events = check_history(file, windows, lost_attempts=harm.nodes_killed * jobs)
    with capsys.disabled():
        sys.stdout.write(f"\nslurm: {windows} windows in {seconds:.0f} s, {harm}, {dict(events)}\n")


@contextmanager
def rolling_on_slurm(file: Path, *, jobs: int) -> Iterator[PoolStore]:
    """Roll a campaign meanwhile; the block begins once windows are trained, and at its end all of them are."""
    with closing(open_store(file)) as store, ThreadPoolExecutor(1) as executor:
        rolled = executor.submit(roll_on_slurm, file, jobs=jobs, look=1.0)
        while store.stat("small").counts[Status.DONE] < 2:
            assert not rolled.done(), rolled.exception()
            time.sleep(0.1)
        yield store
        rolled.result()


def run_program(file: Path, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "rollwright", *words],
        cwd=file.parent, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_one_file_gives_the_same_bytes_wherever_its_workers_are_started(tmp_path: Path) -> None:
    made = {}
    for place in ("local", "slurm"):
        file = make_slow_project(tmp_path / place, windows=8)
        run_program(file, "roll", file.name, "--on", place, "--jobs", "2")
        made[place] = (file.read_bytes(), (file.parent / "rollwright.toml").read_bytes(), read_results(file))
        assert check_history(file, 8, lost_attempts=0)["claimed"] == 8
    assert made["local"] == made["slurm"]


def test_workers_go_on_while_the_controller_is_away_and_the_campaign_waits_for_it(
    cluster: slurm_server.SlurmServer, tmp_path: Path
) -> None:
    windows = sized(120, 24)
    file = make_slow_project(tmp_path / "project", windows=windows, seconds=1.0)
    with rolling_on_slurm(file, jobs=2) as store:
        cluster.kill_controller()
        before = store.stat("small").counts[Status.DONE]
        time.sleep(sized(60, 10))
        after = store.stat("small").counts[Status.DONE]
        cluster.start_controller()
        cluster.wait_for_nodes()

    assert after > before
    assert check_history(file, windows, lost_attempts=0)["claimed"] == windows


def test_members_that_somebody_cancels_give_their_windows_back_and_others_are_started(
    cluster: slurm_server.SlurmServer, tmp_path: Path
) -> None:
    seconds = 8.0  # longer than a worker waits for what it has in hand
    file = make_slow_project(tmp_path / "project", windows=4, seconds=seconds)
    with closing(open_store(file)) as store, ThreadPoolExecutor(1) as executor:
        rolled = executor.submit(roll_on_slurm, file, jobs=2, look=1.0)
        while not store.stat("small").counts[Status.RUNNING]:
            assert not rolled.done(), rolled.exception()
            time.sleep(0.1)
        cluster.run("scancel", "--full", "--me")
        rolled.result()

    events = check_history(file, 4, lost_attempts=0)
    assert events["released"] >= 1
    assert events["claimed"] == 4 + events["released"]


def test_what_slurm_refuses_is_told_in_its_words_and_nothing_is_left_in_its_queue(tmp_path: Path) -> None:
    file = make_slow_project(tmp_path / "project", windows=2)
    settings = file.parent / "rollwright.toml"
    settings.write_text(settings.read_text().replace("--partition=low", "--partition=nowhere"))
    with pytest.raises(LaunchError, match="invalid partition specified: nowhere"):
        roll_on_slurm(file, jobs=2)
    assert open_launcher(open_campaign(file, project=file.parent).settings, "slurm").list() == []


@pytest.mark.skipif(SMALL, reason="not run: Slurm counts a time limit in minutes")
def test_a_worker_whose_time_is_over_goes_on_in_another_turn(cluster: slurm_server.SlurmServer, tmp_path: Path) -> None:
    file = make_slow_project(tmp_path / "project", windows=25, seconds=8.0)
    settings = file.parent / "rollwright.toml"
    settings.write_text(settings.read_text() + "time_limit = 180\n")
    before = cluster.count_restarts()
    with Attacker(
        cluster, preemptions=0, nodes=0, at_once=1, is_busy=lambda _: False, progress=lambda: 0.0
    ):  # lets nobody be held
        roll_on_slurm(file, jobs=1)
    assert cluster.count_restarts() > before
    check_history(file, 25, lost_attempts=0)
