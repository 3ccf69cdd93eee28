"""Handlers: raw, inference and learning data of one universe over one range, window by window."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar, Final, Self

import pandas as pd

from rollwright.codecs.described import Described
from rollwright.config.construct import init_instance_by_config
from rollwright.dataset.contract import DataKey, ReadScope, scope_of
from rollwright.dataset.handler_tables import (
    CS_ALL,
    CS_RAW,
    ColumnSet,
    StockTable,
    apply_processors,
    apply_without_copying,
    check_key,
    choose_columns,
    column_labels,
    cut,
    learns,
    locate_rows,
    of_stocks,
    refuse_reversed,
    segment_range,
    stock_table,
)
from rollwright.dataset.loader import CastDataLoader, DataLoader, StaticDataLoader
from rollwright.dataset.open_sealed import open_sealed, refuse_sealed, refuse_sealed_rows, seal_cast
from rollwright.dataset.processors import HashStockFormat, Processor, build_processor
from rollwright.errors import ConfigError, DataError, SegmentError, UnknownSettingError
from rollwright.expression.label_reach import LabelReach
from rollwright.features.panel import Panel, StorePanel, session_range
from rollwright.features.store.feature_store import FeatureStore
from rollwright.features.table import RowLabels, Table
from rollwright.market.source import DataSource
from rollwright.signing.serializable import Serializable

__all__ = ["DataHandler", "DataHandlerLP"]

PTYPE_I: Final = "independent"
PTYPE_A: Final = "append"


class DataHandler(Described, Serializable):
    """Raw data of one universe over one range.

    Guarantees: frames are the caller's own; rows are sorted by (datetime, instrument), each once; what was read once
    stays the same for the life of the handler, also when the market data grow. Nothing is read before it is needed.

    Parameters
    ----------
    instruments : str, mapping, sequence of str or None
        A universe's name, what `D.instruments` returns, or codes; None is the universe `all`, or every
        instrument of a market that has none of that name.
    start_time, end_time : date, optional
        Closed range; cut at the ends of the calendar.
    data_loader : DataLoader or its configuration
    init_data : bool
        With False nothing is read before `setup_data` is called, and fetching before that is an error. With True data
        are read at the first use.
    fetch_orig : bool
        Show the feature store's own pages in frames, where no processor changed them, instead of copying them. A frame
        is the caller's own either way: a page that is written to is copied then, and for this frame alone.
    source : DataSource, optional
        The current market if not given.
    store : FeatureStore, optional
        The current one if not given.
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
        self.is_set_up = init_data
        if data_loader is None:
            raise ConfigError(f"{type(self).__name__} has no data_loader", hint="use Alpha158, or name a loader")
        self.data_loader: DataLoader = init_instance_by_config(
            data_loader, "rollwright.dataset.loader", accept_types=DataLoader, slot="loader"
        )
        self.instruments = instruments
        self.start_time = start_time
        self.end_time = end_time
        self.fetch_orig = fetch_orig
        self._source = source
        self._store = store
        self._opened: Panel | None = None
        refuse_reversed(start_time, end_time)

    # Of the data that are open: how many of `panel.dates`, from the first, hold all that was read.
    _read_stop: int = 0
    # What was read of data that were open before.
    _former_reads: tuple[ReadScope, ...] = ()

    def __getstate__(self) -> dict[str, Any]:
        """Leave the opened data behind: a copy, in this process or another, maps them again instead of copying them."""
        return {**self.__dict__, "_opened": None, "_read_stop": 0, "_former_reads": ()}

    @property
    def panel(self) -> Panel:
        """The raw data, opened at the first use."""
        if not self.is_set_up:
            raise DataError(
                f"the data of this {type(self).__name__} are not set up: it was made with init_data=False",
                hint="call setup_data() first",
            )
        if self._opened is None:
            asked = (self.instruments, self.start_time, self.end_time)
            self._opened = open_sealed(self.data_loader, *asked, source=self._source, store=self._store)
        return self._opened

    def warm(self) -> None:
        """Compute what is not in the feature store yet, so that several processes need not wait for one that does."""
        self.panel  # noqa: B018 - opening computes

    def reads(self) -> tuple[ReadScope, ...]:
        """Return what was read since the handler was made, or since `forget_reads`; one scope for each generation."""
        if not self._read_stop:
            return self._former_reads
        begin = self.panel.sessions.start if isinstance(self.panel, StorePanel) else 0
        return (*self._former_reads, scope_of(self.panel, begin + self._read_stop + self.label_reach.span))

    def forget_reads(self) -> None:
        """Begin to note anew what is read."""
        self._read_stop = 0
        self._former_reads = ()

    def scope_until(self, stop: int) -> ReadScope:
        """Return the scope that reading everything before the calendar position `stop` would have now."""
        return scope_of(self.panel, stop)

    def _note_read(self, places: range) -> None:
        if places:
            self._read_stop = max(self._read_stop, places.stop)

    def _close(self) -> None:
        """Let the next use open the data anew; what was read of these stays known."""
        self._former_reads = self.reads()
        self._read_stop = 0
        self._opened = None

    def over(self, source: DataSource | None, store: FeatureStore | None = None) -> Self:
        """Return this handler over another market: a copy that has read nothing and learnt nothing.

        Parameters
        ----------
        source : DataSource or None
            None leaves the handler's own.
        store : FeatureStore, optional
            The handler's own if not given.
        """
        made = copy.copy(self)
        made._source = self._source if source is None else source  # noqa: SLF001 - its own copy
        made._store = self._store if store is None else store  # noqa: SLF001 - its own copy
        return made

    @property
    def has_own_source(self) -> bool:
        """Whether it was given its market, instead of reading the current one."""
        return self._source is not None

    @property
    def generation(self) -> str:
        """Identity of the market data this handler reads."""
        return self.panel.generation

    @property
    def label_reach(self) -> LabelReach:
        """Which sessions the labels read, and the return they are; asking reads no data."""
        return self.data_loader.find_label_reach()

    def config(self, **kwargs: Any) -> None:  # type: ignore[override]  # no rule by position, as in Qlib
        """Change what data are read: ``instruments``, ``start_time``, ``end_time``; and the rules of `Serializable`.

        Any other name is an `UnknownSettingError` (defect G6: nothing is swallowed).
        """
        if kwargs and not (kwargs := self.take_rules(kwargs)):
            return
        known = ("instruments", "start_time", "end_time")
        self._close()
        for name, value in kwargs.items():
            if name not in known:
                raise UnknownSettingError(name, known, where=f"{type(self).__name__}.config")
            setattr(self, name, value)
            self._arguments[name] = value
        refuse_reversed(self.start_time, self.end_time)

    def setup_data(
        self,
        enable_cache: bool = False,  # noqa: ARG002, FBT001, FBT002 - Qlib's; what True asks for is always so
        **kwargs: Any,
    ) -> None:
        """Read the data anew at the next use.

        Parameters
        ----------
        enable_cache : bool
            Whether what is computed may be kept for others. The feature store always keeps it.

        Raises
        ------
        UnknownSettingError
            For any other name.
        """
        for name in kwargs:
            raise UnknownSettingError(name, ("enable_cache",), where=f"{type(self).__name__}.setup_data")
        self._close()
        self.is_set_up = True

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
        HoldoutSealedError
            When the selector names a session of the sealed holdout.
        """
        refuse_sealed_rows(self.panel, selector, level)
        by_stock = level in ("instrument", 1) and self._hashes(data_key)
        if isinstance(selector, tuple | list) and len(selector) == 2 and level is not None and not by_stock:
            selector = slice(*selector)
        if level in ("datetime", 0) and isinstance(selector, slice) and selector.step is None:
            frame = self._make_frame(
                self.table_view(self.places(selector.start, selector.stop), data_key), data_key, col_set, proc_func
            )
        elif level in ("datetime", 0) and not pd.api.types.is_list_like(selector):
            places = self.places(selector, selector)
            frame = self._make_frame(self.table_view(places, data_key), data_key, col_set, proc_func)
        elif level in ("instrument", 1) and not isinstance(selector, slice | pd.MultiIndex):
            codes = list(selector) if pd.api.types.is_list_like(selector) else [selector]
            frame = self._make_frame(self.of_stocks(codes, data_key), data_key, col_set, proc_func)
        else:
            frame = self._make_frame(self.table_view(range(len(self.panel.dates)), data_key), data_key, col_set, None)
            frame = locate_rows(frame, selector, level)
            frame = proc_func(frame) if proc_func is not None else frame
        if not squeeze:
            return frame
        squeezed: Any = frame.squeeze()
        if isinstance(selector, str | pd.Timestamp) and getattr(squeezed, "index", None) is not None:
            squeezed = squeezed.reset_index(level=level, drop=True)
        return squeezed  # type: ignore[no-any-return]  # a Series or a number, as Qlib's users expect

    def get_cols(self, col_set: ColumnSet = CS_ALL, data_key: DataKey = "infer") -> list[Any]:
        """Return the names of the columns of a set."""
        head = choose_columns(self.table(range(min(1, len(self.panel.dates))), data_key), col_set)
        return column_labels(head, col_set).to_list()

    def get_range_selector(self, cur_date: Any, periods: int) -> slice:
        """Return the slice of the `periods` sessions that end with `cur_date`, fewer at the beginning."""
        dates = refuse_sealed(self.panel, cur_date, cur_date).dates
        place = dates.get_indexer(pd.DatetimeIndex([cur_date]))[0]
        if place < 0:
            raise SegmentError(start=cur_date, end=cur_date, reason="the handler has no such session")
        return slice(dates[max(0, place - periods + 1)], dates[place])

    def get_range_iterator(
        self, periods: int, min_periods: int | None = None, **kwargs: Any
    ) -> Iterator[tuple[pd.Timestamp, pd.DataFrame]]:
        """Yield each session, after the first `min_periods`, with the frame of the `periods` that end with it."""
        for date in self.panel.dates[periods if min_periods is None else min_periods :]:
            yield date, self.fetch(self.get_range_selector(date, periods), **kwargs)

    def places(self, start: Any, end: Any) -> range:
        """Return the places in ``panel.dates`` of the closed range, cut at its ends; None is open.

        Raises
        ------
        HoldoutSealedError
            When it names a session of the sealed holdout.
        """
        return session_range(refuse_sealed(self.panel, start, end).dates, start, end)

    def segment_places(self, start: Any, end: Any) -> range:
        """Return the places of a segment, which must lie inside what the handler covers.

        Raises
        ------
        SegmentError
            When it is reversed, has no session here, or reaches beyond the handler's range or the calendar: rows
            would be missing without a word (defect G6).
        HoldoutSealedError
            When it names a session of the sealed holdout.
        """
        return segment_range(refuse_sealed(self.panel, start, end), start, end, own=(self.start_time, self.end_time))

    def table(self, places: range, data_key: DataKey) -> Table:
        """Return the processed rows of ``panel.dates[places]``."""
        check_key(data_key)
        self._note_read(places)
        return self.panel.table(places.start, places.stop)

    def table_view(self, places: range, data_key: DataKey) -> Table:
        """Return the same rows as `table`, without copying the blocks of columns that no processor touches."""
        return self.table(places, data_key)

    def rows(self, places: range, data_key: DataKey) -> RowLabels:
        """Return the labels of those rows; values are read only where a processor may drop rows."""
        check_key(data_key)
        self._note_read(places)
        return self.panel.rows(places.start, places.stop)

    def of_stocks(self, codes: Sequence[str], data_key: DataKey) -> Table:
        """Return the rows of some instruments."""
        return of_stocks(self.table(range(len(self.panel.dates)), data_key), codes)

    def _hashes(self, data_key: DataKey) -> bool:  # noqa: ARG002 - processors may have a say in it
        return False

    def _make_frame(
        self,
        table: Table,
        data_key: DataKey,  # noqa: ARG002 - how rows are ordered may depend on it
        col_set: ColumnSet,
        proc_func: Callable[[pd.DataFrame], pd.DataFrame] | None,
    ) -> pd.DataFrame:
        if proc_func is not None:
            table = Table.from_frame(proc_func(table.to_frame()))
        table = choose_columns(table, col_set)
        frame = table.to_frame(original=self.fetch_orig)
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
        Refuse the data key ``raw``, as Qlib does once it has dropped them. They cost no memory here either way.
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
        self._hashed: dict[DataKey, StockTable] = {}
        self.cast_tables: dict[DataKey, Table] = {}
        super().__init__(instruments, start_time, end_time, data_loader, source=source, store=store, **kwargs)

    @classmethod
    def from_df(cls, df: pd.DataFrame) -> DataHandlerLP:
        """Return a handler over a frame, without processors."""
        return DataHandlerLP(data_loader=StaticDataLoader(df))

    @classmethod
    def cast(cls, handler: DataHandlerLP) -> DataHandlerLP:
        """Return a plain handler with the processed data of `handler`, a class of a user's own, and nothing else of it.

        Whoever opens it needs neither that class nor its loader, its processors and the market data; so it cannot read
        another range. Its tables are in memory.
        """
        keys: tuple[DataKey, ...] = ("infer", "learn") if handler.drop_raw else ("raw", "infer", "learn")
        tables = {key: handler.table(range(len(handler.panel.dates)), key).load() for key in keys}
        kept = {name: getattr(handler, name) for name in ("instruments", "start_time", "end_time", "fetch_orig")}
        loader = CastDataLoader(tables[keys[0]], handler.generation, handler.label_reach)
        made = DataHandlerLP(**kept, drop_raw=handler.drop_raw, data_loader=loader)
        made.cast_tables = tables
        return made

    @property
    def from_cast(self) -> bool:
        """Whether `cast` made it."""
        return bool(self.cast_tables)

    def over(self, source: DataSource | None, store: FeatureStore | None = None) -> Self:
        """Return this handler over another market: a copy that has read nothing and learnt nothing.

        Raises
        ------
        ConfigError
            When it was cast, and so has no data but those it was cast with.
        """
        if self.from_cast:
            raise ConfigError("a cast handler has no data but those it was cast with", hint="take the handler itself")
        made = super().over(source, store)
        for name in ("shared_processors", "infer_processors", "learn_processors"):
            setattr(made, name, copy.deepcopy(getattr(self, name)))
        made._fitted, made._whole, made._hashed = set(), {}, {}  # noqa: SLF001 - its own copy
        return made

    def get_all_processors(self) -> list[Processor]:
        """Return the shared, infer and learn processors."""
        return [*self.shared_processors, *self.infer_processors, *self.learn_processors]

    def config(  # type: ignore[override]  # another first argument, as in Qlib
        self, processor_kwargs: dict[str, Any] | None = None, **kwargs: Any
    ) -> None:
        """Change what data are read, and the fit range of the processors; they learn anew when it changed."""
        if self.from_cast and set(kwargs) & {"instruments", "start_time", "end_time"}:
            raise ConfigError("a cast handler has no data but those it was cast with", hint="cast a wider handler")
        super().config(**kwargs)
        self._whole.clear()
        self._hashed.clear()
        for processor in self.get_all_processors() if processor_kwargs else ():
            before = processor.fit_range()
            processor.config(**(processor_kwargs or {}))
            if processor.fit_range() != before:
                self._fitted.discard(self._number(processor))

    def setup_data(self, init_type: str = IT_FIT_SEQ, **kwargs: Any) -> None:  # type: ignore[override]  # as in Qlib
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
        self._forget(init_type)

    def fit(self) -> None:
        """Let every processor learn anew and now, each from the raw data; these are not read anew."""
        self._forget(self.IT_FIT_IND)
        self.fit_processors()

    def fit_process_data(self) -> None:
        """Let every processor learn anew and now, each from what those before it make of the data."""
        self.process_data(with_fit=True)

    def process_data(self, with_fit: bool = False) -> None:  # noqa: FBT001, FBT002 - Qlib's signature
        """Process the data anew, at their next use; the raw data are not read anew.

        Parameters
        ----------
        with_fit : bool
            True: the processors learn anew and now, as with `fit_process_data`. False: what they learnt stays.
        """
        self._forget(self.IT_FIT_SEQ if with_fit else self.IT_LS)
        if with_fit:
            self.fit_processors()

    def _forget(self, init_type: str) -> None:
        """Drop what was apply_processors, and what was learnt unless it is to stay."""
        self._whole.clear()
        self._hashed.clear()
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
        self._check(data_key)
        return self._run(self.prepare_processors(data_key), places, data_key)

    def table_view(self, places: range, data_key: DataKey) -> Table:
        """Return the same rows as `table`, without copying the blocks of columns that no processor touches."""
        self._check(data_key)
        chain = [] if self.from_cast else self.prepare_processors(data_key)
        self._note_read(places)
        found = apply_without_copying(chain, self.panel.table(places.start, places.stop)) if chain else None
        return self._run(chain, places, data_key) if found is None else found

    def prepare_processors(self, data_key: DataKey) -> list[Processor]:
        """Return the processors of a data key in order, after they have learnt what they learn."""
        return self._fit(self._chain(data_key))

    def rows(self, places: range, data_key: DataKey) -> RowLabels:
        """Return the labels of those rows; values are read only where a processor may drop rows."""
        self._check(data_key)
        if not self.from_cast and all(processor.keeps_rows for processor in self._chain(data_key)):
            self._note_read(places)
            return self.panel.rows(places.start, places.stop)
        return self.table(places, data_key).rows

    def of_stocks(self, codes: Sequence[str], data_key: DataKey) -> Table:
        """Return the rows of some instruments; after `HashStockFormat` without looking at those of the others."""
        if not self._hashes(data_key):
            return super().of_stocks(codes, data_key)
        if data_key not in self._hashed:
            self._hashed[data_key] = stock_table(self.table(range(len(self.panel.dates)), data_key))
        return self._hashed[data_key].of(codes)

    def _make_frame(
        self,
        table: Table,
        data_key: DataKey,
        col_set: ColumnSet,
        proc_func: Callable[[pd.DataFrame], pd.DataFrame] | None,
    ) -> pd.DataFrame:
        if self._hashes(data_key):
            table = stock_table(table).table
        return super()._make_frame(table, data_key, col_set, proc_func)

    def _hashes(self, data_key: DataKey) -> bool:
        chain = self._chain(data_key)
        return bool(chain) and isinstance(chain[-1], HashStockFormat)

    def _check(self, data_key: DataKey) -> None:
        check_key(data_key)
        if data_key == "raw" and self.drop_raw:
            raise ConfigError("this handler has dropped its raw data", hint="make it with drop_raw=False")

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
            if type(processor).fit is not Processor.fit and learns(processor):
                span = processor.fit_range()
                places = self.places(*span) if span is not None else range(len(self.panel.dates))
                before = [] if self._independent else chain[:number]
                processor.fit_table(self._run(before, places, None))
            self._fitted.add(self._number(processor))
        return chain

    def _run(self, chain: Sequence[Processor], places: range, data_key: DataKey | None) -> Table:
        if data_key in self.cast_tables:
            self._note_read(places)
            return cut(seal_cast(self.cast_tables[data_key], self.data_loader), self.panel, places)
        if all(processor.local for processor in chain):
            self._note_read(places)
            return apply_processors(chain, self.panel, places)
        # a processor of a user's own may look at any row, so it gets them all; the window is cut out afterwards
        self._note_read(range(len(self.panel.dates)))
        whole = self._whole.get(data_key) if data_key is not None else None
        if whole is None:
            whole = apply_processors(chain, self.panel, range(len(self.panel.dates)))
            if data_key is not None:
                self._whole[data_key] = whole
        return cut(whole, self.panel, places)
