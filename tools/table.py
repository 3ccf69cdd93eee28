"""A generated table inside a page of `docs/`: between two markers, rewritten by `--write`, compared otherwise."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from finding import ROOT, Finding

__all__ = ["Table", "wants_writing"]


def wants_writing() -> bool:
    """Tell whether the tool was asked to rewrite its table."""
    return "--write" in sys.argv[1:]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One generated table.

    Attributes
    ----------
    path : Path
    heading : tuple of str
    """

    path: Path
    heading: tuple[str, ...]

    def read(self) -> list[tuple[str, ...]]:
        """Return the rows that stand in the page, without the heading."""
        _, body, _ = self._parts()
        rows = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in body.splitlines() if line]
        return rows[2:]

    def write(self, rows: Sequence[Sequence[str]]) -> None:
        """Put `rows` in place of those of the page."""
        before, _, after = self._parts()
        self.path.write_text(before + self._text(rows) + after, encoding="utf-8")

    def finding(self, rows: Sequence[Sequence[str]]) -> Finding | None:
        """Return what to say when the page does not hold exactly `rows`."""
        present = self.read()
        wanted = [tuple(row) for row in rows]
        if present == wanted:
            return None
        differing = [row for row in wanted if row not in present] or [row for row in present if row not in wanted]
        first = " | ".join(differing[0]) if differing else "the order"
        command = f"python {Path(sys.argv[0]).resolve().relative_to(ROOT)} --write"
        return Finding(path=self.path, line=1, text=f"the table is out of date ({first}); run: {command}")

    def _text(self, rows: Sequence[Sequence[str]]) -> str:
        lines = [self.heading, tuple("---" for _ in self.heading), *rows]
        return "".join(f"| {' | '.join(row)} |\n" for row in lines)

    def _parts(self) -> tuple[str, str, str]:
        text = self.path.read_text(encoding="utf-8")
        start, end = "<!-- generated -->\n", "<!-- end -->"
        before, _, rest = text.partition(start)
        body, found, after = rest.partition(end)
        if not found:
            raise SystemExit(f"{self.path.relative_to(ROOT)} has no {start.strip()} … {end} pair")
        return before + start, body, end + after
