"""Compare models: train each in its own environment, judge all alike, and keep what was found."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from rollwright.analysis.stages.honesty import Look
from rollwright.app.campaign_record import portable_uri, relative_file
from rollwright.app.compare.basis import LOCKS, find_basis
from rollwright.app.compare.opening import (
    comparison_folder,
    comparison_record,
    environment_log,
    find_comparison,
    name_comparison,
    open_workflow,
    refuse_servers,
    results_of,
    worker_log,
)
from rollwright.app.compare.standing import EVALUATIONS, StandingComparison, environment_key
from rollwright.app.open_campaign import OpenCampaign
from rollwright.app.trials import open_book
from rollwright.campaign.run import warm_features
from rollwright.campaign.yaml.document import read_document
from rollwright.codecs.registry import codecs
from rollwright.compare.basis import ComparisonBasis
from rollwright.compare.coordinate import Coordinator, ModelJob
from rollwright.compare.environment import Environment, EnvironmentStore
from rollwright.compare.evaluation import RunEvaluation, RunKey
from rollwright.compare.folders import ModelSource, find_models
from rollwright.compare.judge import RunJudge, failed_run, waiting_run
from rollwright.compare.outcome import LABEL_FILE, PRED_FILE, RunOutcome, run_folder
from rollwright.compare.plan import plan_runs
from rollwright.compare.record import ComparedModel, ComparedWorkflow, ComparisonOptions, ComparisonRecord
from rollwright.compare.stored_evaluations import read_evaluations_from, write_evaluations
from rollwright.compare.table import find_baseline
from rollwright.compare.workers import ModelProcess, clean_environment
from rollwright.config.context import Context, using
from rollwright.config.settings import Settings, load_settings
from rollwright.core.atomic import measure_file, write_text
from rollwright.core.bounded_read import MEDIUM, read_text
from rollwright.core.canonical import sha256_hex
from rollwright.core.locks import try_file_lock
from rollwright.core.masking import mask_secrets
from rollwright.errors import CompareError, CorruptFileError, DataError, RollwrightError
from rollwright.market.current import current_market
from rollwright.market.source import DataSource
from rollwright.tracking.liveness import fail_abandoned

__all__ = ["ComparisonResult", "read_evaluations", "record_comparison", "run_comparison"]

_logger: Final = logging.getLogger("rollwright.app")

_PROBE: Final = "import sys; from rollwright.core.sandbox import leave_network; sys.exit(not leave_network())"

TellComparison = Callable[[str, str, Any], None]
"""``tell(what, model, value)``; see `run_comparison`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonResult:
    """What a comparison found.

    Attributes
    ----------
    name : str
    folder : Path
        Where its results lie.
    evaluations : tuple of RunEvaluation
        By their keys: of every run, those that failed too.
    without_environment : tuple of str
        The models that have none.
    environments : tuple of str
        The keys of the locks of those that were used.
    basis : ComparisonBasis or None
        What it was made from; None while it is not at its end.
    """

    name: str
    folder: Path
    evaluations: tuple[RunEvaluation, ...]
    without_environment: tuple[str, ...] = ()
    environments: tuple[str, ...] = ()
    basis: ComparisonBasis | None = None

    @property
    def failed(self) -> tuple[RunEvaluation, ...]:
        """The runs that have no result."""
        return tuple(one for one in self.evaluations if one.status != "done")

    @property
    def exit_code(self) -> int:
        """0 when every run is done, 3 when no model got an environment, else 1."""
        if not self.failed:
            return 0
        return 3 if {one.key.model for one in self.evaluations} <= {*self.without_environment} else 1


def read_evaluations(settings: Settings, name: str | None = None) -> Sequence[RunEvaluation]:
    """Return the evaluations of a comparison that was made in this project, of the latest if no name is given.

    Raises
    ------
    CompareError
        When there is no such comparison.
    DataNotFoundError, CorruptFileError
        When it was not evaluated yet, or its files are damaged.
    """
    record = find_comparison(settings, name)
    return read_evaluations_from(results_of(settings, record.name) / EVALUATIONS)


