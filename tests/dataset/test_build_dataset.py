"""A dataset from a task's configuration over any market, which the configuration does not name."""

from __future__ import annotations

import pandas as pd
import pytest

from rollwright.config.context import current_settings, install, using
from rollwright.dataset.dataset import DatasetH, build_dataset
from rollwright.errors import ConfigError
from rollwright.market.as_of import AsOf
from rollwright.market.frame import FrameSource

DAYS = pd.bdate_range("2020-01-01", periods=40)
FIELDS = {"feature": [["$close/Ref($close, 2)"], ["F"]], "label": [["Ref($close, -2)/$close - 1"], ["L"]]}
EXPRESSIONS = {"class": "QlibDataLoader", "kwargs": {"config": FIELDS}}
LEARN = ["DropnaLabel", {"class": "CSZScoreNorm", "kwargs": {"fields_group": "label"}}]


def market(factor: float = 1.0, sessions: int = 40) -> FrameSource:
    index = pd.MultiIndex.from_product([DAYS[:sessions], ["A", "B", "C"]], names=["datetime", "instrument"])
    close = [factor ** (number // 3) * (10 + number % 3 + number % 7) for number in range(len(index))]
    return FrameSource(pd.DataFrame({"close": close}, index=index))


def handler(loader, **kwargs) -> dict:
    return {"class": "DataHandlerLP", "kwargs": {"data_loader": loader, "learn_processors": LEARN, **kwargs}}


HANDLERS = {
    "expressions": handler(EXPRESSIONS),
    "a universe with filters": handler(
        {**EXPRESSIONS, "kwargs": {**EXPRESSIONS["kwargs"], "filter_pipe": [
            {"filter_type": "ExpressionDFilter", "rule_expression": "$close > 11", "keep": False}
        ]}},
        instruments="all",
    ),
    "one instrument after another": handler(
        {**EXPRESSIONS, "kwargs": {**EXPRESSIONS["kwargs"], "inst_processors": [
            {"class": "TimeRangeFlt", "kwargs": {"start_time": "2019-12-01"}}
        ]}}
    ),
    "nested loaders": handler({"class": "NestedDataLoader", "kwargs": {"dataloader_l": [
        EXPRESSIONS, {"class": "QlibDataLoader", "kwargs": {"config": {"feature": [["$close"], ["C"]]}}}
    ]}}),
    "a handler inside": handler({"class": "DataLoaderDH", "kwargs": {"handler_config": handler(EXPRESSIONS)}}),
}  # fmt: skip


def config(kind: str) -> dict:
    segments = {"train": (DAYS[3], DAYS[20]), "test": (DAYS[25], DAYS[30])}
    return {"class": "DatasetH", "kwargs": {"handler": HANDLERS[kind], "segments": segments}}


@pytest.mark.parametrize("kind", HANDLERS)
def test_it_reads_the_market_that_is_given_and_no_other(kind):
    one, other = market(1.0), market(1.01)
    with using(market=other):
        here = build_dataset(config(kind)).prepare("train", data_key="learn")
        there = build_dataset(config(kind), source=one)
        rows = there.prepare("train", data_key="learn")
    assert not rows.equals(here)
    assert there.generation == one.generation
    with using(market=one):
        pd.testing.assert_frame_equal(build_dataset(config(kind)).prepare("train", data_key="learn"), rows)


@pytest.mark.parametrize("kind", HANDLERS)
def test_without_any_market_set_it_is_enough(kind):
    dataset = build_dataset(config(kind), source=market())
    assert len(dataset.prepare("test", data_key="infer"))
    assert dataset.label_lookahead == 2


def test_a_market_as_of_a_session_is_one_too():
    whole = market()
    seen = build_dataset(config("expressions"), source=AsOf(whole, DAYS[26]))
    dates = seen.prepare("test", data_key="infer").index.get_level_values("datetime")
    assert dates.max() == DAYS[26]
    assert seen.generation != whole.generation


def test_what_another_market_was_learnt_from_is_forgotten():
    fitted = [{"class": "ZScoreNorm", "kwargs": {"fit_start_time": DAYS[3], "fit_end_time": DAYS[20]}}]
    asked = {**config("expressions")}
    asked["kwargs"] = {**asked["kwargs"], "handler": handler(EXPRESSIONS, infer_processors=fitted, learn_processors=[])}
    one = build_dataset(asked, source=market(1.0))
    one.prepare("train")
    other = one.over(market(1.02))
    pd.testing.assert_frame_equal(other.prepare("train"), build_dataset(asked, source=market(1.02)).prepare("train"))
    assert other.reads() != one.reads()


def test_a_dataset_of_the_users_own_says_so_when_it_reads_no_other_market(tmp_path):
    (tmp_path / "own.py").write_text(
        "from rollwright.dataset.dataset import Dataset\n\n\n"
        "class Mine(Dataset):\n"
        "    def prepare(self, segments, **kwargs):\n"
        "        return None\n"
    )
    install(current_settings().with_values({"trust.folder": str(tmp_path)}, origin="test"))
    mine = {"class": "Mine", "module_path": "own.py"}
    assert build_dataset(mine).label_lookahead is None
    with pytest.raises(ConfigError, match="Mine does not say how it reads another market"):
        build_dataset(mine, source=market())


def test_a_built_dataset_is_taken_as_it_is():
    built = DatasetH(handler=HANDLERS["expressions"], segments=config("expressions")["kwargs"]["segments"])
    assert build_dataset(built) is built
    assert build_dataset(built, source=market()) is not built
