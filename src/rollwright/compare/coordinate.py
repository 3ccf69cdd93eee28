"""Training all models of a comparison: their environments are made beside the training, and no failure ends it."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from rollwright.compare.environment import Environment, EnvironmentStore
from rollwright.compare.evaluation import RunKey
from rollwright.compare.folders import ModelSource
from rollwright.compare.outcome import RunOutcome
from rollwright.compare.workers import ModelProcess, last_words
from rollwright.core.clock import Clock, SystemClock
from rollwright.core.masking import mask_secrets
from rollwright.core.text import escape_text
from rollwright.errors import RollwrightError

__all__ = ["Coordinator", "ModelJob", "Observer"]

_MAKERS: Final = 2
"""Environments that are made at the same time."""
_MOST_DEATHS: Final = 3
_PATIENCE: Final = 10.0
"""Seconds that processes get to give their tasks back; they take five."""
_TICK: Final = 0.5
_LONGEST_END: Final = 30.0
"""Seconds that a process gets to end when all its runs have their outcomes: a library's thread may hold it."""
_LONGEST_CAUSE: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelJob:
    """A model that is to be trained, and its runs."""

    source: ModelSource
    runs: tuple[RunKey, ...]


class Observer(Protocol):
    """What is told of the training, all in one thread."""

    def note_environment(self, model: str, environment: Environment | RollwrightError) -> None:
        """Note that the environment of a model is there, or why it is not."""
        ...

    def note_message(self, model: str, message: Mapping[str, Any]) -> None:
        """Note what its process said that is no outcome."""
        ...

    def note_outcome(self, outcome: RunOutcome) -> None:
        """Note how a run ended."""
        ...


@dataclass(slots=True, kw_only=True)
class _Model:
    """How a model stands."""

    job: ModelJob
    environment: Environment | None = None
    process: ModelProcess | None = None
    slots: int = 0
    ready: bool = False
    deaths: int = 0
    told_all: float | None = None
    open: set[RunKey] = field(default_factory=set)

    @property
    def is_over(self) -> bool:
        return not self.open and self.process is None


