"""The note of a serving: which campaign's file it serves; and finding one without reading data.

What is imported here is what that takes: no market, no model, and no MLflow.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from rollwright.app.campaign_settings import settings_of_file
from rollwright.campaign.online_section import OnlineSection
from rollwright.campaign.yaml.document import YamlDocument, read_document
from rollwright.config.settings import Settings, load_settings
from rollwright.core.atomic import write_text
from rollwright.core.bounded_read import SMALL, read_text
from rollwright.core.clock import Clock
from rollwright.core.sqlite_urls import sqlite_path
from rollwright.core.text import escape_text, is_name
from rollwright.errors import ConfigError, CorruptFileError, LedgerError, nearest
from rollwright.online.entry import LedgerEntry
from rollwright.online.ledger import ServingLedger
from rollwright.online.state import ServingState
from rollwright.pool.store import PoolStore
from rollwright.pool.urls import store_from_url

__all__ = [
    "OpenLedger",
    "ServingRecord",
    "find_serving",
    "list_servings",
    "open_ledger",
    "open_ledger_store",
    "read_begun",
    "read_options",
    "serving_path",
    "write_serving",
]

RECORD_FORMAT: Final = 1
_FOLDER: Final = "online"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingRecord:
    """Which campaign is served under a name.

    Attributes
    ----------
    name : str
        Of the serving.
    file : str
        The campaign's file, relative to the project when it lies there.
    overrides : tuple of str
    provider_uri : str or None
        Its market data, relative to the project when they lie there.
    """

    name: str
    file: str
    overrides: tuple[str, ...] = ()
    provider_uri: str | None = None

    @property
    def text(self) -> str:
        """What is written."""
        record = {
            "format": RECORD_FORMAT,
            "name": self.name,
            "file": self.file,
            "overrides": [*self.overrides],
            "provider_uri": self.provider_uri,
        }
        return json.dumps(record, indent=1, ensure_ascii=False) + "\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenLedger:
    """A serving as far as its ledger tells it.

    Attributes
    ----------
    record : ServingRecord
    settings : Settings
        Those that the campaign's file runs under.
    options : OnlineSection
        Its section ``online``.
    ledger : ServingLedger
    """

    record: ServingRecord
    settings: Settings
    options: OnlineSection
    ledger: ServingLedger

    @property
    def name(self) -> str:
        """Of the serving."""
        return self.record.name

    def read_head(self) -> tuple[LedgerEntry, ServingState]:
        """Return the last entry of the ledger, and how the serving stands after it.

        Raises
        ------
        LedgerError
            When there is no entry.
        """
        return read_begun(self.ledger, self.record)


def read_begun(ledger: ServingLedger, record: ServingRecord) -> tuple[LedgerEntry, ServingState]:
    """Return the last entry of a ledger, and how the serving stands after it.

    Raises
    ------
    LedgerError
        When there is no entry.
    """
    head = ledger.read_head()
    if head is None:
        raise LedgerError(
            f"the ledger of serving {record.name} has no entry",
            hint=f"begin it: rollwright online init {record.file}",
        )
    return head, ServingState.from_json(head.state)


def serving_path(settings: Settings, name: str) -> Path:
    """Return the file of a serving's record."""
    return settings.state_dir / _FOLDER / f"{name}.json"


def write_serving(settings: Settings, record: ServingRecord) -> None:
    """Write a record, whole or not at all."""
    write_text(serving_path(settings, record.name), record.text)


def list_servings(settings: Settings) -> tuple[str, ...]:
    """Return the names of the servings that were begun in a project, sorted."""
    names = [path.stem for path in (settings.state_dir / _FOLDER).glob("*.json")]
    return tuple(sorted(name for name in names if is_name(name)))


