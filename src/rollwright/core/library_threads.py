"""Threads that numerical libraries start of their own accord: limited by the environment that they read once."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

__all__ = ["are_libraries_limited", "limit_libraries", "single_threaded"]

_NAMES: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_ALLOCATOR: Final = ("JE_ARROW_MALLOC_CONF", "background_thread:false")
"""PyArrow brings an allocator that it does not use by default, and whose thread starts all the same."""


def limit_libraries() -> None:
    """Let each library that this process imports from now on use one thread, unless the user has set it otherwise.

    For the start of a program: worker processes may be forked from one that has no other threads.
    """
    for name in _NAMES:
        os.environ.setdefault(name, "1")
    os.environ.setdefault(*_ALLOCATOR)


def are_libraries_limited() -> bool:
    """Tell whether each library that is imported now uses one thread."""
    return all(os.environ.get(name) == "1" for name in _NAMES)


@contextmanager
def single_threaded() -> Iterator[None]:
    """Let what is started inside use one thread per library; a task's own thread count is part of its definition."""
    before = {name: os.environ.get(name) for name in _NAMES}
    os.environ.update(dict.fromkeys(_NAMES, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
