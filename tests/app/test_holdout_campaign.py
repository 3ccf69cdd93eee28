"""A whole campaign under a sealed holdout: as on a market that ended there, in this process and in others."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from rolling_project import DAYS, rows
from rollwright.app.campaign import roll_campaign
from rollwright.app.open_campaign import open_campaign
from rollwright.app.replay import replay
from rollwright.app.trade_explanation import explain_trade
from rollwright.app.unseal import unseal
from rollwright.cli.root import run
from rollwright.codecs.registry import codecs
from rollwright.config.context import install
from rollwright.errors import ConfigError, HoldoutSealedError
from rollwright.market.ingest.importer import import_market
from small_campaign import CAMPAIGN

SEALED = 150
FROM = f"{DAYS[SEALED]:%Y-%m-%d}"
OPEN = CAMPAIGN.replace('test: ["2020-05-29", "2020-10-05"]', 'test: ["2020-05-29", null]')
BACKTEST = "backtest: {topk: 3, n_drop: 1}\n"
NAMED = CAMPAIGN.replace('"2020-10-05"', f'"{DAYS[SEALED + 3]:%Y-%m-%d}"')


def make_project(folder, monkeypatch, *, sessions=200, sealed=True, text=OPEN + BACKTEST, other=False):
    """Make a project, which becomes the working directory; with `other` the market differs from the holdout on."""
    folder.mkdir()
    frame = rows(DAYS[:sessions])
    if other:
        later = frame["date"] >= FROM
        for name in ("open", "close", "high", "low", "volume"):
            frame.loc[later, name] *= np.random.default_rng(1).uniform(0.5, 2, int(later.sum()))
    import_market(frame, folder / "market")
    seal(folder, sealed=sealed)
    (folder / "small.yaml").write_text(text, encoding="utf-8")
    monkeypatch.chdir(folder)
    install(None)
    return folder


def seal(folder, *, sealed=True):
    line = f'holdout = ["{FROM}", "open"]' if sealed else ""
    (folder / "rollwright.toml").write_text(f"[data]\nkernels = 1\n{line}\n", encoding="utf-8")


def roll(folder, **terms):
    return roll_campaign(open_campaign(folder / "small.yaml", project=folder), jobs=1, **terms)


def table(folder, name):
    return codecs.for_kind("parquet").read(folder / "results" / "small" / name)


def test_its_results_are_those_of_a_market_that_ended_there_whatever_came_later(tmp_path, monkeypatch):
    found = []
    for name, terms in (
        ("sealed", {}),
        ("other", {"other": True}),
        ("ended", {"sessions": SEALED, "sealed": False}),
    ):
        folder = make_project(tmp_path / name, monkeypatch, **terms)
        roll(folder)
        found.append([table(folder, file) for file in ("pred.parquet", "backtest/trades.parquet")])
    for pred, trades in found[1:]:
        pd.testing.assert_frame_equal(pred, found[0][0])
        pd.testing.assert_frame_equal(trades, found[0][1])
    assert found[0][0].index.get_level_values("datetime").max() < pd.Timestamp(FROM)


def test_after_the_opening_only_what_reached_its_edge_is_made_anew(tmp_path, monkeypatch):
    told = {}
    folder = make_project(tmp_path / "project", monkeypatch)
    roll(folder, on_progress=told.__setitem__)
    before, first = table(folder, "pred.parquet"), told["trained"]
    unseal("to see", project=folder)
    roll(folder, on_progress=told.__setitem__)
    after, then = table(folder, "pred.parquet"), told["trained"]
    assert after.index.get_level_values("datetime").max() == DAYS[199]
    pd.testing.assert_frame_equal(after.loc[: before.index.get_level_values("datetime").max()], before)
    assert (first.kept, then.kept + then.records_only) == (0, first.trained)
    assert then.kept >= first.trained - 2  # the window that ended at the seal, and one whose labels read into it
    assert then.trained > 0


@pytest.mark.parametrize("command", ["roll", "plan", "run", "audit"])
def test_a_file_that_names_sealed_sessions_is_refused(tmp_path, monkeypatch, capsys, command):
    folder = make_project(tmp_path / "project", monkeypatch, text=NAMED)
    assert run([command, "small.yaml"]) == 2
    said = capsys.readouterr().err
    assert f"sealed holdout [{FROM}, open]" in said
    assert "rollwright unseal --reason" in said
    assert not (folder / "results").exists()


@pytest.mark.parametrize("value", ["[2099-01-01, open]", "[]", f'["{FROM}", open]'])
def test_a_file_of_a_campaign_has_no_say_in_what_is_sealed(tmp_path, monkeypatch, value):
    text = OPEN.replace("region: us}", f"region: us, data__holdout: {value}}}")
    folder = make_project(tmp_path / "project", monkeypatch, text=text)
    with pytest.raises(ConfigError, match=r"what is sealed is decided in rollwright.toml"):
        open_campaign(folder / "small.yaml", project=folder)


def test_a_task_of_before_the_sealing_is_replayed_when_it_read_nothing_that_is_sealed(tmp_path, monkeypatch):
    folder = make_project(tmp_path / "project", monkeypatch, sealed=False)
    roll(folder)
    windows = codecs.for_kind("parquet").read(folder / "results/small/collect/windows.parquet")
    early, late = windows["recorder"].iloc[0], windows["recorder"].iloc[-1]  # the last has an open end
    assert replay(late, project=folder).same
    seal(folder)
    install(None)
    assert replay(early, project=folder).same
    with pytest.raises(HoldoutSealedError, match="sealed holdout"):
        replay(late, project=folder)


def test_a_task_whose_labels_read_into_the_holdout_is_not_replayed(tmp_path, monkeypatch):
    text = CAMPAIGN.replace('"2020-10-05"', f'"{DAYS[SEALED - 1]:%Y-%m-%d}"')
    folder = make_project(tmp_path / "project", monkeypatch, sealed=False, text=text)
    roll(folder)
    windows = codecs.for_kind("parquet").read(folder / "results/small/collect/windows.parquet")
    seal(folder)
    install(None)
    with pytest.raises(HoldoutSealedError, match="sealed holdout"):
        replay(windows["recorder"].iloc[-1], project=folder)


def test_results_of_before_the_sealing_are_not_explained(tmp_path, monkeypatch):
    folder = make_project(tmp_path / "project", monkeypatch, sealed=False)
    roll(folder)
    trades = table(folder, "backtest/trades.parquet")
    day, code = next((day, code) for day, code in trades.index if day > pd.Timestamp(FROM))
    early = next(one for one, _ in trades.index if one < pd.Timestamp(FROM))
    assert explain_trade(f"{day:%Y-%m-%d}", code, project=folder).orders
    seal(folder)
    install(None)
    with pytest.raises(HoldoutSealedError):
        explain_trade(f"{day:%Y-%m-%d}", code, project=folder)
    assert explain_trade(f"{early:%Y-%m-%d}", code, project=folder).instrument == code


@pytest.mark.slow
def test_worker_processes_are_sealed_as_whoever_starts_them(tmp_path, monkeypatch):
    folder = make_project(tmp_path / "project", monkeypatch, other=True)
    assert run(["roll", "small.yaml", "-j", "2"]) == 0
    pred = table(folder, "pred.parquet")
    alone = make_project(tmp_path / "alone", monkeypatch)
    roll(alone)
    pd.testing.assert_frame_equal(pred, table(alone, "pred.parquet"))
