"""Datasets: a handler and the segments that a model learns from and is tested on."""

from __future__ import annotations

import copy
import itertools
import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar, Final, Self, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rollwright.calendar.segment import end_before
from rollwright.calendar.trading import to_session
from rollwright.codecs.described import Described
from rollwright.config.construct import init_instance_by_config
from rollwright.dataset.contract import DataKey, FitRange, Fold, ReadScope, TaskDataset, check_dataset
from rollwright.dataset.feature_reach import FeatureReach, find_feature_reaches
from rollwright.dataset.handler import DataHandler, DataHandlerLP
from rollwright.dataset.handler_tables import CS_ALL, ColumnSet, IndexedColumnBlock, choose_columns
from rollwright.dataset.processor_checks import check_groups, find_fit_ranges
from rollwright.dataset.sampler import TSDataSampler, check_step_len
from rollwright.errors import ConfigError, DataError, SegmentError, UnknownSettingError
from rollwright.expression.label_reach import LabelReach
from rollwright.features.store.feature_store import FeatureStore
from rollwright.features.table import Table
from rollwright.market.source import DataSource
from rollwright.signing.serializable import Serializable

__all__ = ["Dataset", "DatasetH", "Fold", "TSDatasetH", "build_dataset", "read_labels"]

_logger: Final = logging.getLogger("rollwright.dataset")

FEATURE_GROUP: Final = "feature"
LABEL_GROUP: Final = "label"
ROLES: Final = ("train", "valid", "test")


class Dataset(Described, Serializable, ABC):
    """What a model is given; the usual answers to what `rollwright.dataset.contract.TaskDataset` asks.

    A subclass of a user's own overrides `prepare`, sets `generation`, and gives `inference_index` and `fold` where a
    record or a model asks for them. Unless it says otherwise, its results stand as long as its generation does.
    """

    segments: Mapping[str, Any] = MappingProxyType({})
    generation: str = ""
    label_lookahead: int | None = None

    def config(self, **kwargs: Any) -> None:  # type: ignore[override]  # no rule by position, as in Qlib
        """Change what the dataset is about: by default nothing but the rules of `Serializable`."""
        super().config(**kwargs)

    def setup_data(self, **kwargs: Any) -> None:
        """Read the data anew; nothing by default."""
        for name in kwargs:
            raise UnknownSettingError(name, (), where=f"{type(self).__name__}.setup_data")

    @property
    def label_reach(self) -> LabelReach | None:
        """What is known of the sessions that the label reads: by default what `label_lookahead` says."""
        return None if self.label_lookahead is None else LabelReach.declared(self.label_lookahead)

    def fit_ranges(self) -> tuple[FitRange, ...]:
        """Return what its processors learn from: by default nothing is known of any."""
        return ()

    def feature_reaches(self) -> tuple[FeatureReach, ...]:
        """Return what the expressions of its columns read: by default nothing is known of any."""
        return ()

    @abstractmethod
    def prepare(self, segments: Any, **kwargs: Any) -> Any:
        """Return the data of `segments`."""

    def fold(self, segment: str, *, data_key: DataKey) -> Fold:
        """Return a segment as bare arrays, which the models of rollwright learn from.

        Raises
        ------
        ConfigError
            Unless a subclass gives them.
        """
        raise self._lacking("fold", f"segment `{segment}` as arrays ({data_key})")

    def inference_index(self, segment: str) -> pd.MultiIndex:
        """Return the (datetime, instrument) of the rows that a prediction of `segment` must score (decision D17).

        Raises
        ------
        ConfigError
            Unless a subclass tells them.
        """
        raise self._lacking("inference_index", f"which rows a prediction of `{segment}` must score")

    def _lacking(self, name: str, what: str) -> ConfigError:
        return ConfigError(f"{type(self).__name__} does not say {what}", hint=f"give it the method `{name}`")

    def over(self, source: DataSource | None, store: FeatureStore | None = None) -> Self:  # noqa: ARG002 - see below
        """Return this dataset over another market.

        Raises
        ------
        ConfigError
            Unless a subclass can: where its data come from is its own affair.
        """
        raise self._lacking("over", "how it reads another market")

    @property
    def history(self) -> int:
        """How many sessions before its own a row is made of, beside what its features look back: 0 by default."""
        return 0

    def move_to(self, start: Any, end: Any, *, segments: Mapping[str, Any]) -> None:  # noqa: ARG002 - see below
        """Read other sessions from now on, and learn nothing anew.

        Raises
        ------
        ConfigError
            Unless a subclass can: what its data cover is its own affair.
        """
        raise self._lacking("move_to", "how it reads other sessions")

    def warm(self) -> None:
        """Compute what several processes would wait for: nothing by default."""

    def reads(self) -> tuple[ReadScope, ...]:
        """Return what was read: by default all of the data, whatever their sessions."""
        return (ReadScope(generation=self.generation),)

    def forget_reads(self) -> None:
        """Begin to note anew what is read: nothing to do where all of the data always count."""

    def scope_until(self, stop: int) -> ReadScope:  # noqa: ARG002 - its data are not told by sessions
        """Return the scope that reading the data has now."""
        return ReadScope(generation=self.generation)


