"""The market data that stand in for a source nobody gave."""

from __future__ import annotations

from rollwright.config.context import current_context, open_part
from rollwright.config.settings import Settings
from rollwright.errors import ConfigError
from rollwright.market.folder.layout import normalize_freq
from rollwright.market.folder.provider import provider_from_settings
from rollwright.market.source import DataSource
from rollwright.market.view import view

__all__ = ["choose_market", "current_market", "open_market"]


def current_market(freq: str | None = None) -> DataSource:
    """Return the market of the current context, as far as its settings let it be seen (`rollwright.market.view`).

    Parameters
    ----------
    freq : str, optional
        Another frequency than the market's own: opened from the same folder when the settings name the market.

    Raises
    ------
    ConfigError
        When the context was given a market as an object, and it has another frequency; as
        `rollwright.market.seal.find_holdout`.
    DataNotFoundError
        When the context has no market and no ``data.provider_uri`` is set, or nothing lies there.
    HoldoutSealedError
        When the whole market lies in the holdout.
    """
    context = current_context()
    if freq is None or (context.market is None and freq == context.settings.data.freq):
        market: DataSource = open_part("market")
        return market
    if context.market is None:
        return open_market(context.settings.with_values({"data.freq": freq}, origin="argument"))
    given: DataSource = context.market
    if normalize_freq(given.freq) != normalize_freq(freq):
        raise ConfigError(
            f"the context's market has the frequency {given.freq}, and {freq} is asked for",
            hint="give a market of that frequency, or let data.provider_uri name a folder that has both",
        )
    return view(given)


def choose_market(source: DataSource | None, freq: str | None = None) -> DataSource:
    """Return `source`, or `current_market` when it is None; either as far as the settings let it be seen.

    Raises
    ------
    ConfigError, DataNotFoundError, HoldoutSealedError
        As `current_market`.
    """
    return current_market(freq) if source is None else view(source)


def open_market(settings: Settings) -> DataSource:
    """Return the market that `settings` name, as far as they let it be seen; that of a context without a given one.

    Raises
    ------
    ConfigError, DataNotFoundError, HoldoutSealedError
        As `current_market`.
    """
    return view(provider_from_settings(settings), settings)