def run_comparison(
    path: Path,
    *,
    environments: EnvironmentStore,
    name: str | None = None,
    models: Sequence[str] = (),
    exclude: bool = False,
    dataset: str | None = None,
    universe: str = "",
    times: int = 1,
    overrides: Sequence[str] = (),
    provider_uri: str | None = None,
    jobs: int = 1,
    timeout: float | None = None,
    memory: float | None = None,
    network: bool = True,
    baseline: str | None = None,
    project: Path | None = None,
    on_progress: TellComparison | None = None,
) -> ComparisonResult:
    """Train every model on every dataset, each run with a seed of its own, and judge all alike.

    Killed at any point and given again, it goes on where it stopped and ends with the same evaluations, but for what
    machines took. Finished and given again, it gives back what is stored, as long as everything that was made, and that
    it was made from, is as it was; nothing of it is trained, joined or back-tested then.

    Parameters
    ----------
    path : Path
        As `find_models` takes it, with `models`, `exclude`, `dataset` and `universe`.
    environments : EnvironmentStore
    name : str, optional
        Of the comparison; that of the folder or file if not given.
    times : int
        Runs of each model on each dataset.
    overrides : sequence of str
        ``dotted.key=value`` each, over what every workflow says.
    provider_uri : str, optional
        Market data, over what they say.
    jobs : int
        Tasks that train at the same time.
    timeout, memory : float, optional
        Seconds and GB that a task may take; without them the settings' ``worker.task_timeout`` and
        ``worker.task_memory`` hold.
    network : bool
        False: tasks have no network. Environments are made with it.
    baseline : str, optional
        A model that its table will compare the others with; an unknown one is refused before anything is trained.
    project : Path, optional
        Where the search for the project folder starts; the working directory if not given.
    on_progress : callable, optional
        ``on_progress(what, model, value)``, the model "" where it is about none: ``changed`` (lines, what differs from
        the last time), ``runs`` (the keys), ``features`` (None), ``environment`` (the `Environment`, or the error),
        ``message`` (JSON of the model's process), ``evaluated`` (a `RunEvaluation`).

    Raises
    ------
    CompareError
        When models or options are wrong, or the comparison is running already.
    KeyboardInterrupt
        When it was told to stop; what is finished is stored.
    """
    if times < 1:
        raise CompareError(f"{times} runs of each model: at least one is needed", hint="--times 3")
    if jobs < 1:
        raise CompareError(f"{jobs} tasks at the same time: at least one is needed", hint="-j 2")
    settings = load_settings(start=project)
    found = find_models(path, models=models, exclude=exclude, dataset=dataset, universe=universe)
    if baseline is not None:
        find_baseline(baseline, [one.name for one in found])
    if not network:
        _check_network(settings)
    options = ComparisonOptions(
        times=times,
        overrides=tuple(overrides),
        provider_uri=portable_uri(provider_uri, settings.root),
        timeout=timeout,
        memory=memory,
        network=network,
    )
    comparison = name_comparison(path, name)
    tell = on_progress if on_progress is not None else (lambda _what, _model, _value: None)
    with _alone(settings, comparison):
        made = _Comparison(settings, record_comparison(settings, comparison, path, options, found), tell)
        made.begin()
        standing = StandingComparison(settings, made.record)
        result = made.find_finished(standing, found, environments)
        if result is None:
            result = made.run(found, environments, slots=jobs)
            standing.note(made.record, result.evaluations)
        basis = find_basis(
            settings,
            made.record,
            dataset=dataset,
            universe=universe,
            folder=result.folder,
            without_environment=result.without_environment,
        )
        return replace(result, basis=basis)


def record_comparison(
    settings: Settings, name: str, path: Path, options: ComparisonOptions, found: Sequence[ModelSource]
) -> ComparisonRecord:
    """Return what a comparison is asked for, with the digests of its files as they are now; nothing is written."""
    return ComparisonRecord(
        name=name,
        source=relative_file(path, settings.root),
        options=options,
        models=tuple(_record_model(one, settings, options) for one in found),
    )


@contextmanager
def _alone(settings: Settings, name: str) -> Iterator[None]:
    """Let nobody else run the comparison meanwhile."""
    with try_file_lock(comparison_folder(settings, name) / "lock") as free:
        if not free:
            raise CompareError(
                f"comparison `{name}` is running already", hint="wait for it, or give this one another name: --name"
            )
        yield


def _check_network(settings: Settings) -> None:
    """Refuse to promise tasks without a network where that cannot be held."""
    refuse_servers(settings)
    probe = subprocess.run([sys.executable, "-c", _PROBE], check=False, capture_output=True)  # noqa: S603 - our own
    if probe.returncode != 0:
        raise CompareError(
            "this system does not let a process leave the network",
            hint="leave out --no-network; on Linux it needs user namespaces (sysctl kernel.unprivileged_userns_clone)",
        )


