"""Handlers: windows of raw, inference and learning data, and what they refuse."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rollwright.dataset.handler import DataHandler, DataHandlerLP
from rollwright.dataset.loader import NestedDataLoader, QlibDataLoader, StaticDataLoader
from rollwright.dataset.processors import CSZScoreNorm, DropnaLabel, Processor, ZScoreNorm
from rollwright.errors import (
    ConfigError,
    DataError,
    LookAheadError,
    SegmentError,
    UnknownFieldError,
    UnknownInstrumentError,
    UnknownSettingError,
)
from rollwright.features.store.feature_store import FeatureStore
from rollwright.testing.market import ArraySource, random_source

FEATURES = (["Mean($close, 5)/$close", "$open/$close", "Std($volume, 5)"], ["MA5", "OPEN0", "VSTD5"])
LABEL = (["Ref($close, -2)/Ref($close, -1) - 1"], ["LABEL0"])


@pytest.fixture
def source() -> ArraySource:
    return random_source(np.random.default_rng(8), sessions=160, instruments=10)


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    return FeatureStore(tmp_path / "store")


def loader(**kwargs) -> QlibDataLoader:
    return QlibDataLoader({"feature": FEATURES, "label": LABEL}, **kwargs)


@pytest.fixture
def handler(source: ArraySource, store: FeatureStore) -> DataHandlerLP:
    return DataHandlerLP(
        "all", data_loader=loader(), learn_processors=[DropnaLabel(), CSZScoreNorm("label")], source=source, store=store
    )


def test_a_frame_has_qlibs_shape(handler: DataHandlerLP) -> None:
    frame = handler.fetch(col_set=DataHandler.CS_RAW)
    assert list(frame.index.names) == ["datetime", "instrument"]
    assert frame.index.is_monotonic_increasing
    assert frame.index.is_unique
    assert list(frame.columns) == [("feature", n) for n in FEATURES[1]] + [("label", "LABEL0")]
    assert (frame.dtypes == np.float32).all()


@pytest.mark.parametrize(
    ("col_set", "columns"),
    [
        ("__all", ["MA5", "OPEN0", "VSTD5", "LABEL0"]),
        ("feature", ["MA5", "OPEN0", "VSTD5"]),
        ("label", ["LABEL0"]),
        (["label"], [("label", "LABEL0")]),
        (["label", "feature"], [("label", "LABEL0"), *(("feature", n) for n in FEATURES[1])]),
    ],
)
def test_columns_are_chosen_by_group(handler: DataHandlerLP, col_set, columns) -> None:
    assert list(handler.fetch(col_set=col_set).columns) == columns
    assert handler.get_cols(col_set) == columns


def test_every_way_to_choose_rows_gives_the_same_rows(handler: DataHandlerLP) -> None:
    everything = handler.fetch(data_key="learn")
    dates = handler.panel.dates
    start, end = dates[40], dates[60]
    window = everything[(everything.index.get_level_values(0) >= start) & (everything.index.get_level_values(0) <= end)]
    for selector in (slice(start, end), (start, end), [str(start.date()), str(end.date())]):
        pd.testing.assert_frame_equal(handler.fetch(selector, data_key="learn"), window, check_index_type=False)
    one = handler.fetch(str(start.date()), data_key="learn")
    pd.testing.assert_frame_equal(one, everything.loc[[start]], check_index_type=False)
    codes = ["SH600001", "SH600003"]
    some = handler.fetch(pd.Index(codes), level="instrument", data_key="learn")
    assert set(some.index.get_level_values(1)) == set(codes)
    assert handler.fetch(everything.index[:5], data_key="learn").equals(everything.iloc[:5])
    assert isinstance(handler.fetch(str(start.date()), col_set="label", squeeze=True), pd.Series)


def test_a_frame_is_the_callers_own(handler: DataHandlerLP) -> None:
    before = handler.fetch(data_key="raw")
    spoilt = handler.fetch(data_key="raw")
    spoilt.iloc[:, :] = 7
    pd.testing.assert_frame_equal(handler.fetch(data_key="raw"), before)


def test_the_hook_sees_the_rows_with_their_groups(handler: DataHandlerLP) -> None:
    got = handler.fetch(col_set="feature", proc_func=lambda df: df[[("feature", "MA5"), ("label", "LABEL0")]] * 2)
    assert list(got.columns) == ["MA5"]
    np.testing.assert_array_equal(got["MA5"], handler.fetch(col_set="feature")["MA5"] * 2)


def test_learning_data_append_or_stand_apart(source: ArraySource, store: FeatureStore) -> None:
    def made(process_type: str) -> pd.DataFrame:
        return DataHandlerLP(
            "all", data_loader=loader(), infer_processors=["CSZScoreNorm"], learn_processors=["DropnaLabel"],
            process_type=process_type, source=source, store=store,
        ).fetch(data_key="learn")  # fmt: skip

    plain = DataHandlerLP("all", data_loader=loader(), source=source, store=store).fetch(data_key="raw")
    kept = plain[plain["LABEL0"].notna()]
    pd.testing.assert_frame_equal(made("independent"), kept)
    normal = CSZScoreNorm()(plain)
    pd.testing.assert_frame_equal(made("append"), normal[normal["LABEL0"].notna()])


def test_a_window_is_what_the_whole_gives_there(source: ArraySource, store: FeatureStore) -> None:
    fit = {"fit_start_time": "2020-02-03", "fit_end_time": "2020-03-31"}
    made = DataHandlerLP(
        "all", data_loader=loader(), source=source, store=store,
        infer_processors=["ProcessInf", {"class": "RobustZScoreNorm", "kwargs": {**fit, "fields_group": "feature"}},
                          "Fillna"],
        learn_processors=["DropnaLabel", {"class": "CSRankNorm", "kwargs": {"fields_group": "label"}}],
    )  # fmt: skip
    for key in ("raw", "infer", "learn"):
        window = made.fetch(slice("2020-05-04", "2020-06-01"), data_key=key)
        pd.testing.assert_frame_equal(window, made.fetch(data_key=key).loc["2020-05-04":"2020-06-01"])


def test_what_processors_learn_does_not_know_the_future(store: FeatureStore, source: ArraySource) -> None:
    names = source.instruments()
    fields = {name: source.load([name], names, 0, 160)[0] for name in ("open", "close", "volume")}
    for values in fields.values():
        values[100:] *= 3
    changed = ArraySource(fields, names, bounds=source.bounds(names))
    day, last = source.calendar()[90], source.calendar()[99]
    frames = []
    for market in (source, changed):
        made = DataHandlerLP(
            "all", data_loader=loader(), source=market, store=store,
            infer_processors=[ZScoreNorm("2020-01-01", day, "feature")],
        )  # fmt: skip
        frames.append(made.fetch(slice(None, last), col_set="feature"))
    assert frames[0].to_numpy().tobytes() == frames[1].to_numpy().tobytes()


def test_a_processor_of_a_users_own_sees_the_whole_range(source: ArraySource, store: FeatureStore) -> None:
    class Lag(Processor):
        def __call__(self, df):
            return df.groupby("instrument", group_keys=False).shift(1)

    made = DataHandlerLP("all", data_loader=loader(), infer_processors=[Lag()], source=source, store=store)
    raw = made.fetch(data_key="raw")
    want = raw.groupby("instrument").shift(1).loc["2020-05-04":]
    pd.testing.assert_frame_equal(made.fetch(slice("2020-05-04", None)), want)


def test_a_learning_processor_of_a_users_own_is_fitted_once(source: ArraySource, store: FeatureStore) -> None:
    class Counting(Processor):
        fits = 0

        def fit(self, df=None):
            type(self).fits += 1
            self.middle = df["feature"].mean()

        def __call__(self, df):
            out = df.copy()
            out["feature"] = out["feature"] - self.middle
            return out

    made = DataHandlerLP("all", data_loader=loader(), infer_processors=[Counting()], source=source, store=store)
    made.fetch(slice("2020-05-04", None))
    made.fetch(slice("2020-06-01", None), data_key="learn")
    assert Counting.fits == 1
    made.setup_data(init_type=DataHandlerLP.IT_LS)
    made.fetch()
    assert Counting.fits == 1
    made.setup_data()
    made.fetch()
    assert Counting.fits == 2


def test_a_new_fit_range_is_learnt_from(source: ArraySource, store: FeatureStore) -> None:
    made = DataHandlerLP(
        "all", data_loader=loader(), source=source, store=store,
        infer_processors=[ZScoreNorm("2020-01-01", "2020-02-28", "feature")],
    )  # fmt: skip
    before = made.fetch(slice("2020-06-01", None))
    made.config(processor_kwargs={"fit_end_time": "2020-05-29"})
    assert not before.equals(made.fetch(slice("2020-06-01", None)))


def test_another_range_is_configured_and_unknown_names_are_errors(handler: DataHandlerLP) -> None:
    handler.config(start_time="2020-03-02", end_time="2020-03-31")
    frame = handler.fetch()
    assert frame.index.get_level_values(0).min() == pd.Timestamp("2020-03-02")
    assert frame.index.get_level_values(0).max() == pd.Timestamp("2020-03-31")
    with pytest.raises(UnknownSettingError, match="end_time"):
        handler.config(endtime="2020-03-31")


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("2020-04-01", "2020-03-01"),
        ("2019-12-02", "2020-02-03"),
        ("2020-02-03", "2021-06-01"),
        ("2018-01-01", "2018-02-01"),
    ],
)
def test_a_segment_outside_is_an_error(handler: DataHandlerLP, start: str, end: str) -> None:
    with pytest.raises(
        SegmentError, match=r"ends before it starts|before the handler does|after the handler does|nothing of it inside"
    ):
        handler.segment_places(start, end)


def test_a_segment_beyond_the_handlers_own_end_is_an_error(source: ArraySource, store: FeatureStore) -> None:
    made = DataHandlerLP("all", "2020-02-03", "2020-05-29", loader(), source=source, store=store)
    with pytest.raises(SegmentError, match="ends after the handler"):
        made.segment_places("2020-03-02", "2020-06-01")
    with pytest.raises(SegmentError, match="begins before the handler"):
        made.segment_places("2020-01-06", "2020-03-02")
    with pytest.raises(SegmentError, match="ends before it starts"):
        DataHandlerLP("all", "2020-05-29", "2020-02-03", loader(), source=source, store=store)


def test_unknown_names_carry_the_nearest(handler: DataHandlerLP, source: ArraySource, store: FeatureStore) -> None:
    with pytest.raises(UnknownSettingError, match="did you mean `learn`"):
        handler.fetch(data_key="lern")
    with pytest.raises(UnknownFieldError, match="did you mean `feature`"):
        handler.fetch(col_set="features")
    with pytest.raises(UnknownSettingError, match="unknown name `apend`"):
        DataHandlerLP("all", data_loader=loader(), process_type="apend", source=source, store=store)
    with pytest.raises(UnknownInstrumentError, match="did you mean `all`"):
        DataHandlerLP("al", data_loader=loader(), source=source, store=store).fetch()
    with pytest.raises(UnknownInstrumentError, match="did you mean `SH600001`"):
        DataHandlerLP(["SH60001"], data_loader=loader(), source=source, store=store).fetch()
    with pytest.raises(ConfigError, match="not text"):
        DataHandlerLP([600001], data_loader=loader(), source=source, store=store).fetch()


def test_an_empty_universe_is_an_error(source: ArraySource, store: FeatureStore) -> None:
    late = {"SH600000": [("2030-01-01", "2031-01-01")]}
    with pytest.raises(DataError, match="no rows"):
        DataHandlerLP(late, data_loader=loader(), source=source, store=store).fetch()
    with pytest.raises(ConfigError, match="empty"):
        DataHandlerLP([], data_loader=loader(), source=source, store=store).fetch()


def test_inference_never_looks_at_labels(source: ArraySource, store: FeatureStore) -> None:
    with pytest.raises(ConfigError, match="learn_processors"):
        DataHandlerLP("all", data_loader=loader(), infer_processors=["DropnaLabel"], source=source, store=store)


def test_only_the_label_group_may_look_ahead(source: ArraySource, store: FeatureStore) -> None:
    for config in ({"feature": LABEL}, LABEL, {"target": LABEL}):
        with pytest.raises(LookAheadError, match="reads 2 sessions ahead"):
            DataHandlerLP("all", data_loader=QlibDataLoader(config), source=source, store=store).fetch()


def test_columns_that_are_nan_throughout_are_named(
    source: ArraySource, store: FeatureStore, caplog: pytest.LogCaptureFixture
) -> None:
    config = {"feature": (["$close", "$vwap/$close"], ["CLOSE", "VWAP0"])}
    names = source.instruments()
    bare = ArraySource({"close": source.load(["close"], names, 0, 160)[0]}, names)
    with caplog.at_level("WARNING", logger="rollwright.dataset"):
        DataHandlerLP("all", data_loader=QlibDataLoader(config), source=bare, store=store).fetch()
    assert "VWAP0" in caplog.text
    with pytest.raises(DataError, match="VWAP0"):
        DataHandlerLP(
            "all", data_loader=QlibDataLoader({"feature": (["$vwap/$close"], ["VWAP0"])}), source=bare, store=store
        ).fetch()


def test_the_forms_of_a_loaders_configuration(source: ArraySource, store: FeatureStore) -> None:
    def columns(config) -> list:
        made = DataHandlerLP("all", data_loader=QlibDataLoader(config), source=source, store=store)
        return made.fetch(col_set="__raw").columns.tolist()

    assert columns(["$close", "$open"]) == ["$close", "$open"]
    assert columns((["$close"], ["C"])) == ["C"]
    assert columns({"feature": ["$close"]}) == [("feature", "$close")]
    for bad in (
        {"feature": []},
        [],
        {"feature": "$close"},
        (["$close"], ["A", "B"]),
        (["$close", "$open"], ["A", "A"]),
    ):
        with pytest.raises(
            ConfigError, match=r"no list of expressions|1 expressions and 2 names|several columns called A"
        ):
            QlibDataLoader(bad)


def test_instrument_processors_run_on_each_instrument_alone(source: ArraySource, store: FeatureStore) -> None:
    def early(df: pd.DataFrame, instrument: str) -> pd.DataFrame:
        assert list(df.index.names) == ["datetime"]
        return df.head(3) if instrument < "SH600005" else df.head(0)

    made = DataHandlerLP("all", data_loader=loader(inst_processors=[early]), source=source, store=store)
    sizes = made.fetch().groupby("instrument").size()
    assert set(sizes) == {3}
    assert made.label_reach.span == 2


def test_a_frame_can_be_a_handler(handler: DataHandlerLP) -> None:
    raw = handler.fetch(col_set="__raw", data_key="raw")
    shuffled = raw.sample(frac=1, random_state=0).swaplevel()
    made = DataHandlerLP.from_df(shuffled)
    pd.testing.assert_frame_equal(made.fetch(col_set="__raw"), raw, check_index_type=False)
    assert made.generation == DataHandlerLP.from_df(raw).generation
    with pytest.raises(DataError, match="duplicate rows"):
        DataHandlerLP.from_df(pd.concat([raw, raw.head(2)])).fetch()


def test_static_data_come_from_parquet_and_frames(tmp_path: Path, handler: DataHandlerLP) -> None:
    raw = handler.fetch(col_set="feature", data_key="raw")
    raw.to_parquet(tmp_path / "x.parquet")
    label = handler.fetch(col_set="label", data_key="raw").iloc[:50]
    loaded = StaticDataLoader({"feature": str(tmp_path / "x.parquet"), "label": label}, label_lookahead=2)
    frame = loaded.load(["SH600001", "SH600002"], "2020-01-06", "2020-01-31")
    assert set(frame.index.get_level_values(1)) <= {"SH600001", "SH600002"}
    assert frame.index.get_level_values(0).max() <= pd.Timestamp("2020-01-31")
    assert DataHandlerLP(data_loader=loaded).label_reach.span == 2
    inner = StaticDataLoader({"feature": raw, "label": label}, join="inner").load()
    assert len(inner) == 50
    with pytest.raises(ConfigError, match="Parquet"):
        StaticDataLoader(str(tmp_path / "x.pkl")).load()


def test_loaders_nest(source: ArraySource, store: FeatureStore) -> None:
    nested = NestedDataLoader([QlibDataLoader({"feature": FEATURES}), QlibDataLoader({"label": LABEL})])
    made = DataHandlerLP("all", data_loader=nested, source=source, store=store)
    plain = DataHandlerLP("all", data_loader=loader(), source=source, store=store)
    pd.testing.assert_frame_equal(made.fetch(col_set="__raw"), plain.fetch(col_set="__raw"), check_index_type=False)


def test_sessions_before_a_date_are_found(handler: DataHandlerLP) -> None:
    dates = handler.panel.dates
    assert handler.get_range_selector(dates[10], 5) == slice(dates[6], dates[10])
    assert handler.get_range_selector(dates[2], 5) == slice(dates[0], dates[2])
    pairs = list(handler.get_range_iterator(5, min_periods=157))
    assert [date for date, _ in pairs] == list(dates[157:])
    assert pairs[0][1].index.get_level_values(0).nunique() == 5


def test_a_copy_maps_the_data_again_and_keeps_what_was_learnt(source: ArraySource, store: FeatureStore) -> None:
    made = DataHandlerLP(
        "all", data_loader=loader(), source=source, store=store,
        infer_processors=[ZScoreNorm("2020-01-01", "2020-02-28", "feature")],
    )  # fmt: skip
    before = made.fetch()
    again = copy.deepcopy(made)
    assert again._opened is None
    again.infer_processors[0].fit_table = None  # would be called if it learnt anew
    pd.testing.assert_frame_equal(again.fetch(), before)


def test_the_names_of_a_handler_can_be_filtered(source: ArraySource, store: FeatureStore) -> None:
    pipe = [{"filter_type": "NameDFilter", "name_rule_re": "SH60000[1-3]"}]
    made = DataHandlerLP("all", data_loader=loader(filter_pipe=pipe), source=source, store=store)
    assert set(made.fetch().index.get_level_values(1)) == {"SH600001", "SH600002", "SH600003"}


def test_rows_can_be_filtered_by_an_expression(source: ArraySource, store: FeatureStore) -> None:
    rule = {
        "filter_type": "ExpressionDFilter", "rule_expression": "$close > Ref($close, 1)",
        "filter_start_time": "2020-03-02", "filter_end_time": None, "keep": False,
    }  # fmt: skip
    config = {"feature": (["$close", "Ref($close, 1)"], ["C", "P"])}
    whole = DataHandlerLP("all", data_loader=QlibDataLoader(config), source=source, store=store).fetch()
    made = DataHandlerLP(
        {"market": "all", "filter_pipe": [rule]}, data_loader=QlibDataLoader(config), source=source, store=store
    ).fetch()
    late = whole.index.get_level_values(0) >= pd.Timestamp("2020-03-02")
    pd.testing.assert_frame_equal(made, whole[~late | (whole["C"] > whole["P"])])


@pytest.mark.parametrize(
    "rule",
    [
        {"filter_type": "NamDFilter"},
        {"filter_type": "NameDFilter"},
        {"filter_type": "NameDFilter", "name_rule_re": "("},
        {"filter_type": "ExpressionDFilter", "rule_expression": "$close > 1", "kep": True},
        "NameDFilter",
    ],
)  # fmt: skip
def test_a_filter_that_makes_no_sense_is_refused(source: ArraySource, store: FeatureStore, rule: object) -> None:
    with pytest.raises(
        ConfigError, match=r"unknown name|has no name_rule_re|no regular expression|not a regular expression|filter"
    ):
        DataHandlerLP("all", data_loader=loader(filter_pipe=[rule]), source=source, store=store).fetch()


def test_a_filter_that_looks_ahead_is_refused(source: ArraySource, store: FeatureStore) -> None:
    rule = {"filter_type": "ExpressionDFilter", "rule_expression": "Ref($close, -1) > $close"}
    with pytest.raises(LookAheadError, match="reads 1 session ahead"):
        DataHandlerLP("all", data_loader=loader(filter_pipe=[rule]), source=source, store=store).fetch()
