"""Handlers: raw, inference and learning data of one universe over one range, window by window."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar, Final, Literal

import numpy as np
import pandas as pd

from rollwright.calendar.trading import to_session
from rollwright.core.construct import init_instance_by_config
from rollwright.core.serializable import Serializable
from rollwright.data.codecs_description import Described
from rollwright.data.handler_columns import CS_ALL, CS_RAW, ColumnSet, chosen_columns, column_labels
from rollwright.data.handler_rows import picked_table
from rollwright.data.loader import DataLoader, StaticDataLoader
from rollwright.data.loader_panel import Panel, session_range
from rollwright.data.matrix import Rows
from rollwright.data.matrix_table import Table
from rollwright.data.processors import Processor, build_processor
from rollwright.data.store import FeatureStore
from rollwright.errors import ConfigError, SegmentError, UnknownSettingError
from rollwright.expression.source import DataSource

__all__ = ["DataHandler", "DataHandlerLP"]

DataKey = Literal["raw", "infer", "learn"]

PTYPE_I: Final = "independent"
PTYPE_A: Final = "append"
INDEX_LEVELS: Final = ("datetime", "instrument")


class DataHandler(Described, Serializable):
    """Raw data of one universe over one range.

    Guarantees: frames are the caller's own; rows are sorted by (datetime, instrument), each once; what was read once
    stays the same for the life of the handler, also when the market data grow. Nothing is read before it is needed.

    Parameters
    ----------
    instruments : str, mapping, sequence of str or None
        A universe's name, what `D.instruments` returns, or codes; None is every instrument.
    start_time, end_time : date, optional
        Closed range; cut at the ends of the calendar.
    data_loader : DataLoader or its configuration
    init_data : bool
        Kept for Qlib's signature; reading always waits for the first use.
    fetch_orig : bool
        Kept for Qlib's signature; frames are always copies.
    source : DataSource, optional
        The ambient market data if not given.
    store : FeatureStore, optional
        The ambient one if not given.
    """

    CS_ALL: ClassVar[str] = CS_ALL
    CS_RAW: ClassVar[str] = CS_RAW
    DK_R: ClassVar[DataKey] = "raw"
    DK_I: ClassVar[DataKey] = "infer"
    DK_L: ClassVar[DataKey] = "learn"

    def __init__(
        self,
        instruments: Any = None,
        start_time: Any = None,
        end_time: Any = None,
        data_loader: Any = None,
        init_data: bool = True,  # noqa: FBT001, FBT002 - Qlib's signature
        fetch_orig: bool = True,  # noqa: FBT001, FBT002 - Qlib's signature
        *,
        source: DataSource | None = None,
        store: FeatureStore | None = None,
    ) -> None:
        del init_data
        if data_loader is None:
            raise ConfigError(f"{type(self).__name__} has no data_loader", hint="use Alpha158, or name a loader")
        self.data_loader: DataLoader = init_instance_by_config(
            data_loader, "rollwright.data.loader", accept_types=DataLoader
        )
        self.instruments = instruments
        self.start_time = start_time
        self.end_time = end_time
        self.fetch_orig = fetch_orig
        self._source = source
        self._store = store
        self._opened: Panel | None = None
        _refuse_reversed(start_time, end_time)

    def __getstate__(self) -> dict[str, Any]:
        """Leave the opened data behind: a copy, in this process or another, maps them again instead of copying them."""
        return {**self.__dict__, "_opened": None}

    @property
    def panel(self) -> Panel:
        """The raw data, opened at the first use."""
        if self._opened is None:
            self._opened = self.data_loader.panel(
                self.instruments, self.start_time, self.end_time, source=self._source, store=self._store
            )
        return self._opened

    def watch(self, around: Callable[[Panel], Panel]) -> None:
        """Read through what `around` makes of the panel, so that a caller sees what is read; `config` ends it."""
        self._opened = around(self.panel)

    @property
    def generation(self) -> str:
        """Identity of the market data this handler reads."""
        return self.panel.generation

    @property
    def label_lookahead(self) -> int:
        """Sessions of future that the labels read."""
        return self.panel.label_lookahead

    def config(self, **kwargs: Any) -> None:
        """Change what data are read: ``instruments``, ``start_time``, ``end_time``; and the rules of `Serializable`.

        Raises
        ------
        UnknownSettingError
            For any other name (defect G6: nothing is swallowed).
        """
        rest = self.take_rules(kwargs)
        if kwargs and not rest:
            return
        kwargs = rest
        known = ("instruments", "start_time", "end_time")
        for name, value in kwargs.items():
            if name not in known:
                raise UnknownSettingError(name, known, where=f"{type(self).__name__}.config")
            setattr(self, name, value)
            self._arguments[name] = value
        _refuse_reversed(self.start_time, self.end_time)
        self._opened = None

    def setup_data(self, **kwargs: Any) -> None:
        """Read the data anew at the next use; ``enable_cache`` is accepted, the store always caches."""
        for name in kwargs:
            if name != "enable_cache":
                raise UnknownSettingError(name, ("enable_cache",), where=f"{type(self).__name__}.setup_data")
        self._opened = None

    def fetch(
        self,
        selector: Any = slice(None, None),
        level: str | int | None = "datetime",
        col_set: ColumnSet = CS_ALL,
        data_key: DataKey = "infer",
        squeeze: bool = False,  # noqa: FBT001, FBT002 - Qlib's signature
        proc_func: Callable[[pd.DataFrame], pd.DataFrame] | None = None,
    ) -> pd.DataFrame:
        """Return a frame of the chosen rows and columns.

        Parameters
        ----------
        selector : slice, date, pair of dates or index
            By default everything. A pair is a closed range.
        level : str, int or None
            The index level the selector means; None hands it to ``loc``.
        col_set : str or sequence of str
            ``__all``: every column, without groups; ``__raw``: with them; a group: its columns; several: with groups.
        data_key : str
            ``raw``, ``infer`` or ``learn``.
        squeeze : bool
            Drop dimensions of length one.
        proc_func : callable, optional
            Called with the rows, groups and all, before columns are chosen.

        Raises
        ------
        UnknownSettingError, UnknownFieldError
            For an unknown data key or group; carries the nearest.
        """
        if isinstance(selector, tuple | list) and len(selector) == 2 and level is not None:
            selector = slice(*selector)
        if level in ("datetime", 0) and isinstance(selector, slice) and selector.step is None:
            frame = self._frame(self.places(selector.start, selector.stop), data_key, col_set, proc_func)
        elif level in ("datetime", 0) and not pd.api.types.is_list_like(selector):
            frame = self._frame(self.places(selector, selector), data_key, col_set, proc_func)
        else:
            frame = self._frame(range(len(self.panel.dates)), data_key, col_set, None)
            frame = _located(frame, selector, level)
            frame = proc_func(frame) if proc_func is not None else frame
        if not squeeze:
            return frame
        squeezed: Any = frame.squeeze()
        if isinstance(selector, str | pd.Timestamp) and getattr(squeezed, "index", None) is not None:
            squeezed = squeezed.reset_index(level=level, drop=True)
        return squeezed  # type: ignore[no-any-return]  # a Series or a number, as the seeds' users expect

    def get_cols(self, col_set: ColumnSet = CS_ALL, data_key: DataKey = "infer") -> list[Any]:
        """Return the names of the columns of a set."""
        head = chosen_columns(self.table(range(min(1, len(self.panel.dates))), data_key), col_set)
        return column_labels(head, col_set).to_list()

    def get_range_selector(self, cur_date: Any, periods: int) -> slice:
        """Return the slice of the `periods` sessions that end with `cur_date`, fewer at the beginning."""
        dates = self.panel.dates
        place = dates.get_indexer(pd.DatetimeIndex([cur_date]))[0]
        if place < 0:
            raise SegmentError(start=cur_date, end=cur_date, reason="the handler has no such session")
        return slice(dates[max(0, place - periods + 1)], dates[place])

    def get_range_iterator(
        self, periods: int, min_periods: int | None = None, **kwargs: Any
    ) -> Iterator[tuple[pd.Timestamp, pd.DataFrame]]:
        """Yield each session, after the first `min_periods`, with the frame of the `periods` that end with it."""
        dates = self.panel.dates
        for date in dates[periods if min_periods is None else min_periods :]:
            yield date, self.fetch(self.get_range_selector(date, periods), **kwargs)

    def places(self, start: Any, end: Any) -> range:
        """Return the places in ``panel.dates`` of the closed range, cut at its ends; None is open."""
        return session_range(self.panel.dates, start, end)

    def segment_places(self, start: Any, end: Any) -> range:
        """Return the places of a segment, which must lie inside what the handler covers.

        Raises
        ------
        SegmentError
            When it is reversed, has no session here, or reaches beyond the handler's range or the calendar: rows
            would be missing without a word (defect G6).
        """
        _refuse_reversed(start, end)
        dates = self.panel.dates
        found = self.places(start, end)
        covered = f"[{dates[0]:%Y-%m-%d}, {dates[-1]:%Y-%m-%d}]" if len(dates) else "no session"
        if not found:
            raise SegmentError(start=start, end=end, reason=f"the handler covers {covered}, nothing of it inside")
        limits = self.panel.limits or (None, None)
        for side, value, own, limit in (
            ("begins before", start, self.start_time, limits[0]),
            ("ends after", end, self.end_time, limits[1]),
        ):
            if value is None:
                continue
            bounds = [to_session(bound) for bound in (own, limit) if bound is not None]
            moment = to_session(value)
            outside = any(moment < bound if side == "begins before" else moment > bound for bound in bounds)
            if outside:
                raise SegmentError(
                    start=start,
                    end=end,
                    reason=f"it {side} the handler does, which covers {covered}",
                    hint="widen the handler's start_time and end_time, or cut the segment",
                )
        return found

    def table(self, places: range, data_key: DataKey) -> Table:
        """Return the processed rows of ``panel.dates[places]``."""
        _check_key(data_key)
        return self.panel.table(places.start, places.stop)

    def picked(self, places: range, data_key: DataKey) -> Table:
        """Return the same rows as `table`; runs that no processor touches may be `PickedRun`, which copy nothing."""
        return self.table(places, data_key)

    def rows(self, places: range, data_key: DataKey) -> Rows:
        """Return the labels of those rows; values are read only where a processor may drop rows."""
        _check_key(data_key)
        return self.panel.rows(places.start, places.stop)

    def _frame(
        self,
        places: range,
        data_key: DataKey,
        col_set: ColumnSet,
        proc_func: Callable[[pd.DataFrame], pd.DataFrame] | None,
    ) -> pd.DataFrame:
        table = self.picked(places, data_key)
        if proc_func is not None:
            table = Table.of_frame(proc_func(table.to_frame()))
        table = chosen_columns(table, col_set)
        frame = table.to_frame()
        frame.columns = column_labels(table, col_set)
        return frame


class DataHandlerLP(DataHandler):
    """A handler whose data pass through processors, others for learning than for inference.

    Guarantees: a processor that learns sees the rows of its fit range and nothing else, whichever window is asked for;
    windows are processed when asked for, so that a model over ten windows never holds all data ten times.

    .. warning:: **Look-ahead.** A processor of a user's own that learns and names no fit range learns from the whole
       range of the handler, test segments included, as in Qlib.

    Parameters
    ----------
    instruments, start_time, end_time, data_loader, source, store
        As `DataHandler`.
    infer_processors, learn_processors, shared_processors : sequence
        Processors, their names or configurations.
    process_type : str
        ``append``: learn = shared, infer, learn processors in this order; ``independent``: learn = shared, learn.
    drop_raw : bool
        Kept for Qlib's signature; raw data cost no memory here and stay.
    """

    PTYPE_I: ClassVar[str] = PTYPE_I
    PTYPE_A: ClassVar[str] = PTYPE_A
    IT_FIT_SEQ: ClassVar[str] = "fit_seq"
    IT_FIT_IND: ClassVar[str] = "fit_ind"
    IT_LS: ClassVar[str] = "load_state"

    def __init__(
        self,
        instruments: Any = None,
        start_time: Any = None,
        end_time: Any = None,
        data_loader: Any = None,
        infer_processors: Sequence[Any] = (),
        learn_processors: Sequence[Any] = (),
        shared_processors: Sequence[Any] = (),
        process_type: str = PTYPE_A,
        drop_raw: bool = False,  # noqa: FBT001, FBT002 - Qlib's signature
        *,
        source: DataSource | None = None,
        store: FeatureStore | None = None,
        **kwargs: Any,
    ) -> None:
        if process_type not in (PTYPE_A, PTYPE_I):
            raise UnknownSettingError(process_type, (PTYPE_A, PTYPE_I), where="the process types")
        self.shared_processors = [build_processor(item) for item in shared_processors]
        self.infer_processors = [build_processor(item) for item in infer_processors]
        self.learn_processors = [build_processor(item) for item in learn_processors]
        for processor in (*self.shared_processors, *self.infer_processors):
            if not processor.is_for_infer():
                raise ConfigError(
                    f"{type(processor).__name__} looks at labels, which inference does not know",
                    hint="move it to learn_processors",
                )
        self.process_type = process_type
        self.drop_raw = drop_raw
        self._fitted: set[int] = set()
        self._independent = False
        self._whole: dict[DataKey, Table] = {}
        super().__init__(instruments, start_time, end_time, data_loader, source=source, store=store, **kwargs)

    @classmethod
    def from_df(cls, df: pd.DataFrame) -> DataHandlerLP:
        """Return a handler over a frame, without processors."""
        return DataHandlerLP(data_loader=StaticDataLoader(df))

    def get_all_processors(self) -> list[Processor]:
        """Return the shared, infer and learn processors."""
        return [*self.shared_processors, *self.infer_processors, *self.learn_processors]

    def config(self, processor_kwargs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        """Change what data are read, and the fit range of the processors; they learn anew when it changed."""
        super().config(**kwargs)
        self._whole.clear()
        for processor in self.get_all_processors() if processor_kwargs else ():
            before = processor.fit_range()
            processor.config(**(processor_kwargs or {}))
            if processor.fit_range() != before:
                self._fitted.discard(self._number(processor))

    def setup_data(self, init_type: str = IT_FIT_SEQ, **kwargs: Any) -> None:
        """Read the data anew at the next use.

        Parameters
        ----------
        init_type : str
            ``fit_seq``: each processor learns from what those before it made; ``fit_ind``: each from the raw data;
            ``load_state``: what they learnt before stays.
        """
        known = (self.IT_FIT_SEQ, self.IT_FIT_IND, self.IT_LS)
        if init_type not in known:
            raise UnknownSettingError(init_type, known, where="the init types")
        super().setup_data(**kwargs)
        self._whole.clear()
        self._independent = init_type == self.IT_FIT_IND
        self._fitted = set(range(len(self.get_all_processors()))) if init_type == self.IT_LS else set()

    def fit_processors(self) -> None:
        """Let every processor learn now that has not."""
        self._fit(self._chain("infer"))
        self._fit(self._chain("learn"))

    def load_states(self, states: Sequence[dict[str, Any]]) -> None:
        """Take back what each of `get_all_processors` had learnt; none of them learns again."""
        processors = self.get_all_processors()
        if len(states) != len(processors):
            raise ConfigError(f"{len(states)} states for {len(processors)} processors")
        for number, (processor, state) in enumerate(zip(processors, states, strict=True)):
            processor.load_state(state)
            self._fitted.add(number)

    def table(self, places: range, data_key: DataKey) -> Table:
        """Return the processed rows of ``panel.dates[places]``."""
        _check_key(data_key)
        return self._run(self.fitted(data_key), places, data_key)

    def picked(self, places: range, data_key: DataKey) -> Table:
        """Return the same rows as `table`; runs that no processor touches may be `PickedRun`, which copy nothing."""
        _check_key(data_key)
        chain = self.fitted(data_key)
        found = picked_table(chain, self.panel.table(places.start, places.stop)) if chain else None
        return self._run(chain, places, data_key) if found is None else found

    def fitted(self, data_key: DataKey) -> list[Processor]:
        """Return the processors of a data key in order, after they have learnt what they learn."""
        return self._fit(self._chain(data_key))

    def rows(self, places: range, data_key: DataKey) -> Rows:
        """Return the labels of those rows; values are read only where a processor may drop rows."""
        _check_key(data_key)
        if all(processor.keeps_rows for processor in self._chain(data_key)):
            return self.panel.rows(places.start, places.stop)
        return self.table(places, data_key).rows

    def _number(self, processor: Processor) -> int:
        return next(number for number, other in enumerate(self.get_all_processors()) if other is processor)

    def _chain(self, data_key: DataKey) -> list[Processor]:
        if data_key == "raw":
            return []
        if data_key == "infer":
            return [*self.shared_processors, *self.infer_processors]
        between = self.infer_processors if self.process_type == PTYPE_A else []
        return [*self.shared_processors, *between, *self.learn_processors]

    def _fit(self, chain: list[Processor]) -> list[Processor]:
        for number, processor in enumerate(chain):
            if self._number(processor) in self._fitted:
                continue
            if type(processor).fit is not Processor.fit and _learns(processor):
                span = processor.fit_range()
                places = self.places(*span) if span is not None else range(len(self.panel.dates))
                before = [] if self._independent else chain[:number]
                processor.fit_table(self._run(before, places, None))
            self._fitted.add(self._number(processor))
        return chain

    def _run(self, chain: Sequence[Processor], places: range, data_key: DataKey | None) -> Table:
        if all(processor.local for processor in chain):
            table = self.panel.table(places.start, places.stop)
            for processor in chain:
                table = processor.transform(table)
            return table
        # a processor of a user's own may look at any row, so it gets them all; the window is cut out afterwards
        whole = self._whole.get(data_key) if data_key is not None else None
        if whole is None:
            whole = self.panel.table(0, len(self.panel.dates))
            for processor in chain:
                whole = processor.transform(whole)
            if data_key is not None:
                self._whole[data_key] = whole
        dates = self.panel.dates
        if not places:
            return whole.take(slice(0, 0))
        return whole.take(whole.rows.between(dates[places.start], dates[places.stop - 1]))


def _learns(processor: Processor) -> bool:
    return processor.fit_range() is not None or type(processor).fit_table is Processor.fit_table


def _check_key(data_key: str) -> None:
    if data_key not in ("raw", "infer", "learn"):
        raise UnknownSettingError(data_key, ("raw", "infer", "learn"), where="the data keys")


def _refuse_reversed(start: Any, end: Any) -> None:
    if start is not None and end is not None and to_session(end) < to_session(start):
        raise SegmentError(start=start, end=end, reason="it ends before it starts")


def _located(frame: pd.DataFrame, selector: Any, level: str | int | None) -> pd.DataFrame:
    if level is None or isinstance(selector, pd.MultiIndex):
        found = frame.loc[selector]
        return found if isinstance(found, pd.DataFrame) else found.to_frame().T
    place = INDEX_LEVELS.index(level) if isinstance(level, str) and level in INDEX_LEVELS else level
    if place not in (0, 1):
        raise UnknownSettingError(str(level), INDEX_LEVELS, where="the index levels")
    if isinstance(selector, slice):
        values = frame.index.levels[place]  # type: ignore[attr-defined]  # always a MultiIndex
        keep = values[values.slice_indexer(selector.start, selector.stop)]
    else:
        keep = selector if pd.api.types.is_list_like(selector) else [selector]
    return frame[np.asarray(frame.index.get_level_values(place).isin(keep))]
