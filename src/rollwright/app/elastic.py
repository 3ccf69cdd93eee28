"""Keep as many workers of a campaign as there is work for, by the engine that the user has."""

from __future__ import annotations

import json
import logging
import math
import platform
import threading
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Protocol

from rollwright.core.atomic import write_text
from rollwright.core.bounded_read import SMALL, read_text
from rollwright.core.clock import Clock, SystemClock
from rollwright.core.locks import try_file_lock
from rollwright.errors import ConfigError, LaunchError, StoreUnavailableError
from rollwright.launch.launcher import LaunchedWorker, Launcher, Resources, WorkerCommand
from rollwright.pool.needs import Offer
from rollwright.pool.query import parse
from rollwright.pool.states import Status
from rollwright.pool.store import PoolDemand, PoolStats, TaskReader

__all__ = [
    "ElasticController",
    "ElasticTerms",
    "Holders",
    "PoolView",
    "ScalingStep",
    "count_wanted",
    "find_holders",
    "plan_step",
]

_logger: Final = logging.getLogger("rollwright.app")

_RUNNING: Final = parse({"status": Status.RUNNING.value})
_LONGEST_PAUSE: Final = 600.0
"""Seconds, at most, between two starts of workers that end before a task does."""
_UNSEEN: Final = 30.0
"""Seconds for which a worker that was started is believed to be there although the engine does not list it."""
_MOST_LOOKS: Final = 10_000
_MOST_VAIN: Final = 6
_ENDED: Final = (Status.DONE, Status.FAILED, Status.CANCELLED)


