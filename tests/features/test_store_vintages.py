"""The feature store and fields by period: a restatement invalidates what read it, from where it could be seen."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rollwright.dataset.contract import scope_of
from rollwright.expression.engine import evaluate
from rollwright.expression.planner import compile_plan
from rollwright.features.filters import ExpressionDFilter
from rollwright.features.panel import FieldGroup, open_panel
from rollwright.features.store.feature_store import FeatureStore
from rollwright.features.store.file import Matrix
from rollwright.features.vintage_digest import VintageDigest
from rollwright.market.frame import FrameSource
from vintage_markets import FLOW

DAILY = ["Mean($close, 5)/$close", "Std($close, 10)"]
BY_PERIOD = ["P(Mean($$x_q, 2))", "P($$x_q)/$close"]
MIXED = [DAILY[0], *BY_PERIOD, DAILY[1]]
SESSIONS = 700
DAYS = pd.bdate_range("2018-01-01", periods=SESSIONS)
CODES = ["A", "B", "C"]
Report = tuple[str, int, str, float]


def reports(until: int, *more: Report, field_shift: float = 0) -> pd.DataFrame:
    """Return quarterly reports of all instruments, known by a session, and some more."""
    rows = [
        (code, year * 100 + quarter, f"{year + (quarter == 4)}-{(5, 8, 11, 3)[quarter - 1]:02d}-02", place + quarter)
        for place, code in enumerate(CODES)
        for year in (2016, 2017, 2018, 2019)
        for quarter in (1, 2, 3, 4)
    ]
    known = [row for row in (*rows, *more) if pd.Timestamp(row[2]) <= DAYS[until - 1]]
    table = pd.DataFrame(known, columns=["instrument", "period", "known_at", "value"])
    table["value"] += field_shift
    return table


class Market(FrameSource):
    """The first sessions of a market that grows; it notes what is loaded, and from which session on."""

    def __init__(self, sessions: int, table: pd.DataFrame, other: pd.DataFrame | None = None) -> None:
        index = pd.MultiIndex.from_product([DAYS[:sessions], CODES], names=["datetime", "instrument"])
        close = np.exp(np.random.default_rng(1).normal(0, 0.1, (SESSIONS, len(CODES))))[:sessions].ravel()
        by_period = {"x_q": table, "y_q": reports(sessions) if other is None else other}
        super().__init__(pd.DataFrame({"close": close}, index=index), by_period=by_period, kinds={"x_q": FLOW})
        self.loads: list[int] = []

    @property
    def generation(self) -> str:
        return f"daily {self.calendar().known}"

    def unchanged_before(self, generation: str) -> int:
        kind, _, known = generation.partition(" ")
        return min(int(known), self.calendar().known) if kind == "daily" else 0

    def load(self, fields: Sequence[str], instruments: Sequence[str], start: int, stop: int) -> np.ndarray:
        self.loads.append(start)
        return super().load(fields, instruments, start, stop)


def expected(market: Market, expressions: list[str]) -> np.ndarray:
    known = market.calendar().known
    (tile,) = evaluate(compile_plan(expressions), market, instruments=CODES, start=0, stop=known)
    return np.ascontiguousarray(tile.values.reshape(len(expressions), -1).T)


def same(matrix: Matrix, market: Market, expressions: list[str]) -> None:
    found = matrix.view(0, matrix.layout.sessions)
    np.testing.assert_array_equal(found.view(np.uint32), expected(market, expressions).view(np.uint32))


def files(root: Path) -> list[Path]:
    return sorted(root.glob("*/*/*/*.f32"))


def test_daily_features_stay_what_they_are_when_a_report_is_restated(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path)
    first = store.matrix(DAILY, Market(600, reports(600)))
    restated = Market(600, reports(600, ("A", 201704, "2018-06-04", 9.0)))
    assert store.matrix(DAILY, restated) is first
    assert restated.loads == []


def test_only_columns_that_read_reports_are_computed_again_when_one_is_restated(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path)
    before = store.matrix(MIXED, Market(600, reports(600)))
    kept = np.array(before.values)
    restated = Market(600, reports(600, ("A", 201903, f"{DAYS[520]:%Y-%m-%d}", 9.0)))
    after = store.matrix(MIXED, restated)
    assert restated.loads
    assert min(restated.loads) >= 512  # of `P($$x_q)/$close`, from the block in which it could be seen
    same(after, restated, MIXED)
    np.testing.assert_array_equal(before.values, kept)  # who had mapped it reads what it read
    changed = (after.values != kept) & ~(np.isnan(after.values) & np.isnan(kept))
    assert changed.any(axis=0).tolist() == [False, True, True, False]


def test_a_restatement_of_another_field_leaves_everything(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path)
    first = store.matrix(BY_PERIOD, Market(600, reports(600)))
    assert store.matrix(BY_PERIOD, Market(600, reports(600), reports(600, field_shift=1))) is first


def test_reports_of_new_sessions_cost_the_rows_of_these_sessions(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path)
    store.matrix(MIXED, Market(500, reports(500)))
    one = files(tmp_path)
    grown = Market(600, reports(600, ("B", 201902, f"{DAYS[550]:%Y-%m-%d}", 5.0)))
    after = store.matrix(MIXED, grown)
    assert min(grown.loads) >= 500 - 9
    assert files(tmp_path) == one  # it grew at its end
    same(after, grown, MIXED)


def test_new_sessions_and_an_old_restatement_cost_new_rows_of_all_and_old_ones_of_what_read_it(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path)
    store.matrix([*DAILY, "P($$x_q)"], Market(600, reports(600)))
    grown = Market(620, reports(620, ("A", 201801, "2018-06-04", 7.5)))
    after = store.matrix([*DAILY, "P($$x_q)"], grown)
    assert min(grown.loads) >= 600 - 9  # the daily columns of the new rows; of old rows only what loads nothing
    same(after, grown, [*DAILY, "P($$x_q)"])


@pytest.mark.parametrize("sessions", [20, 256, 300, 599])
def test_a_market_that_ends_earlier_than_one_that_was_stored_is_computed(tmp_path: Path, sessions: int) -> None:
    store = FeatureStore(tmp_path)
    store.matrix(MIXED, Market(600, reports(600)))
    shorter = Market(sessions, reports(sessions))
    same(store.matrix(MIXED, shorter), shorter, MIXED)  # as before a holdout that was sealed since


def test_a_report_that_is_known_earlier_than_it_was_is_seen(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path)
    store.matrix(MIXED, Market(600, reports(600)))
    earlier = reports(600)
    earlier.loc[0, "known_at"] = "2016-04-20"
    later = reports(600)
    later.loc[len(later) - 1, "known_at"] = f"{DAYS[599]:%Y-%m-%d}"
    for table in (earlier, later):
        market = Market(600, table)
        same(store.matrix(MIXED, market), market, MIXED)


def test_another_kind_of_a_field_is_another_answer(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path)
    market = Market(600, reports(600))
    store.matrix(["P(TTM($$x_q))"], market)
    other = Market(600, reports(600))
    other._kinds = {"x_q": FLOW._replace(accrual="discrete")}
    same(store.matrix(["P(TTM($$x_q))"], other), other, ["P(TTM($$x_q))"])
    assert not np.array_equal(expected(market, ["P(TTM($$x_q))"]), expected(other, ["P(TTM($$x_q))"]), equal_nan=True)


@pytest.mark.parametrize("session", [10, 300, 599])
def test_a_restatement_does_not_bless_damage_in_columns_that_are_kept(tmp_path: Path, session: int) -> None:
    store = FeatureStore(tmp_path)
    market = Market(600, reports(600))
    store.matrix(MIXED, market)
    (path,) = files(tmp_path)
    data = np.memmap(path, np.uint32, mode="r+")
    data[session * len(CODES) * len(MIXED)] ^= 1 << 20
    data.flush()
    restated = Market(600, reports(600, ("A", 201701, "2018-01-02", 9.0)))
    same(FeatureStore(tmp_path).matrix(MIXED, restated), restated, MIXED)


def test_daily_columns_are_taken_from_a_list_without_reports(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path)
    market = Market(600, reports(600))
    store.matrix(DAILY, market)
    market.loads.clear()
    same_list = [*DAILY, "P($$x_q)"]
    matrix = store.matrix(same_list, market)
    assert market.loads == []
    same(matrix, market, same_list)


def test_a_filter_by_reports_has_other_members_when_one_is_restated(tmp_path: Path) -> None:
    store, groups = FeatureStore(tmp_path), (FieldGroup(group="feature", expressions=("$close",), names=("F",)),)
    rule = {"market": "all", "filter_pipe": [ExpressionDFilter("P($$x_q) > 3")]}
    panels = []
    for table in (reports(600), reports(600, ("A", 201904, f"{DAYS[590]:%Y-%m-%d}", 1.0))):
        market = Market(600, table)
        panel = open_panel(groups, market, store, instruments=rule)
        known = expected(market, ["P($$x_q)"])[:, 0].reshape(600, len(CODES)) > 3
        assert panel.layout.rows == known.sum()
        panels.append(panel)
    assert panels[0].layout.rows > panels[1].layout.rows
    assert panels[0].generation != panels[1].generation
    assert scope_of(panels[0], 590) == scope_of(panels[1], 590)
    assert scope_of(panels[0], 600).vintages != scope_of(panels[1], 600).vintages


def test_a_label_that_reads_a_later_session_changes_before_what_it_reads(tmp_path: Path) -> None:
    store, label = FeatureStore(tmp_path), ["Ref(P($$x_q),-3)"]
    store.matrix(label, Market(600, reports(600)), allow_lookahead=True)
    restated = Market(600, reports(600, ("A", 201903, f"{DAYS[512]:%Y-%m-%d}", 9.0)))
    found = store.matrix(label, restated, allow_lookahead=True)
    fresh = FeatureStore(tmp_path / "other").matrix(label, restated, allow_lookahead=True)
    np.testing.assert_array_equal(found.view(0, 600), fresh.view(0, 600))


def test_what_was_known_is_told_the_same_whatever_was_asked_before() -> None:
    days = pd.date_range("2019-01-01", periods=6000, freq="h").floor("s")
    columns = {"instrument": "A", "period": 2018, "known_at": days, "value": np.arange(6000.0)}
    source = Market(600, reports(600), pd.DataFrame(columns).assign(period=201804))
    moments = [np.datetime64(days[at], "s") for at in (5999, 100, 4200, 4096, 4095, 0)]
    asked = VintageDigest(source, ["y_q"])
    told = [asked.until(moment) for moment in moments]
    assert told == [VintageDigest(source, ["y_q"]).until(moment) for moment in moments]
    assert len({*told}) == len(moments)


def test_windows_one_after_another_read_the_reports_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    market = Market(600, reports(600))
    groups = [FieldGroup(group="feature", expressions=tuple(MIXED), names=("a", "b", "c", "d"))]
    open_panel(groups, market, FeatureStore(tmp_path), instruments="all")
    read: list[str] = []
    plain = market.vintages
    monkeypatch.setattr(market, "vintages", lambda field, codes: (read.append(field), plain(field, codes))[1])
    told = []
    for stop in (300, 400, 500):  # each window has a store of its own
        panel = open_panel(groups, market, FeatureStore(tmp_path), instruments="all", end_time=DAYS[stop])
        told.append(scope_of(panel, stop).vintages)
    assert len(set(told)) == 3, "what was known at another moment"
    assert read == []
    restated = Market(600, reports(600, ("A", 201904, f"{DAYS[590]:%Y-%m-%d}", 9.0)))
    last = np.datetime64(DAYS[599])
    assert VintageDigest.of(restated, ["x_q"]).until(last) == VintageDigest(restated, ["x_q"]).until(last)
    assert VintageDigest.of(restated, ["x_q"]).until(last) != VintageDigest.of(market, ["x_q"]).until(last)


def test_the_same_values_of_another_instrument_are_known_otherwise() -> None:
    table = reports(600)
    other = table.assign(instrument=table["instrument"].map({"A": "B", "B": "A", "C": "C"}))
    one, two = (VintageDigest(Market(600, each), ["x_q"]).until(np.datetime64(DAYS[599])) for each in (table, other))
    assert one != two


def test_what_a_list_reads_is_remembered_by_every_later_store(tmp_path: Path) -> None:
    for value in (3.0, 9.0, 5.0):
        market = Market(600, reports(600, ("A", 201904, f"{DAYS[590]:%Y-%m-%d}", value)))
        same(FeatureStore(tmp_path).matrix(BY_PERIOD, market), market, BY_PERIOD)
