"""The market data that stand in for a source nobody gave."""

from __future__ import annotations

from rollwright.config.context import current_settings
from rollwright.market.folder.provider import provider_from_settings
from rollwright.market.source import DataSource

__all__ = ["ambient_source"]


def ambient_source(freq: str = "day") -> DataSource:
    """Return the ambient market data of one frequency."""
    settings = current_settings()
    if settings.data.freq != freq:
        settings = settings.with_values({"data.freq": freq}, origin="loader")
    return provider_from_settings(settings)
