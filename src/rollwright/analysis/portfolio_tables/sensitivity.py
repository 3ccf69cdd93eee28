"""How the result of a back-test depends on the rule and the terms that were chosen, and on trading later."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rollwright.backtest.case import Case, CaseResults
from rollwright.backtest.inputs import BacktestInputs
from rollwright.backtest.risk import AccountFigures, measure_account
from rollwright.backtest.terms import DatedTerms
from rollwright.backtest.topk_dropout import TopkDropoutStrategy
from rollwright.errors import ConfigError

__all__ = [
    "SensitivityGrid",
    "SensitivitySurface",
    "describe_cases",
    "list_cell_cases",
    "scale_costs",
    "sensitivity_surface",
]

Floats: TypeAlias = NDArray[np.float64]

_TOPK: Final = (0.5, 1.0, 1.5, 2.0)
_N_DROP: Final = (0.5, 1.0, 2.0)
_RATES: Final = ("open_cost", "close_cost", "open_duty", "close_duty")
_COORDINATES: Final = ("topk", "n_drop", "cost_scale", "delay")


@dataclass(frozen=True, slots=True, kw_only=True)
class SensitivityGrid:
    """The values that are tried; a cell is one of each.

    Attributes
    ----------
    topk, n_drop : tuple of int
        Cells with more sales a day than holdings are left out. Empty for a strategy that has no such numbers.
    cost_scale : tuple of float
        Multiples of all costs, the least cost of a trade included.
    delay : tuple of int
        Sessions that scores wait, beyond the one that they always wait.

    Raises
    ------
    ConfigError
        For a number that cannot be.
    """

    topk: tuple[int, ...] = ()
    n_drop: tuple[int, ...] = ()
    cost_scale: tuple[float, ...] = (0.0, 1.0, 2.0)
    delay: tuple[int, ...] = (0, 1, 2)

    def __post_init__(self) -> None:
        wrong = [f"topk = {one}" for one in self.topk if one < 1]
        wrong += [f"n_drop = {one}" for one in self.n_drop if one < 0]
        wrong += [f"cost_scale = {one}" for one in self.cost_scale if not 0 <= one < np.inf]
        wrong += [f"delay = {one}" for one in self.delay if one < 0]
        if wrong:
            raise ConfigError(f"a cell that cannot be: {', '.join(wrong)}")
        if bool(self.topk) != bool(self.n_drop) or not self.cost_scale or not self.delay:
            raise ConfigError("a grid needs a value of each kind; only topk and n_drop may both be without one")

    @classmethod
    def around(cls, strategy: object) -> SensitivityGrid:
        """Return the grid about a strategy.

        Half, one, one and a half and two times its holdings; half, one and two times its sales a day; no costs, the
        costs and twice the costs; no delay, one session and two: 108 cells, among them the strategy itself. Of a
        strategy other than the top-k dropout rule only costs and delay are changed.
        """
        if not isinstance(strategy, TopkDropoutStrategy):
            return cls()
        return cls(
            topk=_spread(strategy.topk, _TOPK, least=1),
            n_drop=_spread(strategy.n_drop, _N_DROP, least=min(1, strategy.n_drop)),
        )

    def cells(self) -> list[dict[str, Any]]:
        """Return the coordinates of each cell, in order."""
        pairs: list[tuple[int | None, int | None]] = [(None, None)]
        if self.topk:
            pairs = [(topk, n_drop) for topk in self.topk for n_drop in self.n_drop if n_drop <= topk]
        return [
            {"topk": topk, "n_drop": n_drop, "cost_scale": scale, "delay": delay}
            for (topk, n_drop), scale, delay in itertools.product(pairs, self.cost_scale, self.delay)
        ]


def _spread(base: int, shares: Sequence[float], *, least: int) -> tuple[int, ...]:
    """Return about so many different numbers as there are shares, `base` among them."""
    found = {base} | {max(least, round(base * share)) for share in shares}
    nearest = (base + step for step in itertools.count(1))
    while len(found) < len(shares):
        found.add(next(nearest))
    return tuple(sorted(found))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SensitivitySurface:
    """The figures of every cell, and the returns they were made of.

    Attributes
    ----------
    table : DataFrame
        A row for each cell (index ``cell``): ``topk``, ``n_drop`` (NaN where the strategy has none), ``cost_scale``,
        ``delay``; ``annualized_return``, ``excess_return``, ``information_ratio``, ``max_drawdown``, ``turnover`` as in
        `backtest_metrics`; ``is_base``, which is true of the back-test as it was made.
    returns : DataFrame
        Returns after costs, sessions × cells: one strategy's series each, for whoever counts the trials of one that is
        chosen from here.
    """

    table: pd.DataFrame
    returns: pd.DataFrame


def list_cell_cases(inputs: BacktestInputs, grid: SensitivityGrid | None = None) -> list[Case]:
    """Return the cases of the cells of `sensitivity_surface`, in order; the errors are the same."""
    grid = SensitivityGrid.around(inputs.strategy) if grid is None else grid
    return [_make_case(inputs.case, cell) for cell in _list_cells(inputs, grid)]


def _list_cells(inputs: BacktestInputs, grid: SensitivityGrid) -> list[dict[str, Any]]:
    return [cell for cell in grid.cells() if _can_scale(inputs.terms, cell["cost_scale"])]


def sensitivity_surface(
    inputs: BacktestInputs,
    grid: SensitivityGrid | None = None,
    *,
    periods: float,
    made: CaseResults | None = None,
) -> SensitivitySurface:
    """Back-test a signal under many rules and terms.

    Every cell is a simulation from the beginning, on prices that are read once: to the last bit what the back-test
    under its rule and terms gives. What else they say is that of the back-test in every cell, and so is the benchmark.
    Cells whose trades would cost all of their value are left out. The same inputs give the same tables.

    Parameters
    ----------
    inputs : BacktestInputs
    grid : SensitivityGrid, optional
        That around the strategy if not given.
    periods : float
        Sessions of a year.
    made : CaseResults, optional
        What became of `list_cell_cases`, where they were simulated together with others.

    .. warning:: A cell that is chosen since it did best here is a trial: its Sharpe ratio is the greatest of many.
       `returns` has the series that counts.

    Raises
    ------
    ConfigError
        For a grid of a kind that the strategy has no numbers for.
    """
    grid = SensitivityGrid.around(inputs.strategy) if grid is None else grid
    cells = _list_cells(inputs, grid)
    if made is None:
        made = inputs.compare([_make_case(inputs.case, cell) for cell in cells])
    counts = "int64" if grid.topk else "float64"
    table = pd.DataFrame(cells, columns=list(_COORDINATES)).astype(
        {"topk": counts, "n_drop": counts, "cost_scale": "float64", "delay": "int64"}
    )
    base = _find_base(inputs.strategy)
    table = table.join(describe_cases(made, inputs.bench, periods=periods))
    table["is_base"] = [cell == base for cell in cells]
    table.index.name = "cell"
    returns = pd.DataFrame(made.net_return, index=inputs.sessions, columns=table.index)
    return SensitivitySurface(table=table, returns=returns)


def _can_scale(terms: DatedTerms, scale: float) -> bool:
    """Tell whether costs can be scaled: a trade that costs all of its value is none."""
    return all(getattr(one, name) * scale < 1 for one in terms.kinds for name in _RATES)


def _find_base(strategy: object) -> dict[str, Any]:
    topk, n_drop = (strategy.topk, strategy.n_drop) if isinstance(strategy, TopkDropoutStrategy) else (None, None)
    return {"topk": topk, "n_drop": n_drop, "cost_scale": 1.0, "delay": 0}


def _make_case(base: Case, cell: dict[str, Any]) -> Case:
    strategy = base.strategy
    if cell["topk"] is not None:
        if not isinstance(strategy, TopkDropoutStrategy):
            raise ConfigError(
                f"a {type(strategy).__name__} has no topk and n_drop to change", hint="leave them out of the grid"
            )
        strategy = replace(strategy, topk=cell["topk"], n_drop=cell["n_drop"])
    terms = DatedTerms.of(base.costs)
    costs = terms if cell["cost_scale"] == 1 else scale_costs(terms, cell["cost_scale"])
    return replace(base, strategy=strategy, costs=costs, delay=cell["delay"])


def scale_costs(terms: DatedTerms, scale: float) -> DatedTerms:
    """Return terms whose costs are multiples of the given ones, duties and the least cost of a trade included.

    Raises
    ------
    ConfigError
        Where a trade would cost its whole value.
    """
    kinds = [
        replace(one, **{name: getattr(one, name) * scale for name in (*_RATES, "min_cost")}) for one in terms.kinds
    ]
    return replace(terms, kinds=tuple(kinds))


def describe_cases(made: CaseResults, bench: Floats, *, periods: float) -> pd.DataFrame:
    """Return the figures of each case, one row each, as `backtest_metrics` finds them in its report.

    Parameters
    ----------
    made : CaseResults
    bench : ndarray of float64 [sessions]
    periods : float
        Sessions of a year.

    Returns
    -------
    DataFrame
        The columns are those of `AccountFigures`.
    """
    net, turnover = np.ascontiguousarray(made.net_return.T), np.ascontiguousarray((made.turnover / made.before).T)
    rows = [
        measure_account(returns, bench, traded, periods=periods) for returns, traded in zip(net, turnover, strict=True)
    ]
    return pd.DataFrame(rows, columns=list(AccountFigures._fields))
