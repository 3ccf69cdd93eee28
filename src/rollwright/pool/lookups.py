"""Tasks looked up by many fingerprints, some hundred at a time: memory and statements do not grow with their number."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final

from rollwright.pool.query import FINGERPRINT, In
from rollwright.pool.store import TaskReader
from rollwright.pool.types import TaskRecord

__all__ = ["find_by_fingerprint"]

_AT_ONCE: Final = 400
"""Fewer than a page of `find` holds, so that one statement answers for them."""


def find_by_fingerprint(store: TaskReader, pool: str, fingerprints: Iterable[str]) -> Iterator[TaskRecord]:
    """Yield the tasks of a pool that have one of `fingerprints`, in no order; those it does not have are missing."""
    left = iter(dict.fromkeys(fingerprints))
    while some := tuple(islice(left, _AT_ONCE)):
        yield from store.find(pool, In(path=(FINGERPRINT,), values=some))
