"""Running a campaign's windows: submit what is missing, train it with many workers, survive whatever happens.

Every step can be killed and repeated. Submitting is idempotent, a finished window whose result is still valid is not
trained again, and the same command resumes where the last one stopped.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from rollwright.campaign.config import BudgetConfig
from rollwright.campaign.difference import find_former
from rollwright.campaign.judging import WindowState, judge_windows
from rollwright.campaign.plan import CampaignPlan, Window, WindowKey
from rollwright.campaign.shards import cancel_shards, renew_shards
from rollwright.campaign.submitted import SubmittedWindow, SubmittedWindows
from rollwright.campaign.summary import TrainingCounts
from rollwright.campaign.window_names import find_named_windows
from rollwright.campaign.yaml.document import KeyPath
from rollwright.config.construct import init_instance_by_config
from rollwright.config.context import Context
from rollwright.config.placeholders import fill_paths
from rollwright.core.atomic import write_text
from rollwright.core.canonical import fingerprint
from rollwright.core.text import count_noun
from rollwright.dataset.contract import check_dataset
from rollwright.errors import ConfigError, CoverageError, PoolError, RecorderNotFoundError, TaskFailedError
from rollwright.pool.document import document_of_record, last_hint, last_line
from rollwright.pool.manager import TaskManager
from rollwright.pool.needs import Needs, Offer
from rollwright.pool.query import In, Not, among, both, parse
from rollwright.pool.states import Status
from rollwright.pool.store import Amendment
from rollwright.pool.stored_definition import is_readable
from rollwright.pool.worker.supervisor import WarmSlots
from rollwright.pool.worker.worker import WorkerEvent, offer_of
from rollwright.tasks.identity import identify
from rollwright.tasks.spec import TaskSpec
from rollwright.tracking.recorder import Recorder
from rollwright.training.kept_fit import FIT_FROM_TAG, load_validity
from rollwright.training.pooled import train_in_pool, train_in_slot
from rollwright.training.validity import RESULT_SCHEMA

__all__ = [
    "DEFAULT_TERMS",
    "Submission",
    "TrainingTerms",
    "collect_submission",
    "count_training",
    "find_declared",
    "find_left",
    "find_unfinished",
    "finished_recorders",
    "note_submitted",
    "submit",
    "train_windows",
    "warm_features",
]

_logger: Final = logging.getLogger("rollwright.campaign")


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A campaign's windows as tasks of a pool.

    Attributes
    ----------
    ids : mapping of WindowKey to str
        For each window the id of its task.
    reused : tuple of WindowKey
        Windows whose result is finished and still valid.
    stale : tuple of (WindowKey, str)
        Windows that were finished and must be trained again, each with the reason.
    incomplete : tuple of (WindowKey, str)
        Windows whose model stands, and of which only records must be made again, each with the reason.
    accepted : tuple of (WindowKey, str)
        Windows among `reused` whose result is stale and kept because that was asked for, each with the reason.
    set_aside : tuple of str
        Windows that were submitted before and do not belong to the campaign any more; those that were not finished
        are cancelled, and nothing of a finished one is touched.
    """

    ids: Mapping[WindowKey, str]
    reused: tuple[WindowKey, ...]
    stale: tuple[tuple[WindowKey, str], ...]
    incomplete: tuple[tuple[WindowKey, str], ...] = ()
    accepted: tuple[tuple[WindowKey, str], ...] = ()
    set_aside: tuple[str, ...] = ()

    @property
    def todo(self) -> tuple[WindowKey, ...]:
        """The windows whose result is missing: to be trained, or only their records to be made."""
        return tuple(key for key in self.ids if key not in self.reused)


