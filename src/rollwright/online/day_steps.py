"""The steps of a serving day, each one entry of the ledger.

1. `open`: the session is taken up, with the identity of the data it is served from.
2. `train`: what is due is trained.
3. `switch`: models whose first session has come are online, those of all strategies at once.
4. `score`: every strategy scores the session, and the champions make the signal.
5. `publish` or `refuse`: the signal is judged.

The work of a step is done before its entry and counts only with it. Whoever is killed, or was slower than another
process, finds by the ledger which step is next; what a step finds changed when it comes to append, it does again.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import pandas as pd

from rollwright.calendar.trading import SessionLike, to_session
from rollwright.core.canonical import JSON
from rollwright.errors import NothingTrainedError, OnlineError, RollwrightError
from rollwright.market.current import current_market
from rollwright.market.source import DataSource
from rollwright.online.closing_entry import find_closing
from rollwright.online.entry import LedgerEntry
from rollwright.online.held_tool import hold_tool
from rollwright.online.judgement import SignalJudgement, judge_signal, list_published
from rollwright.online.ledger import Draft, ServingLedger
from rollwright.online.market_news import MarketNews, count_sessions, find_news, list_notes, write_session
from rollwright.online.model_recorders import ModelRecorders
from rollwright.online.scoring import PrepareFunction, Scorer, drop_day, prepare_day, score_of_day
from rollwright.online.signal_store import Signals
from rollwright.online.state import OnlineModel, OpenDay, ServingState, SignalReference, is_active
from rollwright.online.strategy import OnlineStrategy, RollingStrategy
from rollwright.online.terms import ServingTerms
from rollwright.online.training_step import Trained, list_due, train_tasks
from rollwright.training.trainer import Trainer

__all__ = ["DaySteps"]

_logger: Final = logging.getLogger("rollwright.online")
_SIGNAL: Final = "signal"
_LOOKED_AT: Final = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class DaySteps:
    """Takes a session through its steps.

    Attributes
    ----------
    ledger : ServingLedger
    signals : Signals
    strategies : mapping of str to OnlineStrategy
        By name; in their order they enter the signal. Not copied: one that is added is served from then on.
    trainer : Trainer
    scorer : Scorer
    prepare : callable
        Makes one signal of the scores of several models.
    terms : ServingTerms
    recorders : ModelRecorders
    freq : str
        Of the market.
    until : date, optional
        Where the test segments of new tasks end at the latest; the session itself if not given.
    experiments : mapping of str to str
        For each strategy's name where it trains, if not in its own experiment.
    task_kwargs, model_kwargs : mapping
        Given to `prepare_tasks` and `prepare_online_models` of the strategies.
    """

    ledger: ServingLedger
    signals: Signals
    strategies: Mapping[str, OnlineStrategy]
    trainer: Trainer
    scorer: Scorer
    prepare: PrepareFunction
    terms: ServingTerms
    recorders: ModelRecorders
    freq: str = "day"
    until: SessionLike | None = None
    experiments: Mapping[str, str] = field(default_factory=dict)
    task_kwargs: Mapping[str, Any] = field(default_factory=dict)
    model_kwargs: Mapping[str, Any] = field(default_factory=dict)

    def serve(self, session: str) -> LedgerEntry:
        """Take `session`, which is next, to its end from whatever step it was left at; return what closed it.

        Raises
        ------
        OnlineError
            When what is due could not be trained, or a champion has no model; the session stays open.
        RollwrightError
            When a step fails; the session stays at that step.
        """
        market = current_market(self.freq)
        while True:
            state = self.read_state()
            day = state.day
            is_open = day is not None and day.session == session
            if not is_open and state.reached is not None and state.reached >= session:  # another process may be ahead
                return find_closing(self.ledger, session)
            if day is None:
                self._open(session, state, market)
            elif day.session != session:
                raise OnlineError(
                    f"session {day.session} is open, and {session} cannot be served before it",
                    hint=f"serve {day.session} first",
                )
            elif not day.trained:
                self._train(session, state)
            elif not day.switched:
                self._switch(session, state)
            elif day.signal is None:
                self._score(session, state)
            else:
                self._judge(session, state, day.signal, market)

    def read_state(self) -> ServingState:
        """Return how the serving stands.

        Raises
        ------
        OnlineError
            When it has not begun, or has a strategy that was not given.
        """
        state = self.ledger.read_state()
        if state is None:
            raise OnlineError(f"serving {self.ledger.serving} has not begun", hint="call first_train first")
        absent = sorted(
            name for name, one in state.strategies.items() if one.status != "removed" and name not in self.strategies
        )
        if absent:
            raise OnlineError(
                f"serving {self.ledger.serving} has the strategies {', '.join(absent)}, and they were not given here",
                hint="construct the manager with all strategies that are served, or remove those that are not any more",
            )
        return state

    def _list_active(self, state: ServingState) -> dict[str, OnlineStrategy]:
        return {
            name: one
            for name, one in self.strategies.items()
            if name in state.strategies and is_active(state.strategies[name])
        }

    def _open(self, session: str, state: ServingState, market: DataSource) -> None:
        news = find_news(market, self.ledger, state, session)

        def decide(now: ServingState | None) -> Draft | None:
            if now is None or now.day is not None or now.last != state.last:
                return None
            return Draft(kind="open", session=session, body=news.to_json())

        if self.ledger.append(decide) is not None:
            _log_news(session, news)

    def _train(self, session: str, state: ServingState) -> None:
        active = self._list_active(state)
        due = []
        for name, strategy in active.items():
            tasks = list_due(
                strategy,
                state.strategies[name],
                self.recorders,
                session=session,
                until=self.until,
                task_kwargs=self.task_kwargs,
            )
            due.append((strategy, tasks))
        made = train_tasks(due, self.trainer, session=session, experiments=self.experiments)
        failed: dict[str, JSON] = {
            name: list[JSON](one.failures) for name, one in zip(active, made, strict=True) if one.failures
        }
        if failed and self.terms.on_training_failure == "stop":
            raise _explain_failure(session, dict(zip(active, made, strict=True)))
        for one in made:
            self.recorders.keep(one.recorders)

        def decide(now: ServingState | None) -> Draft | None:
            day = _open_day(now, session)
            if now is None or day is None or day.trained:
                return None
            new = {name: _new_models(now, name, one) for name, one in zip(active, made, strict=True)}
            body: dict[str, JSON] = {"models": {name: models for name, models in new.items() if models}}
            return Draft(kind="train", session=session, body={**body, "failed": failed} if failed else body)

        self.ledger.append(decide)

    def train_ahead(self) -> None:
        """Train the windows that begin with the next session, where the last one with data is closed.

        Raises
        ------
        RollwrightError
            When a task could not be prepared; those that could not be trained are logged.
        """
        state = self.read_state()
        calendar = current_market(self.freq).calendar()
        last = state.last
        if state.day is not None or last is None or last.session != write_session(calendar.last_known):
            return
        if len(calendar) == calendar.known:
            return
        session = write_session(calendar[calendar.known])
        due = []
        for name, strategy in self._list_active(state).items():
            models = [*state.strategies[name].online, *state.strategies[name].next]
            if isinstance(strategy, RollingStrategy) and models:
                found = [self.recorders.find(model) for model in models]
                due.append((strategy, strategy.prepare_ahead(session, online_models=found)))
        made = train_tasks(due, self.trainer, session=session, experiments=self.experiments)
        for one in made:
            self.recorders.keep(one.recorders)
            for text in one.failures:
                _logger.warning("serving.not_trained_ahead session=%s reason=%s", session, text)
        names = [strategy.name_id for strategy, _ in due]

        def decide(now: ServingState | None) -> Draft | None:
            if now is None or now.day is not None or now.last != last:
                return None
            new = {name: _new_models(now, name, one) for name, one in zip(names, made, strict=True)}
            models: dict[str, JSON] = {name: found for name, found in new.items() if found}
            return Draft(kind="train", session=session, body={"models": models, "ahead": True}) if models else None

        self.ledger.append(decide)

    def _switch(self, session: str, state: ServingState) -> None:
        chosen: dict[str, tuple[OnlineModel, ...]] = {}
        for name, strategy in self._list_active(state).items():
            stands = state.strategies[name]
            begun = [model for model in stands.next if model.serves_from <= session]
            if begun:
                chosen[name] = self.choose_online(strategy, stands.online, begun, session)

        def decide(now: ServingState | None) -> Draft | None:
            day = _open_day(now, session)
            if now is None or day is None or day.switched:
                return None
            if now.strategies != state.strategies:  # a person was in between: look again
                return None
            models: dict[str, JSON] = {name: [one.to_json() for one in new] for name, new in chosen.items()}
            return Draft(kind="switch", session=session, body={"models": models})

        self.ledger.append(decide)

    def choose_online(
        self,
        strategy: OnlineStrategy,
        online: tuple[OnlineModel, ...],
        begun: list[OnlineModel],
        session: str,
    ) -> tuple[OnlineModel, ...]:
        """Return the models that a strategy wants online on `session`; nothing is written.

        Parameters
        ----------
        strategy : OnlineStrategy
        online : tuple of OnlineModel
            Those that are online now.
        begun : list of OnlineModel
            New ones whose first session has come.
        session : str
        """
        found = [self.recorders.find(model) for model in begun]
        with hold_tool(strategy, [self.recorders.find(model) for model in online]):
            chosen = strategy.prepare_online_models(found, **{"cur_time": to_session(session), **self.model_kwargs})
        known = {model.recorder: model for model in (*online, *begun)}
        unknown = [recorder.id for recorder in chosen if recorder.id not in known]
        if unknown:
            raise OnlineError(
                f"strategy {strategy.name_id} would put recorder {unknown[0]} online, which it did not train for this "
                "serving",
                hint="return models that were given to prepare_online_models, or that are online",
            )
        return tuple(known[recorder.id] for recorder in chosen)

    def _score(self, session: str, state: ServingState) -> None:
        champions = {*state.with_role("champion")}
        scores: dict[str, pd.Series] = {}
        failed: dict[str, JSON] = {}
        for name in self._list_active(state):
            online = state.strategies[name].online
            if name not in champions and not online:
                continue
            try:
                scores[name] = self._score_strategy(name, online, session)
            except RollwrightError as error:
                if name in champions:
                    raise
                failed[name] = f"{type(error).__name__}: {error.message}"
                _logger.warning("serving.not_scored session=%s strategy=%s reason=%s", session, name, error.message)
        of_champions = {name: one for name, one in scores.items() if name in champions}
        signal = prepare_day(of_champions, session, prepare=self.prepare)
        kept = {f"scores/{name}": drop_day(one) for name, one in scores.items()}
        references = self.signals.save(session, {**kept, _SIGNAL: drop_day(signal)})
        body: dict[str, JSON] = {
            "scores": {name: references[f"scores/{name}"].to_json() for name in scores},
            "signal": references[_SIGNAL].to_json(),
            "champions": list[JSON](sorted(champions)),
        }

        def decide(now: ServingState | None) -> Draft | None:
            day = _open_day(now, session)
            if now is None or day is None or day.scores is not None or now.strategies != state.strategies:
                return None
            return Draft(kind="score", session=session, body={**body, "failed": failed} if failed else body)

        self.ledger.append(decide)

    def _score_strategy(self, name: str, models: tuple[OnlineModel, ...], session: str) -> pd.Series:
        if not models:
            raise OnlineError(
                f"champion {name} has no model online on {session}",
                hint="begin the serving with a session that its first window tests, or give another the role",
            )
        found = [self.recorders.find(model) for model in models]
        return score_of_day(found, session, scorer=self.scorer, prepare=self.prepare)

    def _judge(self, session: str, state: ServingState, signal: SignalReference, market: DataSource) -> None:
        models = [model for name in state.with_role("champion") for model in state.strategies[name].online]
        history = list(list_published(self.ledger, state, self.signals)) if self.terms.checks else []
        found = judge_signal(
            session,
            self.signals.load(signal),
            market=market,
            universes=self.recorders.list_universes(models),
            terms=self.terms,
            history=history,
        )
        body = self._describe(session, signal, found, place=count_sessions(market.calendar(), session))

        def decide(now: ServingState | None) -> Draft | None:
            day = _open_day(now, session)
            if day is None or day.signal != signal:
                return None
            return Draft(kind="refuse" if found.violations else "publish", session=session, body=body)

        entry = self.ledger.append(decide)
        if entry is not None and found.violations:
            _logger.warning("serving.refused session=%s violations=%s", session, "; ".join(found.violations))
        elif entry is not None:
            _logger.info("serving.published session=%s rows=%d digest=%s", session, signal.rows, signal.sha256)

    def _describe(
        self, session: str, signal: SignalReference, found: SignalJudgement, *, place: int
    ) -> dict[str, JSON]:
        return {
            "place": place,
            "signal": signal.to_json(),
            "checks": list(found.checks),
            "coverage": list(found.coverage),
            "violations": list[JSON](found.violations),
            "notes": list[JSON](self._list_notes(session)),
        }

    def _list_notes(self, session: str) -> list[str]:
        """Return what the entries of the open session say to people."""
        head = self.ledger.read_head()
        number = 0 if head is None else head.number
        notes: list[str] = []
        for entry in self._read_back(number):
            if entry.session == session and entry.kind in ("train", "score"):
                failed = entry.body.get("failed")
                for name, said in failed.items() if isinstance(failed, dict) else ():
                    done = "was not trained" if entry.kind == "train" else "was not scored"
                    text = "; ".join(map(str, said)) if isinstance(said, list) else str(said)
                    notes.append(f"{name} {done}: {text}")
            elif entry.session == session and entry.kind == "open":
                return [*list_notes(entry.body), *notes]
        return notes

    def _read_back(self, number: int) -> Any:
        """Yield the entries from `number` back to the first, read in pages."""
        for stop in range(number + 1, 1, -_LOOKED_AT):
            yield from reversed(list(self.ledger.list_entries(max(1, stop - _LOOKED_AT), stop)))


def _open_day(state: ServingState | None, session: str) -> OpenDay | None:
    """Return the open day when it is that of `session`."""
    day = None if state is None else state.day
    return day if day is not None and day.session == session else None


def _new_models(state: ServingState, name: str, trained: Trained) -> list[JSON]:
    """Return those of the trained models that the strategy does not have yet; none of one that was removed."""
    stands = state.strategies[name]
    if stands.status == "removed":
        return []
    known = {model.recorder for model in (*stands.online, *stands.next, *stands.withdrawn)}
    return [model.to_json() for model in trained.models if model.recorder not in known]


def _explain_failure(session: str, made: Mapping[str, Trained]) -> NothingTrainedError:
    shown = "".join(f"\n  - {name}: {line}" for name, one in made.items() for line in one.failures)
    return NothingTrainedError(
        f"session {session} stays open, since what is due could not be trained:{shown}",
        hint="mend it and serve the session again; or let `on_training_failure: keep` serve it by the models online",
    )


def _log_news(session: str, news: MarketNews) -> None:
    _logger.info("serving.opened session=%s known=%d generation=%s", session, news.known, news.generation)
    if news.restated_from is not None:
        _logger.warning("serving.restated session=%s since=%s", session, news.restated_from)
    if news.late:
        _logger.warning("serving.late_sessions session=%s count=%d first=%s", session, len(news.late), news.late[0])
