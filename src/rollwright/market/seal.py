"""The seal that the context puts on every market: which holdout stands, and the market before it."""

from __future__ import annotations

import logging
import os
from functools import lru_cache
from pathlib import Path
from typing import Final, TypeAlias

from rollwright.calendar.holdout import Holdout
from rollwright.config.context import current_settings
from rollwright.config.settings import PROJECT_FILE, STATE_DIR, Settings
from rollwright.errors import ConfigError, CorruptFileError, DataStorageError
from rollwright.market.seal_record import (
    SealRecord,
    add_record,
    find_record_file,
    list_opened,
    list_sealed,
    read_records,
)
from rollwright.market.sealed import Sealed
from rollwright.market.source import DataSource

__all__ = ["asked_holdout", "find_holdout", "find_opened", "seal"]

_logger: Final = logging.getLogger("rollwright.market")
_SETTING: Final = "data.holdout"
_Stamp: TypeAlias = tuple[str, int, int, int]
_Question: TypeAlias = tuple[tuple[str, str] | None, str | None, _Stamp | None]


class _Last:
    """What any call can find again: the file read last, the holdout found last, the market sealed last, what was said.

    Each is one value, so that threads in blocks of their own cannot mix the halves of two.
    """

    read: tuple[_Stamp, tuple[SealRecord, ...]] | None = None
    sealed: tuple[DataSource, Holdout, str, Sealed] | None = None
    said: Holdout | None = None
    answer: tuple[_Question, Holdout | None] | None = None


def find_holdout(settings: Settings | None = None) -> Holdout | None:
    """Return the holdout that is sealed in the project of `settings`; None when there is none, or it was opened.

    The first time that it is asked for, the sealing is recorded in the project. From then on the setting cannot lift
    it: only an opening that is recorded too does.

    Raises
    ------
    ConfigError
        When a sealing is recorded that the setting does not cover: it was removed, moved or made smaller.
    CorruptFileError
        When the record is damaged.
    """
    present = current_settings() if settings is None else settings
    pair, stamp = present.data.holdout, _stamp_of(_record_path(present.root))
    if pair is None and stamp is None:
        return None
    question = (pair, present.origins.get(_SETTING), stamp)
    known = _Last.answer
    if stamp is not None and known is not None and known[0] == question:
        return known[1]
    found = _find_holdout(present)
    _Last.answer = (question, found)
    return found


def _find_holdout(present: Settings) -> Holdout | None:
    records = _read(find_record_file(present.state_dir))
    asked = asked_holdout(present)
    if asked is not None and asked in list_opened(records):
        asked = None
    sealed = list_sealed(records)
    for former in sealed:
        if asked is None or not asked.covers(former):
            raise _contradiction(present, former)
    if asked is not None and asked not in sealed:
        _record(present, asked)
    return next((former for former in sealed if former == asked), asked)


def find_opened(settings: Settings | None = None) -> tuple[Holdout, ...]:
    """Return the holdouts of the project that were opened: a look at their sessions counts as a trial.

    Raises
    ------
    CorruptFileError
        When the record is damaged.
    """
    present = current_settings() if settings is None else settings
    return list_opened(_read(find_record_file(present.state_dir)))


def seal(source: DataSource, settings: Settings | None = None) -> DataSource:
    """Return `source` before the sealed holdout of the project; itself where there is none, or it is sealed already.

    Raises
    ------
    HoldoutSealedError
        When no session of `source` lies before the holdout.
    ConfigError, CorruptFileError
        As `find_holdout`.
    """
    holdout = find_holdout(settings)
    if holdout is None or source.calendar().holdout == holdout:
        return source
    last = _Last.sealed
    if last is not None and last[0] is source and last[1] == holdout and last[2] == source.generation:
        return last[3]
    sealed = Sealed(source, holdout)
    _Last.sealed = (source, holdout, source.generation, sealed)
    if _Last.said != holdout:
        _Last.said = holdout
        hidden = source.calendar().known - sealed.calendar().known
        _logger.warning("market.holdout_sealed start=%s end=%s sessions=%d", *holdout.pair, hidden)
    return sealed


def asked_holdout(settings: Settings) -> Holdout | None:
    """Return the holdout that `settings` name, whether or not it was opened; None when they name none."""
    pair = settings.data.holdout
    return None if pair is None else Holdout.from_setting(pair, origin=settings.origins.get(_SETTING, "default"))


def _contradiction(settings: Settings, former: Holdout) -> ConfigError:
    pair = settings.data.holdout
    now = "is not set" if pair is None else f"is [{', '.join(pair)}] (from {settings.origins.get(_SETTING, 'default')})"
    return ConfigError(
        f"{_SETTING} {now}, and [{former.start_text}, {former.end_text}] is sealed (from {former.origin}): a setting "
        "that is removed or moved opens nothing",
        hint=f'write holdout = ["{former.start_text}", "{former.end_text}"] beneath [data] in '
        f"{settings.root / PROJECT_FILE}, or open it, for good and on the record: rollwright unseal --reason TEXT",
    )


def _record(settings: Settings, holdout: Holdout) -> None:
    try:
        add_record(find_record_file(settings.state_dir), "sealed", (holdout,))
    except DataStorageError as error:  # a project that cannot be written: it is sealed all the same
        _logger.warning("market.holdout_unrecorded error=%s", error.message)


def _read(path: Path) -> tuple[SealRecord, ...]:
    """Return the records of a file, which is read again when it is another than the one read last."""
    stamp = _stamp_of(str(path))
    if stamp is None:
        return ()
    known = _Last.read
    if known is not None and known[0] == stamp:
        return known[1]
    records = read_records(path)
    _Last.read = (stamp, records)
    return records


def _stamp_of(path: str) -> _Stamp | None:
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise CorruptFileError(path, f"it cannot be read: {error.strerror or error}") from error
    return path, status.st_ino, status.st_mtime_ns, status.st_size


@lru_cache(maxsize=64)
def _record_path(root: Path) -> str:
    """Return the path of a project's record; asked for with each market, so not put together anew."""
    return str(find_record_file(root / STATE_DIR))
