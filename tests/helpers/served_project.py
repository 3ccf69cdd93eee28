"""A project whose campaign is served over a market to which sessions arrive one by one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from rollwright.market.ingest.importer import import_market

__all__ = ["CAMPAIGN", "SESSIONS", "TWO", "arrive", "make_arriving", "session"]

SESSIONS = pd.bdate_range("2020-01-01", periods=160)
_CODES = [f"SH6{number:05d}" for number in range(30)]

CAMPAIGN = """\
experiment_name: daily
qlib_init: {provider_uri: market, region: us}
task:
  model: {class: LinearModel, module_path: rollwright.models.linear, kwargs: {estimator: ridge, alpha: 0.1}}
  dataset:
    class: DatasetH
    module_path: rollwright.dataset.dataset
    kwargs:
      handler:
        class: DataHandlerLP
        module_path: rollwright.dataset.handler
        kwargs:
          instruments: all
          start_time: "2020-01-01"
          data_loader:
            class: QlibDataLoader
            module_path: rollwright.dataset.loader
            kwargs:
              config:
                feature: [["$close/Ref($close, 5) - 1", "$volume/Mean($volume, 5)"], [MOM, VOL]]
                label: [["Ref($close, -2)/Ref($close, -1) - 1"], [LABEL0]]
          learn_processors: [{class: DropnaLabel}]
          infer_processors: [{class: Fillna, kwargs: {fields_group: feature}}]
      segments:
        train: ["2020-01-09", "2020-04-30"]
        valid: ["2020-05-01", "2020-05-22"]
        test: ["2020-05-29", "2020-07-31"]
rolling: {step: 10, rtype: sliding}
"""
TWO = """\
vary:
  - {name: ridge}
  - {name: ols, model.kwargs: {estimator: ols}}
combine: average
"""


def session(place: int) -> str:
    """Return the session at a place of the calendar."""
    return f"{SESSIONS[place]:%Y-%m-%d}"


def _make_prices() -> pd.DataFrame:
    generator = np.random.default_rng(16)
    shape = (len(SESSIONS), len(_CODES))
    close = 20 * np.exp(np.cumsum(generator.normal(0, 0.02, shape), axis=0))
    frames = [
        pd.DataFrame(
            {
                "symbol": code,
                "date": SESSIONS,
                "open": close[:, place],
                "close": close[:, place],
                "high": close[:, place] * 1.01,
                "low": close[:, place] * 0.99,
                "volume": generator.integers(1_000, 9_000, len(SESSIONS)).astype(float),
            }
        )
        for place, code in enumerate(_CODES)
    ]
    return pd.concat(frames, ignore_index=True)


PRICES = _make_prices()


def arrive(folder: Path, first: int, last: int) -> None:
    """Import the sessions at these places of the calendar into the project's market, both included."""
    chosen = PRICES["date"].between(SESSIONS[first], SESSIONS[last])
    import_market(PRICES[chosen], folder / "market")


def make_arriving(folder: Path, *, text: str = CAMPAIGN, known: int = 120) -> Path:
    """Make a project whose market has the first `known` sessions; return the campaign's file."""
    folder.mkdir(parents=True)
    (folder / "rollwright.toml").write_text("")
    arrive(folder, 0, known - 1)
    file = folder / "daily.yaml"
    file.write_text(text)
    return file