class PoolView(TaskReader, PoolStats, Protocol):
    """What the controller asks of a store: how much work is open, and who holds tasks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ElasticTerms:
    """How many workers there may be, and how fast their number changes.

    Attributes
    ----------
    least, most : int
        Workers that are there always, and at most.
    jobs : int
        Windows that each trains at the same time.
    every : float
        Seconds between two looks.
    calm : float
        Seconds for which fewer workers must have been enough before one is ended.

    Raises
    ------
    ConfigError
    """

    least: int = 0
    most: int = 1
    jobs: int = 1
    every: float = 15.0
    calm: float = 60.0

    def __post_init__(self) -> None:
        if not 0 <= self.least <= self.most or self.most < 1:
            raise ConfigError(f"{self.least} to {self.most} workers is no range", hint="give --min 0 --max 8")
        if self.jobs < 1 or not 0 < self.every < math.inf or not 0 <= self.calm < math.inf:
            raise ConfigError(
                f"a look every {self.every:g} s at workers of {self.jobs} windows is none",
                hint="give --every and --jobs above 0",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingStep:
    """What one look led to.

    Attributes
    ----------
    wanted, there : int
        Workers that the open work keeps busy, and those that were there and not ending.
    start : int
        How many are started.
    end : tuple of str
        Ids of those that are told to give their tasks back and end.
    over : bool
        Whether the pool has no task left that could still run.
    """

    wanted: int
    there: int
    start: int = 0
    end: tuple[str, ...] = ()
    over: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Note:
    """What is remembered from one look to the next.

    Attributes
    ----------
    looks : tuple of (float, int)
        When which number of workers was wanted.
    started : tuple of str
        The workers that were started last, until it is known what became of them.
    at : float
        When; in seconds since 1970 UTC, as the times of `looks` and `pause`.
    ended : int
        How many tasks had ended then.
    vain : int
        How often in a row workers ended before a task did.
    pause : float
        When workers may be started again.
    """

    looks: tuple[tuple[float, int], ...] = ()
    started: tuple[str, ...] = ()
    at: float = 0.0
    ended: int = 0
    vain: int = 0
    pause: float = 0.0

    @classmethod
    def of_text(cls, text: str) -> _Note:
        """Return what was remembered; nothing where it is damaged."""
        try:
            found: Any = json.loads(text)
            return cls(
                looks=tuple((float(at), int(number)) for at, number in found["looks"][-_MOST_LOOKS:]),
                started=tuple(str(one) for one in found["started"]),
                at=float(found["at"]),
                ended=int(found["ended"]),
                vain=max(0, min(int(found["vain"]), _MOST_VAIN)),
                pause=float(found["pause"]),
            )
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
            return cls()

    def with_look(self, now: float, wanted: int, calm: float) -> _Note:
        """Return this with another look; of those before the calm the last one stays, to know that it has passed."""
        looks = [look for look in self.looks if look[0] <= now]
        before = [look for look in looks if look[0] <= now - calm][-1:]
        within = [look for look in looks if look[0] > now - calm]
        return replace(self, looks=(*before, *within, (now, wanted))[-_MOST_LOOKS:])

    def count_calm(self, now: float, calm: float) -> int | None:
        """Return the most workers that were wanted within the calm; None while it has not passed."""
        if calm and not any(at <= now - calm for at, _ in self.looks):
            return None
        return max(number for at, number in self.looks if at > now - calm or at == now)


def count_wanted(
    demand: Sequence[PoolDemand],
    offer: Offer,
    terms: ElasticTerms,
    held: Sequence[int],
) -> int:
    """Return how many workers the work keeps busy, between the least and the most.

    1. Open tasks count that a worker may take: its needs are met, the pool is not paused and below its cap.
    2. Workers that hold tasks stay, and what they have room for needs no others.

    Parameters
    ----------
    demand : sequence of PoolDemand
    offer : Offer
        What each worker can do.
    terms : ElasticTerms
    held : sequence of int
        How many tasks each worker holds that holds any.
    """
    left = 0
    for pool in {one.pool for one in demand}:
        rows = [one for one in demand if one.pool == pool]
        waiting = sum(one.open for one in rows if offer.meets(one.needs) and not one.paused)
        cap = rows[0].max_running
        room = math.inf if cap is None else max(0, cap - sum(one.running for one in rows))
        left += int(min(waiting, room))
    free = sum(max(0, terms.jobs - tasks) for tasks in held)
    more = math.ceil(max(0, left - free) / terms.jobs)
    return min(terms.most, max(terms.least, len(held) + more))


@dataclass(frozen=True, slots=True, kw_only=True)
class Holders:
    """Which workers hold tasks.

    Attributes
    ----------
    tasks : mapping of str to int
        How many tasks are held by each worker that holds any; as good as any other where workers cannot be told apart.
    busy : frozenset of str
        Every worker that may hold some.
    """

    tasks: Mapping[str, int]
    busy: frozenset[str]


def find_holders(workers: Sequence[LaunchedWorker], owners: Sequence[str], *, host: str) -> Holders:
    """Return who holds the tasks of these owners.

    1. Owners whose names begin as a worker's do are its; workers of one machine that cannot be told apart may all be.
    2. What is left is held by workers of which the engine tells nothing, as far as there are such.
    3. An owner of a machine on which there is no worker, and which is not this one (`host`): the engine calls machines
       otherwise than they do themselves, so that every worker may hold tasks.
    """
    left = Counter(owners)
    groups: dict[str, list[str]] = {}
    for worker in workers:
        if worker.state != "pending":
            groups.setdefault(worker.owner, []).append(worker.id)
    unknown = groups.pop("", [])
    tasks: dict[str, int] = {}
    busy: set[str] = set()
    for start, ids in groups.items():
        matching = [owner for owner in left if owner.startswith((start, f"{start.removesuffix(':')}."))]
        tasks |= {worker_id: left[owner] for worker_id, owner in zip(ids, matching, strict=False)}
        busy |= {*ids} if matching else set()
        for owner in matching:
            del left[owner]
    tasks |= {worker_id: left[owner] for worker_id, owner in zip(unknown, [*left], strict=False)}
    busy |= {*unknown} if left else set()
    if not unknown and any(not owner.startswith(f"{host}:") for owner in left):
        busy |= {worker.id for worker in workers if worker.state != "pending"}
    return Holders(tasks=tasks, busy=frozenset(busy))


def plan_step(
    wanted: int,
    workers: Sequence[LaunchedWorker],
    terms: ElasticTerms,
    *,
    calm_wanted: int | None,
    busy: Collection[str] = (),
    unseen: int = 0,
) -> ScalingStep:
    """Return which workers to start or to end.

    1. More are started at once, and never so many that those which are ending make more than the most.
    2. Fewer than now must have been enough for a while; those that wait for a machine end first, then those without a
       task. One that holds tasks ends only where more are there than the most.

    Parameters
    ----------
    wanted : int
    workers : sequence of LaunchedWorker
    terms : ElasticTerms
    calm_wanted : int or None
        The most that were wanted within the calm; None while that has not passed.
    busy : collection of str
        Ids of those that hold tasks.
    unseen : int
        Workers that were started and are not listed yet.
    """
    there = [worker for worker in workers if worker.state != "ending"]
    count = len(there) + unseen
    if wanted > count:
        room = terms.most - len(workers) - unseen
        return ScalingStep(wanted=wanted, there=count, start=max(0, min(wanted - count, room)))
    idle = sorted((one for one in there if one.id not in busy), key=lambda one: one.state != "pending")
    spare = 0 if calm_wanted is None else count - max(calm_wanted, wanted)
    end = [one.id for one in idle[: max(0, spare)]]
    excess = count - len(end) - terms.most
    if excess > 0:
        end += [one.id for one in (*idle, *(one for one in there if one.id in busy)) if one.id not in end][:excess]
    return ScalingStep(wanted=wanted, there=count, end=tuple(end))


@dataclass(frozen=True, slots=True, kw_only=True)
class ElasticController:
    """Starts workers of one campaign as its work grows, and ends them as it shrinks.

    Guarantees: it never starts more than `ElasticTerms.most`; whoever is ended gives its tasks back, which costs no
    attempt; while the engine or the store does not answer nothing is started or ended; one controller of a campaign
    runs at a time in a project. Workers stay when the controller ends.

    Attributes
    ----------
    store : PoolView
    launcher : Launcher
    command : WorkerCommand
    resources : Resources
    offer : Offer
        What the workers can do.
    terms : ElasticTerms
    folder : Path
        Where it keeps its lock, and what it remembers from one look to the next.
    clock : Clock
    tell : callable
        Called with each step.
    """

    store: PoolView
    launcher: Launcher
    command: WorkerCommand
    resources: Resources
    offer: Offer
    terms: ElasticTerms
    folder: Path
    clock: Clock = field(default_factory=SystemClock)
    tell: Callable[[ScalingStep], None] = lambda _step: None

    def run(self, stopping: threading.Event | None = None, *, once: bool = False) -> ScalingStep | None:
        """Look again and again until told to stop, or until nothing is left where workers end then; or `once`.

        Returns the last step; None when the first look was in vain.

        Raises
        ------
        ConfigError
            When another controller of this campaign runs in this project.
        """
        stopping = stopping if stopping is not None else threading.Event()
        self.folder.mkdir(parents=True, exist_ok=True)
        with try_file_lock(self.folder / f"{self.command.name}.lock") as free:
            if not free:
                raise ConfigError(
                    f"another controller keeps the workers of `{self.command.name}`",
                    hint="one is enough; end the other first, or wait for it",
                )
            while True:
                step = self.look()
                if once or (step is not None and step.over and self.command.ends):
                    return step
                if stopping.wait(self.terms.every):
                    return step

    def look(self) -> ScalingStep | None:
        """Look at the work and the workers once, and start or end some; None while one of them does not answer."""
        note = self._read_note()
        try:
            step, note = self._decide(note)
            if step.start:
                note = self._start(step.start, note)
            if step.end:
                self.launcher.cancel(step.end)
        except (LaunchError, StoreUnavailableError) as error:
            _logger.warning("elastic.skipped campaign=%s reason=%s", self.command.name, error.message)
            return None
        finally:
            self._write_note(note)
        if step.start or step.end:
            _logger.info(
                "elastic.scaled campaign=%s wanted=%d there=%d started=%d ended=%d",
                self.command.name, step.wanted, step.there, step.start, len(step.end),
            )  # fmt: skip
        self.tell(step)
        return step

    def _decide(self, note: _Note) -> tuple[ScalingStep, _Note]:
        """Return what to do, and what to remember; who holds tasks is read last, so that a new holder is known."""
        pool, now = self.command.name, self.clock.now().timestamp()
        demand = self.store.demand([pool])
        listed = self.launcher.list(pool)
        workers = [worker for worker in listed if worker.state != "held"]
        owners = [record.owner or "" for record in self.store.find(pool, _RUNNING)] if demand else []
        holders = find_holders(workers, owners, host=platform.node())
        wanted = count_wanted(demand, self.offer, self.terms, [*holders.tasks.values()])
        note = self._judge_start(note, workers, now).with_look(now, wanted, self.terms.calm)
        step = plan_step(
            wanted,
            workers,
            self.terms,
            calm_wanted=note.count_calm(now, self.terms.calm),
            busy=holders.busy,
            unseen=len({*note.started} - {worker.id for worker in workers}),
        )
        start = 0 if now < note.pause else step.start
        over = not any(one.open or one.delayed or one.running for one in demand)
        held = [worker.id for worker in listed if worker.state == "held"]
        return replace(step, start=start, end=(*step.end, *held), over=over), note

    def _judge_start(self, note: _Note, workers: Sequence[LaunchedWorker], now: float) -> _Note:
        """Forget workers that were started once they are listed or a task ended; wait longer where they ended first."""
        if not note.started:
            return note
        if self._count_ended() > note.ended:
            return replace(note, started=(), vain=0, pause=0.0)
        if now < note.at + _UNSEEN and now >= note.at:
            return note
        if {*note.started} & {worker.id for worker in workers}:
            return replace(note, started=tuple(one for one in note.started if one in {worker.id for worker in workers}))
        vain = min(note.vain + 1, _MOST_VAIN)
        pause = now + min(_LONGEST_PAUSE, self.terms.every * 2**vain)
        _logger.warning("elastic.in_vain campaign=%s times=%d pause=%.0f", self.command.name, vain, pause - now)
        return replace(note, started=(), vain=vain, pause=pause)

    def _start(self, count: int, note: _Note) -> _Note:
        """Start workers so that each can be ended alone, and remember them."""
        started: list[str] = []
        ended, now = self._count_ended(), self.clock.now().timestamp()
        at_once = count if self.launcher.traits.elastic else 1
        try:
            while len(started) < count:
                started += self.launcher.submit(at_once, self.command, self.resources)
        except LaunchError as error:
            if not started:
                raise
            _logger.warning("elastic.skipped campaign=%s reason=%s", self.command.name, error.message)
        return replace(note, started=tuple(started), at=now, ended=ended)

    def _count_ended(self) -> int:
        counts = self.store.stat(self.command.name).counts
        return sum(counts[status] for status in _ENDED)

    @property
    def _note_path(self) -> Path:
        return self.folder / f"{self.command.name}.json"

    def _read_note(self) -> _Note:
        try:
            return _Note.of_text(read_text(self._note_path, limit=SMALL))
        except (OSError, ValueError):
            return _Note()

    def _write_note(self, note: _Note) -> None:
        write_text(self._note_path, json.dumps(asdict(note)) + "\n", durable=False)
