"""Campaigns register what they show, and show how many trials that makes."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from rolling_project import DAYS, rows
from rollwright.analysis.stages.honesty import Look
from rollwright.app.campaign import collect_campaign, roll_campaign
from rollwright.app.finished import find_finished
from rollwright.app.open_campaign import open_campaign
from rollwright.app.trials import identify_data, open_book, read_trials
from rollwright.app.unseal import unseal
from rollwright.cli.root import run
from rollwright.config.context import Context
from rollwright.config.settings import load_settings
from rollwright.market.demo import make_demo_market
from rollwright.market.folder.provider import QlibProvider
from rollwright.market.ingest.importer import import_market
from rollwright.market.seal import find_holdout
from rollwright.testing.market import random_source
from rollwright.trials.registry import TrialRegistry
from small_campaign import CAMPAIGN, make_project

BACKTEST = "\nbacktest: {topk: 3, n_drop: 1, benchmark: mean, risk_free: 0.02}\n"


def roll(file, *overrides):
    return roll_campaign(open_campaign(file, overrides=overrides, project=file.parent), jobs=1)


def values_of(result, variant=None):
    metrics = next(one for one in result.variants if variant in (None, one.variant)).metrics
    return {metric.key: metric.value for metric in metrics}


def read_project(file):
    return read_trials(load_settings(start=file.parent))


@pytest.fixture
def file(tmp_path):
    return make_project(tmp_path / "project", text=CAMPAIGN + BACKTEST)


def test_a_campaign_is_one_trial_however_many_windows_it_has(file):
    result = roll(file)
    (data,) = read_project(file).data_sets
    (trial,) = data.trials
    assert result.variants[0].windows > 1
    assert (trial.name, trial.source, data.synthetic) == ("small", "member", False)
    assert trial.settings["topk"] == 3
    account = pd.read_parquet(file.parent / "results/small/backtest/account.parquet")
    assert len(trial.series.units) == len(account)
    net = account["return"] - account["cost"]
    assert abs(trial.series.returns - net.to_numpy()).max() < 1e-8


def test_the_same_numbers_stand_in_summary_table_and_report(file):
    result = roll(file)
    found = values_of(result)
    assert found["trials"] == 1
    assert found["deflated_sharpe"] == pytest.approx(found["psr"])
    table = pd.read_parquet(file.parent / "results/small/backtest/honesty.parquet")
    first = table.drop_duplicates("number").set_index("number")["value"]
    assert {key: first[key] for key in ("sharpe", "psr", "deflated_sharpe", "trials")} == {
        key: found[key] for key in ("sharpe", "psr", "deflated_sharpe", "trials")
    }
    assert first["risk_free"] == 0.02
    summary = json.loads((file.parent / "results/small/summary.json").read_text())
    (variant,) = summary["variants"].values()
    assert variant["metrics"]["psr"] == {"value": found["psr"], "unit": "probability"} | (
        {"findings": variant["metrics"]["psr"]["findings"]} if "findings" in variant["metrics"]["psr"] else {}
    )
    assert f"{found['psr']:.3f}" in (file.parent / "results/small/report.html").read_text()


def test_another_strategy_on_the_same_data_is_counted_and_a_second_look_is_not(file):
    roll(file)
    other = values_of(roll(file, "backtest.topk=5"))
    assert other["trials"] == 2
    assert values_of(roll(file, "backtest.topk=5"))["trials"] == 2
    assert values_of(roll(file))["trials"] == 2


def test_results_made_anew_have_the_same_bytes(file):
    roll(file)
    place = file.parent / "results/small"
    before = {path.name: path.read_bytes() for path in (place / "backtest").iterdir()}
    collect_campaign(open_campaign(file, project=file.parent))
    assert {path.name: path.read_bytes() for path in (place / "backtest").iterdir()} == before


def test_a_finished_campaign_given_again_reads_no_registry(file, monkeypatch):
    roll(file)
    monkeypatch.setattr(TrialRegistry, "read", lambda _self: pytest.fail("the registry was read"))
    assert find_finished(file, project=file.parent) is not None


def test_members_are_judged_beside_one_another_whatever_their_order(tmp_path):
    vary = "vary: {model.kwargs.alpha: [0.1, 100, 100000]}\ncombine: {method: average}\n"
    file = make_project(tmp_path / "project", text=CAMPAIGN + BACKTEST + vary)
    result = roll(file)
    (data,) = read_project(file).data_sets
    assert len(data.trials) == len({one.series.digest for one in data.trials}) >= 2
    assert {values_of(result, one.variant)["trials"] for one in result.variants} == {len(data.trials)}
    assert {one.source for one in data.trials} <= {"member", "combination"}


def test_a_registry_that_cannot_be_written_is_a_finding_and_no_failure(file, monkeypatch):
    def refuse(*_args, **_more):
        raise OSError(28, "No space left on device", "trials")

    monkeypatch.setattr("rollwright.trials.registry.append_records", refuse)
    result = roll(file)
    (finding,) = [one for one in result.health if one.kind == "trials_not_registered"]
    assert "No space left" in finding.values["reason"]
    assert values_of(result)["trials"] == 1
    assert read_project(file).data_sets == ()


def test_a_damaged_registry_is_said_with_the_numbers(file):
    roll(file)
    (chain,) = (file.parent / ".rollwright/trials").glob("*.chain")
    chain.write_bytes(chain.read_bytes().replace(b'"topk":3', b'"topk":4'))
    result = collect_campaign(open_campaign(file, project=file.parent))
    assert result.health[0].kind == "registry_damaged"
    assert values_of(result)["trials"] == 2


def test_a_campaign_that_never_trades_has_no_honest_numbers_and_says_why(file):
    roll(file, "backtest.account=1")
    stage = json.loads((file.parent / "results/small/backtest/stage.json").read_text())
    assert "Sharpe ratio is not defined" in stage["left_out"]["honesty"]
    assert read_project(file).data_sets == ()


HOLDOUT = '[data]\nholdout = ["2020-09-01", "open"]\n'


def seal(folder, text=HOLDOUT):
    (folder / "rollwright.toml").write_text(text)
    settings = load_settings(start=folder)
    find_holdout(settings)
    return settings


def test_a_seal_whose_setting_and_record_were_removed_is_missed(tmp_path, monkeypatch, capsys):
    record = seal(tmp_path).state_dir / "holdout.jsonl"
    assert read_trials(load_settings(start=tmp_path)).is_sound
    record.unlink()
    assert read_trials(load_settings(start=tmp_path)).is_sound  # the setting still seals it
    (tmp_path / "rollwright.toml").write_text(HOLDOUT.replace("09-01", "09-02"))
    assert not read_trials(load_settings(start=tmp_path)).is_sound
    (tmp_path / "rollwright.toml").write_text("")
    (damage,) = read_trials(load_settings(start=tmp_path)).damage
    assert (damage.file, damage.line) == ("holdout.jsonl", 0)
    assert "lacks the sealing of [2020-09-01, open]" in damage.reason
    monkeypatch.chdir(tmp_path)
    assert run(["trials", "verify"]) == 4
    assert "lacks the sealing of [2020-09-01, open]" in capsys.readouterr().err.replace("\n", " ")


def test_a_wider_seal_whose_line_was_cut_off_is_missed(tmp_path):
    record = seal(tmp_path).state_dir / "holdout.jsonl"
    seal(tmp_path, HOLDOUT.replace("09-01", "08-03"))
    first, _ = record.read_text().splitlines()
    record.write_text(first + "\n")
    assert find_holdout(seal(tmp_path)).start_text == "2020-09-01"
    (damage,) = read_trials(load_settings(start=tmp_path)).damage
    assert "[2020-08-03, open]" in damage.reason


@pytest.mark.parametrize("removed", [None, "holdout.jsonl", "trials"])
def test_a_look_at_what_was_opened_is_told_from_one_before_it_whichever_record_was_removed(tmp_path, removed):
    settings = seal(tmp_path, HOLDOUT.replace("open", "2020-09-15"))
    market = random_source(np.random.default_rng(5), sessions=60, instruments=3)

    def is_marked(last):
        book = open_book(Context(settings=load_settings(start=tmp_path), market=market), market)
        days = pd.bdate_range(end=last, periods=20, name="datetime")
        return book.make_trial(pd.Series(np.linspace(0, 0.01, 20), days), Look("signal", "a"), {}).holdout

    assert not is_marked("2020-10-01")
    unseal("a last look", project=tmp_path)
    (tmp_path / "rollwright.toml").write_text("")
    if removed is not None:
        path = settings.state_dir / removed
        path.unlink() if path.is_file() else shutil.rmtree(path)
    assert [is_marked(last) for last in ("2020-08-31", "2020-09-01", "2020-10-01")] == [False, True, True]


def test_an_opened_holdout_is_no_damage_and_a_changed_record_is(tmp_path):
    record = seal(tmp_path).state_dir / "holdout.jsonl"
    unseal("a last look", project=tmp_path)
    (tmp_path / "rollwright.toml").write_text("")
    assert read_trials(load_settings(start=tmp_path)).is_sound
    record.write_text(record.read_text().replace("a last look", "no look"))
    record.write_text(record.read_text() + "{}\n")
    (damage,) = read_trials(load_settings(start=tmp_path)).damage
    assert damage.file == "holdout.jsonl"


def test_a_sealing_that_nothing_of_ours_wrote_is_passed_over(tmp_path):
    registry = TrialRegistry(load_settings(start=tmp_path).state_dir)
    pairs = [("never", "open"), ("2020-09-01", "2020-01-01"), (None, 1), ("99999-01-01", "open")]
    registry.append([("holdout_sealed", {"start": start, "end": end}) for start, end in pairs])
    assert read_trials(load_settings(start=tmp_path)).is_sound


def test_data_are_known_wherever_they_lie_and_however_they_grow(tmp_path):
    import_market(rows(DAYS[:150]), tmp_path / "a")
    settings = load_settings(start=tmp_path)

    def identify(folder):
        context = Context(settings=settings.with_values({"data.provider_uri": str(folder)}, origin="test"), market=None)
        return identify_data(context, QlibProvider(folder))

    first = identify(tmp_path / "a")
    (tmp_path / "a").rename(tmp_path / "b")
    import_market(rows(DAYS[:200]), tmp_path / "b")
    assert identify(tmp_path / "b") == first
    make_demo_market(tmp_path / "demo", instruments=20, sessions=80)
    assert identify(tmp_path / "demo")[1]
    assert identify(tmp_path / "demo")[0] != first[0]
    for name in ("rollwright.json", "rollwright.files"):
        (tmp_path / "b" / name).unlink()
    content, synthetic = identify(tmp_path / "b")
    assert (content[:8], synthetic) == ("content-", False)


def test_a_market_of_frames_is_known_by_how_it_begins(tmp_path):
    def identify(days):
        import_market(rows(days), tmp_path / f"m{len(days)}")
        source = QlibProvider(tmp_path / f"m{len(days)}")
        return identify_data(Context(settings=load_settings(start=tmp_path), market=source), source)

    assert identify(DAYS[:150]) == identify(DAYS[:160])
