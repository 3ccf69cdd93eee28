"""The two READMEs say the same: equal sections, equal code, equal pictures; and the tests they name exist.

A table between ``<!-- table PATH -->`` and ``<!-- end -->`` is that of the file, which `--write` puts there; as long as
there is no such file, there is no table.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from finding import ROOT, Finding, python_files, tell
from table import wants_writing

ENGLISH: Final = ROOT / "README.md"
CHINESE: Final = ROOT / "README.zh-CN.md"
FENCE: Final = re.compile(r"^```", re.MULTILINE)
HEADING: Final = re.compile(r"^(#{1,6}) ")
LINK: Final = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
COPY: Final = re.compile(
    r"(?P<mark>^<!-- table (?P<path>\S+) -->\n)(?P<body>.*?)(?=^<!-- end -->$)", re.MULTILINE | re.DOTALL
)
TEST: Final = re.compile(r"`(?P<file>tests/[\w/.-]+\.py)(?:::(?P<name>\w+))?`")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What must be equal in both languages."""

    headings: list[str]
    code: list[str]
    tables: list[int]
    tests: list[str]
    links: list[str]


def shape(path: Path) -> Shape:
    """Return the structure of a page, without its words."""
    parts = FENCE.split(path.read_text(encoding="utf-8"))
    prose, code = parts[0::2], parts[1::2]
    lines = [line for part in prose for line in part.splitlines()]
    text = "\n".join(prose)
    return Shape(
        headings=[match[1] for line in lines if (match := HEADING.match(line))],
        code=[_without_comments(block) for block in code],
        tables=[line.count("|") for line in lines if line.startswith("|")],
        tests=[match[0] for match in TEST.finditer(text)],
        links=sorted(link for link in LINK.findall(text) if not link.startswith(("#", "README"))),
    )


def _without_comments(block: str) -> str:
    """Return a code block without its comments, which are in the page's own language."""
    return "\n".join(line.partition("  # ")[0].rstrip() for line in block.splitlines() if not line.startswith("# "))


def with_tables(text: str) -> str:
    """Return a page with the tables that its marks name."""

    def copy(match: re.Match[str]) -> str:
        file = ROOT / match["path"]
        table = f"\n{file.read_text(encoding='utf-8').strip()}\n\n" if file.is_file() else ""
        return match["mark"] + table

    return COPY.sub(copy, text)


def findings() -> Iterator[Finding]:
    """Yield every difference of structure, and every test or file that is named and not there."""
    for path in (ENGLISH, CHINESE):
        text = path.read_text(encoding="utf-8")
        if with_tables(text) != text:
            yield Finding(path=path, line=1, text="a table is not that of its file; run: make docs")
    english, chinese = shape(ENGLISH), shape(CHINESE)
    for part in ("headings", "code", "tables", "tests", "links"):
        ours, theirs = getattr(english, part), getattr(chinese, part)
        if ours != theirs:
            first = next((pair for pair in zip(ours, theirs, strict=False) if pair[0] != pair[1]), None)
            text = f"{part} differ: {len(theirs)} here, {len(ours)} in README.md"
            yield Finding(path=CHINESE, line=1, text=f"{text}; the first pair is {first}" if first else text)
    source = {path: path.read_text(encoding="utf-8") for path in python_files("tests")}
    for path in (ENGLISH, CHINESE):
        text = path.read_text(encoding="utf-8")
        for match in TEST.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            tests = source.get(ROOT / match["file"])
            if tests is None or (match["name"] and not re.search(rf"\bdef {match['name']}\(", tests)):
                yield Finding(path=path, line=line, text=f"there is no test {match[0]}")
        for link in LINK.findall(text):
            target = link.partition("#")[0]
            if target and "://" not in target and not (ROOT / target).exists():
                yield Finding(path=path, line=1, text=f"a link leads to {target}, which is not there")


if __name__ == "__main__":
    if wants_writing():
        for page in (ENGLISH, CHINESE):
            page.write_text(with_tables(page.read_text(encoding="utf-8")), encoding="utf-8")
    sys.exit(tell("readme", findings()))
