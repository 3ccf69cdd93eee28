"""A campaign of several members, killed again and again wherever it stands, ends with the bytes it ends with alone."""

from __future__ import annotations

import random
import signal
import subprocess
from pathlib import Path

import psutil
import pytest

from crash_size import SMALL
from killed_campaign import make_campaign, make_project
from rollwright.market.demo import make_demo_market

CAMPAIGN = make_campaign(
    "members",
    kwargs="num_boost_round: 30, early_stopping_rounds: 30, min_data_in_leaf: 40, num_leaves: 7",
    more="""\
rolling: {step: 22, rtype: sliding}
vary:
  model.kwargs.seed: [0, 1]
combine: {method: rank_mean}
""",
)
RESULTS = Path("results") / "members"
SPAWN_S = 2.0
"""About how long a roll needs until its slots work; kills fall before and after that."""


@pytest.fixture(scope="module")
def market(tmp_path_factory) -> Path:
    home = tmp_path_factory.mktemp("random")
    make_demo_market(home / "market", instruments=20, sessions=700, seed=3)
    return home


def project(home: Path, name: str) -> Path:
    return make_project(home, name, file="members.yaml", text=CAMPAIGN)


def results(folder: Path) -> dict[str, bytes]:
    """Return every file of predictions of a project: the campaign's and each member's, by its place."""
    home = folder / RESULTS
    return {str(path.relative_to(home)): path.read_bytes() for path in sorted(home.rglob("pred*.parquet"))}


@pytest.fixture(scope="module")
def undisturbed(market, shell) -> dict[str, bytes]:
    folder = project(market, "undisturbed")
    done = shell.run("roll", "members.yaml", "-j", "2", cwd=folder)
    assert done.returncode == 0, done.stderr
    found = results(folder)
    assert len(found) == 3, f"the signal's and two members', not {[*found]}"
    return found


class Roll:
    """One `roll` after another of a campaign, each killed by somebody or something."""

    def __init__(self, shell, folder: Path, log: Path) -> None:
        self.shell, self.folder, self.log = shell, folder, log
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = self.shell.start("roll", "members.yaml", "-j", "2", cwd=self.folder, log=self.log)

    def is_over(self, seconds: float) -> bool:
        """Let it work so long, and tell whether it came to its end."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def kill_a_child(self, choose: random.Random) -> bool:
        """Kill one process beneath it, fork server and slots alike; tell whether there was one."""
        with_children = psutil.Process(self.process.pid)
        try:
            family = sorted(with_children.children(recursive=True), key=lambda one: one.pid)
            if family:
                choose.choice(family).send_signal(signal.SIGKILL)
        except psutil.NoSuchProcess:
            return False
        return bool(family)

    def kill(self) -> None:
        """Kill it alone: what it started must see to its own end."""
        family = psutil.Process(self.process.pid).children(recursive=True)
        self.process.kill()
        self.process.wait()
        _, alive = psutil.wait_procs(family, timeout=20)
        assert not alive, f"{alive} outlived their parent"


def kill_at_random(roll: Roll, *, kills: int, seed: int) -> int:
    """Kill workers and parents until it was done `kills` times or the campaign is finished; return how often."""
    choose = random.Random(seed)
    done = 0
    roll.start()
    while done < kills:
        if roll.is_over(choose.uniform(0.0, SPAWN_S)):
            text = roll.log.read_text()
            assert roll.process.returncode in (0, 1, 3), text  # finished, or gave up on what kept dying: said, not lost
            if roll.process.returncode == 0:
                return done
            roll.start()
        elif choose.random() < 0.35:
            roll.kill()
            done += 1
            roll.start()
        else:
            done += roll.kill_a_child(choose)
    roll.kill()
    return done + 1


def check_the_end(roll: Roll, undisturbed: dict[str, bytes]) -> None:
    for _ in range(5):  # a window whose worker was killed too often is tried again by the same command
        last = roll.shell.run("roll", "members.yaml", "-j", "2", cwd=roll.folder)
        if last.returncode == 0:
            break
    assert last.returncode == 0, last.stderr
    assert results(roll.folder) == undisturbed


@pytest.mark.crash
@pytest.mark.parametrize("seed", [11] if SMALL else range(10))
def test_killed_two_hundred_times_it_ends_with_the_same_bytes(market, shell, undisturbed, tmp_path, seed):
    roll = Roll(shell, project(market, f"killed-{seed}"), tmp_path / "log")
    assert kill_at_random(roll, kills=20, seed=seed) >= 5
    check_the_end(roll, undisturbed)
