"""What was served, beside a batch: every row that differs in one bit, or is on one side only, is found."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ledger_drafts import begin, next_step, session_of
from rollwright.online.ledger import Draft, ServingLedger
from rollwright.online.parity import SIGNAL, compare_days, compare_part, list_served_days
from rollwright.online.state import SignalReference
from rollwright.pool.stores.memory import MemoryStore

CODES = ["A", "B", "C"]


class Kept:
    """Scores by the artifact that an entry names."""

    def __init__(self, scores):
        self.scores = scores

    def load(self, reference):
        return self.scores[reference.artifact]


def scores(*values, codes=CODES):
    return pd.Series(np.array(values, dtype=float), index=pd.Index(codes, name="instrument"), name="score")


def batch_of(days):
    parts = {pd.Timestamp(session): series for session, series in days.items()}
    return pd.concat(parts, names=["datetime", "instrument"])


def test_equal_rows_are_the_same_in_whatever_order_the_batch_has_them():
    served = {"2024-01-02": scores(1, 2, 3), "2024-01-03": scores(4, 5, 6)}
    part = compare_part("lgb", served, batch_of(served).iloc[::-1])
    assert (part.sessions, part.rows, part.differences) == (2, 6, 0)


@pytest.mark.parametrize(
    ("served", "batch", "said"),
    [
        (scores(1, 2, 3), scores(1, np.nextafter(2, 3), 3), ("B", 2.0, np.nextafter(2, 3))),
        (scores(1, 0.0, 3), scores(1, -0.0, 3), ("B", 0.0, -0.0)),
        (scores(1, 3, codes=["A", "C"]), scores(1, 2, 3), ("B", None, 2.0)),
        (scores(1, 2, 3), scores(1, 3, codes=["A", "C"]), ("B", 2.0, None)),
    ],
)
def test_one_bit_or_one_row_more_or_less_is_a_difference(served, batch, said):
    part = compare_part("lgb", {"2024-01-02": served}, batch_of({"2024-01-02": batch}))
    assert part.differences == 1
    (row,) = part.first
    assert (row.session, row.instrument, row.served, row.batch) == ("2024-01-02", *said)


def test_a_session_that_the_batch_lacks_differs_in_all_rows_and_one_that_was_not_served_in_none():
    batch = batch_of({"2024-01-03": scores(1, 2, 3)})
    part = compare_part("lgb", {"2024-01-02": scores(1, 2, 3)}, batch)
    assert (part.rows, part.differences) == (3, 3)
    assert compare_part("lgb", {}, batch).rows == 0


def test_the_first_differences_are_told_and_all_are_counted():
    names = [f"{number:03}" for number in range(50)]
    part = compare_part(
        "lgb",
        {"2024-01-02": scores(*range(50), codes=names)},
        batch_of({"2024-01-02": scores(*range(1, 51), codes=names)}),
    )
    assert part.differences == 50
    assert [row.instrument for row in part.first] == names[:20]


@pytest.fixture
def ledger():
    """A ledger of six sessions, of which the third was refused and published by an override."""
    made = ServingLedger("demo", MemoryStore())

    def decide(state):
        draft = next_step(state, days=6)
        if draft is not None and draft.kind == "publish" and draft.session == session_of(2):
            return Draft(kind="refuse", session=draft.session, body=draft.body)
        last = None if state is None else state.last
        if last is not None and last.outcome == "refused" and state.day is None:
            return Draft(kind="publish", session=last.session, body={"signal": last.signal.to_json(), "override": True})
        return draft

    while made.append(decide):
        pass
    return made


def test_served_days_are_listed_with_refused_ones_once(ledger):
    days = list(list_served_days(ledger))
    assert [day.session for day in days] == [session_of(number) for number in range(6)]
    assert [day.outcome for day in days] == ["published"] * 2 + ["refused"] + ["published"] * 3
    assert {day.champions for day in days} == {("lgb",)}
    some = list_served_days(ledger, session_of(1), session_of(3))
    assert [day.session for day in some] == [session_of(number) for number in (1, 2, 3)]
    assert list(list_served_days(ServingLedger("other", ledger.store))) == []


def test_refused_days_are_compared_and_counted(ledger):
    days = list(list_served_days(ledger))
    kept = Kept({day.session: scores(1, 2, 3) for day in days})
    batch = batch_of({day.session: scores(1, 2, 3) for day in days})
    parity = compare_days(days, kept, {"lgb": batch}, combined={("lgb",): batch})
    assert parity.same
    assert (parity.published, parity.refused) == (5, 1)
    assert [(part.name, part.sessions) for part in parity.parts] == [("lgb", 6), (f"{SIGNAL} of lgb", 6)]
    kept.scores[session_of(2)] = scores(1, 2, 4)
    changed = compare_days(days, kept, {"lgb": batch}, combined={("lgb",): batch})
    assert not changed.same
    assert {row.session for part in changed.parts for row in part.first} == {session_of(2)}


def test_a_signal_of_other_champions_is_not_compared_with_that_of_the_batch():
    ledger = ServingLedger("demo", MemoryStore())
    for draft in (begin("lgb", "xgb"), Draft(kind="roles", body={"roles": {"xgb": "champion"}})):
        ledger.append(lambda _, draft=draft: draft)
    signal = SignalReference(recorder="0" * 32, artifact="both", sha256="a" * 64, rows=3).to_json()
    for kind, body in (
        ("open", {"generation": "g", "known": 1}),
        ("switch", {"models": {}}),
        ("score", {"scores": {"lgb": signal, "xgb": signal}, "signal": signal}),
        ("publish", {"signal": signal}),
    ):
        ledger.append(lambda _, kind=kind, body=body: Draft(kind=kind, session="2024-01-02", body=body))
    days = list(list_served_days(ledger))
    batch = batch_of({"2024-01-02": scores(1, 2, 3)})
    kept = Kept({"both": scores(1, 2, 3)})
    one = compare_days(days, kept, {"lgb": batch}, combined={("lgb",): batch})
    assert [(part.name, part.sessions) for part in one.parts] == [("lgb", 1), (f"{SIGNAL} of lgb", 0)]
    both = compare_days(days, kept, {"xgb": batch, "lgb": batch}, combined={("lgb", "xgb"): batch})
    assert [(part.name, part.sessions) for part in both.parts] == [("lgb", 1), ("xgb", 1), (f"{SIGNAL} of lgb, xgb", 1)]
