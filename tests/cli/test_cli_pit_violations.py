"""`rollwright pit violations`: what is looked at, what is told of it, and the exit code."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from rollwright.calendar.periods import to_period_ends
from rollwright.cli.root import run as run_verb
from rollwright.config.context import install
from rollwright.config.settings import load_settings
from rollwright.market.folder.provider import QlibProvider
from rollwright.market.ingest.importer import import_market
from rollwright.market.ingest.periods.period_import import import_periods

DAYS = pd.bdate_range("2019-01-01", periods=400)
CODES = [f"SH60000{number}" for number in range(6)]
PERIODS = [201804, 201901, 201902, 201903, 201904, 202001]
CAMPAIGN = """\
qlib_init: {provider_uri: market, region: us}
task:
  model: {class: LinearModel, module_path: rollwright.models.linear}
  dataset:
    class: DatasetH
    module_path: rollwright.dataset.dataset
    kwargs:
      handler:
        class: Alpha158
        module_path: rollwright.dataset.alpha
        kwargs:
          instruments: all
          extra_features: [["$too_early/$close", P($$eps_q)], [YIELD, EPS]]
          label: [["Ref(P($$eps_q), -30)"], [NEXT]]
      segments: {train: [2019-05-01, 2019-10-31], valid: [2019-11-01, 2019-12-31], test: [2020-02-03, 2020-04-30]}
rolling: {step: 40}
"""


def reports():
    rng = np.random.default_rng(7)
    rows = [
        (code, period, pd.Timestamp(to_period_ends(period, "q")) + pd.Timedelta(days=int(rng.integers(20, 70))),
         round(float(rng.uniform(1, 9)), 4))
        for code in CODES
        for period in PERIODS
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["instrument", "period", "date", "value"])


def daily(table, days):
    """The values of reports from the `days` on that are given for each."""
    wide = pd.DataFrame(np.nan, index=DAYS, columns=CODES)
    for (code, _, _, value), day in zip(table.itertuples(index=False), days, strict=True):
        wide.loc[wide.index >= day, code] = value
    return wide.stack(future_stack=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    home = tmp_path_factory.mktemp("violations")
    table = reports().sort_values(["instrument", "period"])
    index = pd.MultiIndex.from_product([DAYS, CODES], names=["date", "symbol"])
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"close": rng.uniform(9, 11, len(index))}, index=index)
    for name in ("open", "high", "low", "vwap", "volume", "factor"):
        frame[name] = frame["close"]
    ends = [pd.Timestamp(to_period_ends(period, "q")) for period in table["period"]]
    frame["too_early"] = daily(table, ends).to_numpy()
    frame["in_time"] = daily(table, table["date"]).to_numpy()
    import_market(frame.reset_index(), home / "market")
    import_periods(table.assign(field="eps_q"), home / "market")
    (home / "rollwright.toml").write_text('[data]\nprovider_uri = "market"\n')
    (home / "mine.yaml").write_text(CAMPAIGN)
    return home


@pytest.fixture
def run(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    install(load_settings())

    def call(*words):
        code = run_verb(["pit", "violations", *map(str, words)])
        out = capsys.readouterr()
        return code, out.out, out.err

    return call


def test_a_daily_field_that_knows_too_early_is_told_with_evidence(run, folder):
    code, out, err = run()
    assert code == 4
    assert "daily field $too_early: " in out
    assert " values of $$eps_q stood there before they were announced" in out
    assert "$in_time shows $$eps_q, and nothing of it before its announcement" in out
    assert "2 columns compared with 1 field by period: 1 violation" in out
    assert "P($$FIELD)" in err
    code, out, _ = run("--json")
    assert code == 4
    report = json.loads(out)["data"]
    (violation,) = report["violations"]
    assert report["clean"] == [["$in_time", "eps_q"]]
    assert (report["columns"], report["fields"]) == (["$in_time", "$too_early"], ["eps_q"])
    assert (violation["checked"], violation["early"], violation["by_chance"]) == (36, 36, 0)
    table = reports().set_index(["instrument", "period"])
    source = QlibProvider(folder / "market")
    for row in violation["evidence"]:
        told = table.loc[(row["instrument"], row["period"])]
        assert (row["value"], row["announced"]) == (told["value"], f"{told['date']:%Y-%m-%d}")
        assert row["session"] < row["announced"]
        at = source.calendar().index(row["session"])
        shown = source.load(["too_early"], [row["instrument"]], at, at + 1)[0, 0, 0]
        assert shown == np.float32(row["value"])


def test_of_a_campaign_its_features_and_labels_are_looked_at_and_who_reads_a_bad_field_is_named(run):
    code, out, _ = run("mine.yaml")
    assert code == 4
    assert "read by: YIELD" in out
    assert "label NEXT: " in out
    assert "EPS shows $$eps_q, and nothing of it before its announcement" in out
    assert "feature EPS" not in out


def test_expressions_and_tables_are_looked_at_when_they_are_named(run, folder):
    code, out, _ = run("-e", "Ref($in_time, -20)", "-e", "$in_time*100", "--field", "eps_q")
    assert code == 4
    assert "expression Ref($in_time, -20): " in out
    assert "expression $in_time*100" not in out
    table = daily(reports(), reports()["date"] - pd.Timedelta(days=15)).rename("mine")
    table.index.names = ["datetime", "instrument"]
    table.reset_index().to_csv(folder / "mine.csv", index=False)
    code, out, _ = run("--columns", "mine.csv")
    assert code == 4
    assert "table mine: " in out


def test_nothing_found_is_exit_code_0_and_says_what_was_looked_at(run, tmp_path, folder):
    frame = pd.DataFrame(
        {"close": 1.0}, index=pd.MultiIndex.from_product([DAYS, CODES], names=["date", "symbol"])
    ).reset_index()
    import_market(frame, tmp_path / "plain")
    import_periods(reports().assign(field="eps_q"), tmp_path / "plain")
    code, out, err = run("--provider-uri", tmp_path / "plain")
    assert code == 0
    assert "0 columns compared with 1 field by period: none shows a value before it was announced" in out
    assert "--columns" in err
    code, out, _ = run("--provider-uri", tmp_path / "plain", "-e", "P($$eps_q)", "--json")
    assert code == 0
    assert json.loads(out)["data"]["clean"] == [["P($$eps_q)", "eps_q"]]


def test_a_market_without_reports_and_a_table_without_dates_are_refused(run, tmp_path, folder):
    frame = pd.DataFrame({"date": DAYS, "symbol": "SH600000", "close": 1.0})
    import_market(frame, tmp_path / "plain")
    code, _, err = run("--provider-uri", tmp_path / "plain")
    assert code == 2
    assert "no fields by period" in err
    assert "rollwright pit import" in err
    (folder / "dateless.csv").write_text("instrument,mine\nSH600000,1\n")
    code, _, err = run("--columns", "dateless.csv")
    assert code == 2
    assert "no `datetime`" in err