def submit(
    plan: CampaignPlan,
    manager: TaskManager,
    *,
    former: SubmittedWindows | None = None,
    accept_stale: bool = False,
) -> Submission:
    """Put the windows into the pool and decide which results still stand (decision D16).

    Tasks that failed or were cancelled are tried again: giving the command anew asks for that, and how often is what
    `manager` allows now, whatever it was when they were first submitted. A definition that somebody changed in the
    database is put back first, with a warning.

    Parameters
    ----------
    plan : CampaignPlan
    manager : TaskManager
    former : SubmittedWindows, optional
        What was submitted before. What of it is not in the plan any more and not finished is cancelled, so that no
        worker trains it; a later plan that has it again puts it back to work.
    accept_stale : bool
        Keep results that are whole though data or code have changed since.

    Raises
    ------
    RollwrightError
        Of the environment (exit code 3), when a tracking store, artifacts or market data are away, so that it is not
        known what stands. Nothing finished is put back to work for that.
    """
    _rename_former(plan, manager)
    specs = [window.spec for window in plan.windows]
    needs = [member.needs for member in plan.members for _ in member.windows]
    ids = manager.create_task(specs, needs=needs)
    if plan.share is not None:
        given = plan.share
        cap = given.max_running if "max_running" in given.model_fields_set else ...
        manager.store.set_share(manager.task_pool, weight=given.weight, max_running=cap)
    manager.restore_definitions(specs, ids)
    set_aside = _set_aside(plan, manager, former)
    states = judge_windows(plan.windows, manager, whole=accept_stale)
    reused: list[WindowKey] = []
    stale: list[tuple[WindowKey, str]] = []
    incomplete: list[tuple[WindowKey, str]] = []
    accepted: list[tuple[WindowKey, str]] = []
    for window, task_id in zip(plan.windows, ids, strict=True):
        state = states[window.key]
        if state.stands:
            reused.append(window.key)
        elif accept_stale and state.verdict is not None and state.verdict.is_stale:
            reused.append(window.key)
            accepted.append((window.key, state.verdict.reason or ""))
            _logger.warning("window.accepted name=%s reason=%s", window.name, state.verdict.reason)
            continue
        elif state.verdict is not None and state.verdict.reason is not None:
            reason, trained = state.verdict.reason, bool(state.verdict.fit)
            _logger.info("window.stale name=%s trained=%s reason=%s", window.name, trained, reason)
            (stale if trained else incomplete).append((window.key, reason))
        if state.must_reset and state.status is not None:
            renew_shards([window.spec], manager)
            # Only from the state that was seen: another `roll` of this campaign may have put it back to work meanwhile.
            manager.reset_status({"_id": task_id, "status": state.status.value}, "waiting")
    submission = Submission(
        ids={window.key: task_id for window, task_id in zip(plan.windows, ids, strict=True)},
        reused=tuple(reused),
        stale=tuple(stale),
        incomplete=tuple(incomplete),
        accepted=tuple(accepted),
        set_aside=set_aside,
    )
    _limit_attempts(submission, states, manager)
    _change_needs(submission, dict(zip(submission.ids, needs, strict=True)), manager)
    return submission


def _change_needs(submission: Submission, needs: Mapping[WindowKey, Needs], manager: TaskManager) -> None:
    """Let what is to do need what the file says now, whatever it needed when it was first submitted."""
    for wanted in dict.fromkeys(needs.values()):
        ids = tuple(submission.ids[key] for key in submission.todo if needs[key] == wanted)
        other = both(among(ids), Not(part=In(path=("needs",), values=(wanted.text,))))
        if ids and any(manager.store.count(manager.task_pool, other).values()):
            manager.store.amend(manager.task_pool, other, Amendment(needs=wanted))


def _limit_attempts(submission: Submission, states: Mapping[WindowKey, WindowState], manager: TaskManager) -> None:
    """Let what is to do be tried as often as is asked for now."""
    other = [submission.ids[key] for key in submission.todo if states[key].max_attempts != manager.max_attempts]
    if other:
        query = among(other)
        manager.store.amend(manager.task_pool, query, Amendment(max_attempts=manager.max_attempts))


