"""`docs/performance.md` is what the results of the benchmarks say: each figure beside its target, with its verdict."""

from __future__ import annotations

import json
import sys
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any, Final

from finding import ROOT, Finding, tell
from table import wants_writing

PAGE: Final = ROOT / "docs" / "performance.md"
RESULTS: Final = ROOT / "benchmarks" / "results"
NOTES: Final = ROOT / "benchmarks" / "notes.toml"
HEAD: Final = """\
# What everything costs

Made by the benchmarks: `make docs` writes this page from `benchmarks/results/*.json`, and
[benchmarks/README.md](../benchmarks/README.md) says how each figure is taken. A figure is the median of its repeats,
with their range. Ratios (x, %) can be compared between machines; seconds belong to the machine that is named. A machine
that had other work (its load is told) makes wall times longer on both sides.
"""


def read_results() -> list[dict[str, Any]]:
    """Return the results in the order of their scripts and files."""
    return [json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json"))]


def page() -> str:
    """Return the page as it should be."""
    results = read_results()
    rows = [row for result in results for row in result["rows"]]
    missed = [row for row in rows if not row["reached"]]
    parts = [
        HEAD,
        f"{len(rows)} figures have a target; {len(rows) - len(missed)} reach it, **{len(missed)} miss it**.\n",
    ]
    notes = tomllib.loads(NOTES.read_text())
    for script in sorted({result["script"] for result in results}, key=lambda name: [*notes, name].index(name)):
        note = notes.get(script, {})
        parts.append(f"## {note.get('title', script)}\n")
        taken = [result for result in results if result["script"] == script and result["rows"]]
        parts.append("\n".join(_describe(script, result) for result in taken) + "\n")
        parts.append(_table([row for result in taken for row in result["rows"]]))
        if "limits" in note:
            parts.append(f"{note['limits'].strip()}\n")
    return "\n".join(parts)


def _describe(script: str, result: Mapping[str, Any]) -> str:
    """Return when and on what a result was taken, as an item of a list."""
    machine = result["machine"]
    cases = sorted({row["case"] for row in result["rows"]} - {""})
    peer = machine.get("peer")
    beside = f", beside {', '.join(f'{name} {version}' for name, version in peer.items())}" if peer else ""
    repeats = f", {result['repeats']} repeats" if (result["repeats"] or 0) > 1 else ""
    on = f" ({', '.join(cases)})" if cases else ""
    return (
        f"- `{script}.py`{on}, {result['taken']}{repeats}: {machine['cpu']}, "
        f"{machine['cores']} cores, {machine['memory_gib']} GiB, Python {machine['python']}, "
        f"load {result['load']}{beside}"
    )


def _table(rows: list[Mapping[str, Any]]) -> str:
    lines = ["| work | case | figure | target | |", "|---|---|---|---|---|"]
    for row in rows:
        unit = row["unit"]
        spread = f" [{row['low']:,g}, {row['high']:,g}]" if "low" in row else ""
        sign = "≥" if row["at_least"] else "≤"
        verdict = "reached" if row["reached"] else "**missed**"
        work = row["work"].replace("|", "\\|")
        figure = f"{row['figure']:,.4g}{unit}{spread}"
        lines.append(f"| {work} | {row['case']} | {figure} | {sign} {row['target']:,g}{unit} | {verdict} |")
    return "\n".join(lines) + "\n"


def findings() -> Iterator[Finding]:
    """Yield an outdated page, and every script that misses a target and does not say what limits it."""
    notes = tomllib.loads(NOTES.read_text())
    results = read_results()
    known = {result["script"] for result in results}
    for script in sorted(known):
        missed = [
            row for result in results if result["script"] == script for row in result["rows"] if not row["reached"]
        ]
        if script not in notes or (missed and not notes[script].get("limits")):
            yield Finding(
                path=NOTES, line=1, text=f"`{script}` has no title, or misses a target and no `limits` say why"
            )
    if not PAGE.is_file() or PAGE.read_text() != page():
        text = "it is not what the results say; run: python tools/check_performance.py --write"
        yield Finding(path=PAGE, line=1, text=text)


if __name__ == "__main__":
    if wants_writing():
        PAGE.write_text(page())
    sys.exit(tell("performance", findings()))
