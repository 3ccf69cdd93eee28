"""The note of a campaign that was started: from which later commands find it; and where its other files lie."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

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
    "portable_uri",
    "read_record",
    "record_path",
    "relative_file",
    "results_folder",
    "submitted_path",
]

RECORD_FORMAT: Final = 1
RESULTS_DIR: Final = "results"


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignRecord:
    """How a campaign was started.

    Attributes
    ----------
    name : str
    file : str
        Its file, relative to the project when it lies there.
    sha256 : str
        Of the file as it was read, variables filled.
    overrides : tuple of str
    provider_uri : str or None
        Its market data, relative to the project when they lie there.
    """

    name: str
    file: str
    sha256: str
    overrides: tuple[str, ...]
    provider_uri: str | None

    @property
    def text(self) -> str:
        """What is written."""
        record = {
            "format": RECORD_FORMAT,
            "name": self.name,
            "file": self.file,
            "sha256": self.sha256,
            "overrides": [*self.overrides],
            "provider_uri": self.provider_uri,
        }
        return json.dumps(record, indent=1) + "\n"


def record_path(settings: Settings, name: str) -> Path:
    """Return the file of a campaign's record."""
    return settings.state_dir / "campaigns" / f"{name}.json"


def submitted_path(settings: Settings, name: str) -> Path:
    """Return the file that says which windows a campaign submitted last."""
    return settings.state_dir / "submitted" / f"{name}.json"


def results_folder(settings: Settings, name: str) -> Path:
    """Return the folder that holds what a campaign makes."""
    return settings.root / RESULTS_DIR / name


def relative_file(path: Path, root: Path) -> str:
    """Return a campaign's file, relative to the project `root` when it lies there."""
    source = path.resolve()
    return str(source.relative_to(root)) if source.is_relative_to(root) else str(source)


def portable_uri(uri: str | None, root: Path) -> str | None:
    """Return the market data's folder relative to the project when it lies there, so that both may be moved."""
    if uri is None or not Path(uri).is_absolute() or not Path(uri).resolve().is_relative_to(root.resolve()):
        return uri
    return Path(uri).resolve().relative_to(root.resolve()).as_posix()


def read_record(path: Path) -> CampaignRecord:
    """Read a record.

    Raises
    ------
    CorruptFileError
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


def find_record(settings: Settings, name: str | None) -> CampaignRecord:
    """Return the record of a campaign that was started here, of the one that ran last if no name is given.

    Raises
    ------
    ConfigError
        When there is none of that name.
    CorruptFileError
    """
    return read_record(_find_path(settings, name))


def _find_path(settings: Settings, name: str | None) -> Path:
    records = list_records(settings)
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


def list_records(settings: Settings) -> list[Path]:
    """Return the files of all records, that of the campaign that ran last at the end."""
    folder = settings.state_dir / "campaigns"
    return sorted(folder.glob("*.json"), key=lambda path: path.stat().st_mtime_ns)


def find_campaign(name: str | None, *, project: Path | None = None) -> tuple[str, Path]:
    """Return the name of a campaign that was started here, the last one if None is given, and its project's folder.

    Raises
    ------
    ConfigError
        When there is none of that name.
    """
    settings = load_settings(start=project)
    return _find_path(settings, name).stem, settings.root


def list_campaign_data(settings: Settings) -> list[str]:
    """Return the market data of the campaigns that were started here; of one whose record is damaged, none."""
    return [record.provider_uri for record in _readable(settings) if isinstance(record.provider_uri, str)]


def list_campaign_folders(settings: Settings) -> list[str]:
    """Return the folders of the files of the campaigns that were started here, whose ``.py`` files these may name."""
    return [str((settings.root / record.file).parent) for record in _readable(settings)]


def _readable(settings: Settings) -> list[CampaignRecord]:
    records = []
    for path in sorted((settings.state_dir / "campaigns").glob("*.json")):
        with suppress(CorruptFileError):
            records.append(read_record(path))
    return records