def find_serving(name: str | None = None, *, project: Path | None = None) -> tuple[ServingRecord, Settings]:
    """Return the record of a serving, and the settings of its project.

    Parameters
    ----------
    name : str, optional
        May be left out where there is only one.
    project : Path, optional
        Where the search for the project folder starts; the working directory if not given.

    Raises
    ------
    ConfigError
        When there is none of that name, or several and none is named.
    CorruptFileError
    """
    settings = load_settings(start=project)
    known = list_servings(settings)
    if not known:
        raise ConfigError(
            f"nothing is served in {settings.root}",
            hint="begin with a campaign's file: rollwright online init FILE.yaml",
        )
    if name is None and len(known) > 1:
        raise ConfigError(
            f"{len(known)} servings are there, and none is named: {', '.join(known)}",
            hint=f"name one, such as `{known[0]}`",
        )
    wanted = known[0] if name is None else name
    if wanted not in known:
        near = nearest(wanted, known)
        hint = f"did you mean `{near}`?" if near else f"served here: {', '.join(known)}"
        raise ConfigError(f"there is no serving `{escape_text(wanted, longest=80)}` in {settings.root}", hint=hint)
    return _read_record(serving_path(settings, wanted), wanted), settings


def _read_record(path: Path, name: str) -> ServingRecord:
    try:
        record = json.loads(read_text(path, limit=SMALL))
        if record["format"] != RECORD_FORMAT:
            raise ValueError(f"its format is {record['format']!r}, not {RECORD_FORMAT}")
        overrides, provider_uri = record["overrides"], record["provider_uri"]
        texts = [record["file"], *overrides, *([] if provider_uri is None else [provider_uri])]
        if record["name"] != name or not all(isinstance(text, str) for text in texts):
            raise ValueError("it is that of another serving, or holds what is no text")
        return ServingRecord(name=name, file=record["file"], overrides=tuple(overrides), provider_uri=provider_uri)
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise CorruptFileError(
            path,
            f"it does not say what is served: {error}",
            hint="write it anew with `rollwright online init FILE.yaml`; the ledger is not in it, and nothing is lost",
        ) from error


def read_options(document: YamlDocument) -> OnlineSection:
    """Return the section ``online`` of a campaign's file.

    Raises
    ------
    ConfigError
        When it is wrong; `rollwright.campaign.config_file.read_config` tells where.
    """
    try:
        return OnlineSection.model_validate(document.data.get("online") or {})
    except ValidationError as error:
        first = error.errors()[0]
        keys = tuple(key for key in ("online", *first["loc"]))
        raise ConfigError(
            f"{document.locate(keys)}: `{'.'.join(str(key) for key in keys)}`: {first['msg']}",
            hint=f"all that is wrong with the file: rollwright plan {document.path}",
        ) from error


@contextmanager
def open_ledger(
    name: str | None = None, *, project: Path | None = None, clock: Clock | None = None
) -> Iterator[OpenLedger]:
    """Open a serving as far as its ledger tells it, for the block; no data are read, and nothing is made.

    Parameters
    ----------
    name : str, optional
        May be left out where there is only one.
    project : Path, optional
        Where the search for the project folder starts; the working directory if not given.
    clock : Clock, optional
        Stamps what is appended.

    Raises
    ------
    ConfigError, CorruptFileError
        As `find_serving`; and when the campaign's file is gone, or its section ``online`` is wrong.
    LedgerError
        When the ledger's database is gone.
    """
    record, own = find_serving(name, project=project)
    document = read_document(own.root / record.file, record.overrides)
    settings = settings_of_file(own, document.path, document.data, record.provider_uri)
    options = read_options(document)
    with open_ledger_store(record.name, settings) as store:
        yield OpenLedger(
            record=record,
            settings=settings,
            options=options,
            ledger=ServingLedger(record.name, store, clock=clock),
        )


@contextmanager
def open_ledger_store(name: str, settings: Settings, *, create: bool = False) -> Iterator[PoolStore]:
    """Open the task store that holds a serving's ledger, for the block.

    Parameters
    ----------
    name : str
    settings : Settings
    create : bool
        Whether a database that is not there is made.

    Raises
    ------
    LedgerError
        When it is not there, and not to be made.
    """
    url = settings.resolve_url(settings.pool.url)
    path = sqlite_path(url)
    if path is not None and not path.exists() and not create:
        raise LedgerError(
            f"the ledger of serving {name} is in {path}, which is not there",
            hint="bring it back from a backup, or begin another: `rollwright online init FILE.yaml --name OTHER`",
        )
    store = store_from_url(url)
    try:
        if create:
            store.migrate()
        yield store
    finally:
        store.close()
