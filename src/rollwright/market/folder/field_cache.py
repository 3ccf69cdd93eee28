"""Decoded series kept in memory, up to a number of bytes: what ``data.mem_cache_size_limit`` bounds."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import Final

from rollwright.market.folder.bins import Span

__all__ = ["MEGABYTE", "FieldCache"]

MEGABYTE: Final = 1_000_000
OVERHEAD: Final = 300
"""Bytes counted for an entry beside its values: key, span and links, measured and rounded up."""


class FieldCache:
    """Series by key, the least recently used leaving first.

    Guarantees: what is kept never counts more than `limit` bytes, values and their overhead together; threads may use
    it at once. A series that alone exceeds the limit is not kept.

    Parameters
    ----------
    limit : int
        Bytes; 0 keeps nothing.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._size = 0
        self._spans: OrderedDict[Hashable, Span] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._spans)

    @property
    def limit(self) -> int:
        """Bytes it may keep."""
        return self._limit

    @property
    def size(self) -> int:
        """Bytes it keeps."""
        return self._size

    def resize(self, limit: int) -> None:
        """Change the limit; what no longer fits leaves at once."""
        with self._lock:
            self._limit = limit
            self._shrink()

    def get(self, key: Hashable) -> Span | None:
        """Return the series, or None when it is not kept."""
        with self._lock:
            span = self._spans.get(key)
            if span is not None:
                self._spans.move_to_end(key)
            return span

    def put(self, key: Hashable, span: Span) -> None:
        """Keep a series, whose values nobody may write to from now on."""
        if _cost(span) > self._limit:
            return
        with self._lock:
            before = self._spans.pop(key, None)
            self._size += _cost(span) - (_cost(before) if before is not None else 0)
            self._spans[key] = span
            self._shrink()

    def _shrink(self) -> None:
        while self._size > self._limit:
            _, oldest = self._spans.popitem(last=False)
            self._size -= _cost(oldest)


def _cost(span: Span) -> int:
    return span.values.nbytes + OVERHEAD
