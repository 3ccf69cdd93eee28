"""``D``: Qlib's interface to market data, calendars, universes and expressions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rollwright.calendar.trading import SessionLike, to_session
from rollwright.config.context import current_settings
from rollwright.errors import ConfigError, DataError, UnknownInstrumentError, nearest
from rollwright.expression.engine import Tile, evaluate_each
from rollwright.expression.planner import Plan, compile_plan
from rollwright.expression.row_search import find_rows
from rollwright.features.filters import filter_configs
from rollwright.features.panel import FieldGroup, open_panel, per_instrument, session_range
from rollwright.features.row_layout import Spans, join_spans, spans_of_bounds, spans_of_lifetimes
from rollwright.features.store.feature_store import FeatureStore
from rollwright.features.table import two_levels
from rollwright.features.universe import resolve_codes, universe_of
from rollwright.market.as_of import AsOf
from rollwright.market.current import current_market
from rollwright.market.source import DataSource

__all__ = ["D", "DataFacade"]

_LEAST_MEMORY: Final = 8 << 20
_RESULT_SHARE: Final = 4


class DataFacade:
    """Qlib's ``D``: reads calendars, universes and values from the current market.

    Nothing is cached here: each call reads the data as they are then. While a holdout is sealed, a call that names one
    of its sessions is a `HoldoutSealedError`, and one with an open end ends before it.
    """

    __slots__ = ()

    def calendar(
        self,
        start_time: Any = None,
        end_time: Any = None,
        freq: str = "day",
        future: bool = False,  # noqa: FBT001, FBT002 - Qlib's signature
        *,
        as_of: SessionLike | None = None,
    ) -> np.ndarray[Any, Any]:
        """Return the sessions of the closed range as an array of objects, each a `pandas.Timestamp`.

        Parameters
        ----------
        start_time, end_time : date, optional
        freq : str
        future : bool
            Include known future sessions.
        as_of : date, optional
            The moment from which the market is seen: later sessions are future ones.

        Raises
        ------
        CalendarRangeError
            When the calendar begins after `as_of`.
        """
        calendar = _market(freq, as_of).calendar()
        return (calendar if future else calendar.known_part()).sessions(start_time, end_time).to_numpy(object)

    def instruments(
        self,
        market: str | Sequence[str] = "all",
        filter_pipe: Sequence[Any] | None = None,
        start_time: None = None,
        end_time: None = None,
        *,
        as_of: SessionLike | None = None,
    ) -> dict[str, Any] | list[str]:
        """Return the configuration of a universe for `features` and handlers; a list of codes is returned as it is.

        Parameters
        ----------
        market : str or sequence of str
        filter_pipe : sequence, optional
        start_time, end_time : None
            Only None: a universe has no range. In Qlib they are without effect too.
        as_of : date, optional
            The moment whose knowledge of the universe is meant, as of the members that were announced then; the
            configuration carries it to whoever reads it. What is read for these members is not cut, see `features`.

            .. warning:: **Look-ahead.** Where the market has no dates of the universe (`rollwright.market.known_then`),
               it is today's, cut.

        Raises
        ------
        UnknownInstrumentError
            When there is no such universe.
        ConfigError
            For a range.
        """
        if start_time is not None or end_time is not None:
            raise ConfigError(
                f"a universe has no range, and {start_time!r} to {end_time!r} would have no effect",
                hint="give start_time and end_time to D.list_instruments or D.features",
            )
        if not isinstance(market, str):
            if as_of is not None:
                raise ConfigError(
                    f"as_of={as_of!r} would have no effect on a list of codes",
                    hint="give as_of to D.features or D.list_instruments",
                )
            return list(market)
        _market(None, as_of).members(market)
        config: dict[str, Any] = {"market": market, "filter_pipe": filter_configs(filter_pipe)}
        return config if as_of is None else {**config, "as_of": str(to_session(as_of))}

    def list_instruments(
        self,
        instruments: Any,
        start_time: Any = None,
        end_time: Any = None,
        freq: str = "day",
        as_list: bool = False,  # noqa: FBT001, FBT002 - Qlib's signature
        *,
        as_of: SessionLike | None = None,
    ) -> dict[str, list[tuple[pd.Timestamp, pd.Timestamp]]] | list[str]:
        """Return the members of `instruments` in the closed range: codes with their ranges, or codes alone.

        Parameters
        ----------
        instruments : str, mapping, sequence of str
            As `universe_of`.
        start_time, end_time : date, optional
        freq : str
        as_list : bool
        as_of : date, optional
            The moment from which the market is seen: members are those that were known then, and a range that goes on
            ends with the last session that was.
        """
        source = _market(freq, as_of)
        calendar = source.calendar()
        calendar.refuse_sealed(start_time, end_time)
        universe = universe_of(instruments, source)
        if universe is None:
            return self.list_instruments(list(source.instruments()), start_time, end_time, freq, as_list, as_of=as_of)
        low = to_session(start_time) if start_time is not None else calendar.first
        high = to_session(end_time) if end_time is not None else calendar.last
        found: dict[str, list[tuple[pd.Timestamp, pd.Timestamp]]] = {}
        for code, spans in universe.lifetimes.items():
            cut = [(max(start, low), min(end, high)) for start, end in spans]
            inside = [(start, end) for start, end in cut if start <= end]
            if inside:
                found[code] = inside
        return list(found) if as_list else found

    def features(
        self,
        instruments: Any,
        fields: Iterable[str],
        start_time: Any = None,
        end_time: Any = None,
        freq: str = "day",
        disk_cache: int | None = None,
        inst_processors: Sequence[Any] = (),
        *,
        as_of: SessionLike | None = None,
    ) -> pd.DataFrame:
        """Return expressions as a float32 frame with the index (instrument, datetime), one column each.

        A row is there when any of the expressions has it: an expression has the rows of the fields it reads. A field
        that begins later than the others has fewer, and one that an instrument lacks has none; the frame is empty when
        no instrument of the range has any of the fields.

        .. warning:: **Look-ahead.** Expressions that read later sessions (``Ref($close, -1)``) are computed, since
           labels need them. Do not use such a column as a feature.

        Parameters
        ----------
        instruments : str, mapping, sequence of str
            As `universe_of`.
        fields : iterable of str
            Expressions.
        start_time, end_time : date, optional
        freq : str
        disk_cache : int, optional
            0 computes, 1 uses the feature store, 2 replaces what it has; ``store.default_disk_cache``, or 0 when that
            is not set, if not given.
        inst_processors : sequence
            Functions ``(frame, instrument=code) -> frame`` on each instrument's data.
        as_of : date, optional
            The moment from which the market is seen (`rollwright.market.as_of.AsOf`): later sessions are not there, and
            reports, memberships and adjustment factors are those that were known then.

            .. warning:: **Look-ahead.** Without it a row is what was known at its own session of reports, and what is
               known today of the members of a universe and of adjusted prices.

        Raises
        ------
        UnknownInstrumentError, UnknownFieldError, ExpressionError
        DataError
            When no instrument has a series in the range.
        """
        names = tuple(map(str, fields)) if not isinstance(fields, str) else (fields,)
        if not names:
            raise ConfigError("the list of fields is empty")
        source = _market(freq, as_of)
        mode = disk_cache if disk_cache is not None else current_settings().store.default_disk_cache or 0
        if mode not in (0, 1, 2):
            raise ConfigError(f"disk_cache is {mode}", hint="0 computes, 1 uses the feature store, 2 replaces")
        if mode:
            group = FieldGroup(group="label", expressions=names, names=names)
            panel = open_panel(
                (group,), source, _store(mode), instruments=instruments,
                start_time=start_time, end_time=end_time,
            )  # fmt: skip
            frame = panel.table(0, len(panel.dates)).to_frame().swaplevel().sort_index()
            frame.columns = pd.Index(names)
        else:
            frame = _compute(instruments, names, source, start_time, end_time)
        frame = _as_asked(frame, instruments, source)
        if inst_processors:
            frame = per_instrument(frame.swaplevel().sort_index(), inst_processors).swaplevel().sort_index()
        return frame


def _market(freq: str | None, as_of: SessionLike | None) -> DataSource:
    """Return the current market, seen from `as_of` if it is given."""
    market = current_market(freq)
    return market if as_of is None else AsOf(market, as_of)


def _as_asked(frame: pd.DataFrame, instruments: Any, source: DataSource) -> pd.DataFrame:
    """Return `frame` with the codes spelled as they were asked for, as Qlib spells them."""
    if (
        instruments is None
        or isinstance(instruments, str)
        or (isinstance(instruments, Mapping) and "market" in instruments)
    ):
        return frame
    asked = resolve_codes(list(instruments), source)
    if all(code == other for code, other in asked.items()):
        return frame
    return frame.rename(index=asked, level="instrument").sort_index()


def _store(mode: int) -> FeatureStore:
    return FeatureStore.from_settings(
        current_settings().with_values({"store.default_disk_cache": mode}, origin="argument")
    )


def _compute(
    instruments: Any, names: Sequence[str], source: DataSource, start_time: Any, end_time: Any
) -> pd.DataFrame:
    plan = compile_plan(names, allow_lookahead=True)
    calendar = source.calendar()
    calendar.refuse_sealed(start_time, end_time)
    span = session_range(calendar.to_index()[: calendar.known], start_time, end_time)
    codes, spans = _row_spans(instruments, plan, source, span)
    if not len(span) or not codes:
        raise DataError(
            f"there are no rows in [{start_time}, {end_time}]",
            hint=f"the market's sessions go from {calendar.first:%Y-%m-%d} to {calendar.last_known:%Y-%m-%d}",
        )
    lengths = spans[:, 2] - spans[:, 1]
    values = np.empty((len(names), int(lengths.sum())), dtype=np.float32)
    evaluate_each(
        plan, source, partial(_write_series, values, spans), instruments=codes, start=span.start, stop=span.stop,
        threads=current_settings().data.kernels, memory=_share_memory(values.nbytes),
    )  # fmt: skip
    index = two_levels(
        instrument=(pd.Index(codes, dtype="str"), np.repeat(spans[:, 0], lengths)),
        datetime=(calendar.to_index()[span.start : span.stop], _ranges(spans[:, 1] - span.start, lengths)),
    )
    # a frame keeps its columns one after another, so this is its own memory: nothing is copied
    return pd.DataFrame(values.T, index=index, columns=pd.Index(names), copy=False)


def _share_memory(result: int) -> int:
    """Return the working memory of a thread: what is set, and of a small result no more than a part of its bytes.

    On a small market what is set would be most of all the memory, and narrower tiles cost little time there.
    """
    return min(current_settings().data.kernel_bytes, max(_LEAST_MEMORY, result // _RESULT_SHARE))


def _write_series(values: NDArray[np.float32], spans: Spans, tile: Tile) -> None:
    """Copy a tile's cells to ``values[expressions, rows]``, whose rows are those of `spans`, one after another.

    Parameters
    ----------
    values : float32 ``[expressions, rows]``
    spans : int64 ``[m, 3]``
        Instrument, first session and one past the last, sorted, within the sessions that are evaluated.
    tile : Tile
    """
    ends = np.cumsum(spans[:, 2] - spans[:, 1])
    first, last = tile.rows.start, tile.rows.stop
    here = slice(*np.searchsorted(spans[:, 0], [tile.columns[0], tile.columns[-1] + 1]))
    for (number, start, stop), end in zip(spans[here].tolist(), ends[here].tolist(), strict=True):
        low, high = max(start, first), min(stop, last)
        if low < high:
            cells = tile.values[:, low - first : high - first, number - tile.columns[0]]
            values[tile.expressions, end - stop + low : end - stop + high] = cells


def _ranges(starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return ``[start, start + 1, …]`` for each start and length, concatenated."""
    numbers = np.arange(int(lengths.sum()), dtype=np.int64)
    numbers += np.repeat(starts - (np.cumsum(lengths) - lengths), lengths)
    return numbers


