"""What giving a campaign's command again would do to each window, and why: told before anything is done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from rollwright.campaign.judging import WindowState
from rollwright.campaign.plan import Window, WindowKey
from rollwright.campaign.submitted import SubmittedWindow, SubmittedWindows
from rollwright.core.masking import mask_value
from rollwright.pool.document import last_line
from rollwright.pool.manager import TaskManager
from rollwright.pool.query import among
from rollwright.pool.states import Status
from rollwright.pool.stored_definition import is_readable
from rollwright.tasks.identity import fit_key
from rollwright.training.execute import flatten
from rollwright.training.kept_fit import find_fit

__all__ = ["Action", "WindowChange", "find_changes", "find_former"]

Action = Literal["keep", "records", "train"]
"""What happens to a window: its result is kept; its model is kept and records are made; its model is trained."""

_MOST_KEYS: Final = 3
_LONGEST: Final = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowChange:
    """What the command would do to one window.

    Attributes
    ----------
    key : WindowKey
    action : {"keep", "records", "train"}
    reason : str
        Why, in one line.
    is_stale : bool
        Whether the result is whole and only what it was made from has changed, so that ``--accept-stale`` keeps it.
    """

    key: WindowKey
    action: Action
    reason: str
    is_stale: bool = False


def find_changes(
    windows: Sequence[Window],
    states: Mapping[WindowKey, WindowState],
    former: SubmittedWindows | None,
    manager: TaskManager,
) -> list[WindowChange]:
    """Return what the command would do to each window; nothing is changed.

    Parameters
    ----------
    windows : sequence of Window
    states : mapping
        As `judge_windows` returns them.
    former : SubmittedWindows or None
        What was submitted before.
    manager : TaskManager
        Of the campaign's pool.
    """
    before = {(one.variant, one.segment): one for one in former.windows} if former is not None else {}
    unknown = [before[window.key] for window in windows if states[window.key].task_id is None and window.key in before]
    definitions = _read_definitions(unknown, manager)
    return [_find_change(window, states[window.key], before, definitions, manager.task_pool) for window in windows]


def find_former(
    windows: Sequence[Window], former: SubmittedWindows | None, manager: TaskManager
) -> list[tuple[SubmittedWindow, Status]]:
    """Return what was submitted before, is still in the pool and belongs to the campaign no more, each with its state.

    Nothing is changed.
    """
    wanted = {window.spec.fingerprint for window in windows}
    others = [one for one in former.windows if one.fingerprint not in wanted] if former is not None else []
    if not others:
        return []
    query = among(one.task_id for one in others)
    states = {record.task_id: record.status for record in manager.store.find(manager.task_pool, query)}
    return [(one, states[one.task_id]) for one in others if one.task_id in states]


def _find_change(
    window: Window,
    state: WindowState,
    before: Mapping[tuple[str, str], SubmittedWindow],
    definitions: Mapping[str, dict[str, Any]],
    pool: str,
) -> WindowChange:
    if state.stands:
        return WindowChange(key=window.key, action="keep", reason="it is finished, and its result stands")
    if state.verdict is not None:
        action: Action = "train" if state.verdict.fit else "records"
        return WindowChange(
            key=window.key, action=action, reason=state.verdict.reason or "", is_stale=state.verdict.is_stale
        )
    if state.task_id is None:
        return _explain_new(window, before.get(window.key), definitions, pool)
    reasons = {
        Status.FAILED: f"it failed: {last_line(state.error)}",
        Status.CANCELLED: "it was cancelled",
        Status.RUNNING: f"{state.owner or 'a worker'} has it in hand",
        Status.PART_DONE: "it is half done",
    }
    return WindowChange(key=window.key, action="train", reason=reasons.get(state.status, "it waits"))  # type: ignore[arg-type]  # a task has a state


def _explain_new(
    window: Window, former: SubmittedWindow | None, definitions: Mapping[str, dict[str, Any]], pool: str
) -> WindowChange:
    """Return why a window is not in the pool: it never was, or it was as another task."""
    if former is None or former.task_id not in definitions:
        return WindowChange(key=window.key, action="train", reason="it was never run")
    before, now = definitions[former.task_id], window.spec.definition
    reason = f"its configuration changed: {_describe_difference(before, now)}"
    if fit_key(before) == window.spec.fit_key and find_fit(now, pool) is not None:
        return WindowChange(key=window.key, action="records", reason=reason)
    return WindowChange(key=window.key, action="train", reason=reason)


def _read_definitions(windows: Sequence[SubmittedWindow], manager: TaskManager) -> dict[str, dict[str, Any]]:
    if not windows:
        return {}
    query = among(one.task_id for one in windows)
    return {
        record.task_id: record.definition
        for record in manager.store.find(manager.task_pool, query)
        if is_readable(record)
    }


def _describe_difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Return the keys in which two definitions differ, each with both values; secrets are hidden."""
    old, new = flatten(before), flatten(now)
    names = [name for name in [*new, *(name for name in old if name not in new)] if old.get(name) != new.get(name)]
    told = [f"{name} {_show(name, old)} → {_show(name, new)}" for name in names[:_MOST_KEYS]]
    more = f", and {len(names) - _MOST_KEYS} more" if len(names) > _MOST_KEYS else ""
    return "; ".join(told) + more if told else "its classes or their defaults"


def _show(name: str, leaves: Mapping[str, Any]) -> str:
    if name not in leaves:
        return "(not there)"
    text = str(mask_value(name, leaves[name])).removesuffix(" 00:00:00")
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
