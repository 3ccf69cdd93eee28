"""Open the sealed holdout of a project, for good and on the record."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rollwright.calendar.holdout import Holdout
from rollwright.config.settings import PROJECT_FILE, Settings, load_settings
from rollwright.errors import ConfigError
from rollwright.market.seal import asked_holdout
from rollwright.market.seal_record import (
    SealRecord,
    add_record,
    find_record_file,
    list_opened,
    list_sealed,
    read_records,
)

__all__ = ["Opening", "find_sealed", "unseal"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """What was opened.

    Attributes
    ----------
    path : Path
        Where it was written down.
    records : tuple of SealRecord
        One for each holdout.
    """

    path: Path
    records: tuple[SealRecord, ...]


def find_sealed(project: Path | None = None) -> tuple[Holdout, ...]:
    """Return what is sealed in a project: what its record says, and what its setting names and nobody has used yet.

    Also where the setting was removed or moved since, which everything else takes for an error.

    Raises
    ------
    ConfigError
        When nothing is.
    CorruptFileError
        When the record is damaged.
    """
    settings = load_settings(start=project)
    found = _find(settings)
    if not found:
        opened = ", ".join(f"[{one.start_text}, {one.end_text}] ({one.origin})" for one in _read_opened(settings))
        raise ConfigError(
            f"nothing is sealed in {settings.root}" + (f"; opened already: {opened}" if opened else ""),
            hint=f'seal days with holdout = ["2017-01-03", "open"] beneath [data] in {settings.root / PROJECT_FILE}',
        )
    return found


def unseal(reason: str, *, project: Path | None = None) -> Opening:
    """Open everything that is sealed in a project, and write down who did it, when and why, before anything is shown.

    It cannot be taken back, and from then on every look at those days counts as a trial.

    Parameters
    ----------
    reason : str
        For whoever reads the record; not empty.
    project : Path, optional
        Where the search for the project folder starts; the working directory if not given.

    Raises
    ------
    ConfigError
        When nothing is sealed, and for an empty reason.
    CorruptFileError
        When the record is damaged.
    DataStorageError
        When it cannot be written; nothing is opened then.
    """
    if not reason.strip():
        raise ConfigError("an opening has a reason, and this one is empty", hint='write --reason "why, for the record"')
    settings = load_settings(start=project)
    sealed = find_sealed(project)
    path = find_record_file(settings.state_dir)
    add_record(path, "sealed", [one for one in sealed if one not in list_sealed(read_records(path))])
    return Opening(path=path, records=add_record(path, "opened", sealed, reason=reason.strip()))


def _find(settings: Settings) -> tuple[Holdout, ...]:
    records = read_records(find_record_file(settings.state_dir))
    asked, sealed = asked_holdout(settings), list_sealed(records)
    is_new = asked is not None and asked not in sealed and asked not in list_opened(records)
    return (*sealed, asked) if is_new and asked is not None else sealed


def _read_opened(settings: Settings) -> tuple[Holdout, ...]:
    return list_opened(read_records(find_record_file(settings.state_dir)))
