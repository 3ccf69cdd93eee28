"""Days served by real processes that are killed at random steps, two at once now and then, on every store."""

from __future__ import annotations

import random

import pytest

from crash_size import SMALL, sized
from replay_harness import Plan, Replay, read_outcome, verify_from_outside
from replay_serving import WATCHED

LABELS = {"open", "train", "switch", "score", "publish", "scores", "fit", "update", "mirror"}


def replay_killed(tmp_path, days, *, seed, pool_url=None):
    """Serve a plan undisturbed and by processes that are killed; compare; return what was met, and the second one."""
    plan = Plan.draw(days, random.Random(seed))
    undisturbed = Replay(tmp_path / "undisturbed", plan, in_memory=True)
    undisturbed.run_undisturbed()
    expected = read_outcome(undisturbed)
    killed = Replay(tmp_path / "killed", plan, pool_url=pool_url)
    told = killed.run_killed(random.Random(seed + 1))
    outcome = read_outcome(killed)
    differing = [session for session in expected if outcome.get(session) != expected[session]]
    assert differing == []
    assert outcome.keys() == expected.keys()
    assert len(expected) == days - len(plan.withheld)
    return told, killed


@pytest.mark.crash
def test_days_on_sqlite_survive_kills_at_every_step(tmp_path):
    told, killed = replay_killed(tmp_path, sized(500, 10), seed=5)
    assert verify_from_outside(killed.folder) > 5 * sized(480, 8)
    assert sum(told.killed.values()) >= sized(100, 1)
    if not SMALL:  # every label was met on both sides
        met = {label.rpartition(" ")[0] for label in told.killed}
        assert met >= LABELS
        assert len(WATCHED) == 5


@pytest.mark.crash
@pytest.mark.parametrize("server", ["postgres", "mongo"])
def test_days_on_servers_survive_kills_at_every_step(request, tmp_path, server):
    told, _ = replay_killed(tmp_path, sized(60, 5), seed=6, pool_url=request.getfixturevalue(f"{server}_url"))
    assert sum(told.killed.values()) >= sized(10, 0)
