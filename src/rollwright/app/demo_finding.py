"""What every result of a synthetic market leads with."""

from __future__ import annotations

from rollwright.analysis.health import HealthFinding
from rollwright.config.context import Context
from rollwright.market.demo_facts import read_demo
from rollwright.market.folder.provider import folder_from_settings

__all__ = ["examine_demo"]


def examine_demo(context: Context) -> list[HealthFinding]:
    """Return that the market is the demo's, if it is: a signal is planted in it."""
    facts = read_demo(folder_from_settings(context.settings)) if context.market is None else None
    if not facts:
        return []
    values = {"planted": facts["planted_ic"], "realised": facts["realised_ic"]}
    return [HealthFinding(kind="synthetic_market", severity="note", values=values, metrics=())]
