"""No value by period that became known in a sealed holdout leaves through any door."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from rollwright import D, DatasetH, FrameSource
from rollwright.config.context import using
from rollwright.config.settings import load_settings
from rollwright.dataset.handler import DataHandlerLP
from rollwright.dataset.loader import QlibDataLoader
from rollwright.features.filters import ExpressionDFilter
from rollwright.features.store.feature_store import FeatureStore
from rollwright.market.current import choose_market, current_market
from rollwright.market.source import VintageSource

DAYS = pd.bdate_range("2020-01-01", periods=80)
SEALED = 60
FROM = f"{DAYS[SEALED]:%Y-%m-%d}"
CODES = ["A", "B"]
TEXTS = ["P($$x_q)/$close", "PRef($$x_q,201904)", "CSRank(P(Mean($$x_q,2)))", "Mean(P($$x_q),3)"]
LABEL = "Ref(P($$x_q),-2)/P($$x_q)"


def market(*, other: bool) -> FrameSource:
    """Return a market; with `other`, one in which other reports became known in the holdout."""
    index = pd.MultiIndex.from_product([DAYS, CODES], names=["datetime", "instrument"])
    close = np.exp(np.random.default_rng(3).normal(0, 0.02, len(index)))
    rows = [(code, period, day, 1.0 + place) for code in CODES for place, (period, day) in enumerate(
        [(201903, "2019-11-01"), (201904, "2020-02-03")])]  # fmt: skip
    late = [(code, period, f"{DAYS[at]:%Y-%m-%d}", 50.0 if other else 5.0)
            for code in CODES for period, at in ((202001, SEALED), (201904, SEALED + 3))]  # fmt: skip
    table = pd.DataFrame([*rows, *late], columns=["instrument", "period", "known_at", "value"])
    return FrameSource(pd.DataFrame({"close": close}, index=index), by_period={"x_q": table})


def handler() -> DataHandlerLP:
    loader = QlibDataLoader({"feature": [TEXTS, list("abcd")], "label": [[LABEL], ["LABEL0"]]})
    return DataHandlerLP(None, data_loader=loader, store=FeatureStore.temporary())


def vintages() -> Any:
    source = current_market()
    assert isinstance(source, VintageSource)
    return [part.tolist() for part in source.vintages("x_q", CODES)], source.vintage_generation(["x_q"])[:7]


DOORS: dict[str, Callable[[], Any]] = {
    "features": lambda: D.features(None, [*TEXTS, LABEL]),
    "features from the store": lambda: D.features(None, [*TEXTS, LABEL], disk_cache=1),
    "handler": lambda: handler().fetch(),
    "dataset": lambda: DatasetH(handler(), {"all": (None, None)}).prepare("all", col_set=["feature", "label"]),
    "filter": lambda: D.features(D.instruments("all", [ExpressionDFilter("P($$x_q) < 4 + 4")]), ["$close"]),
    "vintages": vintages,
    "chosen market": lambda: [part.tolist() for part in choose_market(current_market()).vintages("x_q", CODES)],
}  # fmt: skip


def through(door: str, folder: Path, *, other: bool, sealed: bool) -> str:
    folder.mkdir()
    (folder / "rollwright.toml").write_text(f'[data]\nholdout = ["{FROM}", "open"]\n' if sealed else "")
    with using(load_settings(start=folder), market=market(other=other)):
        found = DOORS[door]()
    return found.to_csv() if isinstance(found, pd.DataFrame) else repr(found)


@pytest.mark.parametrize("door", DOORS)
def test_what_became_known_in_the_holdout_shows_without_the_seal_alone(door: str, tmp_path: Path) -> None:
    answers = {
        (other, sealed): through(door, tmp_path / f"{other}{sealed}", other=other, sealed=sealed)
        for other in (False, True)
        for sealed in (False, True)
    }
    assert answers[False, True] == answers[True, True]
    assert answers[False, False] != answers[True, False]
