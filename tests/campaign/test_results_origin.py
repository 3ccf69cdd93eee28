"""Results are overwritten by those of the same configuration only; those of another one are kept beside."""

from __future__ import annotations

import pytest

from rollwright.campaign.config import CampaignConfig
from rollwright.campaign.results_origin import ORIGIN_FILE, ResultsOrigin, keep_former_results


def origin(file="a.yaml", *, rounds=10, **rest) -> ResultsOrigin:
    task = {"model": {"class": "M", "kwargs": {"rounds": rounds}}, "dataset": {"class": "D"}}
    return ResultsOrigin.of(CampaignConfig.model_validate({"task": task, **rest}), file=file)


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "results" / "demo"
    made.mkdir(parents=True)
    (made / "summary.json").write_text("first")
    origin().write(made)
    return made


@pytest.mark.parametrize("same", [origin(), origin("b.yaml"), origin(report={"title": "Another", "lang": "zh"})])
def test_the_same_configuration_writes_into_the_same_folder(folder, same):
    assert keep_former_results(folder, same) is None
    assert (folder / "summary.json").read_text() == "first"


@pytest.mark.parametrize("other", [origin(rounds=20), origin(rolling={"step": 20}), origin(seed=7)])
def test_another_one_finds_the_former_results_beside(folder, other):
    assert keep_former_results(folder, other) == folder.with_name("demo~1")
    assert not folder.exists()
    assert (folder.with_name("demo~1") / "summary.json").read_text() == "first"


def test_several_former_results_are_kept_in_the_order_of_their_making(folder):
    for number in (1, 2, 3):
        assert keep_former_results(folder, origin(rounds=number)) == folder.with_name(f"demo~{number}")
        folder.mkdir()
        (folder / "summary.json").write_text(str(number))
        origin(rounds=number).write(folder)
    assert [(folder.with_name(f"demo~{n}") / "summary.json").read_text() for n in (1, 2, 3)] == ["first", "1", "2"]


@pytest.mark.parametrize("damage", [None, "", "{}", "[]", "garbage", "\x00"])
def test_results_whose_origin_is_not_known_are_not_overwritten(folder, damage):
    (folder / ORIGIN_FILE).unlink()
    if damage is not None:
        (folder / ORIGIN_FILE).write_text(damage)
    assert keep_former_results(folder, origin()) == folder.with_name("demo~1")


def test_a_folder_without_results_is_used_as_it_is(folder):
    (folder / "summary.json").unlink()
    (folder / "failures.txt").write_text("of a campaign that never ended")
    assert keep_former_results(folder, origin(rounds=20)) is None
    assert keep_former_results(folder.with_name("new"), origin()) is None
