"""What is said of a plan before it is walked, a line each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollwright.core.text import count_noun

if TYPE_CHECKING:
    from rollwright.campaign.plan import CampaignPlan

__all__ = ["describe_plan"]


def describe_plan(plan: CampaignPlan) -> tuple[str, ...]:
    """Return how many windows there are and what they test, what was cut, what leaks as declared, and notes."""
    first, last = plan.test_range
    days = plan.trunc_days
    gap = f"train ends {count_noun(days, 'session')} before test" if days else "no gap before test"
    windows = count_noun(len(plan.windows), "window")
    return (
        f"{plan.name}: {windows}, test {first:%Y-%m-%d} to {last:%Y-%m-%d}, {gap}",
        *(f"note: {cut.text}; so in every window" for cut in plan.cuts),
        *(f"warning: {leak.text}" for leak in plan.leaks),
        *(f"note: {note}" for note in plan.notes),
    )
