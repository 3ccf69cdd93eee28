"""Whether what was read is still what it was, so that data which came later do not make a result stale.

A result stands while everything it was made from stands. Market data grow every day; a window that ended years ago read
none of it. So a result notes read scopes: which data, at which generation, and up to which session.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import Any, Final, Protocol, TypeGuard

import pandas as pd

from rollwright.config.construct import init_instance_by_config
from rollwright.config.placeholders import fill_paths
from rollwright.core.canonical import canonical_json
from rollwright.dataset.contract import ReadScope, TaskDataset, check_dataset
from rollwright.errors import DataNotFoundError, RollwrightError
from rollwright.market.current import current_market
from rollwright.tasks.identity import AS_OF

__all__ = ["ScopeCheck", "find_scopes"]


BEYOND: Final = "reads_beyond_dataset"


class _ReportsReads(Protocol):
    """A record that tells what it read beside its dataset."""

    def reads(self) -> tuple[ReadScope, ...]:
        """Return the scopes."""
        ...


def find_scopes(dataset: TaskDataset, *users: object) -> tuple[ReadScope, ...]:
    """Return what was read of `dataset`, and what its users read beside it, since ``dataset.forget_reads()``.

    Parameters
    ----------
    dataset : TaskDataset
    *users : object
        The model and the reweighter, or a record. One that has the method ``reads`` tells what it read beside the
        dataset. One of the user's own that sets ``reads_beyond_dataset = True`` may have read anything: its result
        stands as long as the generation of the data does.
    """
    if any(inspect.getattr_static(user, BEYOND, None) is True for user in (dataset, *users)):
        return (ReadScope(generation=dataset.generation),)
    beside = [scope for user in users if _tells_reads(user) for scope in user.reads()]
    return tuple(dict.fromkeys((*dataset.reads(), *beside)))


def _tells_reads(user: object) -> TypeGuard[_ReportsReads]:
    """Tell whether it has the method.

    Not by `isinstance`: that writes annotations into classes of the user's own, which are pickled by value, and the
    same model would not have the same bytes.
    """
    return callable(inspect.getattr_static(user, "reads", None))


class ScopeCheck:
    """Judges read scopes by the current market data; keeps what several windows of a campaign share.

    Guarantees: a scope is called good only when every series, every session and every member of its universe is, up
    to the last session that was read, what it was. Not guaranteed: what a class of the user's own reads beside the
    dataset without saying so.
    """

    def __init__(self) -> None:
        self._datasets: dict[str, TaskDataset] = {}

    def why_stale(self, definition: Mapping[str, Any], scopes: Iterable[ReadScope]) -> str | None:
        """Return why one of `scopes` is not what it was any more; None when all are.

        Parameters
        ----------
        definition : mapping
            The task's, whose dataset was read.
        scopes : iterable of ReadScope
        """
        for scope in scopes:
            try:
                reason = self._why_stale(definition, scope)
            except (RollwrightError, KeyError, TypeError) as error:
                if isinstance(error, RollwrightError) and error.is_away:
                    raise
                return f"the market data changed, and what it read cannot be told: {error}"
            if reason is not None:
                return reason
        return None

    def _why_stale(self, definition: Mapping[str, Any], scope: ReadScope) -> str | None:
        # 1. The same generation: nothing changed.
        try:
            source = current_market(scope.freq)
        except DataNotFoundError:
            if scope.stop is not None:
                raise
            source = None  # data of another kind, which need no market
        if source is not None and scope.generation == source.generation and scope.vintages is None:
            return None
        # 2. Data that are not told by sessions stand or fall with their generation, which the dataset tells.
        if source is None or scope.stop is None:
            same = self._dataset(definition).generation == scope.generation
            return None if same else "the market data changed"
        # 3. The history of the source: which sessions no series was changed in since.
        unchanged = source.unchanged_before(scope.generation)
        if scope.stop > unchanged and unchanged < source.calendar().known:
            return _change(source.calendar().to_index(), unchanged)
        # 4. The calendar, and who had rows: universes are changed by hand too, which no history knows.
        now = self._dataset(definition).scope_until(scope.stop)
        if (now.calendar, now.rows) != (scope.calendar, scope.rows):
            return f"the universe or the calendar changed before {scope.until}, up to where it reads"
        # 5. What was known of fields by period: a report that came later changes nothing.
        if now.vintages != scope.vintages:
            return f"data by period that were known by {scope.until}, up to where it reads, changed"
        return None

    def _dataset(self, definition: Mapping[str, Any]) -> TaskDataset:
        """Return the task's dataset as it is now; windows of one handler share the data it opens."""
        config = fill_paths(definition)["dataset"]
        shared = (config.get("kwargs") or {}).get("handler") if isinstance(config, Mapping) else None
        key = canonical_json({"data": config if shared is None else shared, AS_OF: definition.get(AS_OF)}, typed=True)
        if key not in self._datasets:
            self._datasets[key] = check_dataset(init_instance_by_config(config, slot="dataset"))
        return self._datasets[key]


def _change(days: pd.DatetimeIndex, unchanged: int) -> str:
    if unchanged == 0:
        return "the market data changed, and since when cannot be told"
    return f"the market data changed from {days[unchanged]:%Y-%m-%d} on, and it reads up to there or later"
