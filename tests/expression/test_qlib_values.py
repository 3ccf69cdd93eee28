"""Equality with Qlib on a small table of its values; `benchmarks/parity` makes it and compares at length."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from rollwright.testing.market import ArraySource, expression_values

TABLE = json.loads(Path(__file__).with_name("qlib_values.json").read_text(encoding="utf-8"))


def _array(cells: list[float | str]) -> np.ndarray:
    return np.array([float(cell) for cell in cells], np.float32).reshape(-1, len(TABLE["instruments"]))


@pytest.fixture(scope="module")
def ours() -> dict[str, np.ndarray]:
    fields = {field: _array(cells) for field, cells in TABLE["market"].items()}
    source = ArraySource(fields, TABLE["instruments"], bounds=np.array(TABLE["bounds"]))
    found = expression_values(source, *TABLE["values"])
    rows = np.arange(len(source.calendar()))[:, None]
    first, stop = np.array(TABLE["bounds"]).T
    found[:, (rows < first) | (rows >= stop)] = np.nan  # the table was asked for with a universe's lifetimes
    return dict(zip(TABLE["values"], found[:, TABLE["rows"]], strict=True))


@pytest.mark.parametrize("expression", TABLE["values"])
def test_values_are_those_of_qlib(ours: dict[str, np.ndarray], expression: str) -> None:
    theirs = _array(TABLE["values"][expression])
    np.testing.assert_allclose(ours[expression], theirs, atol=TABLE["absolute"], rtol=TABLE["relative"], equal_nan=True)


@pytest.mark.parametrize("expression", TABLE["values"])
def test_a_deviation_of_a_thousandth_would_be_noticed(expression: str) -> None:
    cells = _array(TABLE["values"][expression])
    sizes = np.abs(cells[np.isfinite(cells) & (cells != 0)])
    assert len(sizes), "no value but zero, missing and infinite ones"
    allowed = TABLE["absolute"] + TABLE["relative"] * np.median(sizes)
    assert allowed < 1e-3 * np.median(sizes)
