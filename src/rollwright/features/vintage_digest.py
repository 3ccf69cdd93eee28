"""Digests of what was known of fields by period up to a moment, by which a restatement is told from what came later."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from hashlib import sha256
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rollwright.core.canonical import canonical_json
from rollwright.features.generations import generation_of
from rollwright.market.source import DataSource
from rollwright.market.viewpoint import by_period

__all__ = ["VintageDigest"]

_RECORD: Final = np.dtype([("known_at", "<i8"), ("field", "<i4"), ("period", "<i4"), ("code", "<u8"), ("value", "<f8")])
_BLOCK: Final = 4096
"""Records that are hashed once, for every moment after the last of them."""


class VintageDigest:
    """What was known of some fields by period of all instruments; equal digests mean that the same was known.

    Read when it is first asked. Several threads may ask.

    Parameters
    ----------
    source : DataSource
    fields : sequence of str
        Without ``$$``.
    """

    def __init__(self, source: DataSource, fields: Sequence[str]) -> None:
        self._source = source
        self._fields = tuple(sorted(fields))
        self._records: NDArray[np.void] | None = None
        self._head = b""
        self._blocks: list[bytes] = []
        self._lock = threading.Lock()

    @classmethod
    def of(cls, source: DataSource, fields: Sequence[str]) -> VintageDigest:
        """Return the digest of some fields of `source`, the one returned last where nothing has changed since.

        The windows of a campaign ask for the same one after another, each about another moment.
        """
        named = tuple(sorted(fields))
        if not named:
            return cls(source, named)
        generation = generation_of(source, named)
        last = _Last.made
        if last is not None and last[0] is source and last[1:3] == (generation, named):
            return last[3]
        made = cls(source, named)
        _Last.made = (source, generation, named, made)
        return made

    def until(self, moment: np.datetime64) -> str:
        """Return the digest of every value that was known at or before `moment`, and of what the fields measure.

        Raises
        ------
        NotPointInTimeError
            When the source has no fields by period.
        UnknownFieldError
            For a field that no instrument has.
        """
        with self._lock:
            records = self._read() if self._records is None else self._records
            last = np.int64(moment.astype("datetime64[s]").astype(np.int64))
            count = int(np.searchsorted(records["known_at"], last, side="right"))
            whole = count // _BLOCK
            while len(self._blocks) < whole:
                start = len(self._blocks) * _BLOCK
                self._blocks.append(sha256(records[start : start + _BLOCK].tobytes()).digest())
            rest = records[whole * _BLOCK : count].tobytes()
            return sha256(self._head + b"".join(self._blocks[:whole]) + rest).hexdigest()

    def _read(self) -> NDArray[np.void]:
        """Return all records, those that became known first in front."""
        source = by_period(self._source, self._fields[0])
        codes = self._source.instruments()
        names = np.array([int.from_bytes(sha256(code.encode()).digest()[:8], "little") for code in codes], np.uint64)
        parts = []
        for number, name in enumerate(self._fields):
            found = source.vintages(name, codes)
            part = np.zeros(len(found.period), _RECORD)
            part["known_at"] = found.known_at.astype("datetime64[s]").astype(np.int64)
            part["field"] = number
            part["period"] = found.period
            part["code"] = np.repeat(names, np.diff(found.offsets))
            part["value"] = np.where(np.isnan(found.value), np.nan, found.value)  # one NaN for all
            parts.append(part)
        records = np.concatenate(parts)
        order = np.lexsort((records["period"], records["code"], records["field"], records["known_at"]))
        kinds = [[name, *source.field_kind(name)] for name in self._fields]
        self._head = canonical_json(kinds).encode()
        self._records = records[order]
        return self._records


class _Last:
    """The digest that was made last, with what it is of: a value any call can make again."""

    made: tuple[DataSource, str, tuple[str, ...], VintageDigest] | None = None
