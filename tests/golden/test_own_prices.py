"""A stranger's way with prices of their own: every step of docs/own-prices.md, in order, as it stands."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rollwright.market.demo import make_demo_market
from rollwright.market.folder.provider import QlibProvider

PAGE = (Path(__file__).parents[2] / "docs" / "own-prices.md").read_text(encoding="utf-8")
COMMANDS = [
    line for block in re.findall(r"^```sh\n([\s\S]*?)^```$", PAGE, flags=re.MULTILINE) for line in block.splitlines()
]
FIELDS = ("open", "high", "low", "close", "volume")
MEMBERS = ("LGBModel-seed=0", "LGBModel-seed=1", "XGBModel-seed=0", "XGBModel-seed=1")


def write_prices(folder: Path) -> None:
    """Write five years of daily prices of thirty stocks: neither vwap nor factor, as many free files are."""
    make_demo_market(folder / "made", instruments=30, sessions=1233)
    market = QlibProvider(folder / "made")
    calendar, codes = market.calendar(), market.instruments()
    days = calendar.to_index()[: calendar.known]
    cube = market.load(FIELDS, codes, 0, len(days))
    rows = pd.MultiIndex.from_product([days, codes], names=["date", "symbol"])
    table = pd.DataFrame({name: cube[place].ravel() for place, name in enumerate(FIELDS)}, index=rows)
    table[np.isfinite(table["close"])].reset_index().to_parquet(folder / "PRICES.parquet")


@pytest.mark.slow
def test_every_step_runs_as_it_stands_to_an_audited_signal_of_four_members(shell, tmp_path):
    write_prices(tmp_path)
    (block,) = re.findall(r"^```yaml\n([\s\S]*?)^```$", PAGE, flags=re.MULTILINE)
    said = {}
    for line in COMMANDS:
        program, verb, *arguments = shlex.split(line, comments=True)
        assert program == "rollwright"
        done = shell.run(verb, *arguments, cwd=tmp_path, timeout=3600)
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        said[verb] = done.stdout + done.stderr
        if verb == "init":
            file = tmp_path / "campaign.yaml"
            text = file.read_text(encoding="utf-8")
            proposed = re.search(r"^# vary: .*\n# combine: .*\n", text, flags=re.MULTILINE)
            assert proposed is not None
            file.write_text(text.replace(proposed[0], block), encoding="utf-8")
    assert [*said] == ["data", "init", "plan", "roll", "audit"]
    assert "no leak was found" in said["audit"]
    made = tmp_path / "results" / "campaign"
    variants = json.loads((made / "summary.json").read_text())["variants"]
    assert [*variants] == ["combined", *MEMBERS]
    assert all(variant["windows"] >= 12 for variant in variants.values())
    assert variants["combined"]["metrics"]["annualized_return"]["value"] is not None
    assert "Back-test" in (made / "report.html").read_text(encoding="utf-8")
    assert said["roll"].count("prices without an adjustment factor") == 1  # though five variants are traded
    frames = [pd.read_parquet(made / "members" / name / "pred.parquet") for name in MEMBERS]
    assert len({frame["score"].to_numpy().tobytes() for frame in frames}) == len(MEMBERS)  # each seed drew its own
