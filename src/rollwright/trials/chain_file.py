"""Adding to a chain: each machine and user has a file of its own, which two processes lock in turn."""

from __future__ import annotations

import logging
import os
import secrets
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from rollwright.core import posix
from rollwright.core.atomic import make_folder, name_in_errors, sync_folder
from rollwright.core.bounded_read import READ_FLAGS
from rollwright.core.canonical import JSON
from rollwright.core.clock import Clock
from rollwright.trials.chain import CHAIN_SUFFIX, Chain, ChainRecord, Head, read_chain
from rollwright.trials.chain_owner import ChainOwner, own_chains

__all__ = ["BEGIN", "append_records"]

_logger: Final = logging.getLogger("rollwright.trials")

BEGIN: Final = "begin"
"""Kind of a chain's first record: whose it is."""
_RECOVERED: Final = "recovered"
"""Kind of the record that says that the one before it was cut off by a crash."""
_FLAGS: Final = os.O_APPEND | READ_FLAGS | getattr(os, "O_NOFOLLOW", 0)


def append_records(
    folder: Path, records: Sequence[tuple[str, Mapping[str, JSON]]], *, heads: Mapping[str, Head], clock: Clock
) -> tuple[ChainRecord, ...]:
    """Add records to the chain of this machine and user in `folder`, and return them, with those added beside them.

    A chain's first record tells whose it is. What a writer that died left unfinished behind the last record is cut off,
    and a record says so; a chain that is damaged is left as it is, and another one begun.

    Guarantees: the records are on the disk when it returns; of several processes one adds after the other; when it
    raises, the chain is what it was, or ends with a record that is not finished, which the next one cuts off.

    Parameters
    ----------
    folder : Path
        Made if it is missing.
    records : sequence of (str, mapping)
        Kind and body of each.
    heads : mapping of str to Head
        The last records of all chains, as just read; of the own chain it is read again.

    Raises
    ------
    OSError
        When the folder or the file refuses, naming it.
    """
    make_folder(folder)
    owner = ChainOwner.find()
    for path in own_chains(folder, owner):
        made = _append(path, owner, records, heads, clock)
        if made is not None:
            return made
    path = folder / f"{owner.stem}-{secrets.token_hex(6)}{CHAIN_SUFFIX}"
    with name_in_errors(path):
        os.close(os.open(path, os.O_RDWR | _FLAGS | os.O_CREAT | os.O_EXCL, 0o644))
    sync_folder(folder)
    made = _append(path, owner, records, heads, clock)
    if made is None:
        raise OSError(f"{path} was replaced while it was made")
    return made


def _append(
    path: Path,
    owner: ChainOwner,
    records: Sequence[tuple[str, Mapping[str, JSON]]],
    heads: Mapping[str, Head],
    clock: Clock,
) -> tuple[ChainRecord, ...] | None:
    """Add the records to one file under its lock; None when it cannot be gone on with."""
    with name_in_errors(path):
        handle = os.open(path, os.O_RDWR | _FLAGS)
        try:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                return None
            posix.lock_exclusive(handle)
            chain = read_chain(path)  # as it is under the lock
            if chain.damage or (chain.records and dict(chain.records[0].body) != owner.body):
                return None
            if chain.torn:
                os.ftruncate(handle, chain.size)
                _logger.warning("trials.recovered path=%s bytes=%s", path, chain.torn)
            added: list[tuple[str, Mapping[str, JSON]]] = []
            if not chain.records:
                added.append((BEGIN, owner.body))
            if chain.torn:
                added.append((_RECOVERED, {"bytes": chain.torn}))
            made = _make_records(chain, [*added, *records], heads, clock)
            _write(handle, b"".join(record.line for record in made), size=chain.size)
            return made
        finally:
            os.close(handle)  # closing releases the lock


def _make_records(
    chain: Chain, records: Sequence[tuple[str, Mapping[str, JSON]]], heads: Mapping[str, Head], clock: Clock
) -> tuple[ChainRecord, ...]:
    others = {writer: head for writer, head in heads.items() if writer != chain.writer}
    made: list[ChainRecord] = []
    last = chain.head
    for kind, body in records:
        record = ChainRecord(
            writer=chain.writer,
            number=last.number + 1,
            kind=kind,
            time=f"{clock.now():%Y-%m-%dT%H:%M:%SZ}",
            before=last.digest,
            heads=others,
            body=body,
        )
        made.append(record)
        last = Head(record.number, record.digest)
    return tuple(made)


def _write(handle: int, data: bytes, *, size: int) -> None:
    """Write all of it and flush it to the disk; what a full disk took only a part of is cut off again."""
    left = memoryview(data)
    try:
        while left:
            left = left[os.write(handle, left) :]
        os.fsync(handle)
    except OSError:
        os.ftruncate(handle, size)
        raise
