"""What a checkout holds, so that a run of the tests can tell whether it left everything as it was."""

from __future__ import annotations

import marshal
import os
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["Checkout", "describe_changes", "take_snapshot"]

# What the interpreter and the tools keep for themselves; a new .venv or build is nobody's mistake either.
_CACHES: Final = frozenset(
    {
        "__pycache__", ".hypothesis", ".import_linter_cache", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".venv",
        "build", "dist",
    }
)  # fmt: skip
_HEADER: Final = 16  # of a .pyc: magic number, flags, time and size of the source


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkout:
    """A checkout at one moment.

    Attributes
    ----------
    files : mapping of str to (int, int)
        Time of change in ns and size of each file that git does not ignore, tracked or not.
    ignored : frozenset of str
        What git ignores beside caches, folders as a whole: results, databases, a project's `.rollwright`.
    compiled : mapping of str to int
        Time of change of each .pyc below ``src`` and ``tests``.
    """

    files: Mapping[str, tuple[int, int]]
    ignored: frozenset[str]
    compiled: Mapping[str, int]


def take_snapshot(root: Path) -> Checkout | None:
    """Return what the checkout at `root` holds; None when `root` is not the top of a git checkout, or git is absent."""
    if not (root / ".git").exists():
        return None
    try:
        files = _list(root, "--cached", "--others", "--exclude-standard")
        ignored = _list(root, "--others", "--ignored", "--exclude-standard", "--directory")
    except (OSError, subprocess.CalledProcessError):
        return None
    return Checkout(
        files={name: (found.st_mtime_ns, found.st_size) for name, found in _stat(root, files)},
        ignored=frozenset(name for name in ignored if not _CACHES & set(Path(name).parts) and "egg-info" not in name),
        compiled={
            path.relative_to(root).as_posix(): path.stat().st_mtime_ns
            for folder in ("src", "tests")
            for path in (root / folder).rglob("__pycache__/*.pyc")
        },
    )


def describe_changes(root: Path, before: Checkout) -> list[str]:
    """Return what is not as it was, a line each: files that are new, gone or changed, and bytecode cut short since."""
    after = take_snapshot(root)
    if after is None:
        return [f"{root} is not a git checkout any more"]
    lines = [f"new: {name}" for name in sorted(after.files.keys() - before.files.keys())]
    lines += [f"new: {name}" for name in sorted(after.ignored - before.ignored)]
    lines += [f"gone: {name}" for name in sorted(before.files.keys() - after.files.keys())]
    lines += [
        f"changed: {name}"
        for name in sorted(before.files.keys() & after.files.keys())
        if before.files[name] != after.files[name]
    ]
    written = sorted(name for name, time in after.compiled.items() if before.compiled.get(name) != time)
    return lines + [f"cut short: {name}" for name in written if not _is_whole(root / name)]


def _list(root: Path, *options: str) -> list[str]:
    command = ["git", "-C", str(root), "ls-files", "-z", *options]
    return [
        name for name in subprocess.run(command, capture_output=True, check=True, text=True).stdout.split("\0") if name
    ]


def _stat(root: Path, names: list[str]) -> Iterator[tuple[str, os.stat_result]]:
    for name in names:
        try:
            yield name, (root / name).lstat()
        except FileNotFoundError:  # tracked, and removed from the disk
            continue


def _is_whole(path: Path) -> bool:
    """Return whether a .pyc holds what it should: Python itself reads one that was cut short only to fail."""
    try:
        marshal.loads(path.read_bytes()[_HEADER:])
    except FileNotFoundError:
        return True
    except (EOFError, ValueError, TypeError):
        return False
    return True
