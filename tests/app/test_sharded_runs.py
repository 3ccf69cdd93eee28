"""A task in shards as a finished run: trained again to the same bytes, and made by real worker processes."""

from __future__ import annotations

import pytest

from rollwright.app.replay import replay
from rollwright.app.verify import verify
from rollwright.pool.manager import TaskManager
from rollwright.tracking.r import R
from rollwright.training.execute import task_train
from rollwright.training.pooled import train_in_pool
from sharded_tasks import build_market, task, use_project

SEEDS = {"by": "seeds", "count": 3}
DATES = {"by": "dates", "every": "2M"}


@pytest.fixture(scope="module")
def market(tmp_path_factory):
    return build_market(tmp_path_factory.mktemp("sharded") / "market")


@pytest.fixture
def project(tmp_path, market, monkeypatch):
    folder = tmp_path / "p"
    settings = use_project(folder, market, **{"tracking.uri": f"sqlite:///{folder / 'runs.db'}"})
    (folder / "rollwright.toml").write_text(
        f'[tracking]\nuri = "sqlite:///{folder / "runs.db"}"\n[data]\nprovider_uri = "{market}"\n'
    )
    return settings


@pytest.mark.parametrize("shards", [SEEDS, DATES], ids=["seeds", "dates"])
def test_it_is_trained_again_to_the_same_bytes(project, shards):
    recorder = task_train(task(shards), "joined")
    again = replay(recorder.id, project=project.root)
    assert {one.name: one.then == one.now for one in again.artifacts} == {
        name: True for name in recorder.list_digests() if name not in ("provenance", "validity", "shards")
    }
    assert {"pred.pkl", "params.pkl", "label.pkl"} <= {one.name for one in again.artifacts}


def test_everything_that_it_left_is_verified(project):
    task_train(task(SEEDS), "joined")
    found = verify(project=project.root)
    assert (found.ok, found.runs) == (True, 4)


@pytest.mark.slow
@pytest.mark.parametrize("slots", [1, 3])
def test_worker_processes_make_the_shards_side_by_side_and_no_byte_differs(project, slots):
    manager = TaskManager("joined")
    definitions = [task(SEEDS), task(DATES)]
    ids = manager.create_task(definitions)
    report = train_in_pool(manager, experiment_name="joined", ids=ids, slots=slots, settings=project)
    assert (report.failed, report.done) == (0, 3 + 4 + 2)
    for task_id, definition in zip(ids, definitions, strict=True):
        made, alone = manager.re_query(task_id)["res"], task_train(definition, "alone")
        for name in ("pred.pkl", "params.pkl", "label.pkl", "expected_index.pkl"):
            assert made.list_digests()[name] == alone.list_digests()[name], name
    assert len(R.list_recorders(experiment_name="joined")) == 2
