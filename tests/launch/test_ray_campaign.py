"""A campaign whose windows a real Ray trains, one of whose nodes is killed meanwhile."""

from __future__ import annotations

import importlib.util
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from rollwright.app.campaign import roll_campaign
from rollwright.app.cluster import open_launcher
from rollwright.app.elsewhere import WorkersElsewhere
from rollwright.app.open_campaign import open_campaign
from rollwright.core.clock import SystemClock
from rollwright.pool.states import Status
from rollwright.pool.urls import store_from_url
from small_campaign import make_project, roll_here

pytestmark = [
    pytest.mark.crash,
    pytest.mark.filterwarnings("ignore"),  # Ray's own
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="not run: no Ray (make ray)"),
]
SHORT = ("rolling.step=4", "experiment_name=small")


@pytest.fixture
def cluster() -> Iterator[Any]:
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0"}
    import ray  # noqa: PLC0415 - in an environment of its own
    from ray.cluster_utils import Cluster  # noqa: PLC0415 - as above

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    yield made
    ray.shutdown()
    made.shutdown()


def runs_a_worker(node: Any) -> bool:
    raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
    return any("ray::WorkerProcess" in " ".join(one.cmdline()) for one in raylet.children())


def test_a_campaign_whose_node_is_killed_gives_the_bytes_of_an_undisturbed_one(cluster: Any, tmp_path: Path) -> None:
    here = make_project(tmp_path / "here")
    assert roll_here(here, overrides=SHORT) is not None
    file = make_project(tmp_path / "there")
    (file.parent / "rollwright.toml").write_text(f'[cluster]\none_machine = true\nray_address = "{cluster.address}"\n')
    nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
    cluster.wait_for_nodes()
    campaign = open_campaign(file, project=file.parent, overrides=SHORT)
    address = campaign.settings.resolve_url(campaign.settings.pool.url)
    killed = threading.Event()
    over = threading.Event()

    def kill_one() -> None:
        """Kill the node of the worker while it has a window in hand; the other one is left."""
        clock = SystemClock()
        store = store_from_url(address)
        while not over.is_set():
            if store.count("small")[Status.RUNNING]:
                (node,) = (one for one in nodes if runs_a_worker(one))
                cluster.remove_node(node, allow_graceful=False)
                killed.set()
                break
            clock.sleep(0.02)
        store.close()

    workers = WorkersElsewhere(campaign.settings, campaign.name, on="ray", jobs=1)

    def train(*given: Any) -> bool:
        attacker = threading.Thread(target=kill_one)
        attacker.start()  # now that the tasks are there
        try:
            return workers.train(*given)
        finally:
            over.set()
            attacker.join()

    result = roll_campaign(campaign, jobs=1, elsewhere=train)

    assert result is not None
    assert killed.is_set()
    for name in ("pred.parquet", "label.parquet"):
        made = [(one.parent / "results" / "small" / name).read_bytes() for one in (here, file)]
        assert made[0] == made[1]
    store = store_from_url(address)
    records = [*store.find("small")]
    assert {record.status.value for record in records} == {"done"}
    assert max(record.attempts for record in records) == 1  # who loses its node gives back without using an attempt
    store.close()
    launcher = open_launcher(campaign.settings, "ray")
    clock = SystemClock()
    for _ in range(300):
        if not launcher.list():
            break
        clock.sleep(0.1)
    assert launcher.list() == []
