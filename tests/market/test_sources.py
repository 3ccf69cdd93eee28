"""Every source of market data under the suite that is shipped, and every source as it was on an earlier session."""

from __future__ import annotations

import itertools
import pickle
import shutil

import numpy as np
import pandas as pd
import pytest

import qlib_period_files
from rollwright.errors import NotPointInTimeError
from rollwright.features.store.feature_store import FeatureStore
from rollwright.market.as_of import AsOf
from rollwright.market.folder.field_cache import FieldCache
from rollwright.market.folder.provider import QlibProvider
from rollwright.market.frame import FrameSource
from rollwright.market.ingest.importer import import_market
from rollwright.testing.market import ArraySource, random_source
from rollwright.testing.market_contract import DataSourceContract, VintageSourceContract

SESSIONS = 60
EXPRESSIONS = ["$close", "Mean($close, 5)", "EMA($volume, 3)", "CSRank($close)"]
LABEL = ["Ref($close, -2)/Ref($close, -1) - 1"]


@pytest.fixture(scope="module")
def arrays() -> ArraySource:
    whole = random_source(np.random.default_rng(11), sessions=SESSIONS, instruments=6, suspensions=0.02)
    bounds = whole.bounds(whole.instruments()).copy()
    bounds[0], bounds[1], bounds[2] = (0, SESSIONS), (20, SESSIONS), (0, 40)
    fields = {name: whole.load([name], whole.instruments(), 0, SESSIONS)[0] for name in ("close", "volume", "open")}
    return ArraySource(fields, whole.instruments(), bounds=bounds)


@pytest.fixture(scope="module")
def frame(arrays) -> pd.DataFrame:
    """The same market as a frame, without the rows outside a series."""
    codes, days = arrays.instruments(), arrays.calendar().to_index()
    values = arrays.load(arrays.fields, codes, 0, SESSIONS)
    index = pd.MultiIndex.from_product([days, codes], names=["datetime", "instrument"])
    made = pd.DataFrame({f"${name}": values[number].ravel() for number, name in enumerate(arrays.fields)}, index=index)
    bounds = dict(zip(codes, arrays.bounds(codes).tolist(), strict=True))
    place = {day: number for number, day in enumerate(days)}
    inside = [bounds[code][0] <= place[day] < bounds[code][1] for day, code in index]
    return made[inside]


@pytest.fixture(scope="module")
def folder(frame, tmp_path_factory):
    csv = tmp_path_factory.mktemp("csv") / "rows.csv"
    frame.rename(columns=lambda name: name.removeprefix("$")).to_csv(csv)
    target = tmp_path_factory.mktemp("market") / "market"
    import_market(csv, target)
    return target


def by_period(source) -> dict[str, pd.DataFrame]:
    days, codes = source.calendar(), source.instruments()
    rows = [
        (codes[0], 201904, days[3], 1.0),
        (codes[0], 201904, days[30], 1.5),  # restated
        (codes[0], 202001, days[30], 2.0),
        (codes[2], 201904, days[10], 3.0),
    ]
    return {"roe_q": pd.DataFrame(rows, columns=["instrument", "period", "known_at", "value"])}


class TestArrays(DataSourceContract):
    @pytest.fixture
    def source(self, arrays):
        return arrays


class TestFrames(DataSourceContract, VintageSourceContract):
    @pytest.fixture
    def period_field(self):
        return "roe_q"

    @pytest.fixture
    def source(self, frame, arrays):
        return FrameSource(frame, by_period=by_period(arrays))


class TestFolders(DataSourceContract):
    @pytest.fixture
    def source(self, folder):
        return QlibProvider(folder)


class TestFoldersWithACache(DataSourceContract):
    @pytest.fixture
    def source(self, folder):
        return QlibProvider(folder, cache=FieldCache(1_000_000))


