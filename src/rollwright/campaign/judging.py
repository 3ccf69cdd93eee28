"""Which results of a campaign's windows stand (decision D16): asked of the pool and the recorders, changing neither."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from rollwright.campaign.plan import Window, WindowKey
from rollwright.core.canonical import parse_json
from rollwright.errors import RecorderNotFoundError, RollwrightError, TaskValueError
from rollwright.pool.document import read_result
from rollwright.pool.lookups import find_by_fingerprint
from rollwright.pool.manager import TaskManager
from rollwright.pool.states import Status
from rollwright.pool.types import TaskRecord
from rollwright.tracking.recorder import Recorder
from rollwright.training.data_dependency import ScopeCheck
from rollwright.training.kept_fit import load_validity
from rollwright.training.provenance import PROVENANCE_ARTIFACT
from rollwright.training.validity import Validity, Verdict, judge

__all__ = ["REQUIRED_ARTIFACTS", "WindowState", "find_own_files", "judge_windows"]

REQUIRED_ARTIFACTS: Final = ("pred.pkl", "label.pkl", "expected_index.pkl")


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowState:
    """How a window stands in the pool.

    Attributes
    ----------
    task_id : str or None
        None when the pool has no such task: it was never submitted, or as another task.
    status : Status or None
        Of its task.
    verdict : Verdict or None
        What of its result stands; None when it has none.
    owner, error : str or None
        Who holds it, and why its last attempt failed.
    max_attempts : int or None
        Attempts after which its task counts as failed.
    """

    task_id: str | None = None
    status: Status | None = None
    verdict: Verdict | None = None
    owner: str | None = None
    error: str | None = None
    max_attempts: int | None = None

    @property
    def stands(self) -> bool:
        """Whether it is finished and nothing of it has to be made again."""
        return self.verdict is not None and self.verdict.reason is None

    @property
    def must_reset(self) -> bool:
        """Whether its task has to be put back to work by whoever wants the result."""
        return self.status in (Status.FAILED, Status.CANCELLED) or (self.verdict is not None and not self.stands)


def judge_windows(
    windows: Sequence[Window], manager: TaskManager, *, whole: bool = False
) -> dict[WindowKey, WindowState]:
    """Return how each window stands; nothing is changed, neither in the pool nor in a recorder.

    Parameters
    ----------
    windows : sequence of Window
    manager : TaskManager
    whole : bool
        Whether results that do not stand are looked at too, for `Verdict.is_stale`.

    Raises
    ------
    RollwrightError
        Of the environment (exit code 3), when a tracking store, artifacts or market data are away, so that it is not
        known what stands.
    """
    check = ScopeCheck()
    found = find_by_fingerprint(manager.store, manager.task_pool, (window.spec.fingerprint for window in windows))
    records = {record.fingerprint: record for record in found}
    states: dict[WindowKey, WindowState] = {}
    for window in windows:
        record = records.get(window.spec.fingerprint)
        if record is None:
            states[window.key] = WindowState()
            continue
        done = record.status is Status.DONE
        verdict = judge_window(window, record, check, whole=whole) if done else None
        states[window.key] = WindowState(
            task_id=record.task_id,
            status=record.status,
            verdict=verdict,
            owner=record.owner,
            error=record.error,
            max_attempts=record.max_attempts,
        )
    return states


def judge_window(window: Window, task: TaskRecord, check: ScopeCheck, *, whole: bool = False) -> Verdict:
    """Tell what of a finished window stands: by what was noted with the result, and by what its recorder holds.

    Only what is missing or damaged does not stand; a store or a disk that is away is an error.
    """
    try:
        recorded = None if task.validity is None else parse_json(task.validity)
    except TaskValueError:  # somebody wrote to the database: as a result of which nothing was noted
        recorded = None
    verdict = judge(window.spec.definition, recorded, check=check, made_with=lambda: find_own_files(task))
    noted = Validity.from_json(recorded)
    if noted is None:
        return verdict
    if verdict.reason is not None and not whole:
        return verdict
    damage = _find_damage(task, noted)
    if verdict.reason is None or (damage.fit is not None and verdict.fit is None):
        return damage
    return replace(verdict, is_stale=damage.reason is None)


def find_own_files(task: TaskRecord) -> Mapping[str, str] | None:
    """Return the user's own files that a finished task was made with; None where its recorder does not tell."""
    try:
        recorder = read_result(task)
        if not isinstance(recorder, Recorder):
            return None
        origin = recorder.load_object(PROVENANCE_ARTIFACT)
        return dict(origin["code"]["files"])
    except (RollwrightError, KeyError, TypeError, ValueError):  # it is only to name them
        return None


def _find_damage(task: TaskRecord, noted: Validity) -> Verdict:
    """Tell what of a finished window's result is missing or damaged."""
    try:
        recorder = read_result(task)
        if not isinstance(recorder, Recorder):
            return Verdict(fit="its result in the pool is no recorder")
        held = load_validity(recorder)
        if held is None or held.fit != noted.fit:
            return Verdict(fit="its recorder does not hold the model any more")
        if held.records[: len(noted.records)] != noted.records:
            return Verdict(records="its recorder does not hold these records any more")
        recorder.verify_objects(*REQUIRED_ARTIFACTS)
    except RecorderNotFoundError as error:
        return Verdict(fit=error.message)
    except RollwrightError as error:
        if error.is_away:
            raise
        return Verdict(records=error.message)
    return Verdict()
