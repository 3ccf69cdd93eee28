"""How well confidence sets and intervals of ranks are calibrated: measured, and written to a page of docs/.

python tests/helpers/set_calibration.py          # renews the table of docs/honest-numbers.md
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np

from rollwright.analysis.honesty.block_draws import BlockDraws, choose_common_block
from rollwright.analysis.honesty.confidence_set import find_confidence_set
from rollwright.analysis.honesty.rank_intervals import bound_ranks

PAGE = Path(__file__).parents[2] / "docs" / "honest-numbers.md"
START = "<!-- measured sets: begin -->"
END = "<!-- measured sets: end -->"

LENGTHS = (250, 500, 1000)
SPANS = (1, 5, 20)
MODELS = (3, 10, 30)
REPEATS = 200
DRAWS = 500
LEVEL = 0.9


class Held(NamedTuple):
    """Shares of comparisons.

    `all`: of equal models, in which the set holds all of them; `best`: in which it holds the best of models that are
    evenly apart; `published`: as `all`, without allowing for the number of blocks; `ranks`: of the true ranks of
    models that are evenly apart, which lie in their intervals.
    """

    all: float
    best: float
    published: float
    ranks: float


def make_values(rng, days, models, span):
    """Return daily coefficients of labels over `span` sessions, of models that share seven tenths of their variance."""
    noise = rng.standard_normal((days + span, models)) * math.sqrt(0.3) + rng.standard_normal(
        (days + span, 1)
    ) * math.sqrt(0.7)
    total = np.vstack([np.zeros((1, models)), noise.cumsum(axis=0)])
    return (total[span:] - total[:-span])[:days] / math.sqrt(span)


def measure(days, models, span, *, repeats=REPEATS):
    """Return what sets and ranks of level 0.9 hold."""
    held = np.zeros(4)
    step = math.sqrt(span / days)
    edges = -step * np.arange(models)
    for seed in range(repeats):
        rng = np.random.default_rng([seed, days, models, span])
        values = make_values(rng, days, models, span)
        block = choose_common_block(values, label_span=span)
        drawn = BlockDraws.make(days, block, draws=DRAWS, rng=rng).means(values)
        means, blocks = values.mean(axis=0), days / block
        ranks = bound_ranks(means + edges, drawn + edges, level=LEVEL, blocks=blocks)
        held += [
            find_confidence_set(means, drawn, blocks=blocks).members(LEVEL).all(),
            find_confidence_set(means + edges, drawn + edges, blocks=blocks).members(LEVEL)[0],
            find_confidence_set(means, drawn).members(LEVEL).all(),
            np.mean([each.lower <= place <= each.upper for place, each in enumerate(ranks, 1)]),
        ]
    return Held(*(held / repeats))


def make_table():
    """Return the table as Markdown."""
    lines = [
        "| days | models | label | all of equal | best | all, as published | true ranks |",
        "|---|---|---|---|---|---|---|",
    ]
    for days in LENGTHS:
        for models in MODELS:
            for span in SPANS:
                one = measure(days, models, span)
                shares = " | ".join(f"{share:.1%}" for share in one)
                lines.append(f"| {days} | {models} | {span} | {shares} |")
    return "\n".join(lines)


def measured_part(text):
    """Return what stands between the marks of the page."""
    return text.partition(START)[2].partition(END)[0].strip()


if __name__ == "__main__":
    head, _, rest = PAGE.read_text(encoding="utf-8").partition(START)
    PAGE.write_text(f"{head}{START}\n{make_table()}\n{END}{rest.partition(END)[2]}", encoding="utf-8")
