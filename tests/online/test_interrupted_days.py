"""A day that is interrupted, or served by two at once, at any of its steps ends as if it had not been."""

from __future__ import annotations

import pytest

from ledger_drafts import check_ledger
from online_managers import BEGIN, list_sessions, make_manager
from rollwright.pool.stores.memory import MemoryStore
from serving_market import ServingMarket

DAYS = list_sessions(BEGIN, "2020-05-25")
"""The last of them begins a window."""
STEPS = ("open", "train", "switch", "score", "publish")


class KilledError(Exception):
    """The process is gone."""


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    market = ServingMarket(tmp_path_factory.mktemp("expected"))
    return tell(serve(market, MemoryStore()))


def serve(market, pool, *, until=DAYS[-1]):
    manager = make_manager(pool)
    if manager.ledger.read_head() is None:
        market.grow(BEGIN)
        manager.first_train()
    for day in list_sessions(BEGIN, until):
        market.grow(day)
        manager.routine()
    return manager


def tell(manager):
    """Return what was published, and what the ledger says was done."""
    entries = check_ledger(manager.ledger)
    return (
        [(entry.session, entry.body["signal"]["sha256"]) for entry in entries if entry.kind == "publish"],
        [(entry.kind, entry.session) for entry in entries],
    )


def kill(manager, step, when):
    """Let a manager serve until it is killed at a step."""
    append = manager.ledger.append

    def killed(decide, **kwargs):
        draft = decide(manager.ledger.read_state())
        if draft is None or draft.kind != step:
            return append(decide, **kwargs)
        if when == "after":
            append(decide, **kwargs)
        raise KilledError

    manager.ledger.append = killed
    with pytest.raises(KilledError):
        manager.routine()


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_day_that_was_killed_at_a_step_goes_on_there(tmp_path, expected, step, when):
    market, pool = ServingMarket(tmp_path), MemoryStore()
    manager = serve(market, pool, until=DAYS[-2])
    market.grow(DAYS[-1])
    kill(manager, step, when)
    again = make_manager(pool)
    assert again.routine().outcome == "published"
    assert tell(again) == expected
    (online,) = again.strategies[0].tool.online_models()
    assert online.id == again.ledger.read_state().strategies["lin"].online[0].recorder


@pytest.mark.parametrize("step", STEPS)
def test_who_is_overtaken_at_a_step_finds_the_day_served(tmp_path, expected, step):
    market, pool = ServingMarket(tmp_path), MemoryStore()
    slow = serve(market, pool, until=DAYS[-2])
    append, overtaken = slow.ledger.append, []

    def wait(decide, **kwargs):
        draft = decide(slow.ledger.read_state())
        if draft is not None and draft.kind == step and not overtaken:
            overtaken.append(make_manager(pool).routine())
        return append(decide, **kwargs)

    slow.ledger.append = wait
    market.grow(DAYS[-1])
    assert slow.routine() == overtaken[0]
    published, _ = tell(slow)
    assert published == expected[0]


@pytest.mark.parametrize("way", ["routine", "catch_up"])
def test_who_finishes_an_open_day_goes_on_with_the_next_that_another_has_opened_meanwhile(tmp_path, expected, way):
    market, pool = ServingMarket(tmp_path), MemoryStore()
    opened = serve(market, pool, until=DAYS[-4])
    market.grow(DAYS[-3])
    kill(opened, "score", "before")
    slow = make_manager(pool)
    append, met = slow.ledger.append, []

    def overtaken(decide, **kwargs):
        entry = append(decide, **kwargs)
        if entry is not None and entry.kind == "publish" and not met:
            met.append(entry.session)
            kill(make_manager(pool), "open", "after")
        return entry

    slow.ledger.append = overtaken
    market.grow(DAYS[-2])
    market.grow(DAYS[-1])
    getattr(slow, way)()
    assert met == [DAYS[-3]]
    assert tell(slow)[0] == expected[0]
