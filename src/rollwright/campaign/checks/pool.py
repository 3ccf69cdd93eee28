"""Checks of ``pool``: where the tasks of one campaign stand, and on which terms."""

from __future__ import annotations

from collections.abc import Mapping

from rollwright.campaign.checks.location import put_place
from rollwright.campaign.yaml.document import KeyPath, YamlDocument
from rollwright.config.context import translate
from rollwright.config.settings import Settings
from rollwright.core.sqlite_urls import sqlite_path
from rollwright.errors import ConfigError
from rollwright.pool.urls import check_pool_url

__all__ = ["check_pool", "check_pool_location"]


def check_pool(pool: object, qlib_init: object, document: YamlDocument) -> list[str]:
    """Return a problem where ``pool`` and ``qlib_init`` say the same thing, so that nobody has to know which wins."""
    if not isinstance(pool, Mapping) or not isinstance(qlib_init, Mapping):
        return []
    problems = []
    for name, value in qlib_init.items():
        try:
            settings = translate({name: value})
        except ConfigError:
            continue  # told by the check of `qlib_init`
        problems += [
            f"{document.locate_key(('qlib_init', name))}: `qlib_init.{name}` and `{setting}` are both given; keep one"
            for setting in settings
            if setting.startswith("pool.") and pool.get(setting.removeprefix("pool.")) is not None
        ]
    return problems


def check_pool_location(settings: Settings, project: Settings, document: YamlDocument) -> None:
    """Refuse what names no pool, and the file of one outside the project: a campaign's file may come from elsewhere.

    Parameters
    ----------
    settings : Settings
        With what the file says, in ``pool`` or in ``qlib_init``.
    project : Settings
        Without it: what they name is the user's own decision.
    document : YamlDocument

    Raises
    ------
    ConfigError
    """
    url = settings.pool.url
    if url == project.pool.url:
        return
    try:
        check_pool_url(url)
        path = sqlite_path(url)
        within = path is None or settings.resolve(path).is_relative_to(settings.root.resolve())
    except ConfigError as error:
        put_place(error, document.locate(_find_key(document)))
        raise
    if not within:
        raise ConfigError(
            f"{document.locate(_find_key(document))}: `pool.url` is a file outside the project {settings.root}",
            hint="keep it within, or set it where you decide it: `pool.url` in rollwright.toml or ROLLWRIGHT_POOL__URL",
        )


def _find_key(document: YamlDocument) -> KeyPath:
    """Return where the file says which pool it is."""
    for name in document.data.get("qlib_init") or {}:
        try:
            if "pool.url" in translate({name: document.data["qlib_init"][name]}):
                return ("qlib_init", name)
        except ConfigError:
            continue  # told by the check of `qlib_init`
    return ("pool", "url")
