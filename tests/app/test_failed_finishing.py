"""A campaign whose results could not be finished: given again it makes them in the same place, and loses no others."""

from __future__ import annotations

import pytest

from rollwright.errors import CoverageError
from small_campaign import CAMPAIGN, make_project, roll_here

BACKTEST = "\nbacktest: {topk: 3, n_drop: 1}\n"
STEPS = ["write_variant_stage", "write_about", "summarise_results", "write_report"]


@pytest.fixture
def file(tmp_path):
    return make_project(tmp_path / "project", text=CAMPAIGN + BACKTEST)


@pytest.fixture
def rolled(rolled_project):
    return rolled_project(CAMPAIGN + BACKTEST) / "small.yaml"


def fail_at(monkeypatch, step, error):
    def refuse(*_args, **_more):
        raise error

    monkeypatch.setattr(f"rollwright.campaign.results.{step}", refuse)


def results_of(file):
    return sorted(one.name for one in (file.parent / "results").iterdir())


@pytest.mark.parametrize("step", STEPS)
def test_results_that_were_not_finished_are_made_anew_in_place(file, monkeypatch, step):
    with monkeypatch.context() as patched:
        fail_at(patched, step, OSError(28, "No space left on device"))
        with pytest.raises(OSError, match="No space"):
            roll_here(file)
    told = {}
    result = roll_here(file, on_progress=told.__setitem__)
    assert "kept" not in told
    assert results_of(file) == ["small"]
    assert result.files["report"].is_file()


@pytest.mark.parametrize("step", STEPS)
def test_another_configuration_that_was_not_finished_costs_no_results(rolled, monkeypatch, step):
    before = (rolled.parent / "results/small/summary.json").read_bytes()
    told = {}
    with monkeypatch.context() as patched:
        fail_at(patched, step, OSError(28, "No space left on device"))
        with pytest.raises(OSError, match="No space"):
            roll_here(rolled, overrides=("backtest.topk=4",), on_progress=told.__setitem__)
    assert told["kept"].name == "small~1"
    told.clear()
    roll_here(rolled, overrides=("backtest.topk=4",), on_progress=told.__setitem__)
    assert "kept" not in told
    assert results_of(rolled) == ["small", "small~1"]
    assert (rolled.parent / "results/small~1/summary.json").read_bytes() == before


def test_former_results_stay_where_they_are_until_there_are_others_to_write(rolled, monkeypatch):
    told = {}
    fail_at(monkeypatch, "collect_windows", CoverageError("a row is missing"))
    with pytest.raises(CoverageError, match="a row is missing"):
        roll_here(rolled, overrides=("backtest.topk=4",), on_progress=told.__setitem__)
    assert "kept" not in told
    assert results_of(rolled) == ["small"]
