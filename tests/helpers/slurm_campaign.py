"""A campaign whose workers a Slurm of the tests' own starts, and what takes their cores and nodes away."""

from __future__ import annotations

import collections
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd

from rollwright.app.campaign import roll_campaign
from rollwright.app.cluster import open_launcher
from rollwright.app.elsewhere import WorkersElsewhere
from rollwright.app.open_campaign import open_campaign
from rollwright.core.clock import SystemClock
from rollwright.market.ingest.importer import import_market
from rollwright.pool.states import Status
from rollwright.pool.store import PoolStore
from rollwright.pool.urls import store_from_url
from slurm_server import SlurmServer
from small_campaign import CAMPAIGN

__all__ = ["Attacker", "attack", "check_history", "make_slow_project", "open_store", "roll_on_slurm"]

_MODEL = """\
import time
from pathlib import Path

from rollwright.models.linear import LinearModel


class SlowLinear(LinearModel):
    def fit(self, dataset, *args, **kwargs):
        time.sleep(SECONDS)
        while str(dataset.segments["test"][0]) >= HELD and not GATE.exists():
            time.sleep(0.1)
        return super().fit(dataset, *args, **kwargs)
"""
_REST = 2.0
"""Seconds that a requeued member waits before it may start again."""
_SPREAD = 0.9
"""Share of a campaign over which what is done to it is spread: at its end no member is left to lose its core."""
_HELD = 0.05
"""Share of a campaign's windows, its last ones, that end only when all is done to it; more of them than members."""
_LONGEST_HOLD = 300.0
"""Seconds after which held windows end all the same, so that a test fails by what was not done and not by its time."""
_LINEAR = "class: LinearModel, module_path: rollwright.models.linear"
_SETTINGS = """\
[worker]
drain = 6.0
[cluster]
one_machine = true
sbatch_options = ["--partition=low"]
"""
"""The cluster of the tests gives a member seven seconds to end."""


def make_slow_project(folder: Path, *, windows: int, seconds: float = 0.0, gate: Path | None = None) -> Path:
    """Make a project of a campaign of that many windows, whose fits wait so many seconds; return its file.

    With a `gate` the fits of the last windows wait until that file is there.
    """
    days = pd.bdate_range("2020-01-01", periods=120 + windows)
    folder.mkdir(parents=True)
    (folder / "rollwright.toml").write_text(_SETTINGS)
    held = days[100 + int(windows * (1 - _HELD))] if gate is not None else days[-1] + pd.Timedelta(days=1)
    model = _MODEL.replace("SECONDS", repr(seconds)).replace("HELD", repr(f"{held:%Y-%m-%d}"))
    (folder / "slow.py").write_text(model.replace("GATE", f"Path({str(gate)!r})"))
    import_market(_make_rows(days), folder / "market")
    text = CAMPAIGN.replace(_LINEAR, "class: SlowLinear, module_path: slow.py")
    last = f'test: ["{days[100]:%Y-%m-%d}", "{days[99 + windows]:%Y-%m-%d}"]'
    text = text.replace('test: ["2020-05-29", "2020-10-05"]', last).replace("step: 25", "step: 1")
    text = text.replace('valid: ["2020-05-01", "2020-05-22"]', 'valid: ["2020-05-01", "2020-05-14"]')
    assert "SlowLinear" in text
    assert last in text
    file = folder / "small.yaml"
    file.write_text(text)
    return file


