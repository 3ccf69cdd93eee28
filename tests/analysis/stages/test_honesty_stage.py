"""How back-tests become trials, and get their honest numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from made_trials import SteppingClock
from rollwright.analysis.stages.files import read_stage, write_stage
from rollwright.analysis.stages.honesty import Look, TrialBook, add_honesty, judge_returns
from rollwright.analysis.stages.table import ResultTable, StageResult
from rollwright.errors import DataError
from rollwright.trials.registry import TrialRegistry

DAYS = pd.date_range("2020-01-01", periods=250, name="datetime")


def make_stage(seed, *, idle=False):
    """Return the stage of a back-test with random returns, before it is judged."""
    values = np.random.default_rng(seed).normal(0.0005, 0.01, len(DAYS)) * (not idle)
    account = pd.DataFrame({"return": values, "cost": 0.0001 * (not idle)}, index=DAYS)
    units = dict.fromkeys(account.columns, "fraction_per_session")
    return StageResult(
        stage="backtest",
        tables={"account": ResultTable(name="account", frame=account, units=units)},
        left_out={"honesty": "it was not registered as a trial"},
        settings={"days_per_year": 252.0, "risk_free": 0.01, "topk": 5, "n_drop": 1, "other": 7},
    )


def net_of(stage):
    account = stage.frame("account")
    return account["return"] - account["cost"]


@pytest.fixture
def book(tmp_path):
    return TrialBook(registry=TrialRegistry(tmp_path / "state", clock=SteppingClock()), data="market")


def counted(stage):
    return {metric.key: metric.value for metric in stage.metrics}.get("trials")


def test_all_are_registered_before_the_first_is_judged_and_their_order_plays_no_part(book, tmp_path):
    stages = [make_stage(seed) for seed in range(3)]
    looks = [Look("member", str(seed)) for seed in range(3)]
    made = add_honesty(stages, looks, book)
    assert [counted(one) for one in made] == [3, 3, 3]
    assert [one.left_out for one in made] == [{}, {}, {}]
    other = replace(book, registry=TrialRegistry(tmp_path / "other", clock=SteppingClock()))
    turned = add_honesty(stages[::-1], looks[::-1], other)[::-1]
    for one, again in zip(made, turned, strict=True):
        pd.testing.assert_frame_equal(one.frame("honesty"), again.frame("honesty"), check_exact=True)


def test_what_was_asked_of_the_back_test_is_kept_with_the_trial(book):
    add_honesty([make_stage(1)], [Look("combination", "one\n\x1b[31m")], book)
    (trial,) = book.registry.read().trials
    assert trial.settings == {"topk": 5, "n_drop": 1}
    assert trial.name.isprintable()


def test_one_that_never_traded_stays_as_it_was_and_says_why(book):
    idle, traded = add_honesty(
        [make_stage(1, idle=True), make_stage(2)], [Look("member", "a"), Look("member", "b")], book
    )
    assert "Sharpe ratio is not defined" in idle.left_out["honesty"]
    assert idle.metrics == ()
    assert counted(traded) == 1


def test_a_judged_stage_is_written_and_read_as_it_is(book, tmp_path):
    (made,) = add_honesty([make_stage(1)], [Look("member", "a")], book)
    stage = replace(made, tables={"honesty": made.tables["honesty"]})
    write_stage(stage, tmp_path / "results")
    again = read_stage(tmp_path / "results", "backtest")
    assert again.metrics == made.metrics
    pd.testing.assert_frame_equal(again.frame("honesty"), made.frame("honesty"), check_exact=True)


def test_a_look_at_an_opened_holdout_is_a_trial_of_its_own(book):
    net = net_of(make_stage(1))
    judge_returns(net[:200], Look("signal", "a"), book, settings={}, periods=252)
    opened = replace(book, opened=(np.datetime64("2020-08-01"),))
    made = judge_returns(net, Look("signal", "a"), opened, settings={}, periods=252)
    assert [one.holdout for one in book.registry.read().trials] == [False, True]
    assert {one.key: one.value for one in made.metrics}["trials"] == 2
    before = replace(book, opened=(np.datetime64("2021-08-01"),))
    assert not before.make_trial(net, Look("signal", "a"), {}).holdout


def test_returns_without_a_ratio_register_nothing(book):
    with pytest.raises(DataError):
        judge_returns(net_of(make_stage(1, idle=True)), Look("single", "a"), book, settings={}, periods=252)
    assert not book.registry.folder.exists()


@pytest.mark.usefixtures("unprivileged")
def test_a_project_that_may_only_be_read_is_a_finding_and_counts_what_is_there(book):
    judge_returns(net_of(make_stage(1)), Look("single", "a"), book, settings={}, periods=252)
    for path in (*book.registry.folder.iterdir(), book.registry.folder):
        path.chmod(0o500)
    made = judge_returns(net_of(make_stage(2)), Look("single", "b"), book, settings={}, periods=252)
    book.registry.folder.chmod(0o700)
    assert [one.kind for one in made.findings if one.kind == "trials_not_registered"] == ["trials_not_registered"]
    assert {one.key: one.value for one in made.metrics}["trials"] == 2
    assert len(book.registry.read().trials) == 1
