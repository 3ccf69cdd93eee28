"""A market before a sealed holdout is a source as any other, and nothing of the holdout leaves it."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollwright.calendar.holdout import Holdout
from rollwright.errors import DataError, HoldoutSealedError, UnknownInstrumentError
from rollwright.features.store.feature_store import FeatureStore
from rollwright.market.as_of import AsOf
from rollwright.market.frame import FrameSource
from rollwright.market.sealed import Sealed
from rollwright.market.source import DataSource
from rollwright.testing.market import ArraySource, random_source
from rollwright.testing.market_contract import DataSourceContract, VintageSourceContract

SESSIONS = 60
SEALED = 45
EXPRESSIONS = ["$close", "Mean($close, 5)", "EMA($volume, 3)", "CSRank($close)"]
LABEL = ["Ref($close, -2)/Ref($close, -1) - 1"]


def make_arrays(seed: int = 11, *, after: int | None = None) -> ArraySource:
    """Return a market whose series begin and end at different sessions; other values from the session `after` on."""
    made = random_source(np.random.default_rng(seed), sessions=SESSIONS, instruments=6, suspensions=0.02)
    codes = made.instruments()
    bounds = made.bounds(codes).copy()
    bounds[0], bounds[1], bounds[2], bounds[3] = (0, SESSIONS), (20, SESSIONS), (0, 40), (50, SESSIONS)
    fields = {name: made.load([name], codes, 0, SESSIONS)[0] for name in ("close", "volume", "open")}
    if after is not None:
        noise = np.random.default_rng(99)
        fields = {
            name: np.vstack([values[:after], values[after:] * noise.uniform(0.1, 9, values[after:].shape)])
            for name, values in fields.items()
        }
        bounds[0, 1], bounds[3, 0] = SESSIONS - 3, SEALED + 1
    days = made.calendar()
    universes = {"few": {codes[0]: ((days[0], days.last),), codes[3]: ((days[50], days.last),)}}
    return ArraySource(fields, codes, bounds=bounds, universes=universes)


def holdout_of(source: DataSource) -> Holdout:
    return Holdout(start=source.calendar()[SEALED].normalize())


def by_period(source: DataSource) -> dict[str, pd.DataFrame]:
    days, codes = source.calendar(), source.instruments()
    rows = [
        (codes[0], 201904, days[3], 1.0),
        (codes[0], 201904, days[30], 1.5),
        (codes[2], 201904, days[SEALED], 3.0),
        (codes[2], 202001, days[SEALED + 5], 4.0),
    ]
    return {"roe_q": pd.DataFrame(rows, columns=["instrument", "period", "known_at", "value"])}


def make_frame(source: ArraySource) -> FrameSource:
    codes, days = source.instruments(), source.calendar().to_index()
    values = source.load(source.fields, codes, 0, SESSIONS)
    index = pd.MultiIndex.from_product([days, codes], names=["datetime", "instrument"])
    made = pd.DataFrame({f"${name}": values[number].ravel() for number, name in enumerate(source.fields)}, index=index)
    return FrameSource(made.dropna(how="all"), by_period=by_period(source))


class TestSealedMarkets(DataSourceContract, VintageSourceContract):
    @pytest.fixture
    def period_field(self):
        return "roe_q"

    @pytest.fixture
    def source(self):
        whole = make_frame(make_arrays())
        return Sealed(whole, holdout_of(whole))


class TestSealedViewpoints(DataSourceContract):
    @pytest.fixture
    def source(self):
        whole = make_arrays()
        return Sealed(AsOf(whole, whole.calendar()[50]), holdout_of(whole))


def answers(source: DataSource, store: FeatureStore) -> list[object]:
    """Return whatever a source can be asked, and what is computed from it."""
    codes, known = source.instruments(), source.calendar().known
    return [
        source.calendar().values.tolist(), codes, source.members("all"), source.members("few"),
        source.bounds(codes).tolist(), source.field_bounds(["close", "open"], codes).tolist(),
        source.missing_fields(["close", "vwap"]),
        source.load(["close", "volume", "open"], codes, 0, known).tobytes(),
        store.matrix(EXPRESSIONS, source).values.tobytes(),
        store.matrix(LABEL, source, allow_lookahead=True).values.tobytes(),
    ]  # fmt: skip


@given(st.integers(0, 5))
def test_no_answer_differs_when_everything_in_the_holdout_is_other(seed):
    one, other = make_arrays(seed), make_arrays(seed, after=SEALED)
    assert (
        one.load(["close"], one.instruments()[:1], 0, 60).tobytes()
        != other.load(["close"], one.instruments()[:1], 0, 60).tobytes()
    )
    sealed = [Sealed(source, holdout_of(source)) for source in (one, other)]
    seen = [answers(source, FeatureStore.temporary()) for source in sealed]
    assert seen[0] == seen[1]


def test_its_answers_are_those_of_a_market_that_ended_there():
    whole = make_arrays()
    sealed = Sealed(whole, holdout_of(whole))
    codes = sealed.instruments()
    rows = whole.bounds(codes)
    fields = {name: whole.load([name], codes, 0, SEALED)[0] for name in whole.fields}
    ended = ArraySource(
        fields, codes, bounds=np.minimum(rows, SEALED),
        universes={"few": {codes[0]: ((whole.calendar()[0], whole.calendar()[SEALED - 1]),)}},
    )  # fmt: skip
    assert answers(sealed, FeatureStore.temporary()) == answers(ended, FeatureStore.temporary())


def test_labels_that_read_into_the_holdout_are_missing_as_at_the_end_of_history():
    whole = make_arrays()
    label = FeatureStore.temporary().matrix(LABEL, Sealed(whole, holdout_of(whole)), allow_lookahead=True)
    assert np.isnan(label.view(SEALED - 2, SEALED)).all()
    assert np.isfinite(label.view(SEALED - 3, SEALED - 2)).any()


def test_who_is_listed_in_it_is_not_there():
    whole = make_arrays()
    sealed = Sealed(whole, holdout_of(whole))
    late = whole.instruments()[3]
    assert late not in sealed.instruments()
    assert list(sealed.members("few")) == [whole.instruments()[0]]
    for ask in (lambda: sealed.bounds([late]), lambda: sealed.field_bounds(["close"], [late])):
        with pytest.raises(UnknownInstrumentError):
            ask()


@pytest.mark.parametrize("rows", [(SEALED, SEALED + 1), (SEALED - 1, SEALED + 1), (0, SESSIONS), (SESSIONS, SESSIONS)])
def test_rows_of_it_are_refused_and_not_returned_as_missing(rows):
    whole = make_arrays()
    with pytest.raises(HoldoutSealedError):
        Sealed(whole, holdout_of(whole)).load(["close"], whole.instruments()[:1], *rows)


@pytest.mark.parametrize("rows", [(-1, 3), (5, 4), (0, SESSIONS + 1)])
def test_rows_of_no_calendar_are_an_error_of_another_kind(rows):
    whole = make_arrays()
    with pytest.raises(DataError) as caught:
        Sealed(whole, holdout_of(whole)).load(["close"], whole.instruments()[:1], *rows)
    assert not isinstance(caught.value, HoldoutSealedError)


def test_vintages_that_became_known_in_it_are_left_out():
    whole = make_frame(make_arrays())
    found = Sealed(whole, holdout_of(whole)).vintages("roe_q", whole.instruments()[:3])
    assert found.value.tolist() == [1.0, 1.5]
    assert (found.known_at < holdout_of(whole).start.to_datetime64()).all()


def test_a_viewpoint_on_top_sees_no_further():
    whole = make_arrays()
    sealed, days = Sealed(whole, holdout_of(whole)), whole.calendar()
    earlier = AsOf(sealed, days[30])
    assert earlier.calendar().known == 31
    assert len(earlier.calendar()) == SEALED
    with pytest.raises(HoldoutSealedError):
        AsOf(sealed, days[SEALED])
    with pytest.raises(HoldoutSealedError):
        AsOf(earlier, days[SEALED]).calendar().index(days[SEALED])


def test_features_kept_before_the_sealing_are_not_taken_for_those_of_now(tmp_path):
    whole = make_arrays()
    sealed = Sealed(whole, holdout_of(whole))
    store = FeatureStore(tmp_path)
    before = store.matrix(LABEL, whole, allow_lookahead=True)
    assert before.layout.sessions == SESSIONS
    now = FeatureStore(tmp_path).matrix(LABEL, sealed, allow_lookahead=True)
    alone = FeatureStore.temporary().matrix(LABEL, sealed, allow_lookahead=True)
    assert now.layout.sessions == SEALED
    assert now.values.tobytes() == alone.values.tobytes()


def test_generations_tell_which_rows_stay_when_a_holdout_is_sealed_and_opened():
    whole = make_frame(make_arrays())
    sealed = Sealed(whole, holdout_of(whole))
    assert sealed.generation not in (whole.generation, AsOf(whole, holdout_of(whole).eve).generation)
    assert sealed.unchanged_before(whole.generation) == SEALED
    assert whole.unchanged_before(sealed.generation) == SEALED
    earlier = AsOf(sealed, whole.calendar()[9])
    assert earlier.unchanged_before(sealed.generation) == sealed.unchanged_before(earlier.generation) == 10
    assert whole.unchanged_before(earlier.generation) == 10
    assert earlier.unchanged_before(AsOf(whole, whole.calendar()[50]).generation) == 10
    assert sealed.unchanged_before("sealed:2020-01-01T00:00:00:another") == 0


def test_a_copy_in_another_process_is_sealed_too():
    whole = make_arrays()
    copied = pickle.loads(pickle.dumps(Sealed(whole, holdout_of(whole))))
    assert copied.generation == Sealed(whole, holdout_of(whole)).generation
    with pytest.raises(HoldoutSealedError):
        copied.calendar().index(whole.calendar()[SEALED])


def test_a_market_that_lies_wholly_in_it_cannot_be_opened():
    with pytest.raises(HoldoutSealedError, match="the whole calendar"):
        Sealed(make_arrays(), Holdout(start=pd.Timestamp("2000-01-03")))
