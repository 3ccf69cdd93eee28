"""OnlineManager: strategies that are served day by day, or simulated over days that have been."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, ClassVar, Final, Literal

import pandas as pd

from rollwright.calendar.trading import Session, SessionLike, to_session
from rollwright.collect.collector import MergeCollector
from rollwright.config.context import open_part
from rollwright.core.canonical import JSON
from rollwright.core.clock import Clock, SystemClock
from rollwright.errors import ConfigError, OnlineError, RollwrightError
from rollwright.market.current import current_market
from rollwright.online.day_result import DayResult
from rollwright.online.day_steps import DaySteps
from rollwright.online.first_training import begin_strategies
from rollwright.online.ledger import Draft, ServingLedger
from rollwright.online.market_news import write_session
from rollwright.online.model_recorders import ModelRecorders
from rollwright.online.scoring import PredScorer, PrepareFunction, combine_scores
from rollwright.online.served_signals import list_history, read_scores, recombine
from rollwright.online.serving_day import DayServer
from rollwright.online.signal_store import MemorySignals, Signals, SignalStore
from rollwright.online.simulation import ServingSimulation, WindowScorer, find_sessions
from rollwright.online.state import Role, ServingState
from rollwright.online.strategy import OnlineStrategy
from rollwright.online.terms import CatchUp, ServingTerms
from rollwright.pool.stores.memory import MemoryStore
from rollwright.tracking.recorder import Recorder
from rollwright.training.trainer import Trainer, TrainerR

__all__ = ["OnlineManager"]

_logger: Final = logging.getLogger("rollwright.online")
_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})
Status = Literal["online", "simulating"]


class OnlineManager:
    """Serves strategies day by day.

    All that it knows stands in a ledger (`rollwright.online.ledger`) and in recorders: constructed again from the same
    arguments, after a kill or on another machine, it goes on where it was.

    Parameters
    ----------
    strategies : OnlineStrategy or sequence of OnlineStrategy
    trainer : Trainer, optional
        `TrainerR` if not given.
    begin_time : date, optional
        The first session to be served; the last one that has data if not given. Where the serving has begun already,
        the ledger knows it.
    freq : str
        Of the market.
    name : str, optional
        Of the serving; the name of the first strategy if not given.
    ledger : ServingLedger, optional
        That of `name` in the current pool if not given.
    terms : ServingTerms, optional
    roles : mapping of str to {"champion", "challenger", "shadow"}, optional
        What strategies begin as, by name; champions if not given, as in Qlib, where all make the signal.
    prepare_func : callable, optional
        Makes one signal of the scores of several models; `rollwright.online.scoring.combine_scores` if not given.
    clock : Clock, optional
    signals : Signals, optional
        Where scores are kept; recorders in the experiment ``NAME-online`` if not given.
    on_closed : callable, optional
        Told of each session when it is closed; see `DayServer`.

    Guarantees: each session is served once and in order, whatever is killed and however many managers run; a session
    that is asked for again gets the same answer.
    """

    STATUS_SIMULATING: ClassVar[Status] = "simulating"
    STATUS_ONLINE: ClassVar[Status] = "online"

    def __init__(
        self,
        strategies: OnlineStrategy | Sequence[OnlineStrategy],
        trainer: Trainer | None = None,
        begin_time: SessionLike | None = None,
        freq: str = "day",
        *,
        name: str | None = None,
        ledger: ServingLedger | None = None,
        terms: ServingTerms | None = None,
        roles: Mapping[str, Role] | None = None,
        prepare_func: PrepareFunction | None = None,
        clock: Clock | None = None,
        signals: Signals | None = None,
        on_closed: Callable[[DayResult], None] | None = None,
    ) -> None:
        given = [strategies] if isinstance(strategies, OnlineStrategy) else list(strategies)
        if not given:
            raise ConfigError("an OnlineManager needs a strategy")
        self._strategies: dict[str, OnlineStrategy] = {}
        self._add(given)
        self.name = name if name is not None else given[0].name_id
        self.freq = freq
        self.trainer: Trainer = TrainerR() if trainer is None else trainer
        self.terms = ServingTerms() if terms is None else terms
        self._roles = dict(roles or {})
        self._prepare: PrepareFunction = combine_scores if prepare_func is None else prepare_func
        self._clock: Clock = SystemClock() if clock is None else clock
        self._ledger = ledger
        self._signals: Signals = SignalStore(self.name) if signals is None else signals
        self._on_closed = on_closed
        self._begin = None if begin_time is None else to_session(begin_time)
        self._recorders = ModelRecorders()
        self._mirrored: dict[str, tuple[str, ...]] = {}
        self._prepared: pd.Series | None = None
        self._simulation: ServingSimulation | None = None
        self._status: Status = self.STATUS_ONLINE

    def __repr__(self) -> str:
        return f"OnlineManager({self.name!r}, strategies=[{', '.join(self._strategies)}])"

    @property
    def strategies(self) -> list[OnlineStrategy]:
        """The strategies, in the order in which they enter the signal."""
        return list(self._strategies.values())

    @property
    def status(self) -> Status:
        """Whether it is online or in a simulation."""
        return self._status

    @property
    def ledger(self) -> ServingLedger:
        """What was done, entry by entry."""
        if self._ledger is None:
            store = open_part("pool")
            store.migrate()
            self._ledger = ServingLedger(self.name, store, clock=self._clock)
        return self._ledger

    @property
    def signals(self) -> Signals:
        """Where the scores of sessions are kept."""
        return self._signals

    @property
    def begin_time(self) -> Session:
        """The first session to be served."""
        state = self.ledger.read_state()
        return to_session(state.begin) if state is not None else self._choose_begin()

    @property
    def cur_time(self) -> Session:
        """The last session that was reached; before any, the first to be served."""
        state = self.ledger.read_state()
        reached = None if state is None else state.reached
        return self.begin_time if reached is None else to_session(reached)

    def first_train(
        self, strategies: Sequence[OnlineStrategy] | None = None, model_kwargs: Mapping[str, Any] = _NOTHING
    ) -> None:
        """Train the windows that have begun, put the latest of them online, and begin the serving.

        Where it has begun already, nothing is done.

        Parameters
        ----------
        strategies : sequence of OnlineStrategy, optional
            To be added to a serving that has begun, as `add_strategy`.
        model_kwargs : mapping
            Given to `prepare_online_models` of the strategies.

        Raises
        ------
        OnlineError
            When a task could not be trained; the next call trains what is missing.
        """
        if strategies is not None:
            self.add_strategy(strategies)
            return
        if self._read_checked() is None:
            begin = write_session(self._choose_begin())
            steps = self._make_steps(model_kwargs=model_kwargs)
            made = begin_strategies(steps, self._strategies, begin, roles=self._roles)
            body: dict[str, JSON] = {"strategies": {name: one.to_json() for name, one in made.items()}}
            self.ledger.append(lambda now: Draft(kind="init", session=begin, body=body) if now is None else None)
            self._prepared = None
            self._read_checked()
        self._mirror()

    def add_strategy(
        self,
        strategies: OnlineStrategy | Sequence[OnlineStrategy],
        *,
        role: Role = "champion",
        reason: str = "",
    ) -> None:
        """Train the first windows of new strategies and serve them from the next step on.

        Parameters
        ----------
        strategies : OnlineStrategy or sequence of OnlineStrategy
            One that is served already stays as it is.
        role : {"champion", "challenger", "shadow"}
            What they begin as, unless `roles` of the manager names them. As in Qlib they take part in the signal.
        reason : str
            Noted in the ledger.

        Raises
        ------
        OnlineError
            When the serving has not begun, or a task could not be trained.
        LedgerError
            When the open session is scored already, or a strategy of that name was removed.
        """
        given = [strategies] if isinstance(strategies, OnlineStrategy) else list(strategies)
        state = self.ledger.read_state()
        if state is None:
            raise OnlineError(f"serving {self.name} has not begun", hint="call first_train first")
        new = {one.name_id: one for one in given if one.name_id not in state.strategies}
        begin = state.reached or state.begin
        made = begin_strategies(self._make_steps(), new, begin, roles=self._roles, role=role)
        for name, one in made.items():
            body: dict[str, JSON] = {"action": "add", "strategy": name, "as": one.to_json()}
            draft = Draft(kind="strategy", session=begin, body=body, reason=reason)
            self.ledger.append(
                lambda now, name=name, draft=draft: (  # type: ignore[misc]
                    None if now is not None and name in now.strategies else draft
                )
            )
        self._add(one for one in given if one.name_id not in self._strategies)
        self._read_checked()
        self._mirror()

    def routine(
        self,
        cur_time: SessionLike | None = None,
        task_kwargs: Mapping[str, Any] = _NOTHING,
        model_kwargs: Mapping[str, Any] = _NOTHING,
        signal_kwargs: Mapping[str, Any] = _NOTHING,
    ) -> DayResult:
        """Serve a session: train what is due, switch models whose time has come, score, check and publish.

        Parameters
        ----------
        cur_time : date, optional
            As `serve` takes it.
        task_kwargs, model_kwargs, signal_kwargs : mapping
            Given to `prepare_tasks` and `prepare_online_models` of the strategies, and ``prepare_func`` for the signal.

        Raises
        ------
        As `serve`.
        """
        return self._serve_with(cur_time, task_kwargs, model_kwargs, signal_kwargs)

    def serve(self, session: SessionLike | None = None) -> DayResult:
        """Serve a session, and those before it that were missed; see `DayServer.serve`."""
        return self._serve_with(session, _NOTHING, _NOTHING, _NOTHING)

    def catch_up(self, policy: CatchUp | None = None, window: int | None = None) -> list[DayResult]:
        """Serve or skip the sessions that were missed; see `DayServer.catch_up`."""
        self._begin_work()
        return self._make_server(self._make_steps()).catch_up(policy, window)

    def simulate(
        self,
        end_time: SessionLike | None = None,
        frequency: str = "day",
        task_kwargs: Mapping[str, Any] = _NOTHING,
        model_kwargs: Mapping[str, Any] = _NOTHING,
        signal_kwargs: Mapping[str, Any] = _NOTHING,
    ) -> pd.Series | None:
        """Go through the sessions from the first to be served until `end_time`, and return the signals.

        A serving that has begun is not touched: the simulation trains in experiments of its own, ``NAME-simulation``,
        and in those of the strategies otherwise. No tag is set.

        Parameters
        ----------
        end_time : date, optional
            The last session; the last one that has data if not given. No signal and no test segment goes past it.
        frequency : str
            Of the market.
        task_kwargs, model_kwargs, signal_kwargs : mapping
            As `routine` takes them.

        Raises
        ------
        ConfigError
            When there is no session to go through.
        OnlineError
            When a task could not be trained.

        .. warning:: **Look-ahead.** A model that is trained here on past sessions can read labels that were not known
           on the day it would have been trained, unless the `RollingGen` has `trunc_days`.
        """
        prepare = _take_prepare(signal_kwargs)
        has_begun = self.ledger.read_state() is not None
        begin = self._begin if self._begin is not None else self.cur_time
        sessions = find_sessions(frequency, begin, end_time)
        own = {name: f"{one.experiment}-simulation" for name, one in self._strategies.items()} if has_begun else {}
        steps = replace(
            self._make_steps(task_kwargs=task_kwargs, model_kwargs=model_kwargs, prepare=prepare),
            ledger=ServingLedger(self.name, MemoryStore(), clock=self._clock),
            signals=MemorySignals(),
            scorer=WindowScorer(),
            recorders=ModelRecorders(),
            freq=frequency,
            until=to_session(sessions[-1]),
            experiments=own,
        )
        self._simulation = ServingSimulation(steps=steps, sessions=sessions, roles=self._roles)
        self._status = self.STATUS_SIMULATING
        try:
            if self.trainer.is_delay():
                self._simulation.prepare()
                return self._end_simulation()
            return self._keep_simulated(self._simulation.run())
        finally:
            self._status = self.STATUS_ONLINE

    def delay_prepare(
        self, model_kwargs: Mapping[str, Any] = _NOTHING, signal_kwargs: Mapping[str, Any] = _NOTHING
    ) -> pd.Series | None:
        """End the training of a simulation that was interrupted in it, and return its signals.

        `simulate` calls it by itself; after an error in training, as of a worker that is away, it goes on from there.

        Parameters
        ----------
        model_kwargs, signal_kwargs : mapping
            As `routine` takes them; those of `simulate` if not given.

        Returns
        -------
        Series or None
            None when no simulation waits.
        """
        if self._simulation is None or not self._simulation.is_waiting:
            return None
        steps = self._simulation.steps
        prepare = _take_prepare(signal_kwargs)
        self._simulation.steps = replace(
            steps,
            model_kwargs=model_kwargs or steps.model_kwargs,
            prepare=steps.prepare if prepare is None else prepare,
        )
        self._status = self.STATUS_SIMULATING
        try:
            return self._end_simulation()
        finally:
            self._status = self.STATUS_ONLINE

    def _end_simulation(self) -> pd.Series | None:
        simulation = self._simulation
        if simulation is None:
            return None
        simulation.end_training()
        return self._keep_simulated(simulation.run())

    def _keep_simulated(self, signals: pd.Series | None) -> pd.Series | None:
        """Let `get_signals` answer with what was simulated where nothing was ever served."""
        if self.ledger.read_state() is None:
            self._prepared = signals
        return signals

    def get_collector(self, **kwargs: Any) -> MergeCollector:
        """Return what collects the results of all strategies; `kwargs` are given to their `get_collector`."""
        collectors = {name: one.get_collector(**kwargs) for name, one in self._strategies.items()}
        return MergeCollector(collectors, process_list=[])

    def prepare_signals(
        self,
        prepare_func: PrepareFunction | None = None,
        over_write: bool = False,  # noqa: FBT001, FBT002 - Qlib's
    ) -> pd.Series | None:
        """Make signals of the recorded scores of the champions; what was published stays as it is.

        Parameters
        ----------
        prepare_func : callable, optional
            The manager's own if not given, which gives what was published.
        over_write : bool
            Let `get_signals` of this object answer with the new signals of all sessions; otherwise of those after the
            last that it answered with before.

        Returns
        -------
        Series or None
            The new signals; None when nothing was served yet.
        """
        prepare = self._prepare if prepare_func is None else prepare_func
        made = recombine(self.ledger, self._signals, prepare, order=[*self._strategies])
        if made is None:
            return None
        old = None if over_write else self._prepared
        if old is not None:
            last = old.index.get_level_values("datetime").max()
            made = made[made.index.get_level_values("datetime") > last]
        self._prepared = made if old is None else pd.concat([old, made])
        return made

    def get_signals(
        self, name: str | None = None, start: SessionLike | None = None, end: SessionLike | None = None
    ) -> pd.Series | None:
        """Return the published signals, indexed by (datetime, instrument); None when there are none.

        Parameters
        ----------
        name : str, optional
            The scores of this strategy instead, whatever its role.
        start, end : date, optional
            Of the sessions, both included.
        """
        if name is None and self._prepared is not None:
            days = self._prepared.index.get_level_values("datetime")
            first = days.min() if start is None else to_session(start)
            last = days.max() if end is None else to_session(end)
            return self._prepared[(days >= first) & (days <= last)]
        return read_scores(self.ledger, self._signals, strategy=name, start=start, end=end)

    @property
    def history(self) -> dict[Session, dict[OnlineStrategy, list[Recorder]]]:
        """Which models of each strategy were online on each session that was served; before any, that was simulated."""
        simulated = self._simulation
        is_simulated = simulated is not None and self.ledger.read_state() is None
        steps = simulated.steps if simulated is not None and is_simulated else self._make_steps()
        found = list_history(steps.ledger)
        return {
            session: {
                self._strategies[name]: [steps.recorders.find(model) for model in models]
                for name, models in by_name.items()
                if name in self._strategies
            }
            for session, by_name in found.items()
        }

    def _add(self, strategies: Iterable[OnlineStrategy]) -> None:
        for strategy in strategies:
            if strategy.name_id in self._strategies:
                raise ConfigError(f"two strategies are called {strategy.name_id}", hint="give each a name of its own")
            self._strategies[strategy.name_id] = strategy

    def _choose_begin(self) -> Session:
        return self._begin if self._begin is not None else current_market(self.freq).calendar().last_known

    def _read_checked(self) -> ServingState | None:
        """Return how the serving stands, when its strategies are those of this manager.

        Raises
        ------
        OnlineError
        """
        state = self.ledger.read_state()
        for name, strategy in self._strategies.items() if state is not None else ():
            stands = state.strategies.get(name) if state is not None else None
            if stands is None or stands.status == "removed":
                continue
            if stands.definition != strategy.definition:
                raise OnlineError(
                    f"strategy {name} of serving {self.name} is another than the one that is served: its templates or "
                    "how they roll changed",
                    hint="add the changed one under a name of its own, promote it, then remove the former",
                )
        return state

    def _begin_work(self) -> None:
        state = self._read_checked()
        if state is not None:
            new = [name for name in self._strategies if name not in state.strategies]
            if new:
                raise OnlineError(
                    f"strategies {', '.join(new)} are not served by {self.name} yet", hint="add_strategy adds them"
                )
            self._mirror()

    def _make_steps(
        self,
        *,
        task_kwargs: Mapping[str, Any] = _NOTHING,
        model_kwargs: Mapping[str, Any] = _NOTHING,
        prepare: PrepareFunction | None = None,
    ) -> DaySteps:
        return DaySteps(
            ledger=self.ledger,
            signals=self._signals,
            strategies=self._strategies,
            trainer=self.trainer,
            scorer=PredScorer(),
            prepare=self._prepare if prepare is None else prepare,
            terms=self.terms,
            recorders=self._recorders,
            freq=self.freq,
            task_kwargs=task_kwargs,
            model_kwargs=model_kwargs,
        )

    def _make_server(self, steps: DaySteps) -> DayServer:
        return DayServer(steps=steps, clock=self._clock, on_closed=self._follow)

    def _serve_with(
        self,
        session: SessionLike | None,
        task_kwargs: Mapping[str, Any],
        model_kwargs: Mapping[str, Any],
        signal_kwargs: Mapping[str, Any],
    ) -> DayResult:
        prepare = _take_prepare(signal_kwargs)
        self._begin_work()
        steps = self._make_steps(task_kwargs=task_kwargs, model_kwargs=model_kwargs, prepare=prepare)
        return self._make_server(steps).serve(session)

    def _follow(self, result: DayResult) -> None:
        """Bring in line what follows from a closed session, and train what the next one needs."""
        self._mirror()
        if self._on_closed is not None:
            self._on_closed(result)
        if not self.terms.train_ahead:
            return
        try:
            self._make_steps().train_ahead()
        except RollwrightError as error:  # the session is closed; what is missing is trained with the next one
            _logger.warning("serving.not_trained_ahead session=%s reason=%s", result.session, error.message)

    def _mirror(self) -> None:
        """Let the tags of recorders say which models are online, as the ledger has it; each change is written once."""
        state = self.ledger.read_state()
        for name, stands in state.strategies.items() if state is not None else ():
            wanted = tuple(model.recorder for model in stands.online) if stands.status != "removed" else ()
            strategy = self._strategies.get(name)
            if strategy is None or self._mirrored.get(name) == wanted:
                continue
            online = [self._recorders.find(model) for model in stands.online] if wanted else []
            strategy.tool.reset_online_tag(online)
            self._mirrored[name] = wanted


def _take_prepare(signal_kwargs: Mapping[str, Any]) -> PrepareFunction | None:
    unknown = sorted(signal_kwargs.keys() - {"prepare_func", "over_write"})
    if unknown:
        raise ConfigError(f"signal_kwargs has {unknown[0]!r}, and takes prepare_func and over_write")
    prepare: PrepareFunction | None = signal_kwargs.get("prepare_func")
    return prepare