def _record_model(source: ModelSource, settings: Settings, options: ComparisonOptions) -> ComparedModel:
    workflows = {}
    for dataset, file in source.workflows.items():
        try:
            text = read_document(file, options.overrides).rendered
        except RollwrightError:  # its own process says what is wrong with it, as the cause of its runs
            text = ""
        workflows[dataset] = ComparedWorkflow(file=relative_file(file, settings.root), sha256=sha256_hex(text.encode()))
    return ComparedModel(
        name=source.name,
        requirements=relative_file(source.requirements, settings.root),
        requirements_sha256=measure_file(source.requirements).sha256,
        workflows=workflows,
    )


class _Comparison:
    """One comparison as it runs: the observer of its coordinator."""

    def __init__(self, settings: Settings, record: ComparisonRecord, tell: TellComparison) -> None:
        self._settings = settings
        self._record = record
        self._tell = tell
        self._folder = results_of(settings, record.name)
        self._keys = [
            RunKey(model.name, dataset, seed)
            for model in record.models
            for dataset in model.workflows
            for seed in range(1, record.options.times + 1)
        ]
        self._evaluations: dict[RunKey, RunEvaluation] = {}
        self._opened: dict[tuple[str, str], OpenCampaign] = {}
        self._without: list[str] = []
        self._used: list[str] = []
        self._installed: EnvironmentStore | None = None

    @property
    def record(self) -> ComparisonRecord:
        """What it is asked for, with the environments that the models got."""
        return self._record

    def begin(self) -> None:
        """Write the record; what differs from the last one is told."""
        path = comparison_record(self._settings, self._record.name)
        try:
            former = ComparisonRecord.read(path)
        except CorruptFileError as error:
            _logger.warning("comparison.record_unreadable path=%s reason=%s", path, error.reason)
            former = None
        if former is not None:
            for model in former.models:
                self._record = self._record.with_environment(model.name, model.environment)
            if changes := self._record.describe_changes(former):
                self._tell("changed", "", changes)
        self._record.write(path)
        self._tell("runs", "", tuple(self._keys))

    def find_finished(
        self, standing: StandingComparison, found: Sequence[ModelSource], environments: EnvironmentStore
    ) -> ComparisonResult | None:
        """Return what is stored, when it is finished and all that it stands on is as it was."""
        known = standing.find(found, environments)
        if known is None:
            return None
        evaluations, locks = known
        for evaluation in evaluations:
            self._tell("evaluated", evaluation.key.model, evaluation)
        return ComparisonResult(
            name=self._record.name, folder=self._folder, evaluations=evaluations, environments=locks
        )

    def run(self, found: Sequence[ModelSource], environments: EnvironmentStore, *, slots: int) -> ComparisonResult:
        """Train everything, judge it as it ends, and store what was found."""
        fail_abandoned(self._settings)
        self._installed = environments
        runs = {one.name: tuple(key for key in self._keys if key.model == one.name) for one in found}
        coordinator = Coordinator(environments, self._start, self, slots=slots)
        coordinator.begin([ModelJob(source=one, runs=runs[one.name]) for one in found])
        try:
            self._warm_features()
            coordinator.run()
        finally:
            self._store()
        return ComparisonResult(
            name=self._record.name,
            folder=self._folder,
            evaluations=tuple(sorted(self._evaluations.values(), key=lambda one: one.key)),
            without_environment=tuple(self._without),
            environments=tuple(sorted({*self._used})),
        )

    # -- the works ---------------------------------------------------------------------------------------------------

    def _warm_features(self) -> None:
        """Compute the features of each dataset once, here, by one set of libraries, whatever the models bring."""
        self._tell("features", "", None)
        for model in self._record.models:
            for dataset in model.workflows:
                try:
                    opened = self._open(model.name, dataset)
                    with using(opened.context):
                        source = current_market()
                        plan = plan_runs(
                            opened.config,
                            name=self._record.name,
                            dataset=dataset,
                            seeds=[1],
                            calendar=source.calendar(),
                        )
                        warm_features(plan)
                except Exception as error:  # noqa: BLE001 - other people's code; its own process tells what is wrong
                    _logger.info("comparison.features_left model=%s dataset=%s error=%s", model.name, dataset, error)

    def _open(self, model: str, dataset: str) -> OpenCampaign:
        if (model, dataset) not in self._opened:
            compared = self._record.find_model(model)
            self._opened[model, dataset] = open_workflow(self._settings, self._record, compared, dataset)
        return self._opened[model, dataset]

    def _start(
        self,
        model: str,
        environment: Environment,
        slots: int,
        on_message: Callable[[dict[str, Any] | None], None],
        goes_on: bool,  # noqa: FBT001 - as the coordinator calls it
    ) -> ModelProcess:
        command = [str(environment.python), "-P", "-s", "-m", "rollwright", "compare", "work"]
        command += ["--environment", environment_key(environment.lock), "--jobs", str(slots)]
        command += [] if self._record.options.network else ["--no-network"]
        return ModelProcess(
            [*command, "--", self._record.name, model],
            folder=self._settings.root,
            log=worker_log(self._settings, self._record.name, model),
            environ=clean_environment(os.environ),
            on_message=on_message,
            goes_on=goes_on,
        )

    # -- what the coordinator tells ----------------------------------------------------------------------------------

    def note_environment(self, model: str, environment: Environment | RollwrightError) -> None:
        """Keep the lock beside the results; a changed one is told."""
        log = environment_log(self._settings, self._record.name, model)
        if isinstance(environment, RollwrightError):
            self._without.append(model)
            write_text(log, mask_secrets(str(environment)) + "\n")
        else:
            self._used.append(environment.lock.key)
            write_text(log, f"{environment.path}\n{environment.lock.python}\n{self._read_log(environment)}")
            write_text(self._folder / LOCKS / f"{model}.txt", environment.lock.text)
            before = self._record
            self._record = before.with_environment(model, environment_key(environment.lock))
            if self._record != before:
                if changes := self._record.describe_changes(before):
                    self._tell("changed", model, changes)
                self._record.write(comparison_record(self._settings, self._record.name))
        self._tell("environment", model, environment)

    def _read_log(self, environment: Environment) -> str:
        """Return what was said when an environment was made, by whoever made it; secrets hidden."""
        path = None if self._installed is None else self._installed.log_of(environment.lock.key)
        try:
            return "" if path is None else mask_secrets(read_text(path, limit=MEDIUM))
        except (OSError, ValueError):  # another comparison made it, long ago: the file may be gone
            return ""

    def note_message(self, model: str, message: Mapping[str, Any]) -> None:
        """Pass on what a model's process says."""
        self._tell("message", model, message)

    def note_outcome(self, outcome: RunOutcome) -> None:
        """Judge a run that is done; one that cannot be judged has failed."""
        key = outcome.key
        if outcome.status == "failed":
            evaluation = failed_run(key, mask_secrets(outcome.cause))
        else:
            try:
                evaluation = self._judge(outcome)
            except Exception as error:
                _logger.info("comparison.not_judged run=%s", key, exc_info=True)
                text = error.message if isinstance(error, RollwrightError) else str(error)
                evaluation = failed_run(key, f"{type(error).__name__}: {mask_secrets(text)}".splitlines()[0])
        self._evaluations[key] = evaluation
        self._tell("evaluated", key.model, evaluation)

    def _judge(self, outcome: RunOutcome) -> RunEvaluation:
        key = outcome.key
        opened = self._open(key.model, key.dataset)
        place = self._folder / run_folder(key)
        codec = codecs.for_kind("parquet")
        with using(opened.context):
            source = current_market()
            judge = RunJudge(config=opened.config, source=source, region=opened.settings.data.region)
            evaluation = judge.judge(
                outcome,
                codec.read(place / PRED_FILE),
                codec.read(place / LABEL_FILE),
                digest=measure_file(place / PRED_FILE).sha256,
            )
            self._register(evaluation, opened.context, source)
        return evaluation

    def _register(self, evaluation: RunEvaluation, context: Context, source: DataSource) -> None:
        """Register the run as a trial: whoever looks at many models finds one that was lucky."""
        book = open_book(context, source)
        look = Look("compared", f"{self._record.name}: {evaluation.key}")
        try:
            trial = book.make_trial(evaluation.returns, look, {})
        except DataError as error:
            _logger.info("trials.not_judged name=%s reason=%s", look.name, error.message)
            return
        book.register([trial])

    def _store(self) -> None:
        """Write the evaluations there are; a run without one waits."""
        found = [self._evaluations.get(key, waiting_run(key)) for key in self._keys]
        write_evaluations(self._folder / EVALUATIONS, found)