def collect_submission(
    plan: CampaignPlan,
    states: Mapping[WindowKey, WindowState],
    *,
    accept_stale: bool = False,
    declared: AbstractSet[WindowKey] = frozenset(),
) -> Submission:
    """Return a plan's windows as tasks that are finished, without putting anything to work.

    Those that are `declared` need not be: they are not among the `Submission.reused` then.

    Raises
    ------
    CoverageError
        When another window is not finished, or its result does not stand; it names each with the reason.
    """
    ids: dict[WindowKey, str] = {}
    reused: list[WindowKey] = []
    accepted: list[tuple[WindowKey, str]] = []
    problems: list[str] = []
    for window in plan.windows:
        state = states[window.key]
        reason = None if state.verdict is None else state.verdict.reason
        if state.verdict is not None and reason is not None and accept_stale and state.verdict.is_stale:
            accepted.append((window.key, reason))
            reused.append(window.key)
        elif state.stands:
            reused.append(window.key)
        elif window.key not in declared:
            status = "was never run" if state.status is None else f"is {state.status.value}"
            problems.append(f"{window.name}: {reason or f'it {status}'}")
        ids[window.key] = state.task_id or ""
    if problems:
        raise CoverageError(
            f"{len(problems)} of {len(ids)} windows of {plan.name} have no result that stands",
            problems=problems,
            hint=f"train them: rollwright resume {plan.name}",
        )
    return Submission(ids=ids, reused=tuple(reused), stale=(), accepted=tuple(accepted))


def _set_aside(plan: CampaignPlan, manager: TaskManager, former: SubmittedWindows | None) -> tuple[str, ...]:
    """Cancel what was submitted before, does not belong any more and is not finished; return all that does not."""
    found = find_former(plan.windows, former, manager)
    for one, status in found:
        if status in (Status.WAITING, Status.PART_DONE, Status.FAILED):
            manager.reset_status({"_id": one.task_id, "status": status.value}, "cancelled")
            _logger.info("window.set_aside name=%s task=%s", one.name, one.task_id)
    cancel_shards([one.fingerprint for one, status in found if status not in (Status.RUNNING, Status.DONE)], manager)
    return tuple(one.name for one, _ in found)


def note_submitted(plan: CampaignPlan, submission: Submission, *, own_pool: bool) -> SubmittedWindows:
    """Return what was submitted, for the file that later commands read."""
    return SubmittedWindows(
        own_pool=own_pool,
        windows=tuple(
            SubmittedWindow(
                name=window.name,
                variant=window.key.variant,
                segment=window.key.segment,
                task_id=submission.ids[window.key],
                fingerprint=window.spec.fingerprint,
                segments={
                    role: (f"{start:%Y-%m-%d}", f"{end:%Y-%m-%d}") for role, (start, end) in window.segments.items()
                },
            )
            for window in plan.windows
        ),
    )


def _rename_former(plan: CampaignPlan, manager: TaskManager) -> None:
    """Give the plan's tasks that a former version put into the pool the identity they have now.

    Else they would be found under none: their results neither told as those of a former format, nor ever replaced.
    """
    wanted = {window.spec.fingerprint for window in plan.windows}
    former = parse({"status": "done", "validity.schema": {"$in": [*range(RESULT_SCHEMA)]}})
    for record in manager.store.find(manager.task_pool, former):
        if not is_readable(record):  # nobody can tell what it was
            continue
        task = document_of_record(record, decode=False)
        spec = TaskSpec.from_definition(task["def"])
        if spec.fingerprint in wanted:
            with suppress(PoolError):  # somebody has put it under the present one meanwhile
                manager.replace_task(task, task)


def warm_features(plan: CampaignPlan) -> None:
    """Build the feature store once, here, before several workers would wait for each other to do it."""
    built: set[str] = set()
    for windows in plan.variants.values():
        config = fill_paths(windows[-1].spec.definition)["dataset"]
        identity = fingerprint({"dataset": config}, typed=True)
        if identity not in built:  # members that differ in their models have the same features
            built.add(identity)
            check_dataset(init_instance_by_config(config, slot="dataset")).warm()


