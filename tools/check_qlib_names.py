"""`docs/qlib-names.md` tells the alias table of `registrations.py`, and each alias leads inside this package."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Final

from finding import ROOT, Finding, tell
from table import Table, wants_writing

from rollwright.registrations import QLIB_MODULES

PAGE: Final = ROOT / "docs" / "qlib-names.md"
SOURCE: Final = ROOT / "src" / "rollwright" / "registrations.py"
TABLE: Final = Table(path=PAGE, heading=("a configuration says", "and means"))


def rows() -> list[tuple[str, str]]:
    """Return the table as it should be."""
    return [
        (f"`{module}`", ", ".join(f"`{target}`" for target in targets))
        for module, targets in sorted(QLIB_MODULES.items())
    ]


def findings() -> Iterator[Finding]:
    """Yield what is out of date or leads elsewhere."""
    for module, targets in QLIB_MODULES.items():
        if not module.startswith("qlib."):
            yield Finding(path=SOURCE, line=1, text=f"`{module}` is no name of Qlib's")
        for target in targets:
            if not target.startswith("rollwright."):
                yield Finding(path=SOURCE, line=1, text=f"`{module}` leads outside the package, to `{target}`")
    outdated = TABLE.finding(rows())
    if outdated is not None:
        yield outdated


if __name__ == "__main__":
    if wants_writing():
        TABLE.write(rows())
    sys.exit(tell("qlib names", findings()))
