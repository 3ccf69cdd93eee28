"""The tear sheet: the commands' numbers and page of any frame, and nothing written unless it is asked for."""

from __future__ import annotations

import html
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import rollwright
from rollwright.analysis.metrics import show_metrics
from rollwright.analysis.signal import calc_ic
from rollwright.config.context import current_context, using
from rollwright.errors import DataError, UnknownInstrumentError
from rollwright.testing.market import random_source

MARKET = random_source(np.random.default_rng(0), sessions=60, instruments=12)
INDEX = pd.MultiIndex.from_product(
    [pd.DatetimeIndex(MARKET.calendar().values)[20:50], list(MARKET.instruments())], names=["datetime", "instrument"]
)
LABEL = pd.Series(np.random.default_rng(1).normal(size=len(INDEX)), index=INDEX, name="label")
SCORE = (0.3 * LABEL + np.random.default_rng(2).normal(size=len(INDEX))).rename("score")


def test_a_notebook_shows_the_report_with_the_numbers_of_metrics_and_tables(tmp_path, monkeypatch):
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    sheet = rollwright.tear_sheet(SCORE, LABEL, source=MARKET, label_span=2, topk=3, n_drop=1, title="A & B")
    values = {one.key: one.value for one in sheet.metrics}
    assert values["ic"] == calc_ic(SCORE, LABEL)[0].mean() == sheet.tables["ic"]["ic"].mean()
    assert values["turnover"] == sheet.tables["account"]["turnover"].mean()
    shown = sheet._repr_html_()
    page = html.unescape(shown)
    assert shown.startswith('<iframe title="A &amp; B"')
    for metric in show_metrics(sheet.metrics):
        assert metric.value in page
    assert not list(here.rglob("*"))
    assert sheet.save("page.html").read_text(encoding="utf-8") in page
    assert [path.name for path in here.rglob("*")] == ["page.html"]
    assert sheet.left_out["honesty"]


def test_the_market_of_the_context_and_the_usual_label_stand_in():
    with using(replace(current_context(), market=MARKET)):
        sheet = rollwright.tear_sheet(SCORE.reset_index(), backtest=False)
    assert "account" not in sheet.tables
    assert any("Alpha158's" in note for note in sheet.page.notes)


def test_what_is_no_signal_of_the_market_is_refused():
    with pytest.raises(DataError, match="no column that is its date"):
        rollwright.tear_sheet(pd.DataFrame({"score": [1.0]}), source=MARKET)
    with pytest.raises(UnknownInstrumentError):
        rollwright.tear_sheet(SCORE.rename(index=lambda code: f"X{code}", level="instrument"), source=MARKET)
