"""A file's task trained once, without rolling; what Qlib's ``qrun`` does."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from rollwright.analysis.health import HealthFinding, sort_findings
from rollwright.analysis.health_text import finding_to_json
from rollwright.app.campaign import FAILURES_FILE, OpenCampaign
from rollwright.app.demo_finding import examine_demo
from rollwright.app.trials import judge_run
from rollwright.campaign.checks.classes import check_classes
from rollwright.campaign.checks.location import located
from rollwright.campaign.plan import plan_once
from rollwright.campaign.single_health import examine_once
from rollwright.config.context import using
from rollwright.config.placeholders import fill_paths
from rollwright.core.atomic import write_text
from rollwright.core.masking import mask_secrets
from rollwright.dataset.dataset import build_dataset
from rollwright.errors import RollwrightError, TaskFailedError
from rollwright.market.current import current_market
from rollwright.pool.document import last_line
from rollwright.tracking.recorder import Recorder
from rollwright.training.execute import task_train

__all__ = ["SingleRun", "train_once"]

_logger: Final = logging.getLogger("rollwright.app")


@dataclass(frozen=True, slots=True, kw_only=True)
class SingleRun:
    """A task that was trained once.

    Attributes
    ----------
    recorder : Recorder
    health : tuple of HealthFinding
        What has to be known before its numbers are believed, the most serious first.
    """

    recorder: Recorder
    health: tuple[HealthFinding, ...]

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "recorder": self.recorder.id,
            "health": [finding_to_json(finding) for finding in self.health],
            "metrics": self.recorder.list_metrics(),
        }


def train_once(campaign: OpenCampaign) -> SingleRun:
    """Train the file's task once, without rolling; what Qlib's ``qrun`` does."""
    with using(campaign.context):
        with located(campaign.document):
            plan = plan_once(campaign.config, calendar=current_market().calendar(), locate=campaign.document.locate)
            check_classes(plan.task, locate=campaign.document.locate)
            build_dataset(fill_paths(plan.task)["dataset"]).warm()
        for cut in plan.cuts:
            _logger.warning("segment.purged note=%s", cut.text)
        for leak in plan.leaks:
            _logger.warning("leak.declared note=%s", leak.text)
        recorder = _train_here(campaign, plan.task)
        if plan.leaks:
            recorder.set_tags(**{f"leak.{leak.kind}": leak.text for leak in plan.leaks})
        found = examine_once(plan, recorder, current_market(), name=campaign.name)
        found += judge_run(recorder, campaign.context, current_market(), name=campaign.name)
        return SingleRun(recorder=recorder, health=sort_findings([*found, *examine_demo(campaign.context)]))


def _train_here(campaign: OpenCampaign, task: Mapping[str, Any]) -> Recorder:
    """Train a task in this process; what a user's own code raises is told with its place, as of a window."""
    file = campaign.results / FAILURES_FILE
    try:
        recorder = task_train(task, experiment_name=campaign.name)
    except (RollwrightError, OSError):  # told by whoever raised them, with what to do
        raise
    except Exception as error:
        text = mask_secrets("".join(traceback.format_exception(error)))
        write_text(file, text)
        raise TaskFailedError(
            [(campaign.name, last_line(text))], hint=f"mend the cause; the traceback is in {file}"
        ) from error
    file.unlink(missing_ok=True)
    return recorder
