"""Workers that are killed at each step of a task in shards: nothing is lost, nothing is doubled, no byte differs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import sharded_worker
from rollwright.pool.manager import TaskManager
from rollwright.tracking.r import R
from rollwright.training.execute import task_train
from sharded_tasks import build_market, task, use_project

pytestmark = pytest.mark.crash
KINDS = {"seeds": {"by": "seeds", "count": 3}, "dates": {"by": "dates", "every": "3M"}}


@pytest.fixture(scope="module")
def market(tmp_path_factory):
    return build_market(tmp_path_factory.mktemp("killed") / "market")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, market):
    """What each kind gives where nobody is killed."""
    use_project(tmp_path_factory.mktemp("undisturbed") / "p", market)
    return {name: digests(task_train(task(shards), name)) for name, shards in KINDS.items()}


def digests(recorder):
    return {
        name: sha
        for name, sha in recorder.list_digests().items()
        if name not in ("provenance", "validity", "shards", "task")
    }


def work(folder: Path, market: Path, url: str, step: str) -> int:
    command = [sys.executable, sharded_worker.__file__, str(folder), str(market), url, step]
    return subprocess.run(command, check=False, capture_output=True, timeout=120).returncode


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("step", sharded_worker.STEPS)
@pytest.mark.parametrize("store", ["sqlite", "postgres"])
def test_killed_at_each_step_it_gives_the_same_once(store, step, kind, tmp_path, market, undisturbed, request):
    if store == "postgres" and kind == "dates" and step not in ("woken", "last shard"):
        pytest.skip("the stores differ in nothing that this step touches")
    folder = tmp_path / "p"
    url = f"sqlite:///{folder / 'pool.db'}" if store == "sqlite" else request.getfixturevalue("postgres_url")
    use_project(
        folder, market, **{"tracking.uri": f"sqlite:///{folder / 'runs.db'}", "pool.url": url, "pool.lease": "1"}
    )
    manager = TaskManager("joined")
    (task_id,) = manager.create_task([task(KINDS[kind])])
    assert work(folder, market, url, step) == -9
    assert manager.re_query(task_id)["status"] != "done"
    assert work(folder, market, url, "none") == 0
    assert {state: count for state, count in manager.task_stat().items() if count} == {"done": 4}
    recorder = manager.re_query(task_id)["res"]
    assert digests(recorder) == undisturbed[kind]
    history = manager.store.read_history("joined", [task_id])
    assert [row.event for row in history].count("done") == 1
    finished = R.get_exp(experiment_name="joined").list_recorders("list", status="FINISHED")
    assert [one.id for one in finished] == [recorder.id]
