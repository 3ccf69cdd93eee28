"""From a table of scores to a verdict: every step of docs/from-scores-to-a-verdict.md, in order, as it stands."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "from-scores-to-a-verdict.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n([\s\S]*?)^```$", PAGE, flags=re.MULTILINE)
SAVED = re.compile(r"`([a-z]+\.(?:toml|py))`:\n\n```\w+\n([\s\S]*?)^```$", flags=re.MULTILINE)


def run_step(line: str, shell, folder: Path) -> str:
    program, *arguments = shlex.split(line)
    if program == "python":
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=folder,
            env=shell.environment(),
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
    else:
        assert program == "rollwright"
        done = shell.run(*arguments, cwd=folder, timeout=600)
    assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.mark.slow
def test_scores_of_another_program_come_to_a_verdict_by_the_steps_of_the_page(shell, tmp_path):
    files = dict(SAVED.findall(PAGE))
    assert len(files) == sum(kind != "sh" for kind, _ in BLOCKS) == 3
    for name, body in files.items():
        (tmp_path / name).write_text(body, encoding="utf-8")
    said: list[tuple[str, str]] = []
    for kind, body in BLOCKS:
        if kind == "sh":
            said += [(line, run_step(line, shell, tmp_path)) for line in body.splitlines()]
            if said[-1][0] == "python scores.py":  # alone in its block before the opening
                assert pd.read_csv(tmp_path / "scores.csv")["datetime"].max() < "2019-01-02"
    words = {line.split(" --")[0]: text for line, text in said}
    assert "Rank IC" in words["rollwright analyze scores.csv"]
    for number in ("excess return", "PSR", "deflated Sharpe ratio", "record needed"):
        assert number in words["rollwright backtest scores.csv"]
    assert "2 distinct trials" in words["rollwright trials list"]  # the third look is that of the holdout
    assert "not wanted" in words["rollwright explain-trade 2018-03-15 R0001"]
    assert words["rollwright trials verify"].splitlines()[-1].startswith("sound:")
    assert pd.read_csv(tmp_path / "last.csv")["datetime"].min() >= "2019-01-02"
    assert "trials on these data" in words["rollwright backtest last.csv"]
    made = tmp_path / "results" / "reversal"
    metrics = json.loads((made / "summary.json").read_text(encoding="utf-8"))["variants"]["main"]["metrics"]
    assert {"ic", "excess_return", "deflated_sharpe"} <= set(metrics)
    page = (made / "report.html").read_text(encoding="utf-8")
    assert all(title in page for title in ("Sensitivity", "Honest numbers", "Health"))
