"""The page of errors, the tree drawn in `errors.py` and the classes say the same."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from typing import Final

from finding import ROOT, Finding, tell

import rollwright.errors as module
from rollwright.errors import RollwrightError

PAGE: Final = ROOT / "docs" / "errors.md"
SOURCE: Final = ROOT / "src" / "rollwright" / "errors.py"
HEADING: Final = re.compile(r"^### `(\w+)` — exit (\d+)$")


def classes() -> list[type[RollwrightError]]:
    """Return the error classes, as `errors.py` orders them."""
    found = [item for item in vars(module).values() if isinstance(item, type)]
    return [item for item in found if issubclass(item, RollwrightError)]


def drawn() -> list[tuple[str, str | None]]:
    """Return (class, parent) for every line of the tree in the module's docstring."""
    text = (module.__doc__ or "").split(".. code-block:: text", 1)[-1].split("\n\n")[1]
    stack: list[tuple[int, str]] = []
    rows: list[tuple[str, str | None]] = []
    for line in text.splitlines():
        match = re.match(r"^(?P<lead>[ │├└─]*)(?P<name>[A-Z]\w*Error)\b", line)
        if match is None:
            continue
        depth = len(match["lead"])
        while stack and stack[-1][0] >= depth:
            stack.pop()
        rows.append((match["name"], stack[-1][1] if stack else None))
        stack.append((depth, match["name"]))
    return rows


def findings() -> Iterator[Finding]:
    """Yield every class that the tree or the page omits, misplaces or tells wrongly."""
    known = {item.__name__: item for item in classes()}
    parents = {
        name: next((b.__name__ for b in item.__bases__ if b in known.values()), None) for name, item in known.items()
    }
    tree = dict(drawn())
    for name in sorted(known.keys() ^ tree.keys()):
        yield Finding(path=SOURCE, line=1, text=f"`{name}` is in only one of the drawn tree and the classes")
    for name in sorted(known.keys() & tree.keys()):
        if tree[name] != parents[name]:
            yield Finding(path=SOURCE, line=1, text=f"`{name}` is drawn beneath {tree[name]}, not {parents[name]}")
    yield from _page(known)


def _page(known: dict[str, type[RollwrightError]]) -> Iterator[Finding]:
    told: dict[str, int] = {}
    for number, line in enumerate(PAGE.read_text(encoding="utf-8").splitlines(), start=1):
        match = HEADING.match(line)
        if match is None:
            continue
        name, code = match[1], int(match[2])
        told[name] = code
        if name not in known:
            yield Finding(path=PAGE, line=number, text=f"`{name}` is no class of errors.py")
        elif known[name].exit_code != code:
            yield Finding(path=PAGE, line=number, text=f"`{name}` exits with {known[name].exit_code}, not {code}")
    for name, item in known.items():
        if name not in told:
            text = f"nothing on `{name}`; add: ### `{name}` — exit {item.exit_code}"
            yield Finding(path=PAGE, line=1, text=text)


if __name__ == "__main__":
    sys.exit(tell("errors", findings()))
