"""Alpha158 and Alpha360 are Qlib's: names, order, expressions, labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rollwright.core.canonical import canonical_json, sha256_hex
from rollwright.dataset.alpha import (
    Alpha158,
    Alpha158DL,
    Alpha158vwap,
    Alpha360,
    Alpha360DL,
    alpha158_fields,
    alpha360_fields,
)
from rollwright.dataset.handler import DataHandlerLP
from rollwright.dataset.loader import DataLoaderDH, NestedDataLoader
from rollwright.errors import ConfigError, LookAheadError, UnknownSettingError
from rollwright.expression.planner import compile_plan
from rollwright.features.store.feature_store import FeatureStore
from rollwright.testing.market import random_source

# Of the two lists as pyqlib 0.9.7 makes them, expressions first, compared once and pinned.
ALPHA158_SHA = "f76795ce874840ec4a65475623865cbccdf98b0abf3c2245ea7935a0c447ed4b"
ALPHA360_SHA = "5153c71a40d796190ada004e399188eed8d9ed07dc73f2d527a8a345809074e8"


def sha(fields: tuple[list[str], list[str]]) -> str:
    return sha256_hex(canonical_json([list(fields[0]), list(fields[1])]).encode())


def test_alpha158_is_qlibs_list_in_qlibs_order() -> None:
    expressions, names = alpha158_fields()
    assert len(expressions) == len(set(names)) == 158
    assert sha((expressions, names)) == ALPHA158_SHA
    assert names[:13] == [
        "KMID", "KLEN", "KMID2", "KUP", "KUP2", "KLOW", "KLOW2", "KSFT", "KSFT2", "OPEN0", "HIGH0", "LOW0", "VWAP0",
    ]  # fmt: skip
    assert names[-1] == "VSUMD60"


def test_alpha360_is_qlibs_list_in_qlibs_order() -> None:
    expressions, names = alpha360_fields()
    assert len(expressions) == len(set(names)) == 360
    assert sha((expressions, names)) == ALPHA360_SHA
    assert (names[0], names[59], names[-1]) == ("CLOSE59", "CLOSE0", "VOLUME0")


def test_no_feature_looks_ahead_and_the_longest_looks_back_sixty_sessions() -> None:
    plan = compile_plan(alpha158_fields()[0])
    assert plan.lookahead == 0
    assert plan.lookback == 60


def test_parts_of_alpha158_can_be_chosen_by_qlibs_words() -> None:
    config = {"volume": {"windows": [0, 1]}, "rolling": {"windows": [7], "include": ["LOW", "MA"], "exclude": ["MA"]}}
    assert alpha158_fields(config) == (
        ["$volume/($volume+1e-12)", "Ref($volume, 1)/($volume+1e-12)", "Min($low, 7)/$close"],
        ["VOLUME0", "VOLUME1", "MIN7"],
    )


@pytest.mark.parametrize(
    ("config", "suggestion"),
    [
        ({"prices": {}}, "price"),
        ({"price": {"window": [1]}}, "windows"),
        ({"rolling": {"include": ["MIN"]}}, None),
    ],
)
def test_an_unknown_part_is_named(config: dict, suggestion: str | None) -> None:
    with pytest.raises(UnknownSettingError) as caught:
        alpha158_fields(config)
    if suggestion:
        assert caught.value.suggestion == suggestion


def handler(tmp_path: Path, cls=Alpha158, **kwargs):
    source = random_source(np.random.default_rng(2), sessions=150, instruments=8)
    return cls("all", source=source, store=FeatureStore(tmp_path / "store"), **kwargs)


def test_the_default_label_is_the_return_of_the_day_after_tomorrow(tmp_path: Path) -> None:
    made = handler(tmp_path)
    frame = made.fetch(col_set="label", data_key="raw")
    close = made._source.load(["close"], made._source.instruments(), 0, 150)[0]
    expected = np.divide(close[2:], close[1:-1], dtype=np.float32) - np.float32(1)
    wide = frame["LABEL0"].unstack().reindex(columns=made._source.instruments()).to_numpy()
    inside = ~np.isnan(wide[:-2])
    np.testing.assert_allclose(wide[:-2][inside], expected[: len(wide) - 2][inside], rtol=1e-6)
    assert np.isnan(wide[-2:]).all()
    assert made.label_reach.span == 2


def test_the_default_learning_data_have_labels_and_those_are_normalised_each_day(tmp_path: Path) -> None:
    frame = handler(tmp_path).fetch(data_key="learn")
    assert frame["LABEL0"].notna().all() or frame.groupby("datetime").size().min() == 1
    daily = frame.groupby("datetime")["LABEL0"]
    many = daily.size() > 3
    assert daily.mean()[many].abs().max() < 1e-5
    assert (daily.std()[many] - 1).abs().max() < 1e-5


def test_another_label_can_be_given(tmp_path: Path) -> None:
    made = handler(tmp_path, label=(["Ref($close, -6)/Ref($close, -1) - 1"], ["LABEL5"]))
    assert made.get_cols("label") == ["LABEL5"]
    assert made.label_reach.span == 6
    assert handler(tmp_path / "other", cls=Alpha158vwap).data_loader.groups[1].expressions[0].startswith("Ref($vwap")


def test_a_feature_that_looks_ahead_is_refused_before_anything_is_computed(tmp_path: Path) -> None:
    class Leaky(Alpha158):
        def get_feature_config(self):
            return ["Ref($close, -1)/$close"], ["TOMORROW"]

    with pytest.raises(LookAheadError, match="reads 1 session ahead"):
        handler(tmp_path, cls=Leaky).fetch()
    assert not list(tmp_path.rglob("*.f32"))


def test_a_processor_that_learns_needs_a_fit_range(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="ZScoreNorm"):
        handler(tmp_path, cls=Alpha360)
    made = handler(tmp_path, cls=Alpha360, fit_start_time="2020-01-01", fit_end_time="2020-03-31")
    frame = made.fetch(data_key="infer")
    assert frame.shape[1] == 361
    assert not frame.isna().any().any()
    assert [type(p).__name__ for p in made.infer_processors] == ["ProcessInf", "ZScoreNorm", "Fillna"]
    assert made.infer_processors[1].fit_end_time == "2020-03-31"


def test_the_features_come_as_loaders_too(tmp_path: Path) -> None:
    source = random_source(np.random.default_rng(2), sessions=80, instruments=4)
    store = FeatureStore(tmp_path / "store")
    label = {"label": (["Ref($close, -1)/$close"], ["L"])}
    nested = NestedDataLoader([Alpha158DL(label), Alpha360DL()])
    frame = DataHandlerLP("all", data_loader=nested, source=source, store=store).fetch(col_set="__raw")
    both = {*alpha158_fields()[1], *alpha360_fields()[1]}
    assert {name for group, name in frame.columns if group == "feature"} == both
    assert list(frame["label"].columns) == ["L"]


def test_handlers_can_be_loaded_from(tmp_path: Path) -> None:
    made = handler(tmp_path)
    joined = DataHandlerLP(data_loader=DataLoaderDH({"a": made, "b": made}, {"col_set": "label"}, is_group=True))
    assert joined.fetch(col_set="__raw").columns.tolist() == [("a", "LABEL0"), ("b", "LABEL0")]
    alone = DataHandlerLP(data_loader=DataLoaderDH(made))
    assert alone.label_reach.span == 2
    assert alone.generation == made.generation
    assert alone.fetch().shape == made.fetch().shape
    with pytest.raises(ConfigError, match="handlers"):
        DataHandlerLP("all", data_loader=DataLoaderDH(made)).fetch()
