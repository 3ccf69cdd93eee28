"""The public objects take what Qlib's take; what is meant to differ stands in a list, each entry with its reason.

`signature_differences.toml` is that list. An entry without need is a finding, as is a difference without an entry.
With `--write` the list is copied into the table of `docs/qlib-signatures.md`.
"""

from __future__ import annotations

import json
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from finding import ROOT, Finding, tell
from signatures import KINDS, Difference, compare_calls, compare_names
from table import Table, wants_writing

from rollwright.registrations import QLIB_MODULES

TOOLS: Final = Path(__file__).resolve().parent
SIGNATURES: Final = TOOLS / "qlib_signatures.json"
CALLS: Final = TOOLS / "promised_calls.json"
MEANT: Final = TOOLS / "signature_differences.toml"
TABLE: Final = Table(path=ROOT / "docs" / "qlib-signatures.md", heading=("where", "what differs", "why"))
# A reason says more than a word or two.
MIN_WORDS: Final = 4
REFERENCE: Final = "as `"

Key = tuple[str, str, str]


def differences() -> list[Difference]:
    """Return every difference, meant or not."""
    names = json.loads(SIGNATURES.read_text(encoding="utf-8"))["names"]
    calls = json.loads(CALLS.read_text(encoding="utf-8"))["calls"]
    return sorted({*compare_names(names, QLIB_MODULES), *compare_calls(calls, QLIB_MODULES)})


def meant() -> list[dict[str, str]]:
    """Return the entries of the list, in its order."""
    entries: list[dict[str, str]] = tomllib.loads(MEANT.read_text(encoding="utf-8"))["difference"]
    return entries


def rows(entries: list[dict[str, str]]) -> list[tuple[str, str, str]]:
    """Return the page's table."""
    listed = []
    for entry in entries:
        parameter = entry.get("parameter", "")
        if entry["kind"] == "*":
            what = "its arguments" if parameter else "all of it"
        else:
            what = f"`{parameter}`: {KINDS[entry['kind']]}" if parameter else KINDS[entry["kind"]]
        listed.append((f"`{entry['name']}`", what, entry["reason"]))
    return listed


def findings(found: list[Difference], entries: list[dict[str, str]]) -> Iterator[Finding]:
    """Yield what differs without being meant, and the entries that are not needed or give no reason."""
    allowed = {_key(entry): entry["reason"] for entry in entries}
    present = {key for difference in found for key in _entries(difference)}
    for difference in found:
        if allowed.keys().isdisjoint(_entries(difference)):
            yield Finding(path=SIGNATURES, line=1, text=str(difference))
    for key, reason in allowed.items():
        if key not in present:
            yield Finding(
                path=MEANT, line=1, text=f"{' '.join(filter(None, key))}: it does not differ; remove the entry"
            )
        if len(reason.split()) < MIN_WORDS and not reason.startswith(REFERENCE):
            yield Finding(path=MEANT, line=1, text=f"{' '.join(filter(None, key))}: `{reason}` is no reason")
    if len(allowed) < len(entries):
        yield Finding(path=MEANT, line=1, text="an entry is listed twice")


def _key(entry: Mapping[str, Any]) -> Key:
    return entry["name"], entry.get("parameter", ""), entry["kind"]


def _entries(difference: Difference) -> set[Key]:
    """Return the entries that allow a difference: its own, that of the whole signature, that of the whole class."""
    name = difference.name
    whole = {(name, "*", "*")} if difference.parameter else set()
    return {difference.key, (f"{name.split('.')[0]}.*", "", "*"), *whole}


if __name__ == "__main__":
    if wants_writing():
        TABLE.write(rows(meant()))
    outdated = TABLE.finding(rows(meant()))
    told = [*findings(differences(), meant()), *([outdated] if outdated else [])]
    sys.exit(tell("signatures", told))