class TestFoldersOfOtherTools(DataSourceContract, VintageSourceContract):
    @pytest.fixture
    def period_field(self):
        return "roe_q"

    @pytest.fixture
    def source(self, folder, arrays, tmp_path):
        shutil.copytree(folder, tmp_path / "market")
        for name in ("rollwright.json", "rollwright.files"):
            (tmp_path / "market" / name).unlink()
        table = by_period(arrays)["roe_q"]
        for code, rows in table.groupby("instrument"):
            dates = rows["known_at"].dt.strftime("%Y%m%d").astype(int)
            records = zip(dates.tolist(), rows["period"].tolist(), rows["value"].tolist(), strict=True)
            qlib_period_files.write(tmp_path / "market", str(code).lower(), "roe_q", records)
        return QlibProvider(tmp_path / "market")


class TestViewpoints(DataSourceContract, VintageSourceContract):
    """What a source was on a session is a source as any other."""

    @pytest.fixture
    def period_field(self):
        return "roe_q"

    @pytest.fixture
    def source(self, frame, arrays):
        return AsOf(FrameSource(frame, by_period=by_period(arrays)), arrays.calendar()[45])


def test_all_sources_of_one_market_give_the_same_values(arrays, frame, folder):
    for source in (FrameSource(frame), QlibProvider(folder)):
        np.testing.assert_array_equal(
            source.load(arrays.fields, arrays.instruments(), 0, SESSIONS),
            arrays.load(arrays.fields, arrays.instruments(), 0, SESSIONS),
        )
        np.testing.assert_array_equal(source.bounds(arrays.instruments()), arrays.bounds(arrays.instruments()))
        assert source.members("all") == arrays.members("all")


def test_a_source_without_fields_by_period_says_so(arrays):
    with pytest.raises(NotPointInTimeError, match="roe_q"):
        AsOf(arrays, "2020-02-03").vintages("roe_q", [])


def test_a_viewpoint_travels_to_another_process(folder):
    view = AsOf(QlibProvider(folder), "2020-02-03")
    again = pickle.loads(pickle.dumps(view))
    assert (again.generation, again.calendar()) == (view.generation, view.calendar())


def test_a_viewpoint_at_a_weekend_knows_the_friday_and_what_was_published_until_then(arrays, frame):
    table = pd.DataFrame(
        [("SH600000", 201904, "2020-01-03", 1.0), ("SH600000", 202001, "2020-01-05", 2.0)],
        columns=["instrument", "period", "known_at", "value"],
    )
    source = FrameSource(frame, by_period={"roe_q": table})
    saturday, sunday = AsOf(source, "2020-01-04"), AsOf(source, "2020-01-05")
    assert saturday.calendar().last_known == sunday.calendar().last_known == pd.Timestamp("2020-01-03")
    assert saturday.vintages("roe_q", ["SH600000"]).value.tolist() == [1.0]
    assert sunday.vintages("roe_q", ["SH600000"]).value.tolist() == [1.0, 2.0]
    assert saturday.generation != sunday.generation


VIEWS = (None, 25, 44, 58)


@pytest.mark.parametrize("order", list(itertools.permutations(VIEWS)))
@pytest.mark.parametrize("made", ["folder", "frame"])
def test_no_cache_ever_crosses_two_viewpoints(made, order, folder, frame, tmp_path):
    """In every order, from one store in memory and from one opened anew, each viewpoint has its own values."""
    whole = QlibProvider(folder, cache=FieldCache(1_000_000)) if made == "folder" else FrameSource(frame)
    views = {place: whole if place is None else AsOf(whole, whole.calendar()[place]) for place in VIEWS}

    def values(store, view):
        found = [store.matrix(EXPRESSIONS, view), store.matrix(LABEL, view, allow_lookahead=True)]
        return [np.array(part.view(0, part.layout.sessions)) for part in found]

    wanted = {place: values(FeatureStore(tmp_path / f"alone-{place}"), view) for place, view in views.items()}
    shared = FeatureStore(tmp_path / "shared")
    for store in (shared, shared, FeatureStore(tmp_path / "shared")):
        for place in order:
            for found, right in zip(values(store, views[place]), wanted[place], strict=True):
                np.testing.assert_array_equal(found, right)
    sizes = [len(part[0]) for part in wanted.values()]
    assert len(set(sizes)) == len(VIEWS)
    for place in (25, 44, 58):  # a label near the viewpoint is not known there, and is elsewhere
        assert np.isnan(wanted[place][1][-1]).all()