def _row_spans(instruments: Any, plan: Plan, source: DataSource, span: range) -> tuple[tuple[str, ...], Spans]:
    """Return the instruments that have a series in the range, sorted, and the rows that any expression has there.

    1. Find the instruments that are asked for, with the sessions in which they belong to the universe.
    2. Leave out those without any series in the range.
    3. Join the rows of the expressions, within those sessions.
    """
    calendar = source.calendar()
    universe = universe_of(instruments, source)
    known = set(source.instruments())
    codes = tuple(source.instruments() if universe is None else sorted(known & universe.lifetimes.keys()))
    if not codes:
        suggestion = nearest(str(instruments), known)
        raise UnknownInstrumentError(
            f"no member of `{instruments}` has a series", hint=f"did you mean `{suggestion}`?" if suggestion else None
        )

    def spans_of(bounds: NDArray[np.int64], codes: tuple[str, ...]) -> Spans:
        if universe is None:
            spans = spans_of_bounds(bounds, sessions=calendar.known)
        else:
            spans = spans_of_lifetimes(universe.lifetimes, codes, bounds, calendar)
        return spans[(spans[:, 1] < span.stop) & (spans[:, 2] > span.start)]

    rows = find_rows(plan, source, codes)
    wanted = {rows.number_of(term) for term in plan.terms}
    found = [spans_of(rows.bounds[number], codes) for number in sorted(wanted)]
    used = np.unique(np.concatenate([spans_of(source.bounds(codes), codes)[:, 0], *(part[:, 0] for part in found)]))
    spans = found[0] if len(found) == 1 else join_spans(found)
    inside = np.column_stack([np.searchsorted(used, spans[:, 0]), np.clip(spans[:, 1:], span.start, span.stop)])
    return tuple(codes[number] for number in used.tolist()), inside.astype(np.int64)


D: Final = DataFacade()
