"""What a reader of a campaign's numbers must know about its market."""

from __future__ import annotations

from typing import Final

from rollwright.config.context import Context
from rollwright.market.demo import read_demo
from rollwright.market.folder.provider import folder_from_settings
from rollwright.market.source import DataSource

__all__ = ["market_notes"]

BASE_FIELDS: Final = ("open", "high", "low", "close", "volume", "vwap")


def market_notes(source: DataSource, context: Context) -> list[str]:
    """Return a line for each thing about the market's data that changes how the numbers read."""
    notes: list[str] = []
    missing = source.missing_fields(BASE_FIELDS)
    if missing:
        names = ", ".join(f"${name}" for name in missing)
        notes.append(f"No instrument has {names}: whatever is computed from it is NaN; nothing was made up for it.")
    facts = read_demo(folder_from_settings(context.settings)) if context.market is None else None
    if facts:
        notes.append(
            f"This market is synthetic. A signal with an IC of {facts['planted_ic']:.3f} is planted in it "
            f"(over its whole history it came out as {facts['realised_ic']:.4f}); nothing here says anything about "
            "a real market."
        )
    return notes
