"""Plans of campaigns made by hand, for tests of what comes after planning."""

from __future__ import annotations

from collections.abc import Sequence

from rollwright.campaign.leaks import Leak
from rollwright.campaign.plan import ONLY_VARIANT, CampaignPlan, MemberPlan, Window
from rollwright.expression.label_reach import LabelReach

LABEL = LabelReach.declared(2)


def hand_made_plan(
    windows: Sequence[Window] = (),
    *,
    trunc_days: int = 3,
    label: LabelReach | None = LABEL,
    universe: str | None = None,
    leaks: tuple[Leak, ...] = (),
) -> CampaignPlan:
    """Return the plan of these windows, with a member for each variant among them."""
    variants: dict[str, list[Window]] = {} if windows else {ONLY_VARIANT: []}
    for window in windows:
        variants.setdefault(window.key.variant, []).append(window)
    members = [
        MemberPlan(name=name, windows=tuple(own), trunc_days=trunc_days, label=label, universe=universe, leaks=leaks)
        for name, own in variants.items()
    ]
    return CampaignPlan(name="p", members=tuple(members))
