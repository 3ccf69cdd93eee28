"""What of a configuration does not do what it seems to say, told before anything is trained."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from rollwright.calendar.trading import TradingCalendar
from rollwright.campaign.config import CampaignConfig
from rollwright.campaign.leaks import LeakKind
from rollwright.campaign.plan import CampaignPlan, make_plan
from rollwright.campaign.rule_checks import list_tested
from rollwright.market.source import DataSource

__all__ = ["find_notes"]

_SEEN_IN_A_PLAN: Final[tuple[LeakKind, ...]] = ("overlap", "order", "processors")
"""Leaks that a plan shows whether they are declared or not; the audit finds the others in data."""


def find_notes(plan: CampaignPlan, config: CampaignConfig, source: DataSource) -> tuple[str, ...]:
    """Return a line for each leak that is declared and not there, and for a back-test that would hold everything."""
    return (*_find_unneeded(plan, config, source.calendar()), *_find_large_top(plan, config, source))


def _find_unneeded(plan: CampaignPlan, config: CampaignConfig, calendar: TradingCalendar) -> Iterator[str]:
    """Yield the leaks that the file declares, and need not."""
    there = {leak.kind for leak in plan.leaks}
    for kind in _SEEN_IN_A_PLAN:
        if kind in config.allow_leak and kind not in there:
            yield f"`allow_leak` declares `{kind}`, and nothing leaks in that way: take it out"
    if "label" not in config.allow_leak:
        return
    # It also switches the cutting off, so what would leak without it has to be asked of another plan.
    others: Mapping[LeakKind, str] = {kind: why for kind, why in config.allow_leak.items() if kind != "label"}
    clean = make_plan(
        config.model_copy(update={"allow_leak": others}), name=plan.name, calendar=calendar, keep_leaks=True
    )
    if all(leak.kind != "label" for leak in clean.leaks):
        what = "no segment is cut and labels leak" if "label" in there else "nothing leaks in that way either"
        yield (
            "`allow_leak` declares `label`, and need not: without it every segment ends as early as the label asks "
            f"for, and no label leaks; with it {what}"
        )


def _find_large_top(plan: CampaignPlan, config: CampaignConfig, source: DataSource) -> Iterator[str]:
    """Yield the universes of which the back-test would hold everything there is."""
    if config.backtest is None:
        return
    for universe in dict.fromkeys(member.universe for member in plan.members):
        count = 0 if universe is None else len(list_tested(universe, plan, source))
        if 0 < count <= config.backtest.topk:
            yield (
                f"the back-test holds the best {config.backtest.topk}, and `{universe}` has {count} instruments while "
                "it is tested: it would hold all of them, whatever their scores"
            )
