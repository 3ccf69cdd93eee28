"""Memory: estimated from the plan, bounded by what a thread may use, and without a say in the values."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence

import numpy as np
import pytest

from rollwright.expression.engine import FEWEST_CELLS, Tile, evaluate, evaluate_each
from rollwright.expression.expanding import FEW_COLUMNS, exponential_mean
from rollwright.expression.footprint import estimate
from rollwright.expression.planner import compile_plan
from rollwright.testing.market import ArraySource, random_source

MOMENTS = [f"{name}($close,{window})" for window in (5, 10, 20, 30, 60) for name in ("Std", "Slope", "Resi")]
PLANS = {
    "moments": MOMENTS,
    "sums": [f"Sum($volume,{window})" for window in (5, 20, 60)],
    "extremes": [f"{name}($high,{window})" for window in (5, 20, 60) for name in ("Max", "IdxMin")],
    "pairs": [f"Corr($close,Log($volume+1),{window})" for window in (5, 10, 60)],
    "ranks": ["Rank($close,60)", "Rank($open,20)"],
    "nested": ["Std(Mean($close,5)/Mean($open,10),20)", "Max(Corr($high,$low,9),12)-Min(Std($volume,30),7)"],
    "far": ["Std($close,60)", *[f"Mean($open/{n},5)+Mean($low/{n},7)" for n in range(2, 12)], "Corr($close,$high,60)"],
    "everything": [*MOMENTS, "Quantile($close,30,0.2)", "Med($open/$close,9)", "Cov($open,$high,11)", "EMA($close,9)"],
}


@pytest.fixture(scope="module")
def source() -> ArraySource:
    return random_source(np.random.default_rng(3), sessions=600, instruments=24, suspensions=0.02)


def _peak(expressions: Sequence[str], source: ArraySource, *, memory: int) -> tuple[int, list[Tile]]:
    """Return the highest memory of the evaluation above that at its start, and its tiles without values."""
    tiles: list[Tile] = []

    def take(tile: Tile) -> None:
        if tile.expressions[0] == tile.expressions.min():
            tiles.append(tile)

    plan = compile_plan(expressions)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        evaluate_each(
            plan, source, take, instruments=source.instruments(), start=100, stop=600, memory=memory, most_rows=500
        )
        return tracemalloc.get_traced_memory()[1] - before, tiles
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", PLANS)
def test_an_estimate_is_near_what_the_computation_takes(name: str, source: ArraySource) -> None:
    plan = compile_plan(PLANS[name])
    taken, _ = _peak(PLANS[name], source, memory=1 << 40)
    rows = 600 if plan.lookback > 600 else 500 + plan.lookback
    needed = estimate(plan)
    besides = 4 * rows * 24 * (min(16, len(plan.terms)) + 2 * len(plan.fields))  # the tile and the fields
    ratio = (taken - besides) / (needed.per_cell * rows * 24 + needed.fixed)
    assert 0.3 < ratio < 1.5


def test_a_thread_with_little_memory_computes_narrow_tiles_in_it(source: ArraySource) -> None:
    whole, one = _peak(MOMENTS, source, memory=1 << 40)
    cut, several = _peak(MOMENTS, source, memory=1)
    plan = compile_plan(MOMENTS)
    assert len(one) < len(several)
    assert cut < 0.7 * whole
    assert cut < 1.5 * FEWEST_CELLS * estimate(plan).per_cell + (2 << 20)


def test_a_plan_of_the_whole_past_keeps_to_the_memory_of_a_thread(source: ArraySource) -> None:
    needed = estimate(compile_plan(PLANS["everything"]))
    memory = needed.fixed + 10 * 600 * needed.per_cell  # ten of the 24 columns
    taken, tiles = _peak(PLANS["everything"], source, memory=memory)
    assert len(tiles) == 3
    assert taken < 1.3 * memory


def test_threads_have_equally_many_tiles_of_about_one_width(source: ArraySource) -> None:
    plan = compile_plan(PLANS["everything"])
    needed = estimate(plan)
    memory = needed.fixed + 10 * 600 * needed.per_cell  # ten of the 24 columns: 10, 10 and 4 would leave a thread idle
    found = evaluate(plan, source, instruments=source.instruments(), start=0, stop=600, threads=2, memory=memory)
    assert [len(tile.columns) for tile in found] == [6, 6, 6, 6]


def test_nesting_adds_time_and_no_memory(source: ArraySource) -> None:
    one = ["Std($close/$open,20)+Corr($high,$low,10)"]
    many = [f"Std($close/Mean($open/{n},6),20)+Corr($high/{n},$low,10)" for n in range(2, 32)]
    assert estimate(compile_plan(many)).per_cell < 2 * estimate(compile_plan(one)).per_cell
    assert _peak(many, source, memory=1 << 40)[0] < 2.5 * _peak(one, source, memory=1 << 40)[0]


@pytest.mark.parametrize("name", PLANS)
def test_no_value_depends_on_the_memory(name: str, source: ArraySource) -> None:
    plan = compile_plan(PLANS[name])

    def values(memory: int) -> bytes:
        found = np.empty((len(plan.terms), 600, 24), np.float32)
        for tile in evaluate(plan, source, instruments=source.instruments(), start=0, stop=600, memory=memory):
            found[:, tile.rows, tile.columns] = tile.values
        return found.tobytes()

    assert values(1) == values(1 << 40)


def test_an_exponential_mean_has_the_same_bits_in_few_columns_and_in_many() -> None:
    rng = np.random.default_rng(8)
    values = np.where(rng.random((90, FEW_COLUMNS + 1)) < 0.3, 1.5, rng.lognormal(3, 2, (90, FEW_COLUMNS + 1)))
    mask = rng.random(values.shape) < 0.8
    many = exponential_mean(np.where(mask, values, 0.0), mask, 0.2)
    few = exponential_mean(np.where(mask, values, 0.0)[:, :5], mask[:, :5], 0.2)
    assert few.tobytes() == many[:, :5].tobytes()
    assert np.isnan(many[~mask.cumsum(axis=0).astype(bool)]).all()
