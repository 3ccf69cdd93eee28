"""A finished comparison given again: its evaluations as they are, when everything they were made from is as it was."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

from rollwright.app.campaign_settings import settings_of_file
from rollwright.app.compare.basis import LOCKS
from rollwright.app.compare.opening import comparison_folder, open_workflow, results_of, submitted_file
from rollwright.app.standing_note import covers_all_reads
from rollwright.campaign.standing import Premises, WindowRef, digest_windows
from rollwright.campaign.submitted import SubmittedWindows
from rollwright.campaign.yaml.document import read_document
from rollwright.compare.environment import EnvironmentLock, EnvironmentStore
from rollwright.compare.evaluation import RunEvaluation, RunKey
from rollwright.compare.folders import ModelSource
from rollwright.compare.outcome import LABEL_FILE, PRED_FILE, run_folder
from rollwright.compare.record import ComparedModel, ComparisonRecord, pool_name
from rollwright.compare.standing import (
    ComparisonStanding,
    PoolStanding,
    digest_request,
    digest_results,
    read_comparison_standing,
)
from rollwright.compare.stored_evaluations import read_evaluations_from
from rollwright.config.construct import Trust
from rollwright.config.context import using
from rollwright.config.settings import Settings
from rollwright.core.canonical import parse_json, sha256_hex
from rollwright.errors import RollwrightError
from rollwright.market.current import current_market
from rollwright.pool.manager import TaskManager
from rollwright.pool.urls import store_from_url
from rollwright.tracking.liveness import find_abandoned_runs
from rollwright.training.validity import TaskParts, Validity

__all__ = ["EVALUATIONS", "StandingComparison", "environment_key"]

_logger: Final = logging.getLogger("rollwright.app")

EVALUATIONS: Final = "evaluations"
_KEY: Final = 8
_FILE: Final = "standing.json"
_OPERATOR: Final = "operator "

_Premises = tuple[tuple[str, str, Premises], ...]


def environment_key(lock: EnvironmentLock) -> str:
    """Return what tells the environments of a model's results apart: its packages and its interpreter.

    Not rollwright itself, whose own results stand over its versions as those of a campaign do.
    """
    return sha256_hex(f"{lock.python}\n{lock.text}".encode())[:_KEY]


class StandingComparison:
    """What the results of a comparison stand on, from the first look at its premises to its last file.

    Nothing is noted, so that the next command judges every run anew, when a run has failed, when a premise changed
    while the comparison ran, or when what a run read or called cannot be told by digests: data that are no folder,
    operators of one's own.

    Parameters
    ----------
    settings : Settings
        The project's.
    record : ComparisonRecord
        What is asked for.
    """

    def __init__(self, settings: Settings, record: ComparisonRecord) -> None:
        self._settings = settings
        self._record = record
        self._path = comparison_folder(settings, record.name) / _FILE
        self._folder = results_of(settings, record.name)
        self._owns: dict[tuple[str, str], Settings] = {}
        self._premises = self._find_premises()

    def find(
        self, sources: Sequence[ModelSource], environments: EnvironmentStore
    ) -> tuple[tuple[RunEvaluation, ...], tuple[str, ...]] | None:
        """Return the evaluations and the keys of the locks when all is as it was noted; None when anything is not.

        No environment is made or started, and nothing is trained, joined or back-tested.
        """
        standing = read_comparison_standing(self._path)
        if standing is None or self._premises is None:
            return None
        try:
            locks = {one.name: environments.compile(one.requirements) for one in sources}
            record = self._record
            for name, lock in locks.items():
                record = record.with_environment(name, environment_key(lock))
            if standing.request != digest_request(record, self._premises) or find_abandoned_runs(self._settings.root):
                return None
            if standing.results != self._digest_results() or not self._hold(standing):
                return None
            evaluations = read_evaluations_from(self._folder / EVALUATIONS)
        except (RollwrightError, OSError) as error:  # told by whoever does the work now
            _logger.debug("standing.not_found file=%s error=%s", self._record.source, error)
            return None
        return tuple(evaluations), tuple(sorted({lock.key for lock in locks.values()}))

    def note(self, record: ComparisonRecord, evaluations: Sequence[RunEvaluation]) -> None:
        """Note what the stored evaluations stand on, if all of it is still as it was when this was made.

        Parameters
        ----------
        record : ComparisonRecord
            With the environments that the models got.
        evaluations : sequence of RunEvaluation
        """
        premises = self._premises
        self._path.unlink(missing_ok=True)
        if premises is None or any(one.status != "done" for one in evaluations):
            return
        try:
            pools = [self._find_pool(record, model, dataset) for model in record.models for dataset in model.workflows]
            found = tuple(one for one in pools if one is not None)
            if len(found) < len(pools) or self._find_premises() != premises:
                return
            standing = ComparisonStanding(
                request=digest_request(record, premises), results=self._digest_results(), pools=found
            )
        except (RollwrightError, OSError) as error:
            _logger.debug("standing.not_noted campaign=%s error=%s", record.name, error)
            return
        standing.write(self._path)

    def _find_premises(self) -> _Premises | None:
        """Return what each workflow would work on now; None where that cannot be told."""
        found: list[tuple[str, str, Premises]] = []
        options = self._record.options
        try:
            for model in self._record.models:
                for dataset, workflow in model.workflows.items():
                    document = read_document(self._settings.root / workflow.file, options.overrides)
                    own = settings_of_file(self._settings, document.path, document.data, options.provider_uri)
                    one = Premises.find(own, rendered=document.rendered, overrides=options.overrides)
                    if one is None or document.data.get("sys"):
                        return None
                    self._owns[model.name, dataset] = own
                    found.append((model.name, dataset, one))
        except (RollwrightError, OSError):  # its own process says what is wrong with it, as the cause of its runs
            return None
        return tuple(found)

    def _digest_results(self) -> str:
        times = self._record.options.times
        files = [f"{LOCKS}/{model.name}.txt" for model in self._record.models]
        for model in self._record.models:
            for dataset in model.workflows:
                for seed in range(1, times + 1):
                    place = run_folder(RunKey(model.name, dataset, seed))
                    files += [f"{place}/{PRED_FILE}", f"{place}/{LABEL_FILE}"]
        return digest_results(self._folder, files, self._folder / EVALUATIONS)

    def _hold(self, standing: ComparisonStanding) -> bool:
        """Tell whether the tasks of every model are as they were."""
        pools = {(one.model, one.dataset): one for one in standing.pools}
        if pools.keys() != self._owns.keys():
            return False
        for which, own in self._owns.items():
            store = store_from_url(own.resolve_url(own.pool.url))
            try:
                if not pools[which].holds(own, store):
                    return False
            finally:
                store.close()
        return True

    def _find_pool(self, record: ComparisonRecord, model: ComparedModel, dataset: str) -> PoolStanding | None:
        """Return what the runs of a model on a dataset stand on; None where digests do not tell all of it."""
        submitted = SubmittedWindows.read(submitted_file(self._settings, record.name, model.name, dataset))
        if submitted is None:
            return None
        opened = open_workflow(self._settings, record, model, dataset)
        pool = pool_name(record.name, model.name, model.environment)
        with using(opened.context):
            source = current_market()
            store = store_from_url(opened.settings.resolve_url(opened.settings.pool.url))
            try:
                manager = TaskManager(pool, store=store)
                ids = [window.task_id for window in submitted.windows]
                rows = store.get(pool, ids)
                parts = TaskParts.of(rows[-1].definition, trust=Trust.from_settings(opened.settings))
                if any(name.startswith(_OPERATOR) for name in parts.files):
                    return None
                for row in rows:
                    validity = Validity.from_json(None if row.validity is None else parse_json(row.validity))
                    if validity is None or not covers_all_reads(validity, source):
                        return None
                    if [validity.fit.code, *(one.code for one in validity.records)][: 1 + len(parts.records)] != [
                        parts.fit.code,
                        *(one.code for one in parts.records),
                    ]:
                        return None  # the user's files changed while the runs were trained
                recorders = [manager.re_query(task_id)["res"] for task_id in ids]
                windows = [
                    WindowRef(task_id, recorder.experiment_id, recorder.id)
                    for task_id, recorder in zip(ids, recorders, strict=True)
                ]
                held = digest_windows(pool, windows, opened.settings, store)
            finally:
                store.close()
        return PoolStanding(
            model=model.name, dataset=dataset, pool=pool, code=parts.files, windows=tuple(windows), held=held
        )
