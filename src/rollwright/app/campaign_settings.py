"""The settings that a campaign's file runs under."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rollwright.config.context import translate
from rollwright.config.settings import Settings

__all__ = ["settings_of_file"]


def settings_of_file(
    settings: Settings, path: Path, sections: Mapping[str, object], provider_uri: str | None
) -> Settings:
    """Return the settings that a campaign runs under: the project's, what its file sets, and what was typed over it."""
    qlib_init = sections.get("qlib_init")
    values = translate(qlib_init) if isinstance(qlib_init, Mapping) else {}
    for section in ("pool", "point_in_time"):
        given = sections.get(section)
        for name, value in given.items() if isinstance(given, Mapping) else ():
            if value is not None:
                values[f"{section}.{name}"] = value
    if sections.get("as_of") is not None:
        values["point_in_time.as_of"] = sections["as_of"]
    settings = settings.with_values(values, origin=path.name)
    typed: dict[str, object] = {"trust.folder": str(path.resolve().parent)}
    if provider_uri is not None:
        typed["data.provider_uri"] = provider_uri
    return settings.with_values(typed, origin="command line")
