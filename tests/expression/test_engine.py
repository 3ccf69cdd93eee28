"""Evaluation: the same bits whatever the query, only what is needed, nothing of the future."""

from __future__ import annotations

import gc
import threading
import weakref

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollwright.config.context import current_settings, using
from rollwright.config.settings import load_settings
from rollwright.errors import CalendarRangeError, ExpressionError, UnknownInstrumentError
from rollwright.expression import engine
from rollwright.expression.engine import Tile, evaluate, evaluate_each
from rollwright.expression.moments import Moments
from rollwright.expression.operators.catalogue import OPERATORS, register
from rollwright.expression.operators.elementwise import elementwise
from rollwright.expression.operators.rolling import windowed
from rollwright.expression.planner import compile_plan
from rollwright.testing.market import ArraySource, expression_values, random_source

FEATURES = (
    "$close/$open-1",
    "Std($close,20)/$close",
    "Slope($close,10)/$close",
    "Rsquare($close,5)",
    "Resi($close,30)/$close",
    "Quantile($close,20,0.8)/$close",
    "Rank($close,60)",
    "IdxMax($high,12)-IdxMin($low,7)",
    "Corr($close,Log($volume+1),15)",
    "Corr($close/Ref($close,1),Log($volume/Ref($volume,1)+1),10)",
    "Mean($close>Ref($close,1),30)",
    "Std(Abs($close/Ref($close,1)-1)*$volume,20)/(Mean(Abs($close/Ref($close,1)-1)*$volume,20)+1e-12)",
    "Log($volume)**3",
    "EMA($close,9)",
    "Mean($close,0)",
    "Kurt($close/$open,0)",
    "CSRank(Mean($close,5))",
    "Mean(CSZScore($volume,$close>20),3)",
    "$close/ChangeInstrument('SH600002',Mean($close,20))",
    "TResample($volume,'M','sum')",
    "CSRank(EMA($close,5))",
    "Mean(CSRank($close),0)/CSRank($volume)",
    "ChangeInstrument('SH600001',CSDemean($close))",
    "Ref($close,-2)/Ref($close,-1)-1",
)
SESSIONS, INSTRUMENTS = 150, 9


@pytest.fixture(scope="module")
def source() -> ArraySource:
    return random_source(np.random.default_rng(42), sessions=SESSIONS, instruments=INSTRUMENTS)


@pytest.fixture(scope="module")
def whole(source: ArraySource) -> np.ndarray:
    return expression_values(source, *FEATURES)


@settings(max_examples=40)
@given(
    st.integers(0, SESSIONS),
    st.integers(0, SESSIONS),
    st.sets(st.integers(0, INSTRUMENTS - 1)),
    st.sets(st.integers(0, len(FEATURES) - 1), min_size=1, max_size=5),
    st.integers(1, 3),
    st.integers(1, 5),
    st.integers(1, 80),
)
def test_results_have_the_same_bits_whatever_the_query(
    source: ArraySource,
    whole: np.ndarray,
    one: int,
    other: int,
    columns: set[int],
    features: set[int],
    threads: int,
    tile_columns: int,
    tile_rows: int,
) -> None:
    start, stop = sorted((one, other))
    names = [source.instruments()[column] for column in sorted(columns)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "MOST_COLUMNS", tile_columns)
        patch.setattr(engine, "TILE_ROWS", tile_rows)
        patch.setattr(engine, "SERIES_ROWS", tile_rows)
        patch.setattr(engine, "LOADED_CELLS", 8 * tile_rows * len(names))
        patch.setattr(engine, "STAGED_ROWS", tile_rows)
        found = expression_values(
            source,
            *(FEATURES[place] for place in sorted(features)),
            instruments=names,
            start=start,
            stop=stop,
            threads=threads,
        )
    expected = whole[np.ix_(sorted(features), range(start, stop), sorted(columns))]
    assert found.tobytes() == np.ascontiguousarray(expected).tobytes()


def test_the_order_of_instruments_is_the_callers(source: ArraySource, whole: np.ndarray) -> None:
    names = list(reversed(source.instruments()))
    found = expression_values(source, *FEATURES, instruments=names)
    np.testing.assert_array_equal(found, whole[:, :, ::-1])


def test_the_future_changes_no_feature(source: ArraySource, whole: np.ndarray) -> None:
    """Replace everything after a session; every feature up to it keeps its bits."""
    today = 90
    names, fields = source.instruments(), source.fields
    values = source.load(fields, names, 0, SESSIONS)
    values[:, today + 1 :] = np.random.default_rng(1).lognormal(3, 2, values[:, today + 1 :].shape)
    changed = ArraySource(dict(zip(fields, values, strict=True)), names, bounds=source.bounds(names))
    found = expression_values(changed, *FEATURES[:-1])
    assert found[:, : today + 1].tobytes() == np.ascontiguousarray(whole[:-1, : today + 1]).tobytes()


