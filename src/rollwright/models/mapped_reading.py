"""Memory of a fit: pages of feature files that a library reads to make its own copy of the data."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from numpy.typing import NDArray

from rollwright.core.memory import trim_heap
from rollwright.features.store.pages import drop_array_pages

__all__ = ["drop_while_copied"]

_SECONDS: Final = 0.1


@contextmanager
def drop_while_copied(arrays: Sequence[NDArray[Any]]) -> Iterator[Callable[[], None]]:
    """Keep the pages of mapped files out of this process's memory while a library copies `arrays` into its own form.

    LightGBM reads all rows twice, in order, and bins them: without this the whole segment is in memory beside the bins
    and the sample that they are found in. Pages are dropped ten times a second by a thread, stay in the cache of the
    operating system and are mapped again where they are read; no byte changes, nor does what is learnt. Arrays that are
    no views of read-only mapped files are left alone, and without any there is no thread.

    Yields
    ------
    callable
        To be called when the library has its own copy: drops the pages, gives back what the copying took of the heap,
        and ends the thread.
    """
    is_over = threading.Event()

    def drop() -> bool:
        return sum(map(drop_array_pages, arrays)) > 0

    def watch() -> None:
        while not is_over.wait(_SECONDS):
            drop()

    def end() -> None:
        if not is_over.is_set():
            is_over.set()
            drop()
            trim_heap()

    thread = threading.Thread(target=watch, name="rollwright-pages", daemon=True) if drop() else None
    if thread is not None:
        thread.start()
    try:
        yield end
    finally:
        is_over.set()
        if thread is not None:
            thread.join()
