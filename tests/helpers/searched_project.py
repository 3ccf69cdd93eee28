"""A project whose model has a planted optimum: a search of it costs next to nothing, and its best is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rolling_project import DAYS, rows
from rollwright.app.open_campaign import open_campaign
from rollwright.app.search import run_search
from rollwright.app.search_record import search_record
from rollwright.config.settings import load_settings
from rollwright.market.folder.provider import QlibProvider
from rollwright.market.ingest.importer import import_market
from rollwright.search.trial import ToldTrial
from small_campaign import CAMPAIGN

MODEL = '''\
"""Scores that are the label itself, spoilt the more the further `at` lies from 0.7."""

import numpy as np
import pandas as pd

from rollwright.models.base import Model


class Probe(Model):
    def __init__(self, at=0.5, fails_above=9.0, spoil="gently"):
        self.at, self.fails_above, self.spoil = at, fails_above, spoil

    def fit(self, dataset, reweighter=None):
        if self.at > self.fails_above:
            raise RuntimeError(f"planted failure at {self.at}")

    def predict(self, dataset, segment="test"):
        label = dataset.prepare(segment, col_set="label", data_key="raw").iloc[:, 0]
        signal = label.groupby(level=0).rank(pct=True).fillna(0.5)
        noise = np.random.default_rng(5).standard_normal(len(signal))
        spoilt = abs(self.at - 0.7) * (2.0 if self.spoil == "gently" else 8.0)
        return pd.Series(signal.to_numpy() + spoilt * noise, index=signal.index)
'''

SEARCH = """\
search:
  trials: 4
  generation: 2
  seed: 3
  space:
    task.model.kwargs.at: {low: 0.0, high: 1.0}
"""

BACKTEST = "backtest: {topk: 3, n_drop: 1, benchmark: mean, risk_free: 0.02}\n"

TEXT = (
    CAMPAIGN.replace(
        "{class: LinearModel, module_path: rollwright.models.linear, kwargs: {estimator: ridge, alpha: 0.1}}",
        "{class: Probe, module_path: probe.py, kwargs: {at: 0.5}}",
    )
    .replace("experiment_name: small", "experiment_name: probe")
    .replace("step: 25", "step: 50")
)


def make_searched(folder: Path, *, search: str = SEARCH, more: str = "", text: str = TEXT) -> Path:
    """Make the project with its market and its model; return the campaign's file."""
    folder.mkdir(parents=True)
    (folder / "rollwright.toml").write_text("")
    import_market(rows(DAYS[:200]), folder / "market")
    (folder / "probe.py").write_text(MODEL)
    file = folder / "probe.yaml"
    file.write_text(text + more + search)
    return file


def search_here(file: Path, *overrides: str, **terms: Any) -> tuple[ToldTrial, ...] | None:
    """Search in this process, window after window."""
    market = QlibProvider(file.parent / "market")
    campaign = open_campaign(file, overrides=overrides, project=file.parent, market=market)
    return run_search(campaign, jobs=1, **terms)


def read_told(file: Path) -> list[ToldTrial]:
    """Return what became of the trials of the project's search."""
    record = search_record(load_settings(start=file.parent), "probe")
    return record.read_told(record.read_asked())