def test_rows_outside_a_series_are_missing_whatever_the_expression(source: ArraySource) -> None:
    found = expression_values(source, "If($close>1,1,2)", "Count($close,5)", "Not($close>1)", "1+1", "Power($close,0)")
    bounds = source.bounds(source.instruments())
    rows = np.arange(SESSIONS)[:, None]
    inside = (rows >= bounds[:, 0]) & (rows < bounds[:, 1])
    assert not inside.all()
    np.testing.assert_array_equal(np.isnan(found), np.broadcast_to(~inside, found.shape))


class _Watched(ArraySource):
    """Notes which rows are read."""

    reads: list[tuple[int, int]]

    def load(self, fields, instruments, start, stop):
        self.reads.append((start, stop))
        return super().load(fields, instruments, start, stop)


@pytest.fixture
def watched() -> _Watched:
    values = np.random.default_rng(3).lognormal(size=(2000, 70))
    watched = _Watched({"close": values, "volume": values[::-1]}, [f"S{index:03}" for index in range(70)])
    watched.reads = []
    return watched


def test_only_the_rows_needed_are_read(watched: _Watched) -> None:
    expression_values(watched, "Std(Ref($close,3),10)", "$volume", start=1500, stop=1505)
    assert set(watched.reads) == {(1488, 1505)}


def test_a_label_reads_past_the_range_but_not_past_the_calendar(watched: _Watched) -> None:
    expression_values(watched, "Ref($close,-2)", start=1000, stop=1010)
    expression_values(watched, "Ref($close,-2)", start=1990, stop=2000)
    assert set(watched.reads) == {(1000, 1012), (1990, 2000)}


def test_tiles_are_computed_when_they_are_asked_for(watched: _Watched) -> None:
    plan = compile_plan(["Mean($close,5)"])
    tiles = evaluate(plan, watched, instruments=watched.instruments(), start=0, stop=2000)
    assert watched.reads == []
    next(tiles)
    assert len(watched.reads) == 1
    tiles.close()


def test_threads_end_when_the_consumer_stops_early(watched: _Watched) -> None:
    plan = compile_plan(["Mean($close,5)"])
    tiles = evaluate(plan, watched, instruments=watched.instruments(), start=0, stop=2000, threads=2)
    next(tiles)
    tiles.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("rollwright-expression")]


def test_an_error_in_a_thread_reaches_the_consumer(watched: _Watched) -> None:
    class _Broken(_Watched):
        def bounds(self, instruments):
            return super().bounds(instruments)[:, :1]

    broken = _Broken({"close": np.ones((20, 2))}, ["A", "B"])
    broken.reads = []
    with pytest.raises(IndexError, match="index 1 is out of bounds for axis 1"):
        list(evaluate(compile_plan(["$close"]), broken, instruments=("A", "B"), start=0, stop=20, threads=2))


@pytest.mark.parametrize(("start", "stop"), [(-1, 5), (0, SESSIONS + 1), (7, 3)])
def test_a_range_outside_the_calendar_is_an_error(source: ArraySource, start: int, stop: int) -> None:
    with pytest.raises(CalendarRangeError, match="not within the calendar"):
        evaluate(compile_plan(["$close"]), source, instruments=source.instruments(), start=start, stop=stop)


def test_nothing_asked_for_is_nothing_read_and_nothing_computed() -> None:
    class _Closed(ArraySource):
        def bounds(self, instruments):
            raise AssertionError("asked for the bounds of nothing")

    closed = _Closed({"close": np.ones((20, 2))}, ["A", "B"])
    plan = compile_plan(["$close"])
    assert list(evaluate(plan, closed, instruments=(), start=0, stop=5)) == []
    assert list(evaluate(plan, closed, instruments=("A", "B"), start=5, stop=5)) == []


def test_a_field_nobody_has_is_missing_everywhere(source: ArraySource) -> None:
    assert np.isnan(expression_values(source, "$nobody", "Mean($nobody,3)", "$close+$nobody")).all()


def test_an_instrument_nobody_has_is_an_error(source: ArraySource) -> None:
    with pytest.raises(UnknownInstrumentError, match="`SH60002`") as caught:
        expression_values(source, "ChangeInstrument('SH60002',$close)")
    assert "SH60000" in str(caught.value.hint)


def test_operators_of_ones_own_are_called_like_the_others(source: ArraySource) -> None:
    if OPERATORS.find("Clip01ForTest") is None:
        register(elementwise("Clip01ForTest", lambda values: np.clip(values, 0, 1)))
    found = expression_values(source, "Clip01ForTest(Mean($close,5)/20)", "Less(Greater(Mean($close,5)/20,0),1)")
    np.testing.assert_array_equal(found[0], found[1])


