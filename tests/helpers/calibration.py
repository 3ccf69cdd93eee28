"""How well the honest numbers are calibrated: measured on series whose truth is known, and written to a page of docs/.

python tests/helpers/calibration.py          # renews the tables of docs/honest-numbers.md
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np

from rollwright.analysis.honesty.intervals import estimate_mean
from rollwright.analysis.honesty.overfitting import probability_of_backtest_overfitting
from rollwright.analysis.honesty.sharpe import deflated_sharpe_ratio, measure_returns, probabilistic_sharpe_ratio

PAGE = Path(__file__).parents[2] / "docs" / "honest-numbers.md"
START = "<!-- measured: begin -->"
END = "<!-- measured: end -->"

CAMPAIGNS = 200
TRIALS = 50
DAYS = 1250
EDGES = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0)
SPANS = (1, 5, 20)
CORRELATIONS = (0.0, 0.3, 0.6)
LENGTHS = (250, 500, 1000)
REPEATS = 1000
YEAR = 250


class Verdicts(NamedTuple):
    """Shares of campaigns in which the best of the trials looked real by each number."""

    edge: float
    probabilistic: float
    deflated: float
    deflated_2025: float
    overfitting: float


def judge_campaigns(edge, *, campaigns=CAMPAIGNS):
    """Return how often the best of 50 trials passes, one of which has an annual Sharpe ratio of `edge`."""
    passed = np.zeros(3)
    overfitting = []
    for seed in range(campaigns):
        returns = np.random.default_rng([seed, 14]).standard_t(6, (DAYS, TRIALS)) * 0.01 / math.sqrt(1.5)
        returns[:, 0] += edge / math.sqrt(YEAR) * 0.01
        moments = [measure_returns(np.ascontiguousarray(column)) for column in returns.T]
        best = max(moments, key=lambda each: each.sharpe)
        deviation = float(np.std([each.sharpe for each in moments], ddof=1))
        passed += [
            probabilistic_sharpe_ratio(best) > 0.95,
            deflated_sharpe_ratio(best, trials=TRIALS, deviation=deviation) > 0.95,
            deflated_sharpe_ratio(best, trials=TRIALS, deviation=deviation, standard="2025") > 0.95,
        ]
        overfitting.append(probability_of_backtest_overfitting(returns, blocks=8).probability)
    return Verdicts(edge, *(passed / campaigns), float(np.mean(overfitting)))


def cover(days, span, rho, *, repeats=REPEATS):
    """Return how often the nominal 95 % interval of a mean of daily coefficients covers the truth, and its unknowns."""
    rng = np.random.default_rng([days, span, round(10 * rho)])
    noise = rng.standard_normal((repeats, days + span + 100))
    values = np.empty_like(noise)
    values[:, 0] = noise[:, 0]
    for day in range(1, noise.shape[1]):
        values[:, day] = rho * values[:, day - 1] + noise[:, day]
    total = np.concatenate([np.zeros((repeats, 1)), values.cumsum(axis=1)], axis=1)
    series = ((total[:, span:] - total[:, :-span]) / span)[:, -days:]
    found = [estimate_mean(row, label_span=span) for row in series]
    known = [each for each in found if each is not None]
    return sum(each.lower <= 0 <= each.upper for each in known) / max(len(known), 1)


def make_tables():
    """Return the two tables as Markdown."""
    lines = [
        "| annual ratio of one in 50 | PSR > 0.95 | deflated (2012/14) > 0.95 | deflated (2025) > 0.95 | mean PBO |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {each.edge:g} | {each.probabilistic:.1%} | {each.deflated:.1%} | {each.deflated_2025:.1%} "
        f"| {each.overfitting:.2f} |"
        for each in map(judge_campaigns, EDGES)
    ]
    columns = [(span, rho) for span in SPANS for rho in CORRELATIONS]
    lines += ["", "| days | " + " | ".join(f"h {span}, ρ {rho:g}" for span, rho in columns) + " |"]
    lines.append("|---" * (len(columns) + 1) + "|")
    lines += [
        f"| {days} | " + " | ".join(f"{cover(days, span, rho):.1%}" for span, rho in columns) + " |" for days in LENGTHS
    ]
    return "\n".join(lines)


def measured_part(text):
    """Return what stands between the marks of the page."""
    return text.partition(START)[2].partition(END)[0].strip()


if __name__ == "__main__":
    page = PAGE.read_text(encoding="utf-8")
    head, _, rest = page.partition(START)
    PAGE.write_text(f"{head}{START}\n{make_tables()}\n{END}{rest.partition(END)[2]}", encoding="utf-8")
