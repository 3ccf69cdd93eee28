"""What holds in every market when terms differ by session and instrument, and cash or shares wait."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtest_worlds import worlds
from rollwright.backtest.simulate import simulate
from rollwright.backtest.terms import DatedTerms


@st.composite
def dated_worlds(draw):
    """A world of the helper with two kinds of terms, closed limits, duties, smallest orders and a delisting."""
    strategy, scores, prices, costs, account = draw(worlds())
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    base = replace(
        costs, limit_threshold=None, cash_next_day=draw(st.booleans()), delisting=draw(st.sampled_from([1.0, 0.3]))
    )
    dear = replace(base, open_duty=0.01, close_duty=0.02, trade_unit=1, min_unit=draw(st.sampled_from([2, 200])))
    return (
        strategy,
        scores,
        prices,
        account,
        DatedTerms(
            kinds=(base, dear),
            kind=rng.integers(0, 2, scores.shape),
            upper=rng.random(scores.shape) < 0.1,
            lower=rng.random(scores.shape) < 0.1,
        ),
    )


@settings(max_examples=120, deadline=None)
@given(dated_worlds())
def test_law_the_terms_of_the_day_hold_for_every_trade(world):
    strategy, scores, prices, account, terms = world
    made = simulate(strategy, scores, prices, costs=terms, account=account)
    assert (made.cash >= 0).all()
    cash = account
    for day in range(len(scores)):
        begun = cash
        spent = 0.0
        for trade in (trade for trade in made.trades if trade.session == day):
            kind = terms.find(day, trade.instrument)
            factor = 1.0 if prices.factor is None else float(prices.factor[day, trade.instrument])
            if trade.side == "buy":
                assert trade.cost == kind.charge_purchase(trade.value)
                assert not terms.upper[day, trade.instrument]
                if prices.factor is not None and kind.min_unit is not None:
                    assert trade.amount * factor >= kind.min_unit - 0.1 - 1e-6
                spent += trade.value + trade.cost
                cash -= trade.value + trade.cost
                continue
            assert trade.cost == kind.charge_sale(trade.value)
            if trade.side == "sell":
                assert not terms.lower[day, trade.instrument]
            else:
                last = float(np.nan_to_num(prices.close[:day, trade.instrument])[::-1].max(initial=0.0))
                assert trade.price <= terms.kinds[0].delisting * last + 1e-9
            cash += trade.value - trade.cost
        assert cash == pytest.approx(made.cash[day], rel=1e-9, abs=1e-6)
        if terms.kinds[0].cash_next_day:
            assert spent <= begun + 1e-6  # nothing that came in on the day was spent on it
