"""What remains of a result with less money, or with more: where lots and least costs take it."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
import pandas as pd

from rollwright.analysis.portfolio_tables.sensitivity import describe_cases
from rollwright.backtest.case import Case, CaseResults
from rollwright.backtest.inputs import BacktestInputs
from rollwright.errors import ConfigError

__all__ = ["ACCOUNTS", "capacity_curve", "list_capacity_cases"]

ACCOUNTS: Final = tuple(float(f"{amount:.3g}") for amount in np.logspace(5, 9, 9))
"""From 1e5 to 1e9, two to each power of ten."""
_NEAR: Final = 0.01
"""A return within so much of the best of the curve, a year, is as good."""


def list_capacity_cases(inputs: BacktestInputs, accounts: tuple[float, ...] = ACCOUNTS) -> list[Case]:
    """Return the cases that `capacity_curve` compares, from the smallest account; the errors are the same."""
    if not accounts or not all(0 < one < np.inf for one in accounts):
        raise ConfigError(f"accounts {accounts}: each is a sum of money")
    return [replace(inputs.case, account=one) for one in sorted({*accounts, inputs.account})]


def capacity_curve(
    inputs: BacktestInputs,
    accounts: tuple[float, ...] = ACCOUNTS,
    *,
    periods: float,
    made: CaseResults | None = None,
) -> pd.DataFrame:
    """Back-test a signal with different sums of money.

    Small accounts lose to the least cost of a trade, and to whole lots, which leave cash unspent and whole orders
    unmade. The account of the back-test itself is always among them.

    Parameters
    ----------
    inputs : BacktestInputs
    accounts : tuple of float
    periods : float
        Sessions of a year.
    made : CaseResults, optional
        What became of `list_capacity_cases`, where they were simulated together with others.

    Returns
    -------
    DataFrame
        A row for each account, from the smallest: ``account``; ``annualized_return``, ``excess_return`` after costs;
        ``cost`` (of a year, as a fraction of the account); ``least_cost_share`` (of all costs, what the least cost of a
        trade took beyond the rates); ``unmade_share`` (of the value meant for purchases, what whole lots left unspent;
        NaN where the simulation does not tell); ``held`` (holdings, the mean of the sessions); ``is_enough``, whether
        the return of a year is within 0.01 of the highest of the curve; ``is_base``.

    .. warning:: Orders are filled at one price whatever their size. What they would move the price is not here: a large
       account looks as good as it does since nobody sees it coming.

    Raises
    ------
    ConfigError
        For an account of nothing.
    """
    cases = list_capacity_cases(inputs, accounts)
    sums = [case.account for case in cases]
    if made is None:
        made = inputs.compare(cases)
    figures = describe_cases(made, inputs.bench, periods=periods)
    paid = made.cost.sum(axis=0)
    nothing = np.full(len(sums), np.nan)
    table = pd.DataFrame(
        {
            "account": sums,
            "annualized_return": figures["annualized_return"],
            "excess_return": figures["excess_return"],
            "cost": (made.cost / made.before).mean(axis=0) * periods,
            "least_cost_share": np.divide(made.least_cost, paid, out=np.zeros(len(sums)), where=paid > 0),
            "unmade_share": np.divide(made.lot_loss, made.meant, out=nothing, where=made.meant > 0),
            "held": made.held.mean(axis=0),
        }
    )
    best = table["annualized_return"].max()
    table["is_enough"] = table["annualized_return"] >= best - _NEAR
    table["is_base"] = table["account"] == inputs.account
    return table
