"""Planning, and asking whether labels leak, reads no price and computes no feature."""

from __future__ import annotations

from pathlib import Path

import pytest

from rollwright.campaign.config import CampaignConfig
from rollwright.campaign.plan import make_plan
from rollwright.config.context import current_settings, install
from rollwright.config.settings import load_settings
from rollwright.market.demo import make_demo_market
from rollwright.market.folder.provider import provider_from_settings

LABEL = {"label": [["Ref($close, -6)/Ref($close, -1) - 1"], ["LABEL0"]]}
EXPRESSIONS = {"class": "QlibDataLoader", "kwargs": {"config": {"feature": [["$close"], ["C"]], **LABEL}}}
MIXED = {"class": "QlibDataLoader", "kwargs": {"config": LABEL, "inst_processors": [{"class": "TimeRangeFlt"}]}}
HANDLER = {"class": "DataHandlerLP", "module_path": "rollwright.dataset.handler"}
FILE = {"class": "StaticDataLoader", "kwargs": {"config": "nowhere.parquet", "label_lookahead": 4}}
LOADERS = {
    "expressions": (EXPRESSIONS, 6),
    "one instrument after another": (MIXED, 6),
    "a file": (FILE, 4),
    "several": ({"class": "NestedDataLoader", "kwargs": {"dataloader_l": [FILE, EXPRESSIONS]}}, 6),
    "a handler": (
        {
            "class": "DataLoaderDH",
            "kwargs": {"handler_config": {**HANDLER, "kwargs": {"data_loader": EXPRESSIONS}}},
        },
        6,
    ),
}


@pytest.fixture
def market(tmp_path) -> Path:
    """Make a market ambient whose series are no series."""
    make_demo_market(tmp_path / "market", instruments=20, sessions=300, seed=1)
    install(load_settings({"data.provider_uri": str(tmp_path / "market")}, start=tmp_path, environ={}))
    for file in (tmp_path / "market" / "features").rglob("*.bin"):
        file.write_bytes(b"no series")
    return tmp_path / "market"


def config(handler) -> CampaignConfig:
    days = [f"{day:%Y-%m-%d}" for day in provider_from_settings().calendar().to_index()]
    segments = {"train": [days[60], days[150]], "valid": [days[151], days[190]], "test": [days[200], days[299]]}
    return CampaignConfig.model_validate(
        {
            "task": {
                "model": {"class": "LGBModel", "module_path": "rollwright.models.lightgbm"},
                "dataset": {
                    "class": "DatasetH",
                    "module_path": "rollwright.dataset.dataset",
                    "kwargs": {"handler": handler, "segments": segments},
                },
                "record": {"class": "SignalRecord", "module_path": "rollwright.analysis.records"},
            },
            "rolling": {"step": 40},
        }
    )


@pytest.mark.parametrize("kind", LOADERS)
def test_the_plan_knows_how_far_the_label_looks_and_opens_no_series(market, kind):
    loader, ahead = LOADERS[kind]
    asked = config({**HANDLER, "kwargs": {"data_loader": loader}})
    plan = make_plan(asked, name="p", calendar=provider_from_settings().calendar())
    assert (plan.label_span, plan.trunc_days) == (ahead, ahead + 1)
    assert [cut.sessions for cut in plan.cuts] == [ahead]
    assert not _written()


def test_nor_does_it_for_the_ready_made_features(market):
    handler = {"class": "Alpha158", "module_path": "rollwright.dataset.alpha", "kwargs": {"instruments": "all"}}
    plan = make_plan(config(handler), name="p", calendar=provider_from_settings().calendar())
    assert plan.label_span == 2
    assert not _written()


def _written() -> list[Path]:
    """Return what planning left in the project."""
    return [path for path in current_settings().state_dir.rglob("*") if path.is_file()]