class DatasetH(Dataset):
    """A handler's data, cut into segments.

    Guarantees: a segment gives rows of its own sessions only; nothing is read before it is asked for; a segment that
    is reversed, lies outside what the handler covers or (train, valid, test) overlaps another is an error, where Qlib
    gives fewer rows without a word. A session that one ends and the next begins with belongs to the next; the log says
    so.

    .. warning:: **Look-ahead.** Segments that do not overlap still leak when the label of the last train session reads
       prices of the test segment: leave `label_lookahead` sessions between them, as `RollingGen` does.

    Parameters
    ----------
    handler : DataHandler or its configuration
    segments : mapping
        Closed ranges by name; None leaves a side open.
    fetch_kwargs : mapping, optional
        Given to every ``handler.fetch``.
    handler_kwargs : mapping, optional
        Given to ``handler.setup_data``.
    allow_overlap : bool
        Admits train, valid and test segments that share sessions.

    Raises
    ------
    SegmentError
        For a segment that is reversed or overlaps.
    """

    def __init__(
        self,
        handler: Any,
        segments: Mapping[str, Any],
        fetch_kwargs: Mapping[str, Any] | None = None,
        *,
        handler_kwargs: Mapping[str, Any] | None = None,
        allow_overlap: bool = False,
    ) -> None:
        self.handler: DataHandler = init_instance_by_config(
            handler, "rollwright.dataset.handler", accept_types=DataHandler, slot="handler"
        )
        self.fetch_kwargs = dict(fetch_kwargs or {})
        self.allow_overlap = allow_overlap
        self.segments = _check_segments(segments, allow_overlap=allow_overlap)
        if handler_kwargs is not None:
            self.handler.setup_data(**handler_kwargs)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(handler={type(self.handler).__name__}, segments={self.segments})"

    def config(  # type: ignore[override]  # another first argument, as in Qlib
        self, handler_kwargs: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> None:
        """Change the segments, and what data the handler reads.

        Parameters
        ----------
        handler_kwargs : mapping, optional
            Given to ``handler.config``.
        segments : mapping, optional
            Replaces them all.
        dump_all, include, exclude, recursive
            The rules of `Serializable`.

        Raises
        ------
        UnknownSettingError
            For any other name.
        """
        kwargs = self.take_rules(kwargs)
        segments = kwargs.pop("segments", None)
        for name in kwargs:
            raise UnknownSettingError(name, ("handler_kwargs", "segments"), where=f"{type(self).__name__}.config")
        if segments is not None:
            self.segments = _check_segments(segments, allow_overlap=self.allow_overlap)
        if handler_kwargs is not None:
            self.handler.config(**handler_kwargs)

    def setup_data(self, handler_kwargs: Mapping[str, Any] | None = None, **kwargs: Any) -> None:
        """Read the data anew at the next use; `handler_kwargs` as ``handler.setup_data``'s, e.g. ``init_type``."""
        for name in kwargs:
            raise UnknownSettingError(name, ("handler_kwargs",), where=f"{type(self).__name__}.setup_data")
        self.handler.setup_data(**(handler_kwargs or {}))

    @property
    def generation(self) -> str:  # type: ignore[override]  # a subclass of a user's own may have a plain attribute
        """Identity of the market data that are read."""
        return self.handler.generation

    @property
    def label_lookahead(self) -> int:  # type: ignore[override]  # as `generation`
        """Sessions of future that the label reads; asking reads no data."""
        return self.handler.label_reach.span

    @property
    def label_reach(self) -> LabelReach:
        """Which sessions the label reads, and the return it is; asking reads no data."""
        return self.handler.label_reach

    def fit_ranges(self) -> tuple[FitRange, ...]:
        """Return the ranges that the handler's processors learn from; asking reads no data."""
        return find_fit_ranges(self.handler)

    def feature_reaches(self) -> tuple[FeatureReach, ...]:
        """Return how far the expressions of the handler's columns look back and ahead; asking reads no data."""
        return find_feature_reaches(self.handler)

    def over(self, source: DataSource | None, store: FeatureStore | None = None) -> Self:
        """Return this dataset over another market: a copy whose handler has read nothing and learnt nothing."""
        made = copy.copy(self)
        made.handler = self.handler.over(source, store)
        return made

    def move_to(self, start: Any, end: Any, *, segments: Mapping[str, Any]) -> None:
        """Read the sessions from `start` to `end` from now on; what the processors learnt stays, none learns anew.

        Guarantees: a session's rows for inference are the same as before. So `start` is left as it is where a
        processor may look at other sessions.

        Parameters
        ----------
        start, end : date
            Of the handler; enough history before the segments is the caller's affair (`history`).
        segments : mapping
            Replaces them all.
        """
        handler = self.handler
        learner = handler if isinstance(handler, DataHandlerLP) else None
        chain = [] if learner is None else [*learner.shared_processors, *learner.infer_processors]
        begin = {"start_time": start} if all(processor.local for processor in chain) else {}
        self.config(handler_kwargs={**begin, "end_time": end}, segments=segments)
        if learner is not None:
            learner.setup_data(init_type=DataHandlerLP.IT_LS)
        else:
            handler.setup_data()

    def warm(self) -> None:
        """Compute the features and labels that are not in the feature store yet.

        Raises
        ------
        UnknownFieldError
            When a processor asks for a column group that they do not have.
        SegmentError
            When train, valid or test reach beyond them.
        """
        self.handler.warm()
        check_groups(self.handler)
        for name in ROLES:
            if name in self.segments:
                self._places(name)

    def reads(self) -> tuple[ReadScope, ...]:
        """Return what the handler read since it was made, or since `forget_reads`."""
        return self.handler.reads()

    def forget_reads(self) -> None:
        """Begin to note anew what is read."""
        self.handler.forget_reads()

    def scope_until(self, stop: int) -> ReadScope:
        """Return the scope that reading everything before the calendar position `stop` would have now."""
        return self.handler.scope_until(stop)

    def prepare(
        self,
        segments: Any,
        col_set: ColumnSet = CS_ALL,
        data_key: DataKey = "infer",
        **kwargs: Any,
    ) -> Any:
        """Return the frame of a segment, or the list of frames of several.

        Parameters
        ----------
        segments : str, sequence of str, slice, date or pair of dates
            Names of segments come first; anything else is a selector of rows, as in ``handler.fetch``.
        col_set, data_key
            As in ``handler.fetch``.
        **kwargs
            Given to ``handler.fetch``.

        Raises
        ------
        UnknownSettingError
            For a name that is neither a segment nor a date, and an unknown data key.
        SegmentError
            For a segment outside what the handler covers.
        """
        options = {"col_set": col_set, "data_key": data_key, **kwargs, **self.fetch_kwargs}
        if isinstance(segments, str):
            if segments in self.segments:
                return self._frame(segments, options)
            self._refuse_unknown(segments)
        elif isinstance(segments, list | tuple) and segments and all(isinstance(name, str) for name in segments):
            if all(name in self.segments for name in segments):
                return [self._frame(name, options) for name in segments]
            for name in segments:
                self._refuse_unknown(name)
        return self.handler.fetch(segments, **options)

    def fold(self, segment: str | slice, *, data_key: DataKey) -> Fold:
        """Return a segment as bare arrays, straight from the feature store where no processor stands between.

        Raises
        ------
        UnknownSettingError
            For an unknown segment or data key.
        SegmentError
            For a segment outside what the handler covers.
        DataError
            When no row is left.
        """
        table = self.handler.table(self._places(segment), data_key)
        if not len(table):
            where = "" if isinstance(segment, slice) else self.segments[segment]
            raise DataError(
                f"segment `{segment}` {where} has no rows for `{data_key}`",
                hint="its labels may be NaN throughout, or the universe empty in that range",
            )
        names, features = _columns(table, FEATURE_GROUP if table.grouped else None)
        _, labels = _columns(table, LABEL_GROUP) if table.grouped else ((), None)
        if labels is not None and labels.shape[1] != 1:
            raise ConfigError(
                f"the handler has {labels.shape[1]} labels and a model learns one", hint="use prepare for several"
            )
        return Fold(
            features=np.ascontiguousarray(_some(features, len(table)), dtype=np.float32),
            label=None if labels is None else np.ascontiguousarray(labels[:, 0], dtype=np.float32),
            index=table.rows.to_index(),
            names=names,
        )

    def inference_index(self, segment: str | slice) -> pd.MultiIndex:
        """Return the (datetime, instrument) of the rows that a prediction of `segment` must score (decision D17)."""
        return self.handler.rows(self._places(segment), "infer").to_index()

    def _frame(self, segment: str, options: Mapping[str, Any]) -> pd.DataFrame:
        self._places(segment)
        start, end = self.segments[segment]
        return self.handler.fetch(slice(start, end), **options)

    def _places(self, segment: str | slice) -> range:
        if isinstance(segment, slice):
            return self.handler.segment_places(segment.start, segment.stop)
        if segment not in self.segments:
            raise UnknownSettingError(segment, self.segments, where="the dataset's segments")
        return self.handler.segment_places(*self.segments[segment])

    def _refuse_unknown(self, name: str) -> None:
        try:
            pd.Timestamp(name)
        except ValueError:
            raise UnknownSettingError(name, self.segments, where="the dataset's segments") from None

    @staticmethod
    def get_min_time(segments: Mapping[str, Any]) -> Any:
        """Return the earliest start of all segments; None when one is open."""
        return _extreme([pair[0] for pair in segments.values()], latest=False)

    @staticmethod
    def get_max_time(segments: Mapping[str, Any]) -> Any:
        """Return the latest end of all segments; None when one is open."""
        return _extreme([pair[1] for pair in segments.values()], latest=True)


def build_dataset(config: Any, *, source: DataSource | None = None, store: FeatureStore | None = None) -> TaskDataset:
    """Return the dataset that a task's configuration names, over any market, without the configuration naming that.

    Parameters
    ----------
    config : dict, str or Dataset
        ``task["dataset"]``, with its placeholders filled.
    source : DataSource, optional
        Read by the handler, its loader, loaders and handlers inside it, and filters: a frame, a live feed, a market as
        of a session. The current market if not given.
    store : FeatureStore, optional
        Where features are computed; the current one if not given.

    Raises
    ------
    ConfigError
        When it lacks what a task asks of a dataset, or a class of the user's own reads no other market.
    """
    built = init_instance_by_config(config, "rollwright.dataset.dataset", accept_types=Dataset, slot="dataset")
    if source is None and store is None:
        return check_dataset(built)
    if not isinstance(built, Dataset):
        raise ConfigError(
            f"{type(built).__name__} cannot be given a market",
            hint="derive it from Dataset and give it the method `over`",
        )
    return check_dataset(built.over(source, store))


class TSDatasetH(DatasetH):
    """A dataset whose segments are samplers of sequences.

    Guarantees: those of `DatasetH`; a sample reaches back before its segment where the handler has data there, and
    never beyond its own session; columns that no processor changes are not copied.

    .. warning:: **Look-ahead.** Samples of the test segment reach back into train and valid, which is right; those of
       train never reach forward. What leaks is the label, as in `DatasetH`.

    Parameters
    ----------
    step_len : int
        Sessions of a sample; those before a segment's start serve as its history.
    flt_col : str, optional
        A column, or a column group of one column: rows where it is zero, False or NaN are history and no samples.
    handler, segments, fetch_kwargs, handler_kwargs, allow_overlap
        As `DatasetH`.
    """

    DEFAULT_STEP_LEN: ClassVar[int] = 30

    def __init__(
        self,
        step_len: int = DEFAULT_STEP_LEN,
        flt_col: str | None = None,
        *,
        handler: Any,
        segments: Mapping[str, Any],
        fetch_kwargs: Mapping[str, Any] | None = None,
        handler_kwargs: Mapping[str, Any] | None = None,
        allow_overlap: bool = False,
    ) -> None:
        super().__init__(handler, segments, fetch_kwargs, handler_kwargs=handler_kwargs, allow_overlap=allow_overlap)
        self.step_len = check_step_len(step_len)
        self.flt_col = flt_col

    @property
    def history(self) -> int:
        """The sessions of a sample before its own."""
        return self.step_len - 1

    def config(  # type: ignore[override]  # another first argument, as in Qlib
        self, handler_kwargs: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> None:
        """Change ``step_len`` too."""
        if "step_len" in kwargs:
            self.step_len = check_step_len(kwargs.pop("step_len"))
            self._arguments["step_len"] = self.step_len
        super().config(handler_kwargs, **kwargs)

    def fold(self, segment: str | slice, *, data_key: DataKey) -> Fold:
        """Return the rows that the windows of a segment end with, as bare arrays; see `DatasetH.fold`."""
        found = super().fold(segment, data_key=data_key)
        kept = self._chosen(segment, data_key)
        if kept is None:
            return found
        label = None if found.label is None else found.label[kept]
        return Fold(features=found.features[kept], label=label, index=found.index[kept], names=found.names)

    def inference_index(self, segment: str | slice) -> pd.MultiIndex:
        """Return the (datetime, instrument) of the windows that a prediction of `segment` must score."""
        index = super().inference_index(segment)
        kept = self._chosen(segment, "infer")
        return index if kept is None else index[kept]

    def _chosen(self, segment: str | slice, data_key: DataKey) -> NDArray[np.bool_] | None:
        """Return which rows of a segment are samples, None when all are."""
        if self.flt_col is None:
            return None
        return _flags(self.handler.table_view(self._places(segment), data_key), self.flt_col)

    def prepare(self, segments: Any, col_set: ColumnSet = CS_ALL, data_key: DataKey = "infer", **kwargs: Any) -> Any:
        """Return the `TSDataSampler` of a segment, or the list of those of several.

        Parameters
        ----------
        segments : str, sequence of str, slice or pair of dates
        col_set, data_key
            As `DatasetH.prepare`. What Qlib's models ask for: ``col_set=["feature", "label"]``, the label last.
        dtype : optional
            Of the samples; float32 if not given.
        flt_col : str, optional
            Instead of the dataset's own.

        Raises
        ------
        UnknownSettingError
            For a name that is neither a segment nor a date, an unknown data key, and another argument.
        SegmentError
            For a segment outside what the handler covers.
        """
        options = {"col_set": col_set, "data_key": data_key, "flt_col": self.flt_col, **kwargs, **self.fetch_kwargs}
        known = ("col_set", "data_key", "flt_col", "dtype")
        for name in options:
            if name not in known:
                raise UnknownSettingError(name, known, where="TSDatasetH.prepare")
        if isinstance(segments, str):
            return self._sampler(self._places(segments), **options)
        if isinstance(segments, slice):
            return self._sampler(self.handler.places(segments.start, segments.stop), **options)
        if not isinstance(segments, list | tuple) or not segments:
            raise ConfigError(f"{segments!r} names no segment", hint="give names, a slice or a pair of dates")
        if all(isinstance(name, str) and name in self.segments for name in segments):
            return [self._sampler(self._places(name), **options) for name in segments]
        for name in segments:
            if isinstance(name, str):
                self._refuse_unknown(name)
        return self._sampler(self.handler.places(*segments[:2]), **options)

    def _sampler(
        self, places: range, *, col_set: ColumnSet, data_key: DataKey, flt_col: str | None, dtype: Any = np.float32
    ) -> TSDataSampler:
        reach = range(max(0, places.start - self.step_len + 1), places.stop)
        table = self.handler.table_view(reach, data_key)
        return TSDataSampler.of_table(
            choose_columns(table, col_set),
            self.handler.panel.dates[reach.start : reach.stop],
            first=places.start - reach.start,
            step_len=self.step_len,
            keep=None if flt_col is None else _flags(table, flt_col),
            dtype=dtype,
        )


def read_labels(dataset: TaskDataset, segment: str) -> pd.DataFrame:
    """Return the raw labels of a segment: a column per label, index (datetime, instrument), NaN where not known yet.

    A dataset of windows gives them by row, too: what is judged is a score per row.

    .. warning:: **Look-ahead.** Labels are of the future of the day they stand on. They judge scores, and must not be
       read by whatever makes them.
    """
    prepare = super(TSDatasetH, dataset).prepare if isinstance(dataset, TSDatasetH) else dataset.prepare
    label = prepare(segment, col_set="label", data_key="raw")
    return label.to_frame("label") if isinstance(label, pd.Series) else label


def _flags(table: Table, column: str) -> NDArray[np.bool_]:
    """Return which rows a column chooses: those where it is neither zero nor NaN."""
    found = [
        (block, place)
        for block in table.blocks
        for place, name in enumerate(block.names)
        if column in (block.group, name)
    ]
    if len(found) != 1:
        names = ", ".join(block.names[place] for block, place in found[:10]) or "none"
        raise ConfigError(f"`flt_col` is one column, and `{column}` means {len(found)}: {names}")
    run, place = found[0]
    values = run.values[run.where, place] if isinstance(run, IndexedColumnBlock) else run.values[:, place]
    return np.asarray((values != 0) & ~np.isnan(values), dtype=np.bool_)


def _extreme(dates: Sequence[Any], *, latest: bool) -> Any:
    if not dates or any(date is None for date in dates):
        return None
    return sorted(dates, key=to_session)[-1 if latest else 0]


def _check_segments(segments: Mapping[str, Any], *, allow_overlap: bool) -> dict[str, tuple[Any, Any]]:
    checked: dict[str, tuple[Any, Any]] = {}
    for name, pair in segments.items():
        if isinstance(pair, slice):
            pair = (pair.start, pair.stop)  # noqa: PLW2901 - Qlib writes both
        if isinstance(pair, str) or not isinstance(pair, Sequence) or len(pair) != 2:
            raise SegmentError(start=pair, end=None, reason=f"`{name}` is no pair of dates")
        start, end = pair
        if start is not None and end is not None and to_session(end) < to_session(start):
            raise SegmentError(start=start, end=end, reason=f"`{name}` ends before it starts")
        checked[name] = (start, end)
    if not allow_overlap:
        _cut_shared_day(checked)
        _refuse_overlap(checked)
    return checked


def _cut_shared_day(segments: dict[str, tuple[Any, Any]]) -> None:
    """End a segment before the session that the next one begins with, in place: Qlib's users write both alike."""
    names = [name for name in ROLES if name in segments]
    for one, other in itertools.pairwise(names):
        (begin, end), (start, _) = segments[one], segments[other]
        if end is None or start is None or to_session(end) != to_session(start):
            continue
        if begin is not None and to_session(begin) >= to_session(start):
            continue
        segments[one] = (begin, end_before(start))
        _logger.warning("dataset.segment_cut segment=%s end=%s shared_with=%s", one, segments[one][1], other)


def _refuse_overlap(segments: Mapping[str, tuple[Any, Any]]) -> None:
    spans = []
    for name in ROLES:
        if name in segments:
            start, end = segments[name]
            low = pd.Timestamp.min if start is None else to_session(start)
            spans.append((name, low, pd.Timestamp.max if end is None else to_session(end)))
    for number, (one, start, end) in enumerate(spans):
        for other, begin, stop in spans[number + 1 :]:
            if max(start, begin) <= min(end, stop):
                raise SegmentError(
                    start=segments[other][0],
                    end=segments[other][1],
                    reason=f"`{other}` shares sessions with `{one}` [{segments[one][0]}, {segments[one][1]}]",
                    hint="set `allow_overlap: true` in the dataset's kwargs if that is meant",
                )


def _columns(table: Table, group: str | None) -> tuple[tuple[str, ...], NDArray[Any] | None]:
    blocks = [block for block in table.blocks if block.group == group]
    names = tuple(name for block in blocks for name in block.names)
    if len(blocks) == 1:
        return names, blocks[0].values
    return names, np.concatenate([block.values for block in blocks], axis=1) if blocks else None


def _some(features: NDArray[Any] | None, rows: int) -> NDArray[Any]:
    return cast("NDArray[Any]", np.empty((rows, 0), dtype=np.float32) if features is None else features)
