"""A ledger on every store that processes share: many that append at once, and those killed at every step of it."""

from __future__ import annotations

import collections
import contextlib
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest

from crash_size import sized
from ledger_drafts import check_ledger, next_step, session_of
from rollwright.online import ledger as ledger_module
from rollwright.online.entry import Author
from rollwright.online.ledger import ServingLedger
from rollwright.pool.store import Settlement
from rollwright.pool.urls import store_from_url

HELPERS = Path(__file__).parents[2] / "helpers"

# Serves days until so many are published, or is killed at the n-th call of a method of the store, before or after it.
SERVER = """
import os
import signal
import sys

sys.path.insert(0, sys.argv[1])
from ledger_drafts import next_step
from rollwright.online import ledger as ledger_module
from rollwright.online.entry import Author
from rollwright.online.ledger import ServingLedger
from rollwright.pool.urls import store_from_url

url, user, days, method, when, nth = sys.argv[2:]
ledger_module._LEASE = 0.3


class Killing:
    def __init__(self, store):
        self.store = store
        self.calls = 0

    def __getattr__(self, name):
        found = getattr(self.store, name)
        if name != method:
            return found

        def call(*arguments, **terms):
            self.calls += 1
            if when == "before" and self.calls == int(nth):
                os.kill(os.getpid(), signal.SIGKILL)
            answer = found(*arguments, **terms)
            if when == "after" and self.calls == int(nth):
                os.kill(os.getpid(), signal.SIGKILL)
            return answer

        return call


ledger = ServingLedger("demo", Killing(store_from_url(url)), author=Author(user=user, host="h", version="1"))
while ledger.append(lambda state: next_step(state, days=int(days))):
    pass
"""


def serve(url, *, user="me", days, method="-", when="-", nth=0):
    arguments = [str(HELPERS), url, user, str(days), method, when, str(nth)]
    return subprocess.Popen([sys.executable, "-c", SERVER, *arguments], stdin=subprocess.DEVNULL)


def check_pool(url):
    """Return the entries that processes left, checked."""
    with contextlib.closing(store_from_url(url)) as store:
        return check_ledger(ServingLedger("demo", store))


def days_of(entries):
    return [entry.session for entry in entries if entry.kind == "publish"]


@pytest.mark.parametrize(
    ("processes", "days"),
    [
        pytest.param(2, 3, id="small"),
        pytest.param(4, sized(60, 6), id="whole", marks=pytest.mark.crash),
    ],
)
def test_processes_that_serve_the_same_days_at_once_publish_each_once(pool_url, processes, days):
    running = [serve(pool_url, user=f"user{number}", days=days) for number in range(processes)]
    assert [one.wait() for one in running] == [0] * processes
    entries = check_pool(pool_url)
    assert len(entries) == 1 + 5 * days
    assert days_of(entries) == [session_of(number) for number in range(days)]
    authors = collections.Counter(entry.by.user for entry in entries)
    assert sum(authors.values()) == len(entries)


STEPS = [(method, when) for method in ("put", "claim", "settle") for when in ("before", "after")]


@pytest.mark.parametrize(
    ("steps", "rounds"),
    [
        pytest.param([("claim", "after"), ("settle", "after")], 1, id="small"),
        pytest.param(STEPS, sized(4, 1), id="whole", marks=pytest.mark.crash),
    ],
)
def test_who_is_killed_at_any_step_of_an_entry_holds_up_nobody(pool_url, steps, rounds):
    served = 0
    for turn in range(rounds):
        for method, when in steps:
            nth = 1 + (7 * turn + STEPS.index((method, when))) % 5  # so that every kind of entry is met
            served += 1
            victim = serve(pool_url, user="victim", days=served, method=method, when=when, nth=nth)
            assert victim.wait() == -signal.SIGKILL
            assert serve(pool_url, user="next", days=served).wait() == 0
    entries = check_pool(pool_url)
    assert len(entries) == 1 + 5 * served
    assert {entry.by.user for entry in entries} == {"victim", "next"}


class Interrupting:
    """A store that, before its first commit, lets somebody else go on: as when a process is frozen past its lease."""

    def __init__(self, store, meanwhile):
        self._store = store
        self._meanwhile = meanwhile

    def __getattr__(self, name):
        return getattr(self._store, name)

    def settle(self, outcomes, *, claim=None):
        meanwhile, self._meanwhile = self._meanwhile, lambda: None
        meanwhile()
        return self._store.settle(outcomes, claim=claim)


class NoFence(Interrupting):
    """A store that is broken: its commit does not compare the token, so that whoever comes last overwrites."""

    kept: ClassVar = {}

    def find(self, pool, query=None):
        for record in self._store.find(pool, query):
            yield replace(record, result=self.kept.get(record.task_id, record.result))

    def settle(self, outcomes, *, claim=None):
        super().settle(outcomes, claim=claim)
        self.kept.update({one.task_id: one.result for one in outcomes})
        return Settlement()


@pytest.mark.parametrize("kind", [Interrupting, NoFence])
def test_who_wakes_after_its_lease_and_finds_its_entry_taken_decides_anew(request, pool_url, monkeypatch, kind):
    monkeypatch.setattr(ledger_module, "_LEASE", 1e-6)
    store = store_from_url(pool_url)
    request.addfinalizer(store.close)
    ServingLedger("demo", store).append(lambda state: next_step(state, days=1))
    kind.kept = {}

    def work(user, *, pausing):
        other = Author(user=user, host="h", version="1")
        shared = kind(store, (lambda: work("other", pausing=False)) if pausing else (lambda: None))
        ledger = ServingLedger("demo", shared, author=other)
        while ledger.append(lambda state: next_step(state, days=2)):
            pass

    work("frozen", pausing=True)
    ledger = ServingLedger("demo", kind(store, lambda: None))
    if kind is NoFence:  # the checks must see it
        with pytest.raises(AssertionError):
            check_ledger(ledger)
    else:
        assert {entry.by.user for entry in check_ledger(ledger)[1:]} == {"other"}
