"""Results of before the sealing are not judged anew: that is one more look at what is sealed."""

from __future__ import annotations

import pandas as pd
import pytest

from rolling_project import DAYS
from rollwright.cli.root import run
from rollwright.config.context import install
from small_campaign import CAMPAIGN

OPEN = CAMPAIGN.replace('test: ["2020-05-29", "2020-10-05"]', 'test: ["2020-05-29", null]')
FROM = f"{DAYS[150]:%Y-%m-%d}"


@pytest.fixture
def results(rolled_project):
    """The results of a campaign that was rolled before its last sessions were sealed, in the working directory."""
    folder = rolled_project(OPEN + "\nbacktest: {topk: 3, n_drop: 1}\n")
    (folder / "rollwright.toml").write_text(
        f'[data]\nprovider_uri = "market"\nregion = "us"\nholdout = ["{FROM}", "open"]\n', encoding="utf-8"
    )
    install(None)
    return folder / "results"


@pytest.mark.parametrize("verb", ["analyze", "backtest"])
@pytest.mark.parametrize("what", ["small", "results/small", "results/small/pred.parquet", "RUN"])
def test_scores_of_sealed_sessions_are_judged_by_no_verb(results, capsys, verb, what):
    before = {path: path.read_bytes() for path in sorted(results.rglob("*")) if path.is_file()}
    if what == "RUN":
        what = pd.read_parquet("results/small/collect/windows.parquet")["recorder"].iloc[-1]
    assert run([verb, what]) == 2
    assert f"sealed holdout [{FROM}, open]" in " ".join(capsys.readouterr().err.split())
    after = {path: path.read_bytes() for path in sorted(results.rglob("*")) if path.is_file()}
    assert after == before
