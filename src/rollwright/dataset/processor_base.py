"""What every processor is: something that learns, perhaps, and turns data into other data without changing them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rollwright.codecs.described import Described
from rollwright.errors import UnsupportedArtifactError
from rollwright.features.table import Table
from rollwright.signing.serializable import Serializable

__all__ = ["Processor", "TableProcessor", "get_group_columns"]


def get_group_columns(df: pd.DataFrame, group: str | None) -> pd.Index[Any]:
    """Return the columns of one group (the first column level), or all of them."""
    if group is None:
        return df.columns
    return pd.Index(df.columns[df.columns.get_loc(group)])


class Processor(Described, Serializable, ABC):
    """Turns a frame into another one, after learning from a frame where it has something to learn.

    A subclass of a user's own overrides `__call__` and, where it learns, `fit`; it may then also override `state` and
    `load_state`, so that what it learnt can be saved.
    """

    local: ClassVar[bool] = False
    """Whether the rows of a session depend on that session alone, given what was learnt: then a window needs no more
    than its own rows."""
    keeps_rows: ClassVar[bool] = False
    """Whether no row is ever dropped or added."""

    def fit(self, df: pd.DataFrame | None = None) -> None:
        """Learn from `df`; nothing by default."""

    @abstractmethod
    def __call__(self, df: pd.DataFrame) -> pd.DataFrame:
        """Return the processed frame, leaving `df` as it is."""

    def is_for_infer(self) -> bool:
        """Tell whether it may be used for inference, where labels are not known."""
        return True

    def readonly(self) -> bool:
        """Tell whether it leaves its input as it is; the ready-made ones always do."""
        return False

    def config(self, **kwargs: Any) -> None:  # type: ignore[override]  # no rule by position, as in Qlib
        """Change the fit range and the rules of `Serializable`; other names are left to others."""
        kwargs = self.take_rules(kwargs)
        for name in ("fit_start_time", "fit_end_time"):
            if name in kwargs and hasattr(self, name):
                setattr(self, name, kwargs[name])

    def fit_range(self) -> tuple[Any, Any] | None:
        """Return the closed range it learns from; None when it names none."""
        return None

    def state(self) -> dict[str, NDArray[Any]]:
        """Return what was learnt, as plain arrays.

        Raises
        ------
        UnsupportedArtifactError
            When a subclass learns and does not say what.
        """
        if type(self).fit is not Processor.fit:
            raise UnsupportedArtifactError(
                f"{type(self).__name__} learns from data and does not say what it learnt",
                hint="give it the methods `state() -> dict of arrays` and `load_state(state)`",
            )
        return {}

    def load_state(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take back what `state` returned."""

    # Tables are how the pipeline runs; a processor that knows only frames is called through these two.

    def fit_table(self, table: Table) -> None:
        """Learn from `table`."""
        if type(self).fit is not Processor.fit:
            self.fit(table.to_frame())

    def transform(self, table: Table) -> Table:
        """Return the processed table."""
        return Table.from_frame(self(table.to_frame()))


class TableProcessor(Processor):
    """A processor that works on tables; on frames through them, in the row order given."""

    local = True
    keeps_rows = True

    def fit(self, df: pd.DataFrame | None = None) -> None:
        """Learn from `df`."""
        if df is not None:
            self.fit_table(Table.from_frame(df))

    def __call__(self, df: pd.DataFrame) -> pd.DataFrame:
        """Return the processed frame, leaving `df` as it is."""
        table = self.transform(Table.from_frame(df))
        return table.to_frame(df.index if self.keeps_rows else df.index[self._select_rows(Table.from_frame(df))])

    def _select_rows(self, table: Table) -> NDArray[np.bool_]:
        return np.ones(len(table), dtype=np.bool_)

    def fit_table(self, table: Table) -> None:
        """Learn from `table`; nothing by default."""

    @abstractmethod
    def transform(self, table: Table) -> Table:
        """Return the processed table."""

    def readonly(self) -> bool:
        """Tell that the input stays as it is."""
        return True

    def state(self) -> dict[str, NDArray[Any]]:
        """Return what was learnt, as plain arrays."""
        return {}
