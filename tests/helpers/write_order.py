"""What a block asks the system for, in order: flushes, renames, new folders, removals and locks."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rollwright.core import posix
from rollwright.market.folder import atomic_replace

_NAMES = (
    (re.compile(r"\.tmp-[^/]*|(?<![^/])\.[^/]*\.\d+\.[0-9a-f]{8}"), "draft"),
    (re.compile(r"\.[^/]*\.staging-[^/]*"), "staging"),
    (re.compile(r"\.fetch-[0-9a-f]+"), "fetched"),
    (re.compile(r"[0-9a-f]{64}"), "DIGEST"),
    (re.compile(r"\b[0-9a-f]{16,24}\b"), "HASH"),
    (re.compile(r"results/[0-9a-f]{2}\b"), "results/XX"),
)


class WriteOrder:
    """Records, by name below `root`, every flush, rename, link, removal, new folder and lock asked of the system."""

    def __init__(self, root: Path, patch: pytest.MonkeyPatch) -> None:
        self.root = root
        self.steps: list[str] = []
        self._patch = patch

    def start(self) -> None:
        """Record from now on."""
        self._around(os, "fsync", lambda handle: f"flush {self._open_file(handle)}")
        self._around(os, "mkdir", lambda path, *_, **__: f"make {self._name(path)}")
        self._around(os, "unlink", lambda path, **where: None if where else f"remove {self._name(path)}")
        for word in ("rename", "replace", "link"):
            self._around(os, word, lambda one, other, **_: f"{self._name(one)} -> {self._name(other)}")
        self._around(posix, "lock_exclusive", lambda handle, **_: f"lock {self._open_file(handle)}")
        self._around(atomic_replace, "exchange_names", lambda one, other: f"{self._name(one)} <-> {self._name(other)}")
        self._around(atomic_replace, "sync_filesystem", lambda folder: f"flush all of {self._name(folder)}")

    def _around(self, module: Any, name: str, describe: Callable[..., str | None]) -> None:
        real = getattr(module, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            step = describe(*args, **kwargs)
            answer = real(*args, **kwargs)
            if step is not None:
                self.steps.append(step)
            return answer

        self._patch.setattr(module, name, call)

    def _open_file(self, handle: int) -> str:
        return self._name(os.readlink(f"/proc/self/fd/{handle}"))

    def _name(self, path: Any) -> str:
        name = os.path.relpath(os.fspath(path), self.root)
        for pattern, word in _NAMES:
            name = pattern.sub(word, name)
        return name