def _make_rows(days: pd.DatetimeIndex) -> pd.DataFrame:
    frames = []
    for place in range(8):
        close = 20 + place + 5 * np.sin(np.arange(len(days)) * (0.05 + place / 100))
        frames.append(
            pd.DataFrame(
                {
                    "symbol": f"SH60000{place}",
                    "date": days,
                    "open": close,
                    "close": close,
                    "high": close + 1,
                    "low": close - 1,
                    "volume": 1000.0 * (place + 1) + np.arange(len(days)) % 7,
                }
            )
        )
    return pd.concat(frames, ignore_index=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Harm:
    """What an attacker did: how often, and for how many seconds of members Slurm ran none of them."""

    preempted: int
    nodes_killed: int
    nodes_lost: int
    idle_seconds: float


class Attacker:
    """Takes cores away from the workers, and lets nodes die, over the whole campaign, until it is stopped.

    Parameters
    ----------
    server : SlurmServer
    preemptions : int
        How many members lose their core.
    nodes : int
        How many times a node dies: each second time what runs there goes on, unknown to the controller.
    at_once : int
        How many may be losing their core at a time; they are told one after another, as real ones are.
    is_busy : callable
        Tells whether a node has windows in hand, so that its death takes some of them.
    progress : callable
        Tells which share of the campaign's windows is done: what is to be done is spread over nine tenths of them.
    gate : Path, optional
        Made when all is done: the last windows wait for it, so that the campaign is not over before.
    """

    def __init__(
        self,
        server: SlurmServer,
        *,
        preemptions: int,
        nodes: int,
        at_once: int,
        is_busy: Callable[[str], bool],
        progress: Callable[[], float],
        gate: Path | None = None,
    ) -> None:
        self._server = server
        self._wanted = preemptions
        self._nodes = nodes
        self._at_once = at_once
        self._is_busy = is_busy
        self._progress = progress
        self._gate = gate
        self._held_since: float | None = None
        self._clock = SystemClock()
        self._over = threading.Event()
        self._killed = self._lost = 0
        self._idle = 0.0
        self._since: dict[str, float] = {}
        self._restarts_by_nodes = 0
        self._before = server.count_restarts()
        self._thread = threading.Thread(target=self._attack)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    @property
    def harm(self) -> Harm:
        """What was done; to be read when it is over."""
        restarts = self._server.count_restarts() - self._before
        return Harm(
            preempted=restarts - self._restarts_by_nodes,
            nodes_killed=self._killed,
            nodes_lost=self._lost,
            idle_seconds=self._idle,
        )

    def _attack(self) -> None:
        last = self._clock.monotonic()
        while not self._over.is_set():
            running, waiting = self._look()
            now = self._clock.monotonic()
            self._idle += len(waiting) * (now - last)
            last = now
            done = self.harm.preempted
            if running and self._is_node_due(done):
                node = ("n1", "n2")[(self._killed + self._lost) % 2]
                if self._is_busy(node):
                    self._take_node(node)
            elif running and done < self._wanted * min(1.0, self._progress() / _SPREAD):
                self._preempt()
            self._release(waiting, now)
            self._open_gate(done, now)
            self._over.wait(0.2)

    def _open_gate(self, preempted: int, now: float) -> None:
        """Let the last windows end when all is done, or when that takes too long."""
        if self._gate is None or self._progress() < _SPREAD:
            return
        self._held_since = self._held_since or now
        whole = preempted >= self._wanted and self._killed + self._lost >= self._nodes
        if whole or now - self._held_since > _LONGEST_HOLD:
            self._gate.touch()

    def _release(self, waiting: list[str], now: float) -> None:
        """Let requeued members start soon; Slurm would let them wait for two minutes.

        One that starts at once is ended by what Slurm hears late of its former run.
        """
        self._since = {job: self._since.get(job, now) for job in waiting}
        for job in [job for job, since in self._since.items() if now - since > _REST]:
            self._server.run("scontrol", "update", f"JobId={job}", "StartTime=now")

    def _look(self) -> tuple[list[str], list[str]]:
        """Return the members that run and those that wait to be started again."""
        answer = self._server.run("squeue", "--noheader", "--array", "--partition=low", "--format=%i|%T|%r")
        found = [line.split("|") for line in answer.splitlines()]
        running = [job for job, state, _ in found if state == "RUNNING"]
        return running, [job for job, state, reason in found if state == "PENDING" and "held" not in reason]

    def _preempt(self) -> None:
        """Let a job of a higher partition take a core for a moment."""
        taking = self._server.run("squeue", "--noheader", "--partition=high", "--format=%i").split()
        if len(taking) < self._at_once:
            self._server.run("sbatch", "--no-requeue", "--partition=high", "--output=/dev/null", "--wrap=sleep 0.3")

    def _is_node_due(self, preempted: int) -> bool:
        done = self._killed + self._lost
        return done < self._nodes and preempted >= self._wanted * (done + 1) / (self._nodes + 1)

    def _take_node(self, node: str) -> None:
        before = self._server.count_restarts()
        if self._killed == self._lost:
            self._server.kill_node(node)
            self._killed += 1
        else:
            self._server.lose_node(node)
            self._lost += 1
        self._over.wait(2.0)
        self._server.start_node(node)
        self._restarts_by_nodes += self._server.count_restarts() - before


def open_store(file: Path) -> PoolStore:
    settings = open_campaign(file, project=file.parent).settings
    return store_from_url(settings.resolve_url(settings.pool.url))


def roll_on_slurm(file: Path, *, jobs: int, look: float = 15.0) -> float:
    """Roll a campaign by workers that Slurm starts; return the seconds it took."""
    campaign = open_campaign(file, project=file.parent)
    workers = WorkersElsewhere(campaign.settings, campaign.name, on="slurm", jobs=jobs, look=look)
    start = time.monotonic()
    assert roll_campaign(campaign, jobs=jobs, elsewhere=workers.train) is not None
    seconds = time.monotonic() - start
    assert open_launcher(campaign.settings, "slurm").list() == []
    return seconds


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


def attack(cluster: SlurmServer, store: PoolStore, *, windows: int, gate: Path | None = None, **harm: int) -> Attacker:
    """Return what does harm to the workers of a campaign while it goes on."""

    def is_busy(node: str) -> bool:
        members = cluster.run("squeue", "--noheader", "--states=RUNNING", "--partition=low", "--format=%N").split()
        return node in members and store.stat("small").counts[Status.RUNNING] == len(members)

    def progress() -> float:
        return store.stat("small").counts[Status.DONE] / windows

    return Attacker(cluster, is_busy=is_busy, progress=progress, gate=gate, **harm)
