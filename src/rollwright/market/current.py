"""The market data that stand in for a source nobody gave."""

from __future__ import annotations

from rollwright.config.context import current_context, open_part
from rollwright.config.settings import Settings
from rollwright.errors import ConfigError
from rollwright.market.folder.layout import normalize_freq
from rollwright.market.folder.provider import provider_from_settings
from rollwright.market.source import DataSource

__all__ = ["current_market", "open_market"]


def current_market(freq: str | None = None) -> DataSource:
    """Return the market of the current context.

    Parameters
    ----------
    freq : str, optional
        Another frequency than the market's own: opened from the same folder when the settings name the market.

    Raises
    ------
    ConfigError
        When the context was given a market as an object, and it has another frequency.
    DataNotFoundError
        When the context has no market and no ``data.provider_uri`` is set, or nothing lies there.
    """
    context = current_context()
    if freq is None or (context.market is None and freq == context.settings.data.freq):
        market: DataSource = open_part("market")
        return market
    if context.market is None:
        return provider_from_settings(context.settings.with_values({"data.freq": freq}, origin="argument"))
    given: DataSource = context.market
    if normalize_freq(given.freq) != normalize_freq(freq):
        raise ConfigError(
            f"the context's market has the frequency {given.freq}, and {freq} is asked for",
            hint="give a market of that frequency, or let data.provider_uri name a folder that has both",
        )
    return given


def open_market(settings: Settings) -> DataSource:
    """Return the market that `settings` name; what stands for the market of a context that was given none."""
    return provider_from_settings(settings)
