"""What the stage `backtest` is asked, and what its makers are given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import pandas as pd

from rollwright.analysis.panel import Frame
from rollwright.backtest.costs import Costs, Mode
from rollwright.backtest.daily import BacktestResult, run_inputs
from rollwright.backtest.inputs import BacktestInputs, load_inputs
from rollwright.backtest.rules.rule_table import Market
from rollwright.backtest.topk_dropout import TopkDropoutStrategy
from rollwright.market.source import DataSource

__all__ = ["TradeInputs", "TradeTerms"]

_RULES_OF_STRATEGY: Final = ("hold_thresh", "risk_degree", "only_tradable", "forbid_all_trade_at_limit")


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeTerms:
    """What a top-k back-test is asked; a variation of it is `dataclasses.replace` of one.

    Attributes
    ----------
    topk, n_drop : int
        Names held, and how many of them are replaced a day at most.
    costs : Costs
    account : float
        Cash to begin with.
    benchmark : str
        ``mean`` of the scored instruments, or a code.
    mode : {"strict", "qlib"}
    deal_price : str or (str, str)
        Field that is traded at, or one for purchases and one for sales.
    risk_free : float
        The rate of a year that is earned without risk, as a fraction: Sharpe ratios are taken over it.
    rules : {"cn", "us", "none"} or None
        The dated rules of a market, under which `costs` are commissions; None trades under `costs` alone.
    hold_thresh, risk_degree, only_tradable, forbid_all_trade_at_limit
        As of `TopkDropoutStrategy`.
    """

    topk: int = 50
    n_drop: int = 5
    costs: Costs = field(default_factory=Costs)
    account: float = 1e8
    benchmark: str = "mean"
    mode: Mode = "strict"
    deal_price: str | tuple[str, str] = "close"
    risk_free: float = 0.0
    rules: Market | None = None
    hold_thresh: int = 1
    risk_degree: float = 0.95
    only_tradable: bool = False
    forbid_all_trade_at_limit: bool = True

    @property
    def strategy(self) -> TopkDropoutStrategy:
        """The strategy that these terms ask for, without a signal."""
        return TopkDropoutStrategy(
            topk=self.topk, n_drop=self.n_drop, **{name: getattr(self, name) for name in _RULES_OF_STRATEGY}
        )

    def run(self, pred: Frame, source: DataSource) -> BacktestResult:
        """Trade `pred` on `source` under these terms; the errors are those of `backtest`."""
        return run_inputs(self.load(pred, source))

    def load(self, pred: Frame, source: DataSource) -> BacktestInputs:
        """Read what that needs."""
        return load_inputs(
            self.strategy,
            pred,
            source,
            costs=self.costs,
            account=self.account,
            benchmark=self.benchmark,
            mode=self.mode,
            deal_price=self.deal_price,
            rules=self.rules,
        )

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON; a rule of the strategy that is the usual one is left out, as before there was a choice."""
        deal_price = self.deal_price if isinstance(self.deal_price, str) else list(self.deal_price)
        usual = TradeTerms()
        told = {
            name: value
            for name, value in asdict(self).items()
            if name not in _RULES_OF_STRATEGY or value != getattr(usual, name)
        }
        return {**told, "deal_price": deal_price}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TradeInputs:
    """What the makers of the stage are given; None is what nobody gave.

    Attributes
    ----------
    pred : Series
        Scores by (datetime, instrument).
    source : DataSource
    terms : TradeTerms
    inputs : BacktestInputs
        What the back-test of `pred` under `terms` simulates, and others beside it.
    made : BacktestResult
        That back-test.
    periods : float
        Sessions of a year.
    label : Series or None
        Raw labels of the same rows.
    members : mapping of str to Series, or None
        The scores of the members that the signal is made of.
    label_span : int or None
        Sessions of future that the label reads; None when that is not known.
    is_member : bool
        Whether it is a member of a signal that is judged beside it; what is about choosing the rule is then told of
        that signal alone.
    """

    pred: pd.Series
    source: DataSource
    terms: TradeTerms
    inputs: BacktestInputs
    made: BacktestResult
    periods: float
    label: pd.Series | None = None
    members: Mapping[str, pd.Series] | None = None
    label_span: int | None = None
    is_member: bool = False
