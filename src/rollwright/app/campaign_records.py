"""Which campaigns were started in a project: a small file for each, from which it is resumed and helped by its name."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rollwright.config.settings import Settings, load_settings
from rollwright.core.bounded_read import SMALL, read_text
from rollwright.errors import ConfigError, CorruptFileError, nearest

__all__ = [
    "CampaignRecord",
    "find_campaign",
    "find_record",
    "list_campaign_data",
    "list_campaign_folders",
    "list_records",
    "make_portable",
    "read_record",
    "record_path",
]

RECORD_FORMAT: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignRecord:
    """What campaign was started, from which file.

    Attributes
    ----------
    name : str
    file : str
        Relative to the project when it lies there.
    sha256 : str
        Of the file's text, the values of its variables and its bases in place.
    overrides : tuple of str
    provider_uri : str or None
        The market data it ran on, relative to the project when they lie there.
    """

    name: str
    file: str
    sha256: str
    overrides: tuple[str, ...]
    provider_uri: str | None

    def to_text(self) -> str:
        """Return the bytes of its file, as text."""
        fields: dict[str, Any] = {
            "format": RECORD_FORMAT,
            "name": self.name,
            "file": self.file,
            "sha256": self.sha256,
            "overrides": list(self.overrides),
            "provider_uri": self.provider_uri,
        }
        return json.dumps(fields, indent=1) + "\n"


def record_path(settings: Settings, name: str) -> Path:
    """Return the file of the campaign `name`."""
    return settings.state_dir / "campaigns" / f"{name}.json"


def read_record(path: Path) -> CampaignRecord:
    """Return the record in `path`.

    Raises
    ------
    CorruptFileError
        When it is damaged, or cannot be read.
    """
    try:
        record = json.loads(read_text(path, limit=SMALL))
        if record["format"] != RECORD_FORMAT:
            raise ValueError(f"its format is {record['format']!r}, not {RECORD_FORMAT}")
        return CampaignRecord(
            name=record["name"],
            file=record["file"],
            sha256=record["sha256"],
            overrides=tuple(record["overrides"]),
            provider_uri=record["provider_uri"],
        )
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise CorruptFileError(
            path,
            f"it does not say what campaign was started: {error}",
            hint="start the campaign with `rollwright roll FILE`; finished windows are kept",
        ) from error


def find_record(settings: Settings, name: str | None) -> Path:
    """Return the file of the campaign `name`, or of the one that was started last.

    Raises
    ------
    ConfigError
        When there is none of that name.
    """
    folder = settings.state_dir / "campaigns"
    records = sorted(folder.glob("*.json"), key=lambda path: path.stat().st_mtime_ns)
    if not records:
        raise ConfigError(
            f"no campaign was started in {settings.root}",
            hint="start one: rollwright roll FILE; "
            "a worker beside one that was started elsewhere works in that project's folder, or in a copy of it",
        )
    if name is None:
        return records[-1]
    if (path := record_path(settings, name)) in records:
        return path
    known = [record.stem for record in records]
    suggestion = nearest(name, known)
    hint = f"did you mean `{suggestion}`?" if suggestion else f"started here: {', '.join(known)}"
    raise ConfigError(f"there is no campaign `{name}` in {settings.root}", hint=hint)


def find_campaign(name: str | None, *, project: Path | None = None) -> tuple[str, Path]:
    """Return the name of a campaign that was started here, the last one if None is given, and its project's folder.

    Raises
    ------
    ConfigError
        When there is none of that name.
    """
    settings = load_settings(start=project)
    return find_record(settings, name).stem, settings.root


def list_records(settings: Settings) -> list[CampaignRecord]:
    """Return the records of the campaigns that were started here, without those that are damaged."""
    records = []
    for path in sorted((settings.state_dir / "campaigns").glob("*.json")):
        with suppress(CorruptFileError):
            records.append(read_record(path))
    return records


def list_campaign_data(settings: Settings) -> list[str]:
    """Return the market data of the campaigns that were started here; of one whose record is damaged, none."""
    return [record.provider_uri for record in list_records(settings) if isinstance(record.provider_uri, str)]


def list_campaign_folders(settings: Settings) -> list[str]:
    """Return the folders of the files of the campaigns that were started here, whose ``.py`` files these may name."""
    return [str((settings.root / record.file).parent) for record in list_records(settings)]


def make_portable(place: Path, root: Path) -> str:
    """Return a path relative to the project `root` when it lies there, so that both may be moved."""
    whole = place.resolve()
    return whole.relative_to(root.resolve()).as_posix() if whole.is_relative_to(root.resolve()) else str(place)
