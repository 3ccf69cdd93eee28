"""A dataset of which only some instruments are seen: what a shard by instruments learns from, or predicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rollwright.dataset.contract import DataKey, FitRange, Fold, ReadScope, TaskDataset
from rollwright.errors import ConfigError
from rollwright.expression.label_reach import LabelReach
from rollwright.tasks.shards import part_of_instrument

__all__ = ["InstrumentPart", "find_ungrouped"]

_LEVEL: Final = "instrument"
_SHOWN: Final = 5


class InstrumentPart:
    """The rows of some instruments, of a dataset whose processors see all of them.

    Parameters
    ----------
    whole : TaskDataset
        A dataset of rows; one of windows hands out samplers, which cannot be cut, and is refused when it is asked.
    part : mapping
        As `rollwright.tasks.shards` writes it beneath ``part``: so many parts, or groups by name.

    Guarantees: what a feature or a label says is what it says in the whole; no row is in two parts of one task.
    """

    def __init__(self, whole: TaskDataset, part: Mapping[str, Any]) -> None:
        self.whole = whole
        self._part = part
        groups = part.get("groups")
        self._own = None if groups is None else frozenset(groups[part["group"]])
        self._known = None if groups is None else frozenset(name for names in groups.values() for name in names)

    @property
    def segments(self) -> Mapping[str, Any]:
        """Those of the whole."""
        return self.whole.segments

    @property
    def generation(self) -> str:
        """That of the whole."""
        return self.whole.generation

    @property
    def label_lookahead(self) -> int | None:
        """That of the whole."""
        return self.whole.label_lookahead

    @property
    def label_reach(self) -> LabelReach | None:
        """That of the whole."""
        return self.whole.label_reach

    def fit_ranges(self) -> tuple[FitRange, ...]:
        """Return those of the whole."""
        return self.whole.fit_ranges()

    def prepare(self, segments: Any, **kwargs: Any) -> Any:
        """Return the data of segments, as frames with the part's rows.

        Raises
        ------
        ConfigError
            When the whole hands out something else, such as windows.
        """
        found = self.whole.prepare(segments, **kwargs)
        if isinstance(found, list | tuple):
            return type(found)(self._cut(one) for one in found)
        return self._cut(found)

    def fold(self, segment: str, *, data_key: DataKey) -> Fold:
        """Return the part's rows of a segment as bare arrays."""
        fold = self.whole.fold(segment, data_key=data_key)
        rows = np.flatnonzero(self._mask(fold.index))
        return Fold(
            features=np.ascontiguousarray(fold.features[rows]),
            label=None if fold.label is None else fold.label[rows],
            index=fold.index.take(rows),
            names=fold.names,
        )

    def inference_index(self, segment: str) -> pd.MultiIndex:
        """Return the part's rows that a prediction of `segment` must score."""
        index = self.whole.inference_index(segment)
        return index[self._mask(index)]

    def warm(self) -> None:
        """Compute what the whole would."""
        self.whole.warm()

    def reads(self) -> tuple[ReadScope, ...]:
        """Return what was read of the whole."""
        return self.whole.reads()

    def forget_reads(self) -> None:
        """Begin to note anew what is read of the whole."""
        self.whole.forget_reads()

    def scope_until(self, stop: int) -> ReadScope:
        """Return that of the whole."""
        return self.whole.scope_until(stop)

    def _cut(self, frame: Any) -> Any:
        if not isinstance(frame, pd.DataFrame | pd.Series) or not isinstance(frame.index, pd.MultiIndex):
            raise ConfigError(
                f"{type(self.whole).__name__} hands out {type(frame).__name__}, which shards by instruments cannot cut",
                hint="take a dataset of rows (DatasetH), or shards by seeds or by dates",
            )
        return frame[self._mask(frame.index)]

    def _mask(self, index: pd.MultiIndex) -> NDArray[np.bool_]:
        place = index.names.index(_LEVEL) if _LEVEL in index.names else index.nlevels - 1
        codes, names = np.asarray(index.codes[place]), [str(name) for name in index.levels[place]]
        used = np.zeros(len(names), dtype=bool)
        used[codes] = True
        if self._known is not None:
            self._refuse_ungrouped([name for name, there in zip(names, used, strict=True) if there])
        chosen = np.array([self._has(name) for name in names], dtype=bool)
        mask: NDArray[np.bool_] = chosen[codes] if names else np.zeros(len(index), dtype=bool)
        return mask

    def _has(self, name: str) -> bool:
        if self._own is not None:
            return name in self._own
        return part_of_instrument(name, int(self._part["count"])) == int(self._part["number"])

    def _refuse_ungrouped(self, names: Sequence[str]) -> None:
        missing = find_ungrouped(names, self._known or frozenset())
        if missing:
            shown = ", ".join(missing[:_SHOWN]) + (f" and {len(missing) - _SHOWN} more" if missing[_SHOWN:] else "")
            raise ConfigError(
                f"{len(missing)} instruments of the data stand in no group of `shards.groups`: {shown}",
                hint="add them to a group; a group of its own for those that fit nowhere is one, too",
            )


def find_ungrouped(names: Sequence[str], known: frozenset[str]) -> list[str]:
    """Return which of `names` no group has."""
    return [name for name in names if name not in known]
