"""The replays must fail on a serving that is broken in the ways real ones are; here they are."""

from __future__ import annotations

import random

import pytest

from replay_harness import InterruptedAtStep, Plan, Replay, interrupt, read_outcome
from replay_serving import Steps, deliver, watched
from rollwright.calendar.trading import to_session
from rollwright.errors import LedgerError
from rollwright.market.current import current_market
from rollwright.online import signal_store
from rollwright.online.day_result import DayResult
from rollwright.online.ledger import ServingLedger
from rollwright.online.scoring import PredScorer

PLAN = Plan(days=5, chunks=((0, 0), (1, 3), (4, 4)), restated=frozenset(), inserted={}, added=4)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    replay = Replay(tmp_path_factory.mktemp("undisturbed") / "project", PLAN, in_memory=True)
    replay.run_undisturbed()
    return read_outcome(replay)


def meet_another(replay, label):
    """Serve the second chunk; when it is at `label` another manager serves all there is."""
    replay.prepare(0, 0)
    replay.serve_here("serve")
    replay.prepare(1, 3)
    met = []

    def go_between(reached):
        met.append(reached)
        replay.serve_here("serve")

    with watched(Steps(go_between, label=label)):
        replay.serve_here("serve")
    assert met == [label]
    replay.prepare(4, 4)
    replay.serve_here("add")
    return read_outcome(replay)


@pytest.mark.parametrize("label", ["open before", "score before", "publish before", "publish after"])
def test_two_managers_at_once_are_as_one(undisturbed, tmp_path, label):
    replay = Replay(tmp_path / "project", PLAN, in_memory=True)
    assert meet_another(replay, label) == undisturbed


def test_an_append_that_does_not_compare_is_caught(tmp_path, monkeypatch):
    entries = {}
    monkeypatch.setattr(ServingLedger, "_commit", lambda _, entry: entries.update({entry.number: entry}) or True)
    monkeypatch.setattr(
        ServingLedger,
        "_find_records",
        lambda _, numbers: ((number, entries[number]) for number in numbers if number in entries),
    )
    monkeypatch.setattr(ServingLedger, "_decode", lambda _, entry, number: entry)
    replay = Replay(tmp_path / "project", PLAN, in_memory=True)
    with pytest.raises((AssertionError, LedgerError)):
        meet_another(replay, "publish before")


def test_a_delivery_before_its_commit_is_caught(tmp_path, monkeypatch):
    commit = ServingLedger._commit

    def deliver_first(ledger, entry):
        if entry.kind == "publish":
            deliver(DayResult.of_entry(entry))
        return commit(ledger, entry)

    monkeypatch.setattr(ServingLedger, "_commit", deliver_first)
    replay = Replay(tmp_path / "project", PLAN, in_memory=True)
    replay.prepare(0, 0)
    with pytest.raises((AssertionError, LedgerError), match=r"has no entry|does not stand"):
        replay.serve_here("serve")


def test_a_clock_in_place_of_the_session_is_caught(undisturbed, tmp_path, monkeypatch):
    """It scores the newest session that there is, which is the one that is served, until one is made up for."""
    score = PredScorer.score

    def score_newest(scorer, recorder, session):
        made = score(scorer, recorder, current_market().calendar().last_known)
        return made.rename(index={day: to_session(session) for day in made.index.levels[0]}, level="datetime")

    monkeypatch.setattr(PredScorer, "score", score_newest)
    replay = Replay(tmp_path / "project", PLAN, in_memory=True)
    replay.run_interrupted(random.Random(1), share=0)
    assert read_outcome(replay) != undisturbed


def restate_while_open(replay):
    """Let the history be rewritten after the scores of a session were stored, and before their entry."""
    replay.prepare(0, 0)
    replay.serve_here("serve")
    replay.prepare(1, 1)
    with pytest.raises(InterruptedAtStep), watched(Steps(interrupt, label="score before")):
        replay.serve_here("serve")
    replay.feed.restate(1)
    replay.serve_here("serve")
    return read_outcome(replay)


def test_a_history_rewritten_while_a_session_is_open_gives_scores_that_can_be_read(undisturbed, tmp_path):
    outcome = restate_while_open(Replay(tmp_path / "project", PLAN, in_memory=True))
    first, second = sorted(outcome)
    assert outcome[first] == undisturbed[first]
    assert outcome[second]["closed"] == "publish"
    assert outcome[second]["signal"] != undisturbed[second]["signal"]


def test_scores_whose_names_hold_no_digest_are_caught(tmp_path, monkeypatch):
    monkeypatch.setattr(signal_store, "_SHOWN_DIGITS", 0)
    with pytest.raises(LedgerError, match="not those that the ledger names"):
        restate_while_open(Replay(tmp_path / "project", PLAN, in_memory=True))
