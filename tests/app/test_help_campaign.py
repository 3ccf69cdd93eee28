"""A worker that helps a campaign: what it is made of, and what ends with it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psutil
import pytest

from rollwright.app.campaign import roll_campaign
from rollwright.app.open_campaign import open_campaign
from rollwright.pool.states import Status
from rollwright.pool.urls import store_from_url
from slurm_campaign import make_slow_project

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="workers fork only on Linux")

_SERVER = "multiprocessing.forkserver"


@contextmanager
def worker_at_work(tmp_path: Path, *, jobs: int) -> Iterator[psutil.Process]:
    """Start a worker for four slow windows; the block begins when it has `jobs` of them in hand."""
    file = make_slow_project(tmp_path / "project", windows=4, seconds=8.0)
    campaign = open_campaign(file, project=file.parent)
    assert roll_campaign(campaign, jobs=1, elsewhere=lambda _manager, _ids, _on_event: False) is None  # only submits
    command = [sys.executable, "-m", "rollwright", "worker", "run", "small", "--jobs", str(jobs)]
    process = subprocess.Popen(command, cwd=file.parent, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        with closing(store_from_url(campaign.settings.resolve_url(campaign.settings.pool.url))) as store:
            end = time.monotonic() + 30
            while store.stat("small").counts[Status.RUNNING] < jobs:
                assert process.poll() is None
                assert time.monotonic() < end
                time.sleep(0.05)
            yield psutil.Process(process.pid)
    finally:
        process.kill()
        process.communicate()


def test_a_worker_shares_what_it_has_imported_with_the_processes_that_train(tmp_path: Path) -> None:
    with worker_at_work(tmp_path, jobs=2) as worker:
        children = worker.children()
        assert len(children) == 2
        assert not any(_SERVER in " ".join(one.cmdline()) for one in children)
        worker.terminate()
        _, alive = psutil.wait_procs(children, timeout=30)
        assert not alive


def test_a_process_that_trains_ends_with_its_worker_that_is_killed(tmp_path: Path) -> None:
    with worker_at_work(tmp_path, jobs=1) as worker:
        (child,) = worker.children()
        worker.kill()
        _, alive = psutil.wait_procs([child], timeout=30)
        assert not alive