TrainElsewhere: TypeAlias = Callable[[TaskManager, Sequence[str], Callable[[WorkerEvent], None] | None], bool]
"""Brings tasks to their end without this process; False when it was told to stop before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingTerms:
    """Which windows are trained, and what ends them.

    Attributes
    ----------
    fail_fast : bool
        Whether the first attempt that fails ends it; what runs beside it is given back.
    max_attempts : int or None
        Attempts after which a window has failed; the setting ``pool.max_attempts`` if not given.
    only : tuple of str
        The windows to train, each by its name, by how its name begins, or by its variant; all if empty.
    """

    fail_fast: bool = False
    max_attempts: int | None = None
    only: tuple[str, ...] = ()

    def choose(self, keys: Sequence[WindowKey]) -> tuple[WindowKey, ...]:
        """Return the keys that `only` names.

        Raises
        ------
        ConfigError
            When one of its texts names none.
        """
        if not self.only:
            return tuple(keys)
        chosen = {key for text in self.only for key in _find_named(text, keys)}
        return tuple(key for key in keys if key in chosen)


def _find_named(text: str, keys: Sequence[WindowKey]) -> list[WindowKey]:
    windows = {str(key): key for key in keys}
    return [windows[name] for name in find_named_windows(text, windows)]


def find_declared(
    plan: CampaignPlan, allow_missing: Mapping[str, str], *, locate: Callable[[KeyPath], str] | None = None
) -> dict[WindowKey, str]:
    """Return the windows without which results may be made, each with the reason that the file gives.

    Parameters
    ----------
    plan : CampaignPlan
    allow_missing : mapping of str to str
        ``collect.allow_missing``: a window's name, how it begins, or a member, with the reason.
    locate : callable, optional
        Returns file, line and column of a key of the configuration, for errors.

    Raises
    ------
    ConfigError
        When one of them names no window.
    """
    keys = [window.key for window in plan.windows]
    declared: dict[WindowKey, str] = {}
    for text, reason in allow_missing.items():
        try:
            declared |= dict.fromkeys(_find_named(text, keys), reason)
        except ConfigError as error:
            place = "" if locate is None else f"{locate(('collect', 'allow_missing', text))}: "
            raise ConfigError(f"{place}{error.message}", hint=error.hint) from error
    return declared


DEFAULT_TERMS: Final = TrainingTerms()


def train_windows(
    plan: CampaignPlan,
    submission: Submission,
    manager: TaskManager,
    *,
    context: Context,
    jobs: int,
    terms: TrainingTerms = DEFAULT_TERMS,
    on_event: Callable[[WorkerEvent], None] | None = None,
    failures: Path | None = None,
    budget: BudgetConfig | None = None,
    declared: AbstractSet[WindowKey] = frozenset(),
    warm: WarmSlots | None = None,
    elsewhere: TrainElsewhere | None = None,
) -> bool:
    """Train what is to do; windows that workers elsewhere hold are waited for.

    With a budget it ends when that is used up, and the earliest windows of all members are trained first; see
    `find_unfinished`.

    Parameters
    ----------
    plan, submission, manager : as in `submit`
    context : Context
        What the windows are trained in. A market given as an object stays in this process, and so do its windows.
    jobs : int
    terms : TrainingTerms
    on_event : callable, optional
        Called with each event of the worker.
    failures : Path, optional
        Where the whole tracebacks of failed windows go; the file is removed when none failed.
    budget : BudgetConfig, optional
    declared : set of WindowKey
        Windows that may fail; see `find_declared`.
    warm : WarmSlots, optional
        Worker processes that were started beforehand; see `warm_workers`.
    elsewhere : TrainElsewhere, optional
        Trains them in place of worker processes of this one.

    Returns
    -------
    bool
        False when the worker was told to stop before everything, or the budget, was done.

    Raises
    ------
    ConfigError
        When windows need what this process has not, and no other worker trains them; all others are finished then.
    TaskFailedError
        When windows are out of attempts, or with ``fail_fast`` one attempt failed; it names each. All others are
        finished then, or given back.
    """
    chosen = {*terms.choose([*submission.ids])}
    ids = _choose(plan, submission, chosen, budget)
    seconds = None if budget is None or budget.hours is None else budget.hours * 3600
    here = context.market is not None
    if elsewhere is not None and ids:
        if not elsewhere(manager, ids, on_event):
            return False
        _raise_failures(plan, submission, manager, failures, chosen, declared)
        return True
    try:
        report = (
            None
            if not ids
            else train_in_pool(
                manager,
                experiment_name=plan.name,
                ids=ids,
                function=train_in_slot if here else None,
                slots=jobs,
                settings=context.settings,
                fail_fast=terms.fail_fast and not here,
                on_event=on_event,
                seconds=seconds,
                warm=warm,
            )
        )
    except TaskFailedError as error:
        _raise_first(plan, submission, manager, error, failures)
        raise
    if report is not None and report.interrupted:
        return False
    _raise_failures(plan, submission, manager, failures, chosen, declared)
    if seconds is None:
        _refuse_unserved(manager, ids, offer_of(context.settings))
    return True


def _refuse_unserved(manager: TaskManager, ids: Sequence[str], offer: Offer) -> None:
    """Say so when windows were left to workers that have what they need, and none has trained them."""
    query = parse({"_id": {"$in": [*ids]}, "status": {"$in": [Status.WAITING.value, Status.PART_DONE.value]}})
    left = [task for task in manager.store.find(manager.task_pool, query) if not offer.meets(task.needs)]
    if left:
        needs = " or ".join(dict.fromkeys(task.needs.text for task in left))
        raise ConfigError(
            f"{count_noun(len(left), 'window')} of {manager.task_pool} need {needs}, which this process has not, and "
            "no other worker trains them",
            hint="start one that has it, as: rollwright worker run NAME --tag gpu --memory 16G; where this machine has "
            "it, say so in rollwright.toml: [worker] tags, memory; then: rollwright resume " + manager.task_pool,
        )


def _choose(
    plan: CampaignPlan, submission: Submission, chosen: AbstractSet[WindowKey], budget: BudgetConfig | None
) -> list[str]:
    """Return the tasks that are to be trained: with a budget the earliest windows first, whichever their member."""
    keys = [key for key in submission.todo if key in chosen]
    if budget is not None:
        starts = {window.key: window.test for window in plan.windows}
        keys = sorted(keys, key=lambda key: starts[key])[: budget.tasks]
    return [submission.ids[key] for key in keys]


def find_left(submission: Submission, chosen: Sequence[WindowKey], manager: TaskManager) -> tuple[WindowKey, ...]:
    """Return the windows that were not asked for and are not finished."""
    others = {submission.ids[key]: key for key in submission.todo if key not in chosen}
    query = parse({"_id": {"$in": [*others]}, "status": {"$ne": Status.DONE.value}})
    return tuple(others[record.task_id] for record in manager.store.find(manager.task_pool, query)) if others else ()


def find_unfinished(plan: CampaignPlan, submission: Submission, manager: TaskManager) -> tuple[WindowKey, ...]:
    """Return the windows that have no result, in the order of the plan: a budget left them out, or they failed."""
    done = {submission.ids[key] for key in submission.reused}
    todo = [submission.ids[key] for key in submission.todo]
    done |= {one.task_id for one in manager.store.get(manager.task_pool, todo) if one.status is Status.DONE}
    return tuple(window.key for window in plan.windows if submission.ids[window.key] not in done)


def _raise_first(
    plan: CampaignPlan, submission: Submission, manager: TaskManager, error: TaskFailedError, file: Path | None
) -> None:
    """Name the window whose attempt ended everything, and keep its traceback."""
    names = {task_id: str(key) for key, task_id in submission.ids.items()}
    failed = manager.store.get(manager.task_pool, [task_id for task_id, _ in error.failures])
    errors = [(names.get(record.task_id, record.task_id), record.error or "") for record in failed]
    hint = f"all others of {plan.name} are finished or wait; mend the cause and give the same command"
    if file is not None:
        _write_failures(errors, file)
        hint += f"; the traceback is in {file}"
    raise TaskFailedError([(name, last_line(text)) for name, text in errors], hint=hint) from error


def _write_failures(errors: Sequence[tuple[str, str]], file: Path) -> None:
    write_text(file, "\n".join(f"== window {name}\n{error.rstrip()}\n" for name, error in errors))


def _raise_failures(
    plan: CampaignPlan,
    submission: Submission,
    manager: TaskManager,
    file: Path | None,
    chosen: AbstractSet[WindowKey],
    declared: AbstractSet[WindowKey],
) -> None:
    names = {task_id: str(key) for key, task_id in submission.ids.items() if key in chosen}
    query = parse({"_id": {"$in": list(names)}, "status": {"$in": ["failed", "cancelled"]}})
    failed = manager.store.find(manager.task_pool, query)  # not as documents: a definition may be unreadable
    given_up = f"it was cancelled\nhint: go on after all: rollwright resume {plan.name}"
    errors = sorted(
        (names[record.task_id], given_up if record.status is Status.CANCELLED else record.error or "")
        for record in failed
    )
    if not errors:
        if file is not None:
            file.unlink(missing_ok=True)
        return
    if file is not None:
        _write_failures(errors, file)
    spared = {str(key) for key in declared}
    errors = [error for error in errors if error[0] not in spared]
    if not errors:
        return
    others = len(names) - len(errors)
    kept = f"the other {others} of {plan.name} are finished and kept" if others else f"none of {plan.name} is finished"
    said = [hint for _, error in errors if (hint := last_hint(error)) is not None]
    broken = [error for _, error in errors if error != given_up]
    mend = ["mend the cause and give the same command"] if broken else []
    hint = "; ".join([*list(dict.fromkeys(said))[:3], kept, *mend])
    if file is not None and broken:
        hint += f"; the tracebacks are in {file}"
    raise TaskFailedError([(name, last_line(error)) for name, error in errors], hint=hint)


def finished_recorders(
    windows: Sequence[Window], submission: Submission, manager: TaskManager
) -> dict[WindowKey, Recorder]:
    """Return the recorder of each of these windows, by the window's key and in their order.

    Raises
    ------
    RecorderNotFoundError
        When a worker recorded one in another tracking store, or its result is the recorder of another task; submitted
        again, such a window is trained anew.
    """
    recorders: dict[WindowKey, Recorder] = {}
    for window in windows:
        try:
            recorder: Recorder = manager.re_query(submission.ids[window.key])["res"]
        except RecorderNotFoundError as error:
            raise RecorderNotFoundError(
                f"window {window.name} was trained by a worker that records elsewhere: {error.message}",
                hint="give all workers the same tracking.uri and tracking.artifacts, then the same command again: "
                "the window is trained anew",
            ) from error
        _check_identity(window, recorder)
        recorders[window.key] = recorder
    return recorders


def _check_identity(window: Window, recorder: Recorder) -> None:
    """Refuse a recorder that says it holds another task than the window's: whoever writes to a pool can name any."""
    held = load_validity(recorder)
    wanted = identify(window.spec.definition)
    made = () if held is None else tuple(basis.key for basis in held.records)
    if held is None or held.fit.key != wanted.fit_key or made[: len(wanted.record_keys)] != wanted.record_keys:
        raise RecorderNotFoundError(
            f"the result of window {window.name} is recorder {recorder.id}, which holds another task",
            hint="give the same command again: the window is trained anew; find out who writes to the pool",
        )


def count_training(
    submission: Submission, recorders: Mapping[WindowKey, Recorder], *, before: AbstractSet[str]
) -> TrainingCounts:
    """Tell in how many windows a model was trained.

    Parameters
    ----------
    submission : Submission
    recorders : mapping
        Of every window, as `finished_recorders` returns them.
    before : set of str
        The recorders of the experiment that had ended when the windows were submitted. A result in one of them was
        not trained since, and one that took its model from another says so.
    """
    ended = [recorders[key] for key in submission.todo if key in recorders]  # a budget may have left others out
    trained = sum(recorder.id not in before and FIT_FROM_TAG not in recorder.list_tags() for recorder in ended)
    return TrainingCounts(trained=trained, records_only=len(ended) - trained, kept=len(submission.reused))
