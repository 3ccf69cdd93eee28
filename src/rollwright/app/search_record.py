"""Where the record of a search lies in its project, and which searches there are."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from rollwright.config.settings import Settings
from rollwright.errors import ConfigError, nearest
from rollwright.search.record import SearchHeader, SearchRecord

__all__ = ["find_search", "keep_former_search", "list_searches", "results_folder", "search_record"]

_FOLDER: Final = "searches"
_FORMER: Final = "former-searches"


def search_record(settings: Settings, name: str) -> SearchRecord:
    """Return the record of a search of the project, whether it was begun or not."""
    return SearchRecord(settings.state_dir / _FOLDER / name)


def results_folder(settings: Settings, name: str) -> Path:
    """Return the folder that holds the table of a search."""
    return settings.root / "results" / f"search-{name}"


def list_searches(settings: Settings) -> list[str]:
    """Return the names of the searches that were begun here."""
    folder = settings.state_dir / _FOLDER
    return sorted(path.parent.name for path in folder.glob("*/search.json"))


def find_search(settings: Settings, name: str) -> tuple[SearchRecord, SearchHeader]:
    """Return the record of a search that was begun here, and its header.

    Raises
    ------
    ConfigError
        When there is none of that name.
    CorruptFileError
    """
    known = list_searches(settings)
    record = search_record(settings, name) if name in known else None
    header = None if record is None else record.read_header()
    if record is None or header is None:
        near = nearest(name, known)
        hint = f"did you mean `{near}`?" if near else f"begun here: {', '.join(known)}"
        raise ConfigError(
            f"there is no search `{name}` in {settings.root}",
            hint=hint if known else "begin one: rollwright search run FILE",
        )
    return record, header


def keep_former_search(settings: Settings, name: str) -> Path | None:
    """Set the record of a search aside, and return where it is now; None when there is none."""
    folder = search_record(settings, name).folder
    if not folder.exists():
        return None
    number = 1
    while (kept := settings.state_dir / _FORMER / f"{name}~{number}").exists():
        number += 1
    kept.parent.mkdir(parents=True, exist_ok=True)
    folder.rename(kept)
    return kept
