"""Loaders: where a handler's raw data come from; the names and forms of configuration are Qlib's."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import pandas as pd

from rollwright.codecs.described import Described
from rollwright.codecs.external_parquet import read_table
from rollwright.config.construct import init_instance_by_config
from rollwright.config.context import current_settings, using
from rollwright.errors import ConfigError, DataError, UnknownInstrumentError, UnknownSettingError
from rollwright.expression.label_reach import LabelReach
from rollwright.expression.ops import Expression
from rollwright.features.filters import filter_configs
from rollwright.features.panel import FieldGroup, FramePanel, Panel, open_panel, per_instrument
from rollwright.features.sealing import seal_table
from rollwright.features.store.feature_store import FeatureStore
from rollwright.features.table import Table
from rollwright.market.current import choose_market
from rollwright.market.seal import find_holdout
from rollwright.market.source import DataSource
from rollwright.market.view import find_last_seen

if TYPE_CHECKING:
    from rollwright.dataset.handler import DataHandler

__all__ = [
    "CastDataLoader",
    "DataLoader",
    "DataLoaderDH",
    "NestedDataLoader",
    "QlibDataLoader",
    "StaticDataLoader",
]


class DataLoader(Described, ABC):
    """Gives the raw data of a handler as a frame with the index (datetime, instrument)."""

    label_lookahead: int = 0
    """Sessions of future that the labels read, where no expression tells."""
    universes: ClassVar[Literal["any", "codes", "none"]] = "any"
    """What it can be asked for: any universe; codes alone, like a file; nothing, since its data say whose they are."""

    @abstractmethod
    def load(self, instruments: Any = None, start_time: Any = None, end_time: Any = None) -> pd.DataFrame:
        """Return the data of `instruments` in the closed range; None is everything."""

    def panel(
        self,
        instruments: Any,
        start_time: Any,
        end_time: Any,
        *,
        source: DataSource | None,
        store: FeatureStore | None,
    ) -> Panel:
        """Return the data as a panel; a loader over the feature store gives one without a copy."""
        del source, store
        return FramePanel(self.load(instruments, start_time, end_time), label_lookahead=self.find_label_lookahead())

    def find_label_reach(self) -> LabelReach:
        """Return which sessions the labels read, and the return they are; no data are read for it."""
        return LabelReach.declared(self.label_lookahead)

    def find_label_lookahead(self) -> int:
        """Return the sessions of future that the labels read; no data are read for it."""
        return self.find_label_reach().span


class QlibDataLoader(DataLoader):
    """Computes expressions from the market data.

    .. warning:: **Look-ahead.** Only the group ``label`` may hold expressions that read later sessions.

    Parameters
    ----------
    config : mapping or sequence
        ``{group: fields}`` or fields alone; fields are expressions, or expressions and the names of their columns.
    filter_pipe : sequence, optional
        Filters of the universe, or their configurations, as `apply_filters` takes them.
    swap_level : bool
        With False `load` gives the index (instrument, datetime).
    freq : str or mapping
        One for all groups, or one for each.
    inst_processors : sequence or mapping, optional
        Functions ``(frame, instrument=code) -> frame``, run on each instrument's data alone; one list for all groups,
        or one for each.
    """

    def __init__(
        self,
        config: Mapping[str, Any] | Sequence[Any],
        filter_pipe: Sequence[Any] | None = None,
        swap_level: bool = True,  # noqa: FBT001, FBT002 - Qlib's signature
        freq: str | Mapping[str, str] = "day",
        inst_processors: Any = None,
    ) -> None:
        self.filter_pipe = filter_configs(filter_pipe)
        if isinstance(config, Mapping):
            self.groups = tuple(_fields(group, fields) for group, fields in config.items())
        else:
            self.groups = (_fields(None, config),)
        self.swap_level = swap_level
        self.freq = freq
        self.inst_processors = inst_processors
        for group in self.groups:
            self._freq_of(group.group)

    def panel(
        self,
        instruments: Any,
        start_time: Any,
        end_time: Any,
        *,
        source: DataSource | None,
        store: FeatureStore | None,
    ) -> Panel:
        """Return the data as views of the feature store; instrument processors and mixed frequencies need a frame."""
        target = store if store is not None else FeatureStore.from_settings()
        if instruments is None:
            instruments = self._whole_market(source)
        if self.filter_pipe:
            if not isinstance(instruments, str):
                raise ConfigError("filter_pipe needs the name of a universe", hint="filters do not apply to codes")
            instruments = {"market": instruments, "filter_pipe": self.filter_pipe}
        if isinstance(self.freq, str) and not self.inst_processors:
            return open_panel(
                self.groups, choose_market(source, self.freq), target,
                instruments=instruments, start_time=start_time, end_time=end_time,
            )  # fmt: skip
        frames, generations = [], []
        for group in self.groups:
            market = choose_market(source, self._freq_of(group.group))
            panel = open_panel(
                (group,), market, target, instruments=instruments, start_time=start_time, end_time=end_time
            )
            frame = panel.table(0, len(panel.dates)).to_frame()
            with using(market=source) if source is not None else nullcontext():  # a processor may ask for sessions
                frames.append(per_instrument(frame, self._processors_of(group.group)))
            generations.append(panel.generation)
        generation = "|".join(dict.fromkeys(generations))
        joined = pd.concat(frames, axis=1)
        return FramePanel(joined, generation=generation, label_lookahead=self.find_label_lookahead())

    def _whole_market(self, source: DataSource | None) -> str | None:
        """Return the universe that no `instruments` means: `all`, which an index is no member of, if there is one."""
        market = choose_market(source, self._freq_of(self.groups[0].group))
        try:
            market.members("all")
        except UnknownInstrumentError:
            return None
        return "all"

    def find_label_reach(self) -> LabelReach:
        """Return how far the expressions of the label reach, from the expressions alone."""
        return LabelReach.of_expressions(text for group in self.groups if group.is_label for text in group.expressions)

    def load(self, instruments: Any = None, start_time: Any = None, end_time: Any = None) -> pd.DataFrame:
        """Return the data as a frame of its own."""
        panel = self.panel(instruments, start_time, end_time, source=None, store=None)
        frame = panel.table(0, len(panel.dates)).to_frame()
        return frame if self.swap_level else frame.swaplevel().sort_index()

    def _freq_of(self, group: str | None) -> str:
        if isinstance(self.freq, str):
            return self.freq
        if group is None or group not in self.freq:
            raise ConfigError(f"`freq` names no frequency for the group `{group}`")
        return self.freq[group]

    def _processors_of(self, group: str | None) -> list[Any]:
        found = self.inst_processors or []
        if isinstance(found, Mapping):
            found = found.get(group) or []
        return list(found)


def _fields(group: str | None, fields: Any) -> FieldGroup:
    if isinstance(fields, str) or not isinstance(fields, Sequence) or not fields:
        raise ConfigError(f"the fields of `{group}` are no list of expressions", hint='write ["$close", …]')
    if isinstance(fields[0], str | Expression):
        texts = tuple(map(str, fields))
        return FieldGroup(group=group, expressions=texts, names=texts)
    if len(fields) != 2:
        raise ConfigError(f"the fields of `{group}` are neither expressions nor (expressions, names)")
    return FieldGroup(group=group, expressions=tuple(map(str, fields[0])), names=tuple(fields[1]))


class StaticDataLoader(DataLoader):
    """Gives data that lie in frames or Parquet files.

    .. warning:: **Look-ahead.** How far a column of a file looks ahead cannot be known: say it with `label_lookahead`.

    Parameters
    ----------
    config : mapping, path or DataFrame
        ``{group: path or frame}``, or one of them alone.
    join : str
        ``outer`` or ``inner``: which rows stay when the groups' rows differ.
    label_lookahead : int
        Sessions of future that the label reads.
    """

    universes = "codes"

    def __init__(
        self,
        config: Mapping[str, Any] | str | Path | pd.DataFrame,
        join: Literal["outer", "inner"] = "outer",
        *,
        label_lookahead: int = 0,
    ) -> None:
        if join not in ("outer", "inner"):
            raise UnknownSettingError(join, ("outer", "inner"), where="the joins of StaticDataLoader")
        self._config = config
        self.join = join
        self.label_lookahead = label_lookahead
        self._data: pd.DataFrame | None = None

    def load(self, instruments: Any = None, start_time: Any = None, end_time: Any = None) -> pd.DataFrame:
        """Return the data of `instruments` (codes) in the closed range, up to what the context lets be seen."""
        holdout = find_holdout()
        if holdout is not None:
            holdout.refuse_range(start_time, end_time)
        if self._data is None:
            self._data = self._read()
        rows = FramePanel(self._data).table(0, len(FramePanel(self._data).dates))
        rows = seal_table(rows, find_last_seen(), label_lookahead=self.label_lookahead)
        chosen = rows.take(rows.rows.select_range(start_time, end_time))
        if instruments is None:
            return chosen.to_frame()
        if isinstance(instruments, str | Mapping):
            raise ConfigError("a StaticDataLoader knows no universes", hint="give codes, or None for everything")
        wanted = chosen.rows.instruments.isin(list(instruments))
        return chosen.take(wanted[chosen.rows.instrument_codes]).to_frame()

    def _read(self) -> pd.DataFrame:
        if isinstance(self._config, Mapping):
            parts = {group: _frame(item) for group, item in self._config.items()}
            return pd.concat(parts, axis=1, join=self.join).sort_index()
        return _frame(self._config)


def _frame(item: Any) -> pd.DataFrame:
    if isinstance(item, pd.DataFrame):
        return item
    path = current_settings().resolve(item)
    if path.suffix != ".parquet":
        raise ConfigError(f"{path} is no Parquet file", hint="other formats are not read; convert it first")
    if not path.is_file():
        raise DataError(f"there is no file {path}")
    return read_table(path)


class CastDataLoader(DataLoader):
    """Gives the table a handler was cast with; see ``DataHandlerLP.cast``."""

    universes = "none"

    def __init__(self, table: Table, generation: str, label_reach: LabelReach) -> None:
        self.table = table
        self.generation = generation
        self.label_reach = label_reach

    def find_label_reach(self) -> LabelReach:
        """Return what was known of the labels when they were cast."""
        return self.label_reach

    def load(self, instruments: Any = None, start_time: Any = None, end_time: Any = None) -> pd.DataFrame:
        """Return all of it: whose rows there are, and which, was decided when it was cast."""
        del instruments, start_time, end_time
        return self.table.to_frame()

    def panel(
        self,
        instruments: Any,
        start_time: Any,
        end_time: Any,
        *,
        source: DataSource | None,
        store: FeatureStore | None,
    ) -> Panel:
        """Return the data as a panel, with the generation and look-ahead they had."""
        del source, store
        frame = self.load(instruments, start_time, end_time)
        return FramePanel(frame, generation=self.generation, label_lookahead=self.find_label_lookahead())


class NestedDataLoader(DataLoader):
    """Joins what several loaders give; where two have a column, the later one's stays.

    A universe is asked of the loaders that know universes. Files and frames know codes only, handlers their own
    universe (`StaticDataLoader`, `DataLoaderDH`): otherwise they give all their rows, and `join` says which stay.

    Parameters
    ----------
    dataloader_l : sequence
        Loaders or their configurations.
    join : str
        How rows are joined, as in `pandas.merge`.
    """

    def __init__(self, dataloader_l: Sequence[Any], join: Literal["left", "right", "outer", "inner"] = "left") -> None:
        if not dataloader_l:
            raise ConfigError("a NestedDataLoader needs at least one loader")
        self.data_loader_l: list[DataLoader] = [
            init_instance_by_config(item, "rollwright.dataset.loader", accept_types=DataLoader, slot="loader")
            for item in dataloader_l
        ]
        self.join = join

    def panel(
        self,
        instruments: Any,
        start_time: Any,
        end_time: Any,
        *,
        source: DataSource | None,
        store: FeatureStore | None,
    ) -> Panel:
        """Return the joined data as a panel."""
        frame: pd.DataFrame | None = None
        generations = []
        asked = [_choose_instruments(loader, instruments) for loader in self.data_loader_l]
        if instruments is not None and all(item is None for item in asked):
            raise ConfigError(f"none of the loaders knows the universe `{instruments}`", hint="give None, or codes")
        for loader, wanted in zip(self.data_loader_l, asked, strict=True):
            part = loader.panel(wanted, start_time, end_time, source=source, store=store)
            generations.append(part.generation)
            now = part.table(0, len(part.dates)).to_frame()
            if frame is None:
                frame = now
            else:
                frame = frame.drop(columns=[column for column in now.columns if column in frame.columns])
                frame = frame.merge(now, left_index=True, right_index=True, how=self.join)
        if frame is None:  # pragma: no cover - the constructor wants one loader
            raise DataError("no loader gave anything")
        generation = "|".join(dict.fromkeys(generations))
        ahead = self.find_label_lookahead()
        return FramePanel(frame.sort_index(axis=1), generation=generation, label_lookahead=ahead)

    def find_label_reach(self) -> LabelReach:
        """Return what the labels of its loaders read together."""
        return LabelReach.joined(loader.find_label_reach() for loader in self.data_loader_l)

    def load(self, instruments: Any = None, start_time: Any = None, end_time: Any = None) -> pd.DataFrame:
        """Return the joined data as a frame."""
        panel = self.panel(instruments, start_time, end_time, source=None, store=None)
        return panel.table(0, len(panel.dates)).to_frame()


def _choose_instruments(loader: DataLoader, instruments: Any) -> Any:
    named = isinstance(instruments, str | Mapping)
    return None if loader.universes == "none" or (loader.universes == "codes" and named) else instruments


class DataLoaderDH(DataLoader):
    """Takes its data from handlers.

    Parameters
    ----------
    handler_config : DataHandler, its configuration, or a mapping of group to either
    fetch_kwargs : mapping, optional
        Given to ``handler.fetch``; by default columns come with their groups.
    is_group : bool
        Whether `handler_config` is a mapping of groups.
    """

    universes = "none"

    def __init__(
        self,
        handler_config: Any,
        fetch_kwargs: Mapping[str, Any] | None = None,
        is_group: bool = False,  # noqa: FBT001, FBT002 - Qlib's signature
    ) -> None:
        from rollwright.dataset.handler import DataHandler  # noqa: PLC0415 - handlers are made from loaders

        def build_handler(config: Any) -> DataHandler:
            made: DataHandler = init_instance_by_config(
                config, "rollwright.dataset.handler", accept_types=DataHandler, slot="handler"
            )
            return made

        self.handlers: dict[Any, DataHandler] = (
            {group: build_handler(config) for group, config in handler_config.items()}
            if is_group
            else {None: build_handler(handler_config)}
        )
        self.fetch_kwargs: dict[str, Any] = {"col_set": "__raw", **(fetch_kwargs or {})}

    def load(self, instruments: Any = None, start_time: Any = None, end_time: Any = None) -> pd.DataFrame:
        """Return the handlers' data in the closed range, side by side.

        Raises
        ------
        ConfigError
            For `instruments`: each handler has its own.
        """
        if instruments is not None:
            raise ConfigError("a DataLoaderDH takes the instruments of its handlers", hint="give None")
        return self._fetch(self.handlers, start_time, end_time)

    def _fetch(self, handlers: Mapping[Any, DataHandler], start_time: Any, end_time: Any) -> pd.DataFrame:
        chosen = slice(start_time, end_time)
        frames = {group: handler.fetch(chosen, **self.fetch_kwargs) for group, handler in handlers.items()}
        return frames[None] if None in frames else pd.concat(frames, axis=1)

    def panel(
        self,
        instruments: Any,
        start_time: Any,
        end_time: Any,
        *,
        source: DataSource | None,
        store: FeatureStore | None,
    ) -> Panel:
        """Return the data as a panel, with the generation and look-ahead of its handlers.

        Handlers that have no market of their own read `source`.
        """
        if instruments is not None:
            raise ConfigError("a DataLoaderDH takes the instruments of its handlers", hint="give None")
        handlers = self.handlers
        if source is not None or store is not None:
            handlers = {
                group: handler if handler.has_own_source else handler.over(source, store)
                for group, handler in handlers.items()
            }
        frame = self._fetch(handlers, start_time, end_time)
        generation = "|".join(dict.fromkeys(handler.generation for handler in handlers.values()))
        return FramePanel(frame, generation=generation, label_lookahead=self.find_label_lookahead())

    def find_label_reach(self) -> LabelReach:
        """Return what the labels of its handlers read together."""
        return LabelReach.joined(handler.label_reach for handler in self.handlers.values())
