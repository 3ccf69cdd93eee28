"""A serving replayed over a market that comes in, by a plan drawn from a seed; and what must be true at its end.

The same plan can be carried out session by session and undisturbed, or in chunks of several sessions by processes that
are killed at random steps and begun again. Both must end with the same bytes.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import random
import sqlite3
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from ledger_drafts import check_ledger
from replay_market import BEFORE, Feed
from replay_process import start_process
from replay_serving import SERVING, Steps, enter_project, open_manager, open_store, serve, watched
from rollwright.online.ledger import ServingLedger
from rollwright.online.signal_store import SignalStore
from rollwright.online.state import ServingState
from rollwright.tracking.r import R


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What comes in when.

    Attributes
    ----------
    days : int
        Sessions that are served.
    chunks : tuple of (int, int)
        First and last position of each delivery of the disturbed run; none crosses an event.
    restated : frozenset of int
        Before these positions the prices of an instrument are adjusted anew.
    inserted : mapping of int to int
        Before these positions a session comes in that the feed had left out, at the position that is the value; those
        after it are served by then.
    added : int
        Before this position the late strategy is added.
    """

    days: int
    chunks: tuple[tuple[int, int], ...]
    restated: frozenset[int]
    inserted: dict[int, int]
    added: int

    @classmethod
    def draw(cls, days: int, generator: random.Random) -> Plan:
        """Return a plan of so many sessions."""
        added = days // 2
        restated = frozenset(generator.sample(range(2, days), k=max(1, days // 40)))
        late = sorted(generator.sample(range(4, days), k=max(1, days // 60)))
        inserted = {position: position - 2 - generator.randrange(2) for position in late}  # the one before is served
        cuts = {0, days, added, *restated, *inserted}
        position = 0
        while position < days:
            cuts.add(position)
            position += generator.choice((1, 1, 2, 3, 5))
        bounds = sorted(cuts)
        chunks = tuple((first, last - 1) for first, last in itertools.pairwise(bounds))
        return cls(days=days, chunks=chunks, restated=restated, inserted=inserted, added=added)

    @property
    def withheld(self) -> set[int]:
        """Positions that are left out when their turn is there, and come in later."""
        return {*self.inserted.values()}


@dataclass(slots=True, kw_only=True)
class Told:
    """What the disturbed run met."""

    killed: Counter[str] = field(default_factory=Counter)
    passed: Counter[str] = field(default_factory=Counter)
    processes: int = 0


class InterruptedAtStep(BaseException):
    """Ends a process where it stands, in tests within one process: nothing catches it."""


def interrupt(label: str) -> None:
    """End the process at a step."""
    raise InterruptedAtStep(label)


class Replay:
    """One serving of a plan in a project of its own.

    Parameters
    ----------
    folder : Path
    plan : Plan
    pool_url : str, optional
        Its task store; SQLite in the project if not given.
    in_memory : bool
        Whether recorders are in the memory of this process, so that no other can serve it.
    """

    def __init__(self, folder: Path, plan: Plan, *, pool_url: str | None = None, in_memory: bool = False) -> None:
        folder.mkdir(parents=True)
        self.folder, self.plan = folder, plan
        url = "sqlite:///pool.db" if pool_url is None else pool_url
        market = folder / "market"
        text = f'[pool]\nurl = "{url}"\n[data]\nprovider_uri = "{market}"\nregion = "us"\n'
        if in_memory:
            text += f'[tracking]\nuri = "memory:{uuid.uuid4().hex}"\n'
        (folder / "rollwright.toml").write_text(text)
        self.feed = Feed(market, plan.days)
        every = self.feed.days
        self.days = [f"{every[place]:%Y-%m-%d}" for place in (8, BEFORE - 1, BEFORE)]
        enter_project(folder)
        self.feed.begin()

    def enter(self) -> None:
        """Make its project the current one."""
        enter_project(self.folder)

    def prepare(self, first: int, last: int) -> None:
        """Let come in what a chunk brings: its events, then its sessions."""
        if first in self.plan.restated:
            self.feed.restate(first)
        if first in self.plan.inserted:
            self.feed.insert(self.plan.inserted[first])
        for position in range(first, last + 1):
            if position not in self.plan.withheld:
                self.feed.deliver(position, position)

    def run_undisturbed(self) -> None:
        """Serve session by session in this process, as they come in."""
        for first, last in self.plan.chunks:
            for position in range(first, last + 1):
                self.prepare(position, position)
                self.serve_here("add" if position == self.plan.added else "serve")

    def serve_here(self, what: str) -> None:
        """Do what one process does, in this one: all that it knows is on the disk."""
        self.enter()  # a market that grew is opened anew
        serve(what, self.days)

    def run_interrupted(self, generator: random.Random, *, share: float = 0.7) -> Told:
        """Serve chunk by chunk in this process; a share of the turns is ended by an exception at a random step."""
        told, steps = Told(), 40
        for first, last in self.plan.chunks:
            self.prepare(first, last)
            what = "add" if first == self.plan.added else "serve"
            while generator.random() < share:
                counted = Steps(interrupt, 1 + generator.randrange(steps))
                try:
                    with watched(counted):
                        self.serve_here(what)
                except InterruptedAtStep as interrupted:
                    told.killed[str(interrupted)] += 1
                else:
                    break
            counted = Steps(interrupt)
            with watched(counted):
                self.serve_here(what)
            steps = max(10, len(counted.passed))
            told.passed.update(counted.passed)
        return told

    def run_interleaved(self, generator: random.Random) -> Told:
        """Serve chunk by chunk in this process; at a random step of each turn another manager serves all there is."""
        told, steps = Told(), 40
        for first, last in self.plan.chunks:
            self.prepare(first, last)
            what = "add" if first == self.plan.added else "serve"

            def go_between(label: str, what: str = what) -> None:
                told.killed[label] += 1
                self.serve_here(what)

            counted = Steps(go_between, 1 + generator.randrange(steps))
            with watched(counted):
                self.serve_here(what)
            steps = max(10, len(counted.passed))
        return told

    def run_killed(self, generator: random.Random, *, share: float = 0.5, pairs: float = 0.1) -> Told:
        """Serve chunk by chunk in real processes, of which a share is killed at a random step and begun again."""
        told, steps = Told(), 40
        for first, last in self.plan.chunks:
            self.prepare(first, last)
            what = "add" if first == self.plan.added else "serve"
            while generator.random() < share:
                at = 1 + generator.randrange(steps)
                self._start(told, what, at).join()
                killed = self.folder / "killed"
                if not killed.exists():
                    break
                told.killed[killed.read_text()] += 1
                killed.unlink()
            running = [self._start(told, what) for _ in range(2 if generator.random() < pairs else 1)]
            for process in running:
                process.join()
            codes = [process.exitcode for process in running]
            assert codes == [0] * len(codes), f"a process that nobody killed ended with {codes}"
            steps = max(10, int((self.folder / "passed").read_text()))
        self.enter()
        return told

    def _start(self, told: Told, what: str, at: int = 0) -> BaseProcess:
        told.processes += 1
        return start_process(self.folder, self.days, what, at)

    def ledger(self) -> ServingLedger:
        """Return its ledger."""
        return ServingLedger(SERVING, open_store())


def read_outcome(replay: Replay) -> dict[str, Any]:
    """Return what a replay came to, after the checks that hold for every one; recorders and times are not in it.

    For each session: what became of it, the digest of the rows of each score and of the signal, and which models made
    them, by what they learnt. Every score is loaded, which compares its rows with their digest.
    """
    replay.enter()
    ledger, signals = replay.ledger(), SignalStore(SERVING)
    outcome: dict[str, Any] = {}
    for entry in check_ledger(ledger):
        if entry.kind == "score":
            state = ServingState.from_json(entry.state)
            assert state.day is not None
            assert state.day.scores is not None
            assert state.day.signal is not None
            for reference in (*state.day.scores.values(), state.day.signal):
                assert signals.load(reference).index.is_unique
            outcome[str(entry.session)] = {
                "scores": {name: one.sha256 for name, one in sorted(state.day.scores.items())},
                "signal": state.day.signal.sha256,
                "models": {
                    name: [(model.serves_from, model.fit_key) for model in one.online]
                    for name, one in sorted(state.strategies.items())
                },
            }
        elif entry.kind in ("publish", "refuse"):
            outcome[str(entry.session)]["closed"] = entry.kind
    frame = open_manager(replay.days).get_signals()
    assert frame.index.is_unique
    assert {f"{day:%Y-%m-%d}" for day in frame.index.get_level_values("datetime")} == {
        session for session, made in outcome.items() if made["closed"] == "publish"
    }
    for pred in list_predictions(ledger):
        assert pred.index.is_unique
    delivered = [line.split() for line in (replay.folder / "deliveries").read_text().splitlines()]
    published = {session: made["signal"] for session, made in outcome.items() if made["closed"] == "publish"}
    assert {(session, digest) for session, digest in delivered} == {*published.items()}
    return outcome


def list_predictions(ledger: ServingLedger) -> Iterator[Any]:
    """Yield the predictions of every model that is or was online."""
    state = ledger.read_state()
    assert state is not None
    for name in state.strategies:
        for recorder in R.get_exp(experiment_name=name).list_recorders("list"):
            if recorder.status == recorder.STATUS_FI:
                yield recorder.load_object("pred.pkl")


def verify_from_outside(folder: Path) -> int:
    """Verify the chain in a SQLite pool with the standard library alone, and return how many entries it has."""
    with sqlite3.connect(f"file:{folder}/pool.db?mode=ro", uri=True) as connection:
        rows = connection.execute("SELECT result FROM task WHERE pool = ? AND status = 'done'", (f"online.{SERVING}",))
        entries = sorted((json.loads(text) for (text,) in rows), key=lambda entry: entry["number"])
    connection.close()
    before = "0" * 64
    for number, entry in enumerate(entries, start=1):
        digest = entry.pop("digest")
        text = json.dumps(entry, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        assert hashlib.sha256(text.encode()).hexdigest() == digest, f"entry {number} was changed"
        assert (entry["number"], entry["before"]) == (number, before), f"entry {number} is out of order"
        before = digest
    return len(entries)
