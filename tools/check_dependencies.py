"""Every dependency is explained once in `docs/dependencies.md` and pinned in `constraints.txt`."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator
from typing import Final

from finding import ROOT, Finding, tell

PAGE: Final = ROOT / "docs" / "dependencies.md"
PINS: Final = ROOT / "constraints.txt"
ROW: Final = re.compile(r"^\| `([\w.-]+)` \|", re.MULTILINE)
PIN: Final = re.compile(r"^([\w.-]+)==\S+$")


def _name(requirement: str) -> str:
    match = re.match(r"[\w.-]+", requirement)
    return re.sub(r"[-_.]+", "-", match[0] if match else requirement).lower()


def findings() -> Iterator[Finding]:
    """Yield every dependency without a reason, without a pin, or explained and gone."""
    document = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    project = document["project"]
    runtime = {_name(item) for item in project["dependencies"]}
    for extra in project.get("optional-dependencies", {}).values():
        runtime |= {_name(item) for item in extra}
    told = {_name(item) for item in ROW.findall(PAGE.read_text(encoding="utf-8"))}
    for name in sorted(runtime ^ told):
        text = f"`{name}` is not explained" if name in runtime else f"`{name}` is explained and no dependency"
        yield Finding(path=PAGE, line=1, text=text)
    pinned: set[str] = set()
    for number, line in enumerate(PINS.read_text(encoding="utf-8").splitlines(), start=1):
        match = PIN.match(line)
        if match is None and line and not line.startswith("#"):
            yield Finding(path=PINS, line=number, text=f"`{line}` is no exact pin")
        elif match:
            pinned.add(_name(match[1]))
    tools = {_name(item) for item in document["dependency-groups"]["dev"]}
    build = {_name(item) for item in document["build-system"]["requires"]}
    for name in sorted((runtime | tools | build) - pinned):
        yield Finding(path=PINS, line=1, text=f"`{name}` is not pinned; run: make lock")


if __name__ == "__main__":
    sys.exit(tell("dependencies", findings()))
