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
    windows += f" in {count_noun(plan.shards, 'shard')}" if plan.shards else ""
    return (
        f"{plan.name}: {windows}, test {first:%Y-%m-%d} to {last:%Y-%m-%d}, {gap}",
        *_describe_needs(plan),
        *(f"note: {cut.text}; so in every window" for cut in plan.cuts),
        *(f"warning: {leak.text}" for leak in plan.leaks),
        *(f"note: {note}" for note in plan.notes),
    )


def _describe_needs(plan: CampaignPlan) -> tuple[str, ...]:
    """Return a line for each different need, with the members that have it where not all do."""
    lines = []
    for needs in dict.fromkeys(member.needs for member in plan.members if member.needs):
        members = [member for member in plan.members if member.needs == needs]
        whose = "" if len(members) == len(plan.members) else f" of {', '.join(member.name for member in members)}"
        windows = count_noun(sum(len(member.windows) for member in members), "window")
        lines.append(f"needs: {needs.text} for {windows}{whose}")
    return tuple(lines)