def test_windowed_operators_of_ones_own_see_one_window_at_a_time(source: ArraySource) -> None:
    if OPERATORS.find("SpanForTest") is None:
        register(windowed("SpanForTest", lambda windows: np.fmax.reduce(windows, 2) - np.fmin.reduce(windows, 2)))
    found = expression_values(source, "SpanForTest($close,7)", "Max($close,7)-Min($close,7)")
    np.testing.assert_array_equal(found[0], found[1])
    with pytest.raises(ExpressionError, match="at least one session"):
        compile_plan(["SpanForTest($close,0)"])


def test_a_short_range_of_many_instruments_is_one_tile(watched: _Watched) -> None:
    plan = compile_plan(["Mean($close,20)"])
    tiles = list(evaluate(plan, watched, instruments=watched.instruments(), start=1990, stop=1995))
    assert [tile.values.shape for tile in tiles] == [(1, 5, 70)]
    assert watched.reads == [(1971, 1995)]


@pytest.mark.parametrize("threads", [1, 3])
def test_a_consumer_on_the_threads_that_compute_gets_the_same_tiles(source: ArraySource, threads: int) -> None:
    plan, names = compile_plan(["Mean($close,20)", "$close/$open"]), source.instruments()
    plain = {
        (tile.rows.start, tile.columns[0]): tile.values
        for tile in evaluate(plan, source, instruments=names, start=3, stop=SESSIONS)
    }
    taken: dict[tuple[int, int], np.ndarray] = {}

    def take(tile: Tile) -> None:
        assert tile.values.swapaxes(1, 2).flags.c_contiguous
        taken[tile.rows.start, tile.columns[0]] = tile.values.copy()

    evaluate_each(plan, source, take, instruments=names, start=3, stop=SESSIONS, threads=threads)
    assert taken.keys() == plain.keys()
    for place, values in plain.items():
        np.testing.assert_array_equal(taken[place], values, strict=True)


def test_a_consumer_that_fails_ends_the_evaluation_with_its_error(source: ArraySource) -> None:
    def take(_tile: Tile) -> None:
        raise OSError("no room")

    plan = compile_plan(["$close"])
    with pytest.raises(OSError, match="no room"):
        evaluate_each(plan, source, take, instruments=source.instruments(), start=0, stop=SESSIONS, threads=2)


def test_a_finished_block_frees_its_memory_without_the_garbage_collector(
    source: ArraySource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cycle would keep a block's arrays until the collector comes by: ten times the memory."""
    kept: list[weakref.ref[object]] = []

    class Watched(Moments):
        __slots__ = ("__weakref__",)

        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments)
            kept.append(weakref.ref(self))

    monkeypatch.setattr("rollwright.expression.block.Moments", Watched)
    gc.disable()
    try:
        expression_values(source, *FEATURES)
        assert kept
        assert not [reference for reference in kept if reference() is not None]
    finally:
        gc.enable()


def test_shared_work_is_dropped_after_its_last_reader_in_every_tile(
    source: ArraySource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ladders of a field that later expressions still read would else stay to the end: twice the memory."""
    kept: list[weakref.ref[object]] = []
    alive: list[int] = []

    class Watched(Moments):
        __slots__ = ("__weakref__",)

        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments)
            kept.append(weakref.ref(self))

    def probe(values: np.ndarray) -> np.ndarray:
        alive.append(sum(reference() is not None for reference in kept))
        return values + np.float32(0)

    if OPERATORS.find("ProbeForTest") is not None:
        OPERATORS.operators.pop("ProbeForTest")
    register(elementwise("ProbeForTest", probe))
    monkeypatch.setattr("rollwright.expression.block.Moments", Watched)
    tiles = list(
        evaluate(
            compile_plan(["Std($close,20)", "ProbeForTest($close)", "$close+$open"]), source,
            instruments=source.instruments(), start=0, stop=SESSIONS, most_rows=40,
        )
    )  # fmt: skip
    assert len(tiles) > 1
    assert alive == [0] * len(tiles)
    assert len(kept) == len(tiles)


@pytest.mark.parametrize("threads", [1, 3])
def test_the_threads_see_the_context_of_their_caller(source: ArraySource, threads: int) -> None:
    seen: set[str] = set()
    with using(load_settings({"data.region": "tw"})):
        evaluate_each(
            compile_plan(["$close"]),
            source,
            lambda _tile: seen.add(current_settings().data.region),
            instruments=source.instruments(),
            start=0,
            stop=SESSIONS,
            threads=threads,
            most_rows=20,
        )
    assert seen == {"tw"}
