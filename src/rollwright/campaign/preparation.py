"""What training needs, made ready: the features once for all workers, and beside them the workers themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rollwright.campaign.checks.location import located
from rollwright.campaign.plan import CampaignPlan, Window
from rollwright.campaign.run import warm_features
from rollwright.campaign.yaml.document import YamlDocument
from rollwright.config.context import Context
from rollwright.core.timing import TimeInspector
from rollwright.pool.worker.supervisor import WarmSlots
from rollwright.training.pooled import warm_workers

__all__ = ["Preparation"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Preparation:
    """Makes ready what the windows of a campaign are trained with.

    Attributes
    ----------
    context : Context
        What they are trained in. A market given as an object stays in this process, and there are no workers.
    document : YamlDocument
        The campaign's file, for errors.
    slots : WarmSlots
        Holds the workers.
    fork : int
        How many workers may be forked from this process; see `WarmSlots.start`.
    """

    context: Context
    document: YamlDocument
    slots: WarmSlots
    fork: int = 0

    def prepare(self, plan: CampaignPlan, windows: Sequence[Window], *, is_first: bool) -> None:
        """Build the features; beside that, what the workers of `windows` need is imported.

        Parameters
        ----------
        plan : CampaignPlan
        windows : sequence of Window
        is_first : bool
            Whether nothing has been opened or written yet, so that workers may be forked.
        """
        if self.context.market is None:
            fork = min(self.fork, len(windows)) if is_first else 0
            warm_workers(self.slots, self.context.settings, [window.spec.definition for window in windows], fork=fork)
        with TimeInspector.logt("features"), located(self.document):
            warm_features(plan)
