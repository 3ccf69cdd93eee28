"""Campaigns of several members from the file to the results: features once, budgets that say so, and resuming."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rollwright.app.open_campaign import open_campaign
from rollwright.cli.root import run
from rollwright.errors import ConfigError, CoverageError, TaskFailedError
from rollwright.features.store import fill
from rollwright.models.linear import LinearModel
from small_campaign import CAMPAIGN, make_project, roll_here

VARIED = CAMPAIGN + "vary: {model.kwargs.alpha: [0.1, 1.0]}\n"
NAMES = ["alpha=0.1", "alpha=1.0"]


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    file = make_project(tmp_path / "project", text=VARIED)
    monkeypatch.chdir(file.parent)
    return file


def summary(file: Path) -> dict:
    return json.loads((file.parent / "results" / "small" / "summary.json").read_text())


def test_members_are_rolled_combined_and_kept_by_the_next_command(project, monkeypatch):
    first = roll_here(project)
    assert first is not None
    assert [one.variant for one in first.variants] == ["combined", *NAMES]
    folder = project.parent / "results" / "small"
    made = {name: (folder / name).read_bytes() for name in ("pred.parquet", "members/alpha=1.0/pred.parquet")}

    def refuse(*args, **kwargs):
        raise AssertionError("a finished window was trained again")

    monkeypatch.setattr(LinearModel, "fit", refuse)
    again = roll_here(project)
    assert again is not None
    assert {name: (folder / name).read_bytes() for name in made} == made
    only_new = roll_here(project, overrides=("combine.method=rank_mean",))
    assert only_new is not None
    assert (folder / "pred.parquet").read_bytes() != made["pred.parquet"]


def test_features_are_computed_once_for_all_members_and_windows(project, monkeypatch):
    computed = []
    compute = fill.evaluate_each

    def count(plan, *args, **kwargs):
        computed.append(kwargs)
        return compute(plan, *args, **kwargs)

    monkeypatch.setattr(fill, "evaluate_each", count)
    roll_here(project)
    several = list(computed)
    computed.clear()
    alone = make_project(project.parent.parent / "alone")
    roll_here(alone)
    assert len(several) == len(computed) > 0


def test_a_budget_of_tasks_ends_with_a_partial_result_that_says_so_and_the_next_command_goes_on(project):
    budget = ("budget.tasks=3",)
    first = roll_here(project, overrides=budget)
    assert first is not None
    whole = roll_here(make_project(project.parent.parent / "whole", text=VARIED))
    assert whole is not None
    windows = whole.variants[1].windows
    assert len(first.missing) == 2 * windows - 3
    assert [(one.variant, one.windows) for one in first.variants] == [("combined", 1), (NAMES[0], 2), (NAMES[1], 1)]
    assert summary(project)["missing"] == list(first.missing)
    assert first.health[0].kind == "partial_result"
    second = roll_here(project, overrides=budget)
    assert second is not None
    assert len(second.missing) == len(first.missing) - 3
    last = roll_here(project)
    assert last is not None
    assert last.missing == ()
    one, other = (made.variants[0].files["predictions"].read_bytes() for made in (last, whole))
    assert one == other


def test_a_budget_of_no_time_ends_before_the_first_window(project, capsys):
    with pytest.raises(CoverageError, match=r"no window of \w+ is finished: the budget was used up") as caught:
        roll_here(project, overrides=("budget.hours=1e-12",))
    assert "raise the budget" in caught.value.hint
    assert "warning" not in capsys.readouterr().err
    made = roll_here(project, overrides=("budget.hours=1",))
    assert made is not None
    assert made.missing == ()


def breaks_in_one_window(monkeypatch) -> None:
    """Let the first window of the second member fail."""
    fit = LinearModel.fit

    def broken(self, dataset, *arguments, **kwargs):
        if self.alpha == 1.0 and f"{dataset.segments['test'][0]:%Y-%m-%d}" == "2020-05-29":
            raise RuntimeError("no luck")
        return fit(self, dataset, *arguments, **kwargs)

    monkeypatch.setattr(LinearModel, "fit", broken)


def test_a_window_that_fails_is_an_error_unless_the_file_says_that_it_may_be_missing(project, monkeypatch):
    breaks_in_one_window(monkeypatch)
    with pytest.raises(TaskFailedError, match="no luck"):
        roll_here(project)
    allowed = project.read_text() + "collect: {allow_missing: {alpha=1.0: that model is weak}}\n"
    project.write_text(allowed)
    made = roll_here(project)
    assert made is not None
    assert made.missing == ()
    assert len(made.left_out) == 1
    assert made.left_out[0].startswith("alpha=1.0/")
    assert summary(project)["left_out"] == list(made.left_out)
    found = made.health[0]
    assert (found.kind, found.values["windows"], found.values["reasons"]) == (
        "declared_missing",
        1,
        "that model is weak",
    )
    combined, first, second = made.variants
    assert second.windows == first.windows - 1 == combined.windows


def test_what_may_be_missing_is_not_left_out_where_it_is_there(project):
    project.write_text(project.read_text() + "collect: {allow_missing: {alpha=1.0: that model is weak}}\n")
    made = roll_here(project)
    assert made is not None
    assert (made.left_out, made.missing) == ((), ())
    assert "declared_missing" not in [finding.kind for finding in made.health]


def test_a_window_that_may_be_missing_has_to_be_one_of_the_campaign(project):
    project.write_text(project.read_text() + "collect: {allow_missing: {alpha=2.0: why}}\n")
    with pytest.raises(ConfigError, match=r"small\.yaml:\d+:\d+: the campaign has no window `alpha=2.0`"):
        roll_here(project)


def test_the_command_returns_5_for_a_partial_result_and_shows_each_member(project, capsys):
    assert run(["roll", str(project), "-j", "1", "budget.tasks=2"]) == 5
    shown = capsys.readouterr()
    assert "partial: the budget left" in shown.err
    assert "rollwright resume small" in shown.err
    assert "The result is partial" in shown.out
    assert all(name in shown.out for name in NAMES)
    assert run(["roll", str(project), "-j", "1"]) == 0
    assert "correlation" in capsys.readouterr().out


def test_the_pool_of_a_campaign_is_where_its_file_says(project):
    opened = open_campaign(
        project, overrides=("pool.url=sqlite:///own/pool.db", "pool.lease=7"), project=project.parent
    )
    assert (opened.settings.pool.url, opened.settings.pool.lease) == ("sqlite:///own/pool.db", 7.0)
    (project.parent / "link").symlink_to(project.parent.parent)
    for outside in ("sqlite:////elsewhere.db", "sqlite:///../elsewhere.db", "sqlite:///link/elsewhere.db"):
        for key in ("pool.url", "qlib_init.pool__url"):
            with pytest.raises(ConfigError, match=f"`pool.url` is a file outside the project {project.parent}"):
                open_campaign(project, overrides=(f"{key}={outside}",), project=project.parent)


def test_a_pool_outside_the_project_is_for_its_settings_to_name(project):
    outside = project.parent.parent / "shared.db"
    (project.parent / "rollwright.toml").write_text(f'[pool]\nurl = "sqlite:///{outside}"\n')
    assert open_campaign(project, project=project.parent).settings.pool.url == f"sqlite:///{outside}"