class Coordinator:
    """Trains models, each by a process in its own environment, with so many slots in all.

    Guarantees: every run gets exactly one outcome; a model that fails, in whatever way, is one of failed runs and does
    not disturb the others; a process that dies is started again, and one that dies as it starts, or three times, is its
    model's failure; when `run` raises, every process has ended.

    Parameters
    ----------
    environments : EnvironmentStore
    start : callable
        ``start(model, environment, slots, on_message, goes_on)`` returns its process.
    observer : Observer
    slots : int
        Tasks that train at the same time.
    clock : Clock, optional
    """

    def __init__(
        self,
        environments: EnvironmentStore,
        start: Callable[[str, Environment, int, Callable[[dict[str, Any] | None], None], bool], ModelProcess],
        observer: Observer,
        *,
        slots: int,
        clock: Clock | None = None,
    ) -> None:
        self._clock = clock or SystemClock()
        self._environments = environments
        self._start_process = start
        self._observer = observer
        self._slots = slots
        self._news: queue.SimpleQueue[tuple[str, object]] = queue.SimpleQueue()
        self._models: dict[str, _Model] = {}

    def begin(self, jobs: Sequence[ModelJob]) -> None:
        """Begin to make the environments, beside whatever this thread does next."""
        self._models = {job.source.name: _Model(job=job, open={*job.runs}) for job in jobs}
        waiting = iter([*jobs])
        guard = threading.Lock()
        for number in range(min(_MAKERS, len(jobs))):
            threading.Thread(
                target=self._make_environments, args=(waiting, guard), name=f"environments-{number}", daemon=True
            ).start()

    def run(self) -> None:
        """Train until every run has its outcome.

        Raises
        ------
        KeyboardInterrupt
            When this process is told to stop; unfinished tasks were given back then.
        """
        try:
            while not all(model.is_over for model in self._models.values()):
                self._start_models()
                with suppress(queue.Empty):
                    self._take(*self._news.get(timeout=_TICK))
                self._end_lingering()
        finally:
            self._end_processes()

    def _make_environments(self, jobs: Iterator[ModelJob], guard: threading.Lock) -> None:
        while True:
            with guard:
                job = next(jobs, None)
            if job is None:
                return
            made: Environment | RollwrightError
            try:
                made = self._environments.ensure(self._environments.compile(job.source.requirements))
            except RollwrightError as error:
                made = error
            except Exception as error:  # noqa: BLE001 - the boundary of a thread: told as this model's failure
                made = RollwrightError(f"its environment could not be made: {type(error).__name__}: {error}")
            self._news.put((job.source.name, made))

    def _start_models(self) -> None:
        """Give free slots to models that have an environment, at least one each; the last ones get more."""
        waiting = [one for one in self._models.values() if one.open and one.process is None]
        ready = [one for one in waiting if one.environment is not None]
        free = self._slots - sum(one.slots for one in self._models.values())
        for model in ready:
            if free < 1:
                return
            share = max(1, free // len(waiting))
            self._start(model, share)
            free -= share
            waiting.remove(model)

    def _start(self, model: _Model, slots: int) -> None:
        name = model.job.source.name
        assert model.environment is not None  # noqa: S101 - who calls this has looked
        model.slots, model.ready = slots, False
        model.process = self._start_process(
            name, model.environment, slots, lambda message: self._news.put((name, message)), model.deaths > 0
        )

    def _take(self, name: str, news: object) -> None:
        model = self._models[name]
        if isinstance(news, Environment):
            model.environment = news
            self._observer.note_environment(name, news)
        elif isinstance(news, RollwrightError):
            self._observer.note_environment(name, news)
            self._fail(model, mask_secrets(news.message))
        elif isinstance(news, dict):
            self._hear(model, news)
        else:
            self._bury(model)

    def _hear(self, model: _Model, message: dict[str, Any]) -> None:
        if message.get("kind") != "outcome":
            model.ready = model.ready or message.get("kind") == "ready"
            self._observer.note_message(model.job.source.name, message)
            return
        with suppress(
            ValueError, KeyError, TypeError, OverflowError
        ):  # such a run gets its outcome when the process ends
            outcome = RunOutcome.from_json(message["outcome"])
            if outcome.key in model.open:
                model.open.remove(outcome.key)
                self._observer.note_outcome(outcome)

    def _end_lingering(self) -> None:
        """End processes that have nothing more to tell, and do not end by themselves."""
        now = self._clock.monotonic()
        for model in self._models.values():
            if model.process is not None and not model.open:
                model.told_all = now if model.told_all is None else model.told_all
                if now - model.told_all > _LONGEST_END:
                    model.process.kill()

    def _bury(self, model: _Model) -> None:
        """Take note that a process ended: its runs are over, it is started again, or they have failed."""
        process, model.process, model.slots = model.process, None, 0
        if process is None or not model.open:
            return
        model.deaths += 1
        code = process.exit_code
        ended = f"was ended by signal {-code}" if code is not None and code < 0 else f"ended with exit code {code}"
        if model.ready and model.deaths < _MOST_DEATHS:
            self._observer.note_message(
                model.job.source.name, {"kind": "died", "detail": f"the process that trains it {ended}"}
            )
            return
        said = last_words(process.log)
        when = "again and again" if model.ready else "as it started"
        self._fail(model, f"the process that trains it {ended} {when}" + (f": {said}" if said else ""))

    def _fail(self, model: _Model, cause: str) -> None:
        for key in [key for key in model.job.runs if key in model.open]:
            model.open.remove(key)
            cause = escape_text(cause.splitlines()[0] if cause else "no cause was told", longest=_LONGEST_CAUSE)
            self._observer.note_outcome(RunOutcome(key=key, status="failed", cause=cause))

    def _end_processes(self) -> None:
        running = [one.process for one in self._models.values() if one.process is not None]
        for process in running:
            process.stop()
        left = _PATIENCE
        for process in running:
            if not process.wait(left):
                process.kill()
                left = 0.1
