"""A handler tells what was read of it: up to which session, whatever was asked for, and of which data."""

from __future__ import annotations

import copy

import numpy as np
import pandas as pd
import pytest

from rollwright.dataset.dataset import DatasetH, build_dataset
from rollwright.dataset.processors import Processor
from rollwright.market.frame import FrameSource

DAYS = pd.bdate_range("2020-01-01", periods=60)
FIELDS = {"feature": [["$close/Ref($close, 2)"], ["F"]], "label": [["Ref($close, -3)/$close - 1"], ["L"]]}
AHEAD = 3


class Demean(Processor):
    """Looks at every row."""

    def __call__(self, df):
        return df - df.mean()


def market() -> FrameSource:
    index = pd.MultiIndex.from_product([DAYS, ["A", "B", "C"]], names=["datetime", "instrument"])
    return FrameSource(pd.DataFrame({"close": 10 + np.arange(len(index)) % 7}, index=index))


def dataset(source=None, **kwargs) -> DatasetH:
    handler = {
        "class": "DataHandlerLP",
        "kwargs": {"data_loader": {"class": "QlibDataLoader", "kwargs": {"config": FIELDS}}},
    }
    handler["kwargs"].update(kwargs)
    segments = {"train": (DAYS[5], DAYS[20]), "valid": (DAYS[24], DAYS[30]), "test": (DAYS[35], DAYS[40])}
    config = {"class": "DatasetH", "kwargs": {"handler": handler, "segments": segments}}
    return build_dataset(config, source=source if source is not None else market())


def stops(made: DatasetH) -> list[int | None]:
    return [scope.stop for scope in made.reads()]


def test_nothing_is_read_before_it_is_asked_for():
    made = dataset()
    made.label_reach, made.generation, made.warm()
    assert made.reads() == ()


@pytest.mark.parametrize(
    "read",
    [
        lambda made: made.prepare("train"),
        lambda made: made.prepare("train", data_key="learn"),
        lambda made: made.prepare("train", data_key="raw"),
        lambda made: made.fold("train", data_key="learn"),
        lambda made: made.inference_index("train"),
        lambda made: made.handler.fetch(slice(DAYS[3], DAYS[20])),
        lambda made: made.handler.fetch(DAYS[20]),
    ],
)
@pytest.mark.parametrize("processors", [[], ["DropnaLabel"], ["DropnaLabel", {"class": "CSRankNorm"}]])
def test_each_way_to_read_is_noted_with_the_future_of_its_labels(read, processors):
    made = dataset(learn_processors=processors)
    read(made)
    (scope,) = made.reads()
    assert (scope.stop, scope.until) == (20 + 1 + AHEAD, f"{DAYS[20 + AHEAD]:%Y-%m-%d}")
    assert scope.generation == made.generation


def test_the_latest_session_counts_in_whatever_order_it_was_read():
    made = dataset()
    for segment in ("valid", "test", "train"):
        made.prepare(segment)
    assert stops(made) == [40 + 1 + AHEAD]
    made.forget_reads()
    assert made.reads() == ()
    made.prepare("train")
    assert stops(made) == [20 + 1 + AHEAD]


def test_a_fit_range_is_read_and_so_is_all_by_a_processor_that_looks_at_all():
    fitted = {"class": "ZScoreNorm", "kwargs": {"fit_start_time": DAYS[5], "fit_end_time": DAYS[28]}}
    made = dataset(infer_processors=[fitted])
    made.prepare("train")
    assert stops(made) == [28 + 1 + AHEAD]
    made = dataset(infer_processors=[Demean()])
    made.prepare("train")
    assert stops(made) == [60 + AHEAD]


def test_positions_are_those_of_the_calendar_wherever_the_handler_begins():
    made = dataset(start_time=DAYS[4])
    made.prepare("train")
    assert stops(made) == [20 + 1 + AHEAD]


def test_what_is_read_of_other_data_is_a_scope_of_its_own():
    made = dataset()
    made.prepare("train")
    made.config(handler_kwargs={"end_time": DAYS[45]})
    made.prepare("test")
    assert stops(made) == [20 + 1 + AHEAD, 40 + 1 + AHEAD]
    assert stops(copy.deepcopy(made)) == []


def test_data_that_are_not_in_the_feature_store_are_told_as_a_whole(tmp_path):
    frame = pd.DataFrame(
        {"F": np.arange(60.0), "L": 1.0},
        index=pd.MultiIndex.from_product([DAYS, ["A"]], names=["datetime", "instrument"]),
    )
    frame.columns = pd.MultiIndex.from_tuples([("feature", "F"), ("label", "L")])
    frame.to_parquet(tmp_path / "own.parquet")
    made = dataset(data_loader={"class": "StaticDataLoader", "kwargs": {"config": str(tmp_path / "own.parquet")}})
    made.prepare("train")
    (scope,) = made.reads()
    assert (scope.generation, scope.stop, scope.freq) == (made.generation, None, None)
    assert made.scope_until(7) == scope
