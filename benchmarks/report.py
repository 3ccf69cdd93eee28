"""Targets beside figures: printed, judged, and written in the one form that `docs/performance.md` is made of.

A script makes its rows with `row`, and ends with what `finish` returns:

    rows = [report.row("a turn / the ceiling", ratios, 0.8, at_least=True, against="two bare statements")]
    return report.finish("pool_sqlite", rows, path=options.json, repeats=options.repeats)

The file, by convention ``benchmarks/results/SCRIPT.json``, or ``SCRIPT-CASE.json`` where cases are taken apart:

    {"script", "taken": "2026-11-29", "machine": {...}, "load", "repeats", "rows": [...], "figures": {...}}

A row has `work` and `case` (together they name it), `figure` with `low` and `high` where several were taken, `unit`,
`target`, `at_least`, `reached` and `against`. `figures` is what a script wants to keep beside it, in any form.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import machine

RATIOS: Final = ("", "x", "%")  # the same on every machine, but for noise; other units are its own


def row(
    work: str,
    figure: float | Sequence[float],
    target: float,
    *,
    at_least: bool,
    unit: str = "",
    case: str = "",
    against: str = "",
) -> dict[str, Any]:
    """Print and return a target beside its figure.

    Parameters
    ----------
    work : str
        What was measured, in the words of a user.
    figure : float or sequence of float
        Of several the median is judged, and their range is kept.
    target : float
    at_least : bool
        Whether the figure must reach the target, or must not exceed it.
    unit : str
        ``" s"`` or ``" ms"``; ``"x"``, ``"%"`` or nothing for what can be compared between machines.
    case : str, optional
        On what it was measured, such as ``S``; with `work` it names the row among those of its script.
    against : str, optional
        The peer, with its version, when the figure is a ratio to one.
    """
    several = [float(each) for each in figure] if isinstance(figure, Sequence) else [float(figure)]
    middle = statistics.median(several)
    reached = middle >= target if at_least else middle <= target
    found: dict[str, Any] = {"work": work, "case": case, "figure": _round(middle)}
    if len(several) > 1:
        found |= {"low": _round(min(several)), "high": _round(max(several))}
    found |= {"unit": unit, "target": target, "at_least": at_least, "reached": reached, "against": against}
    name = f"{case}: {work}" if case else work
    shown = f"{middle:.4g}{unit}" + (f" [{min(several):.3g}, {max(several):.3g}]" if len(several) > 1 else "")
    print(f"  {name:<72} {shown:>24}   {target_text(found):<12} {verdict_text(found)}", flush=True)
    return found


def _round(value: float) -> float:
    """Keep five digits, so that a file of figures can be read."""
    return float(f"{value:.5g}")


def target_text(found: Mapping[str, Any]) -> str:
    """Return the target of a row as text."""
    return f"{'>=' if found['at_least'] else '<='} {found['target']:g}{found['unit']}"


def verdict_text(found: Mapping[str, Any]) -> str:
    """Return whether the target of a row was reached."""
    return "reached" if found["reached"] else "MISSED"


def finish(
    script: str,
    rows: Sequence[Mapping[str, Any]],
    *,
    path: Path | None,
    repeats: int | None = None,
    peer_python: Path | None = None,
    figures: Mapping[str, Any] | None = None,
) -> int:
    """Write the result, if a path is given, and return how the program ends: 1 when a target was missed."""
    if path is not None:
        result = {
            "script": script,
            "taken": f"{datetime.now(UTC):%Y-%m-%d}",
            "machine": machine.describe(peer_python),
            "load": machine.load(),
            "repeats": repeats,
            "rows": list(rows),
            "figures": figures or {},
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(result, indent=1) + "\n")
    return 0 if all(each["reached"] for each in rows) else 1
