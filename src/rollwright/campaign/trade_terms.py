"""The terms of a campaign's back-test: what its file says of them, checked before anything is trained."""

from __future__ import annotations

from dataclasses import replace

from rollwright.analysis.stages.trade_inputs import TradeTerms
from rollwright.backtest.costs import Costs
from rollwright.backtest.rules.exchange_rules import ExchangeRules
from rollwright.campaign.config import BacktestConfig, CampaignConfig
from rollwright.errors import UnknownInstrumentError, nearest
from rollwright.market.source import DataSource

__all__ = ["check_results", "make_trade_terms"]


def check_results(config: CampaignConfig, source: DataSource) -> None:
    """Check before training what would make `make_results` fail after it.

    Raises
    ------
    ConfigError
        When `topk` and `n_drop`, or costs and rules, do not go together.
    UnknownInstrumentError
        When the market data have no such benchmark.
    """
    if config.backtest is None:
        return
    _ = make_trade_terms(config.backtest, "us").strategy  # which refuses what does not go together
    benchmark = config.backtest.benchmark
    known = source.instruments()
    if benchmark != "mean" and benchmark not in known:
        near = nearest(benchmark, known)
        raise UnknownInstrumentError(
            f"there is no instrument `{benchmark}` to be the back-test's benchmark",
            hint=f"did you mean `{near}`?" if near else "take `mean`, or a code of `rollwright data info`",
        )


def make_trade_terms(config: BacktestConfig, region: str) -> TradeTerms:
    """Return the terms of a campaign's back-test: what its file says, and the costs of its region beside it.

    Raises
    ------
    ConfigError
        For a cost that the rules say by themselves.
    """
    usual = Costs.for_region(region)
    if config.rules is not None:
        rules = ExchangeRules.from_config(config.rules)
        rules.check_terms({} if config.close_cost is None else {"close_cost": config.close_cost})
        if rules.has_duties:  # a commission is alike on both sides
            usual = replace(usual, close_cost=usual.open_cost if config.open_cost is None else config.open_cost)
    price = config.deal_price
    return TradeTerms(
        topk=config.topk,
        n_drop=config.n_drop,
        costs=replace(
            usual,
            open_cost=usual.open_cost if config.open_cost is None else config.open_cost,
            close_cost=usual.close_cost if config.close_cost is None else config.close_cost,
            min_cost=usual.min_cost if config.min_cost is None else config.min_cost,
        ),
        account=config.account,
        benchmark=config.benchmark,
        mode=config.mode,
        deal_price=price if isinstance(price, str) else (price[0], price[1]),
        risk_free=config.risk_free,
        rules=config.rules,
        hold_thresh=config.hold_thresh,
        risk_degree=config.risk_degree,
        only_tradable=config.only_tradable,
        forbid_all_trade_at_limit=config.forbid_all_trade_at_limit,
    )
