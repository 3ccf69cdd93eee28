"""What every `check_*.py` of this folder shares: a finding, and how findings are told."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["ROOT", "Finding", "python_files", "tell"]

ROOT: Final = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Finding:
    """One thing that breaks a convention, and where."""

    path: Path
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.path.relative_to(ROOT)}:{self.line}: {self.text}"


def python_files(*folders: str) -> Iterator[Path]:
    """Yield the Python files beneath the named folders of the project, in order."""
    for folder in folders:
        yield from sorted((ROOT / folder).rglob("*.py"))


def tell(check: str, findings: Iterable[Finding]) -> int:
    """Print the findings and return the exit code: 1 when there is any."""
    found = sorted(findings)
    for finding in found:
        print(f"{check}: {finding}", file=sys.stderr)
    print(f"{check}: {len(found)} finding{'s' * (len(found) != 1)}" if found else f"{check}: ok")
    return 1 if found else 0
