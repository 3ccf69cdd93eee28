"""What exchange rules ask of a campaign's universe, asked before anything is trained."""

from __future__ import annotations

import numpy as np
import pandas as pd

from rollwright.backtest.rules.exchange_rules import ExchangeRules
from rollwright.campaign.config import CampaignConfig
from rollwright.campaign.plan import CampaignPlan
from rollwright.errors import UnknownInstrumentError
from rollwright.market.source import DataSource

__all__ = ["check_rules", "list_tested"]


def check_rules(plan: CampaignPlan, config: CampaignConfig, source: DataSource) -> None:
    """Refuse exchange rules under which what the campaign predicts cannot be traded.

    A universe that is no name (a list in the handler, a user's own loader) is judged when the back-test runs.

    Raises
    ------
    ConfigError
        When an instrument of the universe has no board, or the test begins before the rules do.
    """
    if config.backtest is None or config.backtest.rules is None:
        return
    rules = ExchangeRules.from_config(config.backtest.rules)
    universes = {member.universe for member in plan.members} - {None}
    names = sorted({code for name in universes if name is not None for code in list_tested(name, plan, source)})
    first = pd.Timestamp(plan.test_range[0])
    rules.check_names(names, np.array([first.to_datetime64()]))


def list_tested(universe: str, plan: CampaignPlan, source: DataSource) -> tuple[str, ...]:
    """Return the instruments that belong to `universe` while the campaign tests it; none where it is unknown.

    Whoever reads its rows tells that it is.
    """
    try:
        members = source.members(universe)
    except UnknownInstrumentError:
        return ()
    first, last = (pd.Timestamp(session) for session in plan.test_range)
    return tuple(
        code
        for code, spans in members.items()
        if any(pd.Timestamp(start) <= last and pd.Timestamp(end) >= first for start, end in spans)
    )
