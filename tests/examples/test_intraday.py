"""The intraday example runs as it stands, finds what was planted, and finds nothing where nothing is."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rollwright import Alpha158, D
from rollwright.market.folder.provider import provider_from_settings

SCRIPT = Path(__file__).parents[2] / "examples" / "intraday.py"
SMALL = {"days": 15, "stocks": 20, "rounds": 30}


@pytest.fixture
def example():
    spec = importlib.util.spec_from_file_location("intraday_example", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_it_runs_as_the_readme_says(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--out", "intraday"],
        cwd=tmp_path,
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "imported     43,200 bars of 30 stocks" in done.stdout
    assert "rank IC      0.1" in done.stdout


def test_the_model_finds_the_reversal(example, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert example.main(tmp_path, **SMALL) > 0.1
    assert "bars above zero" in capsys.readouterr().out


def test_without_a_reversal_there_is_nothing_to_find(example, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(example, "REVERSAL", 0.0)
    assert abs(example.main(tmp_path, **SMALL)) < 0.06


def test_windows_count_bars_across_the_night(example, tmp_path: Path) -> None:
    example.main(tmp_path, days=6, stocks=3, rounds=2)
    assert provider_from_settings().freq == "5min"
    close = D.features(["S001"], ["$close"], freq="5min")["$close"].droplevel(0)
    own = Alpha158("all", freq="5min").fetch(col_set="feature").xs("S001", level="instrument")
    expected = close.astype(np.float64).rolling(30).mean() / close
    first_bars = own.index.time == pd.Timestamp("2024-01-02 09:35").time()
    assert first_bars.sum() == 6
    later = own.index >= own.index[30]
    np.testing.assert_allclose(own["MA30"][later], expected[later], rtol=2e-6)
