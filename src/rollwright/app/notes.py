"""What a reader of a campaign's numbers must know about its market."""

from __future__ import annotations

import json
from typing import Any, Final

from rollwright.data.manifest import DEMO_NAME
from rollwright.data.provider import QlibProvider

__all__ = ["demo_facts", "market_notes"]

BASE_FIELDS: Final = ("open", "high", "low", "close", "volume", "vwap")


def market_notes(provider: QlibProvider) -> list[str]:
    """Return a line for each thing about the market's data that changes how the numbers read."""
    notes: list[str] = []
    missing = provider.missing_fields(BASE_FIELDS)
    if missing:
        names = ", ".join(f"${name}" for name in missing)
        notes.append(f"No instrument has {names}: whatever is computed from it is NaN; nothing was made up for it.")
    facts = demo_facts(provider)
    if facts:
        notes.append(
            f"This market is synthetic. A signal with an IC of {facts['planted_ic']:.3f} is planted in it "
            f"(over its whole history it came out as {facts['realised_ic']:.4f}); nothing here says anything about "
            "a real market."
        )
    return notes


def demo_facts(provider: QlibProvider) -> dict[str, Any]:
    """Return what a synthetic market states about itself; empty for any other market."""
    path = provider.root / DEMO_NAME
    if not path.is_file():
        return {}
    facts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return facts
