"""A small serving in memory: a ledger with days of every outcome, and scores that lie in a mapping."""

from __future__ import annotations

import hashlib

import pandas as pd

from rollwright.online.ledger import Draft, ServingLedger
from rollwright.online.state import SignalReference, StrategyState
from rollwright.pool.stores.memory import MemoryStore

CHAMPION, CHALLENGER = "lgb", "linear"


class MemoryScores:
    """Scores by digest; counts what was loaded."""

    def __init__(self):
        self.kept = {}
        self.loads = 0

    def save(self, session, name, values):
        series = pd.Series(values, name="score", dtype="float64").sort_index()
        series.index.name = "instrument"
        digest = hashlib.sha256(repr((session, name, list(series.items()))).encode()).hexdigest()
        self.kept[digest] = series
        return SignalReference(recorder="0" * 32, artifact=f"{session}/{name}", sha256=digest, rows=len(series))

    def load(self, reference):
        self.loads += 1
        return self.kept[reference.sha256]


class MarketSessions:
    """Sessions of the data, as a list."""

    def __init__(self, sessions):
        self.sessions = [*sessions]

    def last_session(self):
        return self.sessions[-1] if self.sessions else None

    def count_after(self, session):
        return sum(1 for one in self.sessions if session is None or one > session)


class DemoServing:
    """A serving of a champion and a challenger, to which days are added."""

    def __init__(self, name="demo", store=None, *, clock=None, begin="2024-01-02"):
        self.ledger = ServingLedger(name, store if store is not None else MemoryStore(), clock=clock)
        self.scores = MemoryScores()
        strategies = {
            CHAMPION: StrategyState(role="champion", definition="a").to_json(),
            CHALLENGER: StrategyState(role="challenger", definition="b").to_json(),
        }
        self.append(Draft(kind="init", session=begin, body={"strategies": strategies}))

    def append(self, *drafts):
        return [self.ledger.append(lambda _, draft=draft: draft) for draft in drafts]

    def serve(self, session, *, refuse=False, names=("SH600000", "SZ000001"), closing=True):
        values = {name: number + int(session[-2:]) / 100 for number, name in enumerate(names)}
        made = self.scores.save(session, CHAMPION, values)
        other = self.scores.save(session, CHALLENGER, {name: -value for name, value in values.items()})
        scores = {CHAMPION: made.to_json(), CHALLENGER: other.to_json()}
        drafts = [
            Draft(kind="open", session=session, body={"generation": f"g{session}", "known": 1}),
            Draft(kind="train", session=session, body={"models": {}}),
            Draft(kind="switch", session=session, body={"models": {}}),
            Draft(kind="score", session=session, body={"scores": scores, "signal": made.to_json()}),
            Draft(
                kind="refuse" if refuse else "publish",
                session=session,
                body={"signal": made.to_json(), "checks": [{"name": "turnover", "violated": refuse}]},
            ),
        ]
        return self.append(*drafts if closing else drafts[:-1])[-1]

    def override(self, session):
        state = self.ledger.read_state()
        body = {"signal": state.last.signal.to_json(), "override": True}
        return self.append(Draft(kind="publish", session=session, body=body, reason="looked at it"))[0]

    def skip(self, session):
        return self.append(Draft(kind="skip", session=session, body={}))[0]
