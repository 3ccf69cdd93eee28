"""What preemptions cost a campaign whose workers have a core each, by a real Slurm on this machine."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

import slurm_server
from crash_size import SMALL
from slurm_campaign import attack, check_history, make_slow_project, open_store, roll_on_slurm

pytestmark = [
    pytest.mark.crash,
    pytest.mark.skipif(SMALL, reason="not run: a short campaign says nothing of what a long one takes"),
]

_MOST = 1.15
"""How many times as long as an undisturbed campaign a disturbed one may take, beside what Slurm lets it wait."""


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[slurm_server.SlurmServer]:
    reason = slurm_server.missing()
    if reason is not None:
        pytest.skip(reason)
    server = slurm_server.SlurmServer(tmp_path / "slurm", cores=1)
    server.start()
    for name, value in server.environ.items():
        monkeypatch.setenv(name, value)
    yield server
    server.stop()


def extrapolate(file: Path, seconds: float, *, windows: int) -> float:
    """Return how long a campaign of so many windows would have taken, by the pace of one that took `seconds`."""
    with closing(open_store(file)) as store:
        moments = [row.at for row in store.read_history("small") if row.event == "done"]
    working = moments[-1] - moments[0]
    return seconds - working + working * (windows - 1) / (len(moments) - 1)


def test_preempted_workers_with_a_core_each_take_little_longer(
    cluster: slurm_server.SlurmServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two members with a core each, so that none waits for another's start; one preemption in 6.5 windows."""
    windows, jobs, seconds = 195, 2, 5.0
    calm = make_slow_project(tmp_path / "calm", windows=windows // 3, seconds=seconds)
    undisturbed = extrapolate(calm, roll_on_slurm(calm, jobs=jobs), windows=windows)
    file = make_slow_project(tmp_path / "disturbed", windows=windows, seconds=seconds)
    with closing(open_store(file)) as store:
        attacker = attack(cluster, store, windows=windows, preemptions=30, nodes=0, at_once=1)
        with attacker:
            disturbed = roll_on_slurm(file, jobs=jobs)

    harm = attacker.harm
    assert harm.preempted >= 30
    check_history(file, windows, lost_attempts=0)
    net = disturbed - harm.idle_seconds / jobs
    with capsys.disabled():
        shares = (disturbed / undisturbed, net / undisturbed)
        sys.stdout.write(f"\nslurm: {windows} windows, {harm}: {disturbed:.0f} s, {net:.0f} s net")
        sys.stdout.write(f"; undisturbed {undisturbed:.0f} s: {shares[0]:.2f}, net {shares[1]:.2f} (<= {_MOST})\n")
    assert net <= _MOST * undisturbed
