"""A campaign whose workers a real Slurm starts and preempts: two nodes on this machine."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import slurm_server
from crash_size import sized
from rollwright.app.campaign import open_campaign, roll_campaign
from rollwright.app.cluster import open_launcher
from rollwright.app.elsewhere import WorkersElsewhere
from rollwright.core.clock import SystemClock
from rollwright.pool.urls import store_from_url
from small_campaign import make_project, roll_here

pytestmark = pytest.mark.crash

_SHORT = ("rolling.step=4", "experiment_name=small")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[slurm_server.SlurmServer]:
    reason = slurm_server.missing()
    if reason is not None:
        pytest.skip(reason)
    server = slurm_server.SlurmServer(tmp_path_factory.mktemp("slurm"))
    server.start()
    yield server
    server.stop()


def preempt(server: slurm_server.SlurmServer, over: threading.Event, count: int) -> int:
    """Take the workers' cores away `count` times, whenever workers run, and let them start again at once."""
    clock = SystemClock()
    done = 0
    while done < count and not over.is_set():
        if "RUNNING" not in server.run("squeue", "--noheader", "--partition=low", "--format=%T"):
            clock.sleep(0.2)
            continue
        job = server.run(
            "sbatch", "--parsable", "--partition=high", "--nodes=2", "--exclusive", "--wrap=sleep 1"
        ).strip()
        while server.run("squeue", "--noheader", f"--jobs={job}", "--format=%T") and not over.is_set():
            clock.sleep(0.2)
        for waiting in server.run("squeue", "--noheader", "--array", "--partition=low", "--format=%i").split():
            server.run("scontrol", "update", f"JobId={waiting}", "StartTime=now")
        done += 1
    return done


def test_a_preempted_campaign_gives_the_bytes_of_an_undisturbed_one(
    cluster: slurm_server.SlurmServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in cluster.environ.items():
        monkeypatch.setenv(name, value)
    here = make_project(tmp_path / "here")
    assert roll_here(here, overrides=_SHORT) is not None
    file = make_project(tmp_path / "there")
    (file.parent / "rollwright.toml").write_text(
        '[cluster]\none_machine = true\nsbatch_options = ["--partition=low"]\n'
    )
    campaign = open_campaign(file, project=file.parent, overrides=_SHORT)
    over = threading.Event()
    preempted: list[int] = []
    wanted = sized(40, 4)
    attacker = threading.Thread(target=lambda: preempted.append(preempt(cluster, over, wanted)))
    attacker.start()
    try:
        workers = WorkersElsewhere(campaign.settings, campaign.name, on="slurm", jobs=2)
        result = roll_campaign(campaign, jobs=2, elsewhere=workers.train)
    finally:
        over.set()
        attacker.join()

    assert result is not None
    assert preempted[0] >= min(wanted, 2)
    for name in ("pred.parquet", "label.parquet"):
        made = [(one.parent / "results" / "small" / name).read_bytes() for one in (here, file)]
        assert made[0] == made[1]
    store = store_from_url(campaign.settings.resolve_url(campaign.settings.pool.url))
    records = [*store.find(campaign.name)]
    assert {record.status.value for record in records} == {"done"}
    assert max(record.attempts for record in records) == 1  # who drains gives back without using an attempt
    store.close()
    assert open_launcher(campaign.settings, "slurm").list() == []
