"""The state of a data folder, told without opening it: whether anything that a provider would say may have changed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from rollwright.core.bounded_read import MEDIUM, read_whole
from rollwright.core.canonical import sha256_hex
from rollwright.market.folder.layout import CALENDARS, FEATURES, FINANCIAL, INSTRUMENTS

__all__ = ["folder_state"]

_MANIFEST: Final = "rollwright.json"
_FACTS: Final = "demo.json"


def folder_state(root: Path) -> str | None:
    """Return a hash of what the folder's generation is made of; None when there is no such folder.

    Equal hashes mean the same generation of every frequency, and the same calendars and universes. Unequal ones need
    not mean another: the files' times and inodes count, so that a copy of the folder has another hash.
    """
    if not root.is_dir():
        return None
    parts = [CALENDARS, INSTRUMENTS]
    texts: list[str] = []
    for name in (_MANIFEST, _FACTS):
        try:
            texts.append(sha256_hex(read_whole(root / name, limit=MEDIUM)))
        except FileNotFoundError:
            texts.append("absent")
    if texts[0] == "absent":  # of a folder of other tools, the files are all there is
        parts += [FEATURES, FINANCIAL]
    lines = [line for part in parts for line in sorted(_list_files(root / part, part))]
    return sha256_hex("\n".join([str(root), *texts, *lines]).encode())


def _list_files(folder: Path, name: str) -> list[str]:
    if not folder.is_dir():
        return []
    lines: list[str] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                lines += _list_files(Path(entry.path), f"{name}/{entry.name}")
            else:
                state = entry.stat()
                lines.append(f"{name}/{entry.name}\t{state.st_size}\t{state.st_mtime_ns}\t{state.st_ino}")
    return lines
