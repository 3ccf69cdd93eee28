"""Judging a signal of five years: its analysis, and its report.

    python benchmarks/judging.py [--names 500] [--sessions 1250] [--repeats 5] [--json FILE]

Scores of 500 names and 1,250 sessions, on a market in memory. Timed are the CPU of the stage `analyze`, with two
columns that groups are told by and that are taken out, and with the three members that the signal is the mean of; and
the CPU of rendering the report of that signal, back-test included, whose tables are there. The size of the page is told
without Plotly's script, 4.8 MB in every page that has charts. A missed target ends the program with 1.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

import machine
import numpy as np
import pandas as pd
import report
from plotly.offline import get_plotlyjs

from backtest import cpu_of, memory_market
from rollwright import tear_sheet
from rollwright.analysis.stages.analyze import AnalysisTerms, analyze
from rollwright.testing.market import ArraySource

BEYOND = 25  # sessions after the last score, in which its returns end
COLUMNS = ("industry", "size")


def make_signal(names: int, sessions: int) -> tuple[ArraySource, dict[str, pd.Series], pd.Series]:
    """Return a market, the scores of three members that know a little of the label, and the label."""
    source, scores = memory_market(names, sessions + BEYOND)
    index = scores.index[: names * sessions]
    close = source.load(["close"], list(source.instruments()), 0, sessions + BEYOND)[0].astype(np.float64)
    ahead = (close[2 : sessions + 2] / close[1 : sessions + 1] - 1).ravel()
    rng = np.random.default_rng(14)
    members = {
        name: pd.Series(0.1 * np.nan_to_num(ahead) + rng.normal(0, 0.02, len(index)), index) for name in ("a", "b", "c")
    }
    return source, members, pd.Series(ahead, index, name="label")


def analysis(source: ArraySource, members: dict[str, pd.Series], label: pd.Series, repeats: int) -> list[float]:
    """Return the CPU of the stage `analyze`."""
    pred = sum(members.values()) / len(members)
    codes = pd.Index(source.instruments(), name="instrument")
    sizes = np.random.default_rng(14).normal(size=len(codes))
    columns = pd.DataFrame({"industry": [f"I{place % 11}" for place in range(len(codes))], "size": sizes}, index=codes)
    terms = AnalysisTerms(label_span=2, label_horizon=1, topk=50, groups_by=COLUMNS, neutralise=COLUMNS)

    def call() -> None:
        found = analyze(pred, label, terms=terms, source=source, members=members, columns=columns)
        if found.left_out:
            raise SystemExit(f"tables were left out: {found.left_out}")

    return cpu_of(call, repeats)


def page(source: ArraySource, pred: pd.Series, label: pd.Series, repeats: int) -> tuple[list[float], float]:
    """Return the CPU of rendering the report, and its megabytes without Plotly's script."""
    sheet = tear_sheet(pred.rename("score"), label, source=source, label_span=2, label_horizon=1)
    with tempfile.TemporaryDirectory() as root:
        path = Path(root) / "report.html"
        taken = cpu_of(lambda: sheet.save(path), repeats)
        return taken, (path.stat().st_size - len(get_plotlyjs().encode())) / 1e6


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--names", type=int, default=500)
    parser.add_argument("--sessions", type=int, default=1250)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(arguments)
    machine.pin()
    source, members, label = make_signal(given.names, given.sessions)
    case = f"{given.names} x {given.sessions:,}"
    asked: dict[str, Any] = {"at_least": False, "case": case}
    rows = [
        report.row(
            "analysis, two columns and three members, CPU", analysis(source, members, label, given.repeats), 3,
            unit=" s", **asked,
        )
    ]  # fmt: skip
    taken, size = page(source, members["a"], label, given.repeats)
    rows.append(report.row("report of all tables, CPU", taken, 3, unit=" s", **asked))
    rows.append(report.row("its page without Plotly's script", size, 4, unit=" MB", **asked))
    return report.finish("judging", rows, path=given.json, repeats=given.repeats)


if __name__ == "__main__":
    sys.exit(main())
