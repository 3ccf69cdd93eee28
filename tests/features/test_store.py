"""The feature store: computed once, grown in place, never half-readable."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rollwright.calendar.trading import TradingCalendar
from rollwright.errors import DataError, LookAheadError
from rollwright.expression.engine import evaluate
from rollwright.expression.planner import compile_plan
from rollwright.features.row_layout import RowLayout
from rollwright.features.store import feature_store
from rollwright.features.store import fill as store_fill
from rollwright.features.store.feature_store import FeatureStore
from rollwright.features.universe import Universe
from rollwright.market.folder.provider import QlibProvider
from rollwright.market.ingest.importer import import_market
from rollwright.testing.market import ArraySource, random_source

FEATURES = ["Mean($close, 5)/$close", "$open/$close", "Std($volume, 10)"]
LABEL = ["Ref($close, -2)/Ref($close, -1) - 1"]
ROWS = 700


class Market:
    """A market that grows: the first `sessions` of a longer one, with generations that know what changed."""

    def __init__(
        self, sessions: int, *, generation: str = "g1", unchanged: dict[str, int] | None = None, seed: int = 3
    ):
        whole = random_source(np.random.default_rng(seed), sessions=ROWS, instruments=9)
        names = whole.instruments()
        bounds = np.minimum(whole.bounds(names), sessions)
        self._fields = {
            name: whole.load([name], names, 0, sessions)[0]
            for name in ("open", "high", "low", "close", "volume", "vwap")
        }
        self._inner = ArraySource(
            self._fields,
            names,
            calendar=TradingCalendar(whole.calendar().values[:sessions]),
            bounds=bounds,
            universes={"half": {code: ((whole.calendar()[30], whole.calendar()[200]),) for code in names[::2]}},
        )
        self.generation = generation
        self.unchanged = unchanged or {}
        self.loads: list[tuple[tuple[str, ...], int]] = []
        self.fail_after: int | None = None

    freq = "day"

    def __getattr__(self, name):
        return getattr(self._inner, name)

    def load(self, fields, instruments, start, stop):
        self.loads.append((tuple(fields), start))
        if self.fail_after is not None and len(self.loads) > self.fail_after:
            raise KeyboardInterrupt
        return self._inner.load(fields, instruments, start, stop)

    def unchanged_before(self, generation: str) -> int:
        return self.unchanged.get(generation, 0)


def expected(market: Market, expressions: list[str]) -> np.ndarray:
    names = market.instruments()
    known = market.calendar().known
    panel = np.full((len(expressions), known, len(names)), np.nan, np.float32)
    plan = compile_plan(expressions, allow_lookahead=True)
    for tile in evaluate(plan, market, instruments=names, start=0, stop=known):
        panel[:, tile.rows, tile.columns] = tile.values
    rows = [
        panel[:, session, number]
        for session in range(known)
        for number, (first, stop) in enumerate(market.bounds(names).tolist())
        if first <= session < stop
    ]
    return np.array(rows, np.float32)


def same(left: np.ndarray, right: np.ndarray) -> bool:
    return left.shape == right.shape and left.tobytes() == np.ascontiguousarray(right).tobytes()


def test_a_matrix_holds_every_row_of_every_series_in_session_then_instrument_order(tmp_path: Path) -> None:
    market = Market(300)
    matrix = FeatureStore(tmp_path).matrix(FEATURES, market)
    assert matrix.values.dtype == np.float32
    assert same(np.asarray(matrix.view(0, 300)), expected(market, FEATURES))


def test_the_second_use_computes_nothing_in_this_store_or_another(tmp_path: Path) -> None:
    market = Market(300)
    first = FeatureStore(tmp_path)
    first.matrix(FEATURES, market)
    before = len(market.loads)
    again = first.matrix(FEATURES, market)
    other = FeatureStore(tmp_path).matrix(FEATURES, market)
    assert len(market.loads) == before > 0
    assert same(np.asarray(again.view(0, 300)), np.asarray(other.view(0, 300)))


def test_what_one_store_has_parsed_it_parses_for_no_later_generation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FeatureStore(tmp_path, replace=True)
    store.matrix(FEATURES, Market(200))
    for name in ("compile_plan", "plan_terms"):
        monkeypatch.setattr(feature_store, name, lambda *_, **__: pytest.fail("parsed again"))
    later = Market(210, generation="g2")
    assert same(np.asarray(store.matrix(FEATURES, later).view(0, 210)), expected(later, FEATURES))


def test_memory_is_given_back_after_large_builds_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trimmed: list[bool] = []
    monkeypatch.setattr(feature_store, "trim_heap", lambda: trimmed.append(True))
    store = FeatureStore(tmp_path)
    store.matrix(FEATURES, Market(300))
    assert trimmed == []
    monkeypatch.setattr(feature_store, "TRIMMED_BYTES", 300 * 9 * 3 * 4 // 2)
    store.matrix(LABEL, Market(300), allow_lookahead=True)
    assert trimmed == []
    store.matrix(FEATURES, Market(300, generation="g2"))
    assert trimmed == [True]


def test_spelling_does_not_matter(tmp_path: Path) -> None:
    market = Market(200)
    store = FeatureStore(tmp_path)
    store.matrix(["Mean($close,5)/$close"], market)
    before = len(market.loads)
    store.matrix(["Mean( $close , 5 ) / $close"], market)
    assert len(market.loads) == before


def test_a_longer_list_computes_only_what_is_new(tmp_path: Path) -> None:
    market = Market(300)
    store = FeatureStore(tmp_path)
    store.matrix(FEATURES, market)
    market.loads.clear()
    longer = [FEATURES[2], "$vwap/Ref($vwap, 1)", *FEATURES[:2]]
    matrix = store.matrix(longer, market)
    assert {field for fields, _ in market.loads for field in fields} == {"vwap"}
    assert same(np.asarray(matrix.view(0, 300)), expected(market, longer))


def test_a_view_is_no_copy_and_cannot_be_written(tmp_path: Path) -> None:
    matrix = FeatureStore(tmp_path).matrix(FEATURES, Market(300))
    view = matrix.view(100, 200)
    assert np.shares_memory(view, matrix.values)
    with pytest.raises(ValueError, match="read-only"):
        view[0, 0] = 1


@pytest.mark.parametrize("expressions", [FEATURES, LABEL])
def test_new_sessions_cost_only_their_own_rows(tmp_path: Path, expressions: list[str]) -> None:
    store = FeatureStore(tmp_path)
    old = store.matrix(expressions, Market(600), allow_lookahead=True)
    bytes_before = np.array(old.view(0, 600))
    grown = Market(605, generation="g2", unchanged={"g1": 600})
    matrix = store.matrix(expressions, grown, allow_lookahead=True)
    assert min(start for _, start in grown.loads) >= 600 - 64 - 70  # a chunk of the engine's grid, and the look-back
    assert same(np.asarray(matrix.view(0, 605)), expected(grown, expressions))
    assert same(np.asarray(old.view(0, 600)), bytes_before)


def test_an_append_to_features_grows_the_same_file(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path)
    old = store.matrix(FEATURES, Market(600))
    new = store.matrix(FEATURES, Market(605, generation="g2", unchanged={"g1": 600}))
    assert new.header.data == old.header.data
    assert same(np.asarray(FeatureStore(tmp_path).matrix(FEATURES, Market(600)).view(0, 600)), np.array(old.values))


def test_a_revision_recomputes_from_where_it_changed_and_leaves_the_old_matrix_alone(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path)
    old = store.matrix(FEATURES, Market(600))
    kept = np.array(old.values)
    revised = Market(600, generation="g2", unchanged={"g1": 500})
    revised._fields["close"][500:] *= 2
    revised._inner = ArraySource(
        revised._fields,
        revised.instruments(),
        calendar=revised.calendar(),
        bounds=revised.bounds(revised.instruments()),
    )
    new = store.matrix(FEATURES, revised)
    assert same(np.asarray(new.view(0, 600)), expected(revised, FEATURES))
    assert same(np.array(old.values), kept)
    assert new.header.data != old.header.data


def test_without_a_word_about_what_changed_everything_is_computed_anew(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path)
    store.matrix(FEATURES, Market(600))
    other = Market(605, generation="unrelated", seed=4)
    assert same(np.asarray(store.matrix(FEATURES, other).view(0, 605)), expected(other, FEATURES))


def test_a_series_that_comes_back_shifts_no_row(tmp_path: Path) -> None:
    # its bounds now cover the gap, so rows before the first changed session are new: layout, not only values, decides
    market = Market(300)
    names = market.instruments()
    bounds = market.bounds(names).copy()
    bounds[0] = (0, 250)
    market._inner = ArraySource(market._fields, names, calendar=market.calendar(), bounds=bounds)
    store = FeatureStore(tmp_path)
    store.matrix(FEATURES, market)
    grown = Market(310, generation="g2", unchanged={"g1": 300})
    assert same(np.asarray(store.matrix(FEATURES, grown).view(0, 310)), expected(grown, FEATURES))


def test_a_universe_has_the_rows_of_its_lifetimes(tmp_path: Path) -> None:
    market = Market(300)
    store = FeatureStore(tmp_path)
    universe = Universe(name="half", lifetimes=market.members("half"))
    matrix = store.matrix(FEATURES, market, universe=universe)
    whole = store.matrix(FEATURES, market)
    sessions, numbers = whole.layout.locate(0, 300)
    wanted = (sessions >= 30) & (sessions <= 200) & (numbers % 2 == 0)
    assert 0 < len(matrix.values) < len(whole.values)
    assert same(np.asarray(matrix.view(0, 300)), np.asarray(whole.values)[wanted])


def test_a_universe_of_everybody_takes_no_room(tmp_path: Path) -> None:
    market = Market(300)
    store = FeatureStore(tmp_path)
    universe = Universe(name="all", lifetimes=market.members("all"))
    matrix = store.matrix(FEATURES, market, universe=universe)
    assert len(list(tmp_path.rglob("*.f32"))) == 1
    assert same(np.asarray(matrix.view(0, 300)), expected(market, FEATURES))


def test_a_look_ahead_outside_a_label_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LookAheadError, match="reads 2 sessions ahead"):
        FeatureStore(tmp_path).matrix(LABEL, Market(200))
    assert not list(tmp_path.rglob("*.f32"))


def test_threads_asking_at_once_build_once(tmp_path: Path) -> None:
    market = Market(300)
    alone = Market(300)
    FeatureStore(tmp_path / "alone").matrix(FEATURES, alone)
    barrier = threading.Barrier(4)
    found: list[np.ndarray] = []

    def ask() -> None:
        barrier.wait()
        found.append(np.array(FeatureStore(tmp_path / "shared").matrix(FEATURES, market).view(0, 300)))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(market.loads) == len(alone.loads)
    assert len({values.tobytes() for values in found}) == 1


ASK = """
import logging, sys
from pathlib import Path
import numpy as np
from rollwright.features.store import fill as store_fill
from rollwright.features.store.feature_store import FeatureStore
from rollwright.testing.market import random_source
logging.basicConfig(level="INFO", stream=sys.stdout)
source = random_source(np.random.default_rng(1), sessions=400, instruments=20)
FeatureStore(Path(sys.argv[1])).matrix(["Mean($close, 60)", "Std($close, 60)", "Rank($close, 60)"], source)
"""


def test_processes_asking_at_once_build_once(tmp_path: Path) -> None:
    runs = [
        subprocess.Popen([sys.executable, "-c", ASK, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    logs = [run.communicate()[0] for run in runs]
    assert all(run.returncode == 0 for run in runs)
    assert sum(log.count("features.built") for log in logs) == 1


def test_what_another_process_built_while_this_one_waited_for_the_lock_is_not_built_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, market, other = feature_store.file_lock, Market(500), Market(500)

    def taken_by_another(path: Path):
        monkeypatch.setattr(feature_store, "file_lock", lock)
        assert FeatureStore(tmp_path).matrix(FEATURES, other).is_new
        return lock(path)

    monkeypatch.setattr(feature_store, "file_lock", taken_by_another)
    made = FeatureStore(tmp_path).matrix(FEATURES, market)
    assert not made.is_new
    assert other.loads
    assert not market.loads


def test_a_crash_in_the_middle_leaves_nothing_to_read(tmp_path: Path) -> None:
    market = Market(300)
    market.fail_after = 0
    store = FeatureStore(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        store.matrix(FEATURES, market)
    assert not list(tmp_path.rglob("*.json"))
    assert not list(tmp_path.rglob("*.f32"))
    market.fail_after = None
    assert same(np.asarray(store.matrix(FEATURES, market).view(0, 300)), expected(market, FEATURES))
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_crash_while_growing_leaves_the_old_matrix_whole(tmp_path: Path) -> None:
    old = FeatureStore(tmp_path).matrix(FEATURES, Market(600))
    grown = Market(605, generation="g2", unchanged={"g1": 600})
    grown.fail_after = 0
    with pytest.raises(KeyboardInterrupt):
        FeatureStore(tmp_path).matrix(FEATURES, grown)
    again = FeatureStore(tmp_path).matrix(FEATURES, Market(600))
    assert same(np.array(again.view(0, 600)), np.array(old.values))
    grown.fail_after = None
    assert same(np.asarray(FeatureStore(tmp_path).matrix(FEATURES, grown).view(0, 605)), expected(grown, FEATURES))


@pytest.mark.parametrize("damage", ["truncated", "missing", "header"])
def test_damage_seen_at_opening_is_built_anew(tmp_path: Path, damage: str) -> None:
    market = Market(300)
    FeatureStore(tmp_path).matrix(FEATURES, market)
    data, header = next(tmp_path.rglob("*.f32")), next(tmp_path.rglob("*.json"))
    if damage == "truncated":
        os.truncate(data, data.stat().st_size - 4)
    elif damage == "missing":
        data.unlink()
    else:
        text = bytearray(header.read_bytes())
        text[len(text) // 2] ^= 1
        header.write_bytes(bytes(text))
    assert same(np.asarray(FeatureStore(tmp_path).matrix(FEATURES, market).view(0, 300)), expected(market, FEATURES))


def test_threads_and_bands_change_no_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sums = set()
    for threads, band in (
        (1, 1 << 30),
        (2, 1 << 30),
        (4, 60 * 7 * len(FEATURES) * 4),
        (3, 200 * 7 * len(FEATURES) * 4),
    ):
        monkeypatch.setattr(store_fill, "BAND_BYTES", band)
        matrix = FeatureStore(tmp_path / f"{threads}", threads=threads).matrix(FEATURES, Market(600))
        assert same(np.asarray(matrix.view(0, 600)), expected(Market(600), FEATURES))
        sums.add(matrix.header.sums)
    assert len(sums) == 1


def test_a_full_disk_is_an_error_before_anything_is_mapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    with pytest.raises(DataError, match="No space left"):
        FeatureStore(tmp_path).matrix(FEATURES, Market(200))


def test_columns_without_any_value_are_known(tmp_path: Path) -> None:
    market = Market(200)
    market._fields["vwap"][:] = np.nan
    market._inner = ArraySource(
        market._fields, market.instruments(), calendar=market.calendar(), bounds=market.bounds(market.instruments())
    )
    assert FeatureStore(tmp_path).matrix(["$close", "$vwap/$close"], market).header.empty == (1,)


def test_layouts_agree_on_every_row_before_their_first_difference() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        one, two = (_random_layout(rng) for _ in range(2))
        first = one.first_difference(two)
        labels = [
            [(s, layout.instruments[i]) for s, i in zip(*layout.locate(0, first), strict=True)] for layout in (one, two)
        ]
        assert labels[0] == labels[1]
        if first < min(one.sessions, two.sessions):
            at = [{layout.instruments[i] for i in layout.locate(first, first + 1)[1].tolist()} for layout in (one, two)]
            assert at[0] != at[1]


def _random_layout(rng: np.random.Generator) -> RowLayout:
    names = ["A", "B", "C"][: rng.integers(1, 4)]
    spans = []
    for number in range(len(names)):
        if rng.random() < 0.8:
            first = int(rng.integers(0, 4))
            spans.append((number, first, first + int(rng.integers(1, 4))))
            if rng.random() < 0.5:
                spans.append((number, 8, 8 + int(rng.integers(1, 3))))
    return RowLayout(
        instruments=tuple(names),
        spans=np.array(spans, np.int64).reshape(len(spans), 3),
        sessions=int(rng.integers(10, 12)),
    )


def test_row_numbers_count_the_rows() -> None:
    layout = RowLayout(instruments=("A", "B"), spans=np.array([[0, 1, 3], [1, 0, 2]], np.int64), sessions=4)
    assert layout.rows == 4
    assert layout.row_numbers(0, 4).tolist() == [[-1, 0], [1, 2], [3, -1], [-1, -1]]
    assert pd.Series(layout.offsets).tolist() == [0, 1, 3, 4, 4]


def test_an_import_of_new_days_costs_their_rows_only(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rng = np.random.default_rng(0)
    index = pd.MultiIndex.from_product([pd.bdate_range("2020-01-01", periods=200), ["AA", "BB", "CC"]])
    frame = pd.DataFrame(
        rng.lognormal(2, 0.1, (len(index), 5)), index=index, columns=["open", "high", "low", "close", "volume"]
    ).rename_axis(["date", "symbol"]).reset_index()  # fmt: skip
    day = frame["date"].drop_duplicates().iloc[190]
    import_market(frame[frame["date"] < day], tmp_path / "market")
    store = FeatureStore(tmp_path / "store")
    store.matrix(FEATURES, QlibProvider(tmp_path / "market"))
    import_market(frame[frame["date"] >= day], tmp_path / "market")
    caplog.clear()
    with caplog.at_level("INFO", logger="rollwright.features"):
        grown = store.matrix(FEATURES, QlibProvider(tmp_path / "market"))
    assert "from_session=190" in caplog.text
    import_market(frame, tmp_path / "whole")
    fresh = FeatureStore(tmp_path / "other").matrix(FEATURES, QlibProvider(tmp_path / "whole"))
    assert same(np.asarray(grown.view(0, 200)), np.asarray(fresh.view(0, 200)))
