"""Workers as actors of a real Ray, whose nodes are killed; `make ray` makes an environment for it."""

from __future__ import annotations

import importlib.util
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from rollwright.errors import ConfigError, LaunchError, MissingExtraError
from rollwright.launch.launcher import Resources, WorkerCommand
from rollwright.launch.ray import RayLauncher
from rollwright.testing.launcher import EngineUnderTest, LauncherConformance

HAS_RAY = importlib.util.find_spec("ray") is not None
needs_ray = [
    pytest.mark.crash,
    pytest.mark.filterwarnings("ignore"),  # Ray's own
    pytest.mark.skipif(not HAS_RAY, reason="not run: no Ray (make ray)"),
]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head, and two nodes of one core each, as processes of this machine."""
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0"}
    import ray  # noqa: PLC0415 - in an environment of its own
    from ray.cluster_utils import Cluster  # noqa: PLC0415 - as above

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    for _ in range(2):
        made.add_node(num_cpus=2, resources={"highmem": 2})
    made.wait_for_nodes()
    yield made
    ray.shutdown()
    made.shutdown()


@pytest.fixture
def launcher(cluster: Any, tmp_path: Path) -> Iterator[RayLauncher]:
    launcher = RayLauncher(address=cluster.address, project=tmp_path.name)
    yield launcher
    launcher.cancel([one.id for one in launcher.list()])


class TestRay(LauncherConformance):
    pytestmark = needs_ray

    @pytest.fixture
    def engine(self, cluster: Any, launcher: RayLauncher, tmp_path: Path) -> EngineUnderTest:
        return EngineUnderTest(
            launcher=launcher,
            folder=tmp_path,
            other_project=lambda: RayLauncher(address=cluster.address, project="other"),
        )


class TestNodes:
    pytestmark = needs_ray

    def test_a_worker_of_a_lost_node_is_told_to_end_and_started_elsewhere(
        self, cluster: Any, launcher: RayLauncher, tmp_path: Path
    ) -> None:
        engine = EngineUnderTest(launcher=launcher, folder=tmp_path)
        node = cluster.add_node(num_cpus=1, resources={"here": 1})
        there = RayLauncher(address=cluster.address, project=tmp_path.name, resources=["here=1"])
        (worker_id,) = there.submit(1, engine.make_command(), Resources())
        engine.wait(lambda: engine.count_notes("started"))
        engine.wait(lambda: [one.state for one in launcher.list()] == ["running"])

        cluster.remove_node(node, allow_graceful=False)

        engine.wait(lambda: engine.count_notes("told"))  # it gives its tasks back, although its node was killed
        engine.wait(lambda: [one.state for one in launcher.list()] == ["pending"])
        again = cluster.add_node(num_cpus=1, resources={"here": 1})
        engine.wait(lambda: engine.count_notes("started") == 2)
        engine.wait(lambda: [(one.id, one.state) for one in launcher.list()] == [(worker_id, "running")])
        launcher.cancel([worker_id])
        engine.wait(lambda: not launcher.list())
        cluster.remove_node(again)

    def test_a_worker_whose_actor_is_killed_does_not_outlive_it(self, launcher: RayLauncher, tmp_path: Path) -> None:
        engine = EngineUnderTest(launcher=launcher, folder=tmp_path)
        launcher.submit(1, engine.make_command(), Resources())
        engine.wait(lambda: engine.count_notes("started"))
        (note,) = (tmp_path / "alpha").glob("started-*")
        worker = psutil.Process(int(note.name.partition("-")[2]))
        (actor,) = (
            one
            for one in psutil.process_iter(["cmdline"])
            if "ray::WorkerProcess" in " ".join(one.info["cmdline"] or ())
        )
        os.kill(actor.pid, signal.SIGKILL)
        engine.wait(lambda: not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE)
        assert engine.count_notes("told") == 1

    def test_one_that_no_node_has_room_for_waits_and_can_be_ended(self, launcher: RayLauncher, tmp_path: Path) -> None:
        engine = EngineUnderTest(launcher=launcher, folder=tmp_path)
        ids = launcher.submit(1, engine.make_command(), Resources(cores=64))
        assert [one.state for one in launcher.list()] == ["pending"]
        launcher.cancel(ids)
        engine.wait(lambda: not launcher.list())
        assert engine.count_notes("started") == 0

    def test_no_cluster_at_an_address_is_told(self) -> None:
        import ray  # noqa: PLC0415 - in an environment of its own

        ray.shutdown()
        with pytest.raises(LaunchError, match=r"no cluster of Ray answers at 127.*: nothing came within 4 s"):
            RayLauncher(address="127.0.0.1:1", project="p", patience=4).list()


@pytest.mark.skipif(HAS_RAY, reason="Ray is installed")
def test_a_machine_without_ray_says_how_to_install_it() -> None:
    launcher = RayLauncher(project="p")
    worker = WorkerCommand(name="small", words=("rollwright", "worker"), folder=Path("/p"), logs=Path("/p/logs"))
    for call in (
        launcher.list,
        lambda: launcher.cancel(["0" * 16]),
        lambda: launcher.submit(1, worker, Resources()),
    ):
        with pytest.raises(MissingExtraError, match="`ray` is not installed"):
            call()
    assert launcher.describe(1, worker, Resources()).startswith("# 1 actors of Ray")


@pytest.mark.parametrize("text", ["", "a b", "=1", "a=", "a=-1", "a=0", "a=1e9", "a\n", "a=1=2"])
def test_what_is_no_resource_of_ray_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="no resource of Ray"):
        RayLauncher(project="p", resources=[text])
