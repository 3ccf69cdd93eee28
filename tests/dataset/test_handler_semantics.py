"""What Qlib's handlers promise by their arguments: init_data, drop_raw, cast, HashStockFormat."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rollwright.dataset.alpha import Alpha158
from rollwright.dataset.dataset import DatasetH, TSDatasetH
from rollwright.dataset.handler import DataHandlerLP
from rollwright.dataset.loader import QlibDataLoader
from rollwright.dataset.processors import CSZScoreNorm, DropnaLabel, HashStockFormat, Processor, ZScoreNorm
from rollwright.errors import ConfigError, DataError, SegmentError, UnknownSettingError
from rollwright.features.store.feature_store import FeatureStore
from rollwright.testing.market import random_source

FEATURES = (["Mean($close, 5)/$close", "$open/$close"], ["MA5", "OPEN0"])
LABEL = (["Ref($close, -2)/Ref($close, -1) - 1"], ["LABEL0"])


@pytest.fixture
def source():
    return random_source(np.random.default_rng(8), sessions=120, instruments=6)


@pytest.fixture
def made(tmp_path: Path, source):
    def make(cls: type[DataHandlerLP] = DataHandlerLP, **kwargs) -> DataHandlerLP:
        loader = QlibDataLoader({"feature": FEATURES, "label": LABEL})
        store = FeatureStore(tmp_path / "store")
        return cls("all", data_loader=loader, source=source, store=store, **kwargs)

    return make


# init_data


def test_without_init_data_nothing_is_there_before_setup_data(made) -> None:
    handler = made(init_data=False)
    for ask in (handler.fetch, lambda: handler.panel, lambda: handler.generation, handler.get_cols):
        with pytest.raises(DataError, match="setup_data"):
            ask()
    handler.setup_data()
    pd.testing.assert_frame_equal(handler.fetch(), made().fetch())


def test_a_dataset_sets_its_handler_up_and_alpha158_takes_the_argument(tmp_path: Path, source) -> None:
    handler = Alpha158("all", init_data=False, source=source, store=FeatureStore(tmp_path))
    dataset = DatasetH(handler, {"test": ("2020-03-02", "2020-03-31")})
    with pytest.raises(DataError, match="init_data=False"):
        dataset.prepare("test")
    dataset.setup_data()
    assert len(dataset.prepare("test"))


def test_the_constructor_gives_its_handler_arguments(made, tmp_path: Path) -> None:
    segments = {"test": ("2020-03-02", "2020-03-31")}
    chain = [ZScoreNorm("2020-01-01", "2020-02-28", "feature"), ZScoreNorm("2020-03-02", "2020-04-30", "feature")]
    plain = DatasetH(made(infer_processors=chain), segments)
    given = {"init_type": DataHandlerLP.IT_FIT_IND}
    independent = DatasetH(made(infer_processors=copy.deepcopy(chain)), segments, handler_kwargs=given)
    assert not plain.prepare("test").equals(independent.prepare("test"))
    assert independent.describe()["kwargs"]["handler_kwargs"] == given
    dataset = TSDatasetH(handler=made(init_data=False), segments=segments, handler_kwargs={})
    assert len(dataset.prepare("test"))
    assert dataset.step_len == TSDatasetH.DEFAULT_STEP_LEN == 30
    with pytest.raises(UnknownSettingError, match="init_typ"):
        DatasetH(made(), segments, handler_kwargs={"init_typ": "fit_ind"})


# fit, process_data, fit_process_data


class Counting(ZScoreNorm):
    def fit_table(self, table) -> None:
        self.fits = getattr(self, "fits", 0) + 1
        super().fit_table(table)


def test_the_steps_of_setting_up_can_be_taken_one_by_one(made) -> None:
    spans = [("2020-01-01", "2020-02-28"), ("2020-03-02", "2020-04-30")]
    chain = [Counting(*span, "feature") for span in spans]
    handler = made(infer_processors=chain)
    other = made(infer_processors=copy.deepcopy(chain))
    sequential = handler.fetch()
    opened = handler.panel
    handler.fit()
    assert [processor.fits for processor in chain] == [2, 2]
    independent = handler.fetch()
    other.setup_data(DataHandlerLP.IT_FIT_IND)
    pd.testing.assert_frame_equal(independent, other.fetch())
    assert not independent.equals(sequential)
    handler.process_data()
    assert [processor.fits for processor in chain] == [2, 2]
    pd.testing.assert_frame_equal(handler.fetch(), independent)
    handler.fit_process_data()
    assert [processor.fits for processor in chain] == [3, 3]
    pd.testing.assert_frame_equal(handler.fetch(), sequential)
    handler.process_data(True)
    assert [processor.fits for processor in chain] == [4, 4]
    assert handler.panel is opened


def test_asking_for_the_cache_that_is_always_there(made) -> None:
    handler = made()
    handler.setup_data(enable_cache=True)
    with pytest.raises(UnknownSettingError, match="enable_cach"):
        handler.setup_data(enable_cach=True)


# drop_raw


def test_dropped_raw_data_cannot_be_asked_for(made) -> None:
    handler = made(drop_raw=True, learn_processors=[DropnaLabel()])
    kept = made(learn_processors=[DropnaLabel()])
    for key in ("infer", "learn"):
        pd.testing.assert_frame_equal(handler.fetch(data_key=key), kept.fetch(data_key=key))
    dataset = DatasetH(handler, {"test": ("2020-03-02", "2020-03-31")})
    for ask in (
        lambda: handler.fetch(data_key="raw"),
        lambda: handler.fetch("S000", level="instrument", data_key="raw"),
        lambda: dataset.prepare("test", data_key="raw"),
        lambda: dataset.fold("test", data_key="raw"),
    ):
        with pytest.raises(ConfigError, match="dropped its raw data") as caught:
            ask()
        assert "drop_raw=False" in str(caught.value.hint)


# cast


class Doubling(Processor):
    """A processor of a user's own."""

    def __call__(self, df: pd.DataFrame) -> pd.DataFrame:
        return df * 2


