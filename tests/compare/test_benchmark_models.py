"""The folders of `benchmarks/models`: each file is planned and its model built, and nothing but the model differs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from rollwright.app.open_campaign import open_campaign
from rollwright.campaign.checks.classes import check_classes
from rollwright.campaign.plan import plan_once
from rollwright.cli.root import run
from rollwright.config.construct import init_instance_by_config
from rollwright.config.context import using
from rollwright.market.current import current_market
from rollwright.market.demo import make_demo_market
from rollwright.models.sklearn import as_model

MODELS = Path(__file__).parents[2] / "benchmarks" / "models"
FILES = sorted(MODELS.glob("*/*.yaml"))
FOLDERS = sorted({path.parent for path in FILES})
PLANTED = 0.08
CHEAP = ("linear", "elasticnet", "lightgbm", "xgboost", "catboost", "histgradientboosting", "mlp")


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "market"
    make_demo_market(folder, instruments=20, sessions=770, seed=5)
    return folder


@pytest.fixture(scope="module")
def planned(demo, tmp_path_factory):
    project = tmp_path_factory.mktemp("project")

    def plan(path: Path):
        campaign = open_campaign(path, provider_uri=str(demo), project=project)
        with using(campaign.context):
            return campaign, plan_once(campaign.config, calendar=current_market().calendar())

    return plan


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_is_planned_and_its_model_is_built(planned, path):
    campaign, plan = planned(path)
    with using(campaign.context):
        config = plan.task["model"]
        check_classes(plan.task, locate=campaign.document.locate)  # as `run` does: names and types of arguments, too
        model = as_model(init_instance_by_config(config, try_kwargs={"seed": 3}, slot="model"), seed=3)
    assert model.params
    assert "seed" not in str(config)
    model_name, data = path.stem.removeprefix("workflow_config_").split("_")
    assert model_name == path.parent.name.lower()
    assert data in ("Alpha158", "Alpha360")


def test_nothing_but_the_model_differs(planned):
    told = {}
    for path in FILES:
        campaign, plan = planned(path)
        dataset = plan.task["dataset"]
        handler = dataset["kwargs"]["handler"]
        assert handler["class"] == path.stem.rpartition("_")[2]
        told[path.name] = (
            dataset["kwargs"]["segments"],
            {key: value for key, value in handler["kwargs"].items() if key != "infer_processors"},
            plan.task["record"],
            campaign.config.backtest,
            campaign.config.seed,
        )
    first = next(iter(told.values()))
    assert all(other == first for other in told.values())


def test_there_is_a_folder_for_every_model_and_at_least_ten():
    assert len(FOLDERS) >= 10
    assert [path for path in MODELS.iterdir() if path.is_dir() and path not in FOLDERS] == [MODELS / "results"]
    for folder in FOLDERS:
        assert list(folder.glob("*_Alpha158.yaml"))
    told = (MODELS / "README.md").read_text("utf-8")
    assert [folder.name for folder in FOLDERS if f"`{folder.name}`" not in told] == []


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_requirements_are_names_and_bounded_versions(folder):
    lines = (folder / "requirements.txt").read_text("utf-8").splitlines()
    for line in lines:
        if line.startswith("#"):
            continue
        wanted = Requirement(line)
        assert wanted.url is None
        assert {part.operator for part in wanted.specifier} == {">=", "<"}, "a range that ends"


@pytest.mark.slow
@pytest.mark.parametrize("name", CHEAP)
def test_a_cheap_model_finds_much_of_the_planted_signal(tmp_path, monkeypatch, capsys, name):
    monkeypatch.chdir(tmp_path)
    make_demo_market(tmp_path / "market", instruments=80, sessions=770, seed=5, planted_ic=PLANTED)
    (path,) = MODELS.glob(f"*/workflow_config_{name}_Alpha158.yaml")
    assert run(["run", str(path), "--provider-uri", "market", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["data"]["metrics"]["IC"]
    assert PLANTED / 3 < found < 1.2 * PLANTED
