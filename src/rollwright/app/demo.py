"""The demo's project folder: a synthetic market and a campaign's file."""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Final

from rollwright.config.settings import STATE_DIR
from rollwright.core.atomic import write_text
from rollwright.market.demo import make_demo_market

__all__ = ["DEMO_FILE", "prepare_demo"]

DEMO_FILE: Final = "demo.yaml"
DATA_DIR: Final = "data"


def prepare_demo(folder: Path, *, tell: Callable[[str], None]) -> Path:
    """Make the demo's folder where it is missing, and return its campaign's file.

    What is there already stays: an edited ``demo.yaml`` is used as it is, and a market is not made twice.
    """
    (folder / STATE_DIR).mkdir(parents=True, exist_ok=True)
    data = folder / DATA_DIR
    if not data.exists():
        tell(f"making a synthetic market in {data}")
        make_demo_market(data)
    campaign = folder / DEMO_FILE
    if not campaign.exists():
        write_text(campaign, files("rollwright.app").joinpath(DEMO_FILE).read_text(encoding="utf-8"))
    return campaign
