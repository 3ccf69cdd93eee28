"""A campaign whose workers a real Slurm starts, preempts and loses: two nodes on this machine."""

from __future__ import annotations

import collections
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

import slurm_server
from crash_size import SMALL, sized
from rollwright.app.campaign import open_campaign, roll_campaign
from rollwright.app.cluster import open_launcher
from rollwright.app.elsewhere import WorkersElsewhere
from rollwright.pool.states import Status
from rollwright.pool.store import PoolStore
from rollwright.pool.urls import store_from_url
from slurm_campaign import Attacker, make_slow_project

pytestmark = pytest.mark.crash

_RESULTS = ("pred.parquet", "label.parquet")
_MOST = 1.15
"""How many times as long as an undisturbed campaign a disturbed one may take, beside what Slurm lets it wait."""


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


def read_results(file: Path) -> list[bytes]:
    return [(file.parent / "results" / "small" / name).read_bytes() for name in _RESULTS]


def open_store(file: Path) -> PoolStore:
    settings = open_campaign(file, project=file.parent).settings
    return store_from_url(settings.resolve_url(settings.pool.url))


def roll_on_slurm(file: Path, *, jobs: int) -> float:
    """Roll a campaign by workers that Slurm starts; return the seconds it took."""
    campaign = open_campaign(file, project=file.parent)
    workers = WorkersElsewhere(campaign.settings, campaign.name, on="slurm", jobs=jobs)
    start = time.monotonic()
    assert roll_campaign(campaign, jobs=jobs, elsewhere=workers.train) is not None
    seconds = time.monotonic() - start
    assert open_launcher(campaign.settings, "slurm").list() == []
    return seconds


def extrapolate(file: Path, seconds: float, *, windows: int) -> float:
    """Return how long a campaign of so many windows would have taken, by the pace of one that took `seconds`."""
    with closing(open_store(file)) as store:
        moments = [row.at for row in store.read_history("small") if row.event == "done"]
    working = moments[-1] - moments[0]
    return seconds - working + working * (windows - 1) / (len(moments) - 1)


def check_history(file: Path, windows: int, *, lost_attempts: int) -> collections.Counter[str]:
    """Check that each window was committed once and attempts were used only by what died; return the events."""
    store = open_store(file)
    records = [*store.find("small")]
    assert len(records) == windows
    assert {record.status for record in records} == {Status.DONE}
    history = store.read_history("small")
    events = collections.Counter(row.event for row in history)
    assert events["done"] == len({row.task_id for row in history if row.event == "done"}) == windows
    assert events["retry"] == events["failed"] == 0
    assert sum(record.attempts - 1 for record in records) == events["reaped"]
    assert events["reaped"] <= lost_attempts  # a preemption uses no attempt: only what was killed was in hand
    store.close()
    return events


def test_preempted_members_and_nodes_that_die_lose_nothing_and_give_the_same_bytes(
    cluster: slurm_server.SlurmServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    windows, jobs = sized(1300, 150), sized(12, 4)
    reference = make_slow_project(tmp_path / "here", windows=windows)
    assert roll_campaign(open_campaign(reference, project=reference.parent), jobs=2) is not None
    monkeypatch.setenv("SLOW_FIT", "0.5" if SMALL else "5")
    undisturbed = None
    if not SMALL:
        calm = make_slow_project(tmp_path / "calm", windows=windows // 5)
        undisturbed = extrapolate(calm, roll_on_slurm(calm, jobs=jobs), windows=windows)
    file = make_slow_project(tmp_path / "disturbed", windows=windows)
    with closing(open_store(file)) as store:

        def is_busy(node: str) -> bool:
            workers = cluster.run("squeue", "--noheader", f"--nodelist={node}", "--states=RUNNING", "--format=%i")
            return bool(workers) and store.stat("small").counts[Status.RUNNING] == jobs

        attacker = Attacker(cluster, preemptions=sized(200, 6), nodes=sized(4, 2), at_once=sized(2, 1), is_busy=is_busy)
        with attacker:
            disturbed = roll_on_slurm(file, jobs=jobs)

    harm = attacker.harm
    assert harm.preempted >= sized(200, 4)
    assert harm.nodes_killed >= 1
    assert read_results(file) == read_results(reference)
    events = check_history(file, windows, lost_attempts=harm.nodes_killed * jobs)
    net = disturbed - harm.idle_seconds / jobs
    with capsys.disabled():
        sys.stdout.write(f"\nslurm: {windows} windows, {harm}, {dict(events)}\n{disturbed:.0f} s, {net:.0f} s net")
        if undisturbed is not None:
            shares = (disturbed / undisturbed, net / undisturbed)
            sys.stdout.write(f"; undisturbed {undisturbed:.0f} s: {shares[0]:.2f}, net {shares[1]:.2f} (<= {_MOST})\n")
    assert undisturbed is None or net <= _MOST * undisturbed