class OwnHandler(DataHandlerLP):
    """A handler of a user's own."""


@pytest.fixture
def own(made) -> DataHandlerLP:
    processors = [ZScoreNorm("2020-01-01", "2020-04-30", fields_group="feature"), Doubling()]
    return made(OwnHandler, infer_processors=processors, learn_processors=[DropnaLabel(), CSZScoreNorm("label")])


@pytest.mark.parametrize("key", ["raw", "infer", "learn"])
def test_a_cast_handler_gives_what_the_other_gave(own, key: str) -> None:
    cast = DataHandlerLP.cast(own)
    assert type(cast) is DataHandlerLP
    assert cast.from_cast
    assert not own.from_cast
    assert cast.get_all_processors() == []
    assert (cast.generation, cast.label_reach.span) == (own.generation, 2)
    for selector in (slice(None), slice("2020-02-03", "2020-03-31"), "2020-03-10"):
        for columns in ("__all", "__raw", "feature", ["feature", "label"]):
            pd.testing.assert_frame_equal(
                cast.fetch(selector, col_set=columns, data_key=key), own.fetch(selector, col_set=columns, data_key=key)
            )
    segments = {"train": ("2020-02-03", "2020-03-31")}
    one, two = (DatasetH(handler, segments).fold("train", data_key=key) for handler in (cast, own))
    assert one.features.tobytes() == two.features.tobytes()
    assert one.index.equals(two.index)


def test_a_cast_handler_travels_without_the_users_class(own) -> None:
    data = pickle.dumps(DataHandlerLP.cast(own))
    assert b"OwnHandler" not in data
    assert b"Doubling" not in data
    back = pickle.loads(data)
    pd.testing.assert_frame_equal(back.fetch(data_key="learn"), own.fetch(data_key="learn"))


def test_a_cast_handler_cannot_read_other_data(own) -> None:
    cast = DataHandlerLP.cast(own)
    with pytest.raises(ConfigError, match="cast"):
        cast.config(end_time="2020-12-31")
    with pytest.raises(SegmentError, match="nothing of it inside"):
        DatasetH(cast, {"test": ("2021-01-01", "2021-01-31")}).prepare("test")


def test_a_cast_handler_without_raw_data_has_none(made) -> None:
    cast = DataHandlerLP.cast(made(OwnHandler, drop_raw=True, infer_processors=[Doubling()]))
    assert set(cast.cast_tables) == {"infer", "learn"}
    with pytest.raises(ConfigError, match="dropped"):
        cast.fetch(data_key="raw")


# HashStockFormat


def test_rows_come_instrument_by_instrument(made) -> None:
    plain = made().fetch()
    hashed = made(infer_processors=[HashStockFormat()]).fetch()
    pd.testing.assert_frame_equal(hashed, plain.sort_index(level="instrument", sort_remaining=True))
    part = made(infer_processors=[HashStockFormat()]).fetch(slice("2020-03-02", "2020-03-31"), col_set="feature")
    want = made().fetch(slice("2020-03-02", "2020-03-31"), col_set="feature")
    pd.testing.assert_frame_equal(part, want.sort_index(level="instrument", sort_remaining=True))


@pytest.mark.parametrize(
    ("processors", "codes"),
    [
        ([], "S001"),
        ([], ["S003", "S001", "S000"]),
        ([], ["NOBODY"]),
        ([HashStockFormat()], "S001"),
        ([HashStockFormat()], ["S003", "S001"]),  # without it a pair is a closed range, as in Qlib
        ([HashStockFormat()], ["S001", "NOBODY"]),
        ([HashStockFormat()], ["NOBODY"]),
    ],
)
def test_one_instrument_is_fetched_alone(made, source, processors, codes) -> None:
    names = dict(zip(["S000", "S001", "S002", "S003"], source.instruments(), strict=False))
    asked = names.get(codes, codes) if isinstance(codes, str) else [names.get(code, code) for code in codes]
    whole = made().fetch()
    wanted = [asked] if isinstance(asked, str) else asked
    want = whole[whole.index.get_level_values("instrument").isin(wanted)]
    if processors:
        want = want.sort_index(level="instrument", sort_remaining=True)
    got = made(infer_processors=processors).fetch(asked, level="instrument")
    pd.testing.assert_frame_equal(got, want)


def test_the_second_instrument_costs_no_look_at_the_others(made, source, monkeypatch: pytest.MonkeyPatch) -> None:
    handler = made(infer_processors=[HashStockFormat()])
    first, second = source.instruments()[:2]
    handler.fetch(first, level="instrument")
    monkeypatch.setattr(type(handler), "table", lambda *_: pytest.fail("the whole table was made again"))
    assert set(handler.fetch(second, level="instrument").index.get_level_values(1)) == {second}


def test_arrays_for_models_stay_in_order_of_time(made) -> None:
    hashed = DatasetH(
        made(learn_processors=[DropnaLabel(), HashStockFormat()]), {"train": ("2020-02-03", "2020-03-31")}
    )
    plain = DatasetH(made(learn_processors=[DropnaLabel()]), {"train": ("2020-02-03", "2020-03-31")})
    one, two = (each.fold("train", data_key="learn") for each in (hashed, plain))
    assert one.features.tobytes() == two.features.tobytes()
    assert one.index.equals(two.index)
