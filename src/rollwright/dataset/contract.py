"""What trainers, models, records and campaigns ask of a dataset, and what it tells about the data it read."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, Protocol, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rollwright.core.canonical import JSON, sha256_hex
from rollwright.errors import ConfigError
from rollwright.expression.label_reach import LabelReach
from rollwright.features.generations import split_generation
from rollwright.features.panel import Panel, StorePanel

__all__ = ["DataKey", "FitRange", "Fold", "ReadScope", "TaskDataset", "check_dataset", "scope_of"]

DataKey = Literal["raw", "infer", "learn"]
SCOPE_FORMAT: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Fold:
    """One segment as bare arrays; row `i` of every member is the same sample.

    Attributes
    ----------
    features : float32 ``[n, k]``
        C order, read-only where it is a view of the feature store.
    label : float32 ``[n]`` or None
        None when the handler has no label.
    index : MultiIndex
        (datetime, instrument), sorted.
    names : tuple of str
        Names of the features.
    """

    features: NDArray[np.float32]
    label: NDArray[np.float32] | None
    index: pd.MultiIndex
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadScope:
    """Which part of which data was read: what must still be as it was for a result to stand.

    Attributes
    ----------
    generation : str
        That of the data when they were read.
    freq : str or None
        Frequency of the market data; None for data of another kind.
    stop : int or None
        Calendar position before which everything that was read lies, the future of the labels included. None: it
        cannot be told by sessions, so any other generation makes the result stale.
    until : str or None
        The last of those sessions that was known.
    calendar, rows : str or None
        Digests of the calendar before `stop`, and of which instruments had rows there.
    vintages : str or None
        Digest of what was known before `stop` of the fields by period that were read; None when none were.
    """

    generation: str
    freq: str | None = None
    stop: int | None = None
    until: str | None = None
    calendar: str | None = None
    rows: str | None = None
    vintages: str | None = None

    def to_json(self) -> dict[str, JSON]:
        """Return it as JSON, with the number of the format."""
        return {"format": SCOPE_FORMAT, **asdict(self)}

    @classmethod
    def from_json(cls, value: object) -> ReadScope:
        """Return what `to_json` wrote.

        Raises
        ------
        ConfigError
            When `value` is of another format, or no scope at all.
        """
        kinds = {name: int if name == "stop" else str for name in cls.__dataclass_fields__}
        if not isinstance(value, Mapping) or value.get("format") != SCOPE_FORMAT:
            raise ConfigError(f"this is no read scope of format {SCOPE_FORMAT}")
        fields = {name: value.get(name) for name in kinds}
        wrong = [name for name, kind in kinds.items() if fields[name] is not None and type(fields[name]) is not kind]
        by_session = fields["stop"] is not None
        told = [fields[name] for name in kinds if name != "vintages"]
        if wrong or fields["generation"] is None or (by_session and None in told):
            raise ConfigError("this read scope lacks a value, or has one of another type")
        return cls(**cast("dict[str, Any]", fields))


@dataclass(frozen=True, slots=True, kw_only=True)
class FitRange:
    """The closed range of sessions that a processor learns from.

    Attributes
    ----------
    processor : str
        The name of its class.
    start, end : date or None
        None is open: as far as the handler's data go.
    named : bool
        Whether the processor names a range at all. One that does not learns from all that the handler has.
    """

    processor: str
    start: Any
    end: Any
    named: bool


class TaskDataset(Protocol):
    """A dataset that a task can be trained on. Derive from `rollwright.dataset.dataset.Dataset` for the usual answers.

    Guarantees asked of it: nothing is read before it is asked for; `reads` covers all that was read.
    """

    @property
    def segments(self) -> Mapping[str, Any]:
        """Closed ranges of sessions by name, as (first, last)."""
        ...

    @property
    def generation(self) -> str:
        """Identity of the data: differs whenever they may differ."""
        ...

    @property
    def label_lookahead(self) -> int | None:
        """Sessions of future that the label reads; None when that cannot be told. Asking reads no data."""
        ...

    @property
    def label_reach(self) -> LabelReach | None:
        """Which sessions the label reads, and the return it is; None when that cannot be told. No data are read."""
        ...

    def fit_ranges(self) -> tuple[FitRange, ...]:
        """Return the ranges of sessions that what prepares its data learns from. No data are read."""
        ...

    def prepare(self, segments: Any, **kwargs: Any) -> Any:
        """Return the data of segments, as frames."""
        ...

    def fold(self, segment: str, *, data_key: DataKey) -> Fold:
        """Return a segment as bare arrays."""
        ...

    def inference_index(self, segment: str) -> pd.MultiIndex:
        """Return the (datetime, instrument) of the rows that a prediction of `segment` must score."""
        ...

    def warm(self) -> None:
        """Compute now what several processes would otherwise wait for one another to compute."""
        ...

    def reads(self) -> tuple[ReadScope, ...]:
        """Return what was read since it was made, or since `forget_reads`."""
        ...

    def forget_reads(self) -> None:
        """Begin to note anew what is read."""
        ...

    def scope_until(self, stop: int) -> ReadScope:
        """Return the scope that reading everything before the calendar position `stop` would have now."""
        ...


_NAMES: Final = tuple(name for name in vars(TaskDataset) if not name.startswith("_"))


def check_dataset(built: object) -> TaskDataset:
    """Return `built` as a dataset that a task can be trained on; no property of it is evaluated.

    Raises
    ------
    ConfigError
        When it lacks something, naming it all.
    """
    absent = object()
    missing = [name for name in _NAMES if inspect.getattr_static(built, name, absent) is absent]
    if missing:
        raise ConfigError(
            f"a task cannot be trained on {type(built).__name__}, which has no {', '.join(missing)}",
            hint="derive it from rollwright.dataset.dataset.Dataset, which has the usual answers; "
            "rollwright.dataset.contract.TaskDataset says what each is for",
        )
    return cast("TaskDataset", built)


def scope_of(panel: Panel, stop: int) -> ReadScope:
    """Return the scope of reading `panel` before the calendar position `stop`, which may lie beyond what is known.

    Only data in the feature store can be told by sessions: frames, files, several frequencies and what was processed
    one instrument at a time stand or fall with their generation.
    """
    if not isinstance(panel, StorePanel):
        return ReadScope(generation=panel.generation)
    days = panel.calendar.values[: min(stop, panel.calendar.known)]
    layout = panel.layout
    lines = [
        f"{layout.instruments[number]}\t{first}\t{min(last, stop)}\n"
        for number, first, last in layout.spans.tolist()
        if first < stop
    ]
    return ReadScope(
        generation=split_generation(panel.generation)[0],
        freq=panel.calendar.freq,
        stop=int(stop),
        until=str(np.datetime_as_string(days[-1], unit="s")).removesuffix("T00:00:00"),
        calendar=sha256_hex(np.ascontiguousarray(days.astype("datetime64[s]")).tobytes()),
        rows=sha256_hex("".join(sorted(lines)).encode()),
        vintages=None if panel.vintages is None else panel.vintages.until(days[-1]),
    )
