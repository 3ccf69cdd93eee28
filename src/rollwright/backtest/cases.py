"""One signal under many rules and terms: the accounts of a hundred back-tests, from prices that are read once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from rollwright.backtest.case import Case, CaseResults
from rollwright.backtest.costs import Mode
from rollwright.backtest.lockstep import is_plain, simulate_plain
from rollwright.backtest.simulate import MarketPrices, simulate
from rollwright.backtest.terms import DatedTerms
from rollwright.errors import ConfigError

__all__ = ["delay_scores", "simulate_cases"]

Floats: TypeAlias = NDArray[np.float64]


def simulate_cases(
    cases: Sequence[Case],
    scores: Floats,
    market: MarketPrices,
    *,
    mode: Mode = "strict",
) -> CaseResults:
    """Return the accounts of all cases; each is, to the last bit, what `simulate` finds for it.

    Top-k dropout rules without random draws on fixed terms are simulated together, a session of all of them at a time;
    whatever else is simulated on its own.

    Parameters
    ----------
    cases : sequence of Case
    scores, market, mode
        As for `simulate`, the same for all cases. Of a case with a delay the scores are moved by it: those of session
        `t` are traded on session ``t + 1 + delay``.

    Raises
    ------
    ConfigError
        As `simulate`; and without cases.
    """
    if not cases:
        raise ConfigError("there are no cases to simulate")
    if scores.shape != market.close.shape or not len(scores):
        raise ConfigError(f"scores have the shape {scores.shape}, close {market.close.shape}")
    together = [place for place, case in enumerate(cases) if mode == "strict" and is_plain(case)]
    alone = sorted(set(range(len(cases))) - set(together))
    parts: list[tuple[list[int], CaseResults]] = []
    if together:
        found = simulate_plain([cases[place] for place in together], scores, market)
        parts.append((together, found))
    parts += [([place], _simulate_alone(cases[place], scores, market, mode)) for place in alone]
    order = np.argsort([place for places, _ in parts for place in places])
    columns = {
        name: np.concatenate([getattr(part, name) for _, part in parts], axis=-1)[..., order]
        for name in CaseResults.__dataclass_fields__
    }
    return CaseResults(**columns)


def _simulate_alone(case: Case, scores: Floats, market: MarketPrices, mode: Mode) -> CaseResults:
    made = simulate(
        case.strategy, delay_scores(scores, case.delay), market, costs=case.costs, account=case.account, mode=mode
    )
    terms = DatedTerms.of(case.costs)
    beyond = 0.0
    for trade in made.trades:
        costs = terms.find(trade.session, trade.instrument)
        rate = costs.open_cost + costs.open_duty if trade.side == "buy" else costs.close_cost + costs.close_duty
        beyond += trade.cost - trade.value * rate
    unknown = np.full(1, np.nan)
    return CaseResults(
        start=np.array([made.account]),
        cash=made.cash[:, None],
        value=made.value[:, None],
        cost=made.cost[:, None],
        turnover=made.turnover[:, None],
        held=np.bincount(made.sessions, minlength=len(scores)).astype(np.float64)[:, None],
        least_cost=np.array([beyond]),
        settled=np.array([float(sum(trade.side == "settle" for trade in made.trades))]),
        meant=unknown,
        lot_loss=unknown,
    )


def delay_scores(scores: Floats, delay: int) -> Floats:
    """Return the scores as if each row had been known `delay` sessions later."""
    if not delay:
        return scores
    moved = np.full(scores.shape, np.nan)
    moved[delay:] = scores[: max(len(scores) - delay, 0)]
    return moved
