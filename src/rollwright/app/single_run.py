"""A file's task trained once, without rolling; what Qlib's ``qrun`` does."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rollwright.analysis.health import HealthFinding, sort_findings
from rollwright.analysis.health_text import finding_to_json
from rollwright.app.campaign import FAILURES_FILE
from rollwright.app.demo_finding import examine_demo
from rollwright.app.open_campaign import OpenCampaign, open_campaign
from rollwright.app.trials import judge_run
from rollwright.campaign.checks.classes import check_classes
from rollwright.campaign.checks.location import located
from rollwright.campaign.plan import plan_once
from rollwright.campaign.single_health import examine_once
from rollwright.config.context import using
from rollwright.config.placeholders import fill_paths
from rollwright.core.atomic import write_text
from rollwright.core.masking import mask_secrets, mask_value
from rollwright.core.text import escape_text
from rollwright.dataset.dataset import build_dataset
from rollwright.errors import ConfigError, RollwrightError, TaskFailedError
from rollwright.market.current import current_market
from rollwright.pool.document import last_line
from rollwright.tracking.r import R
from rollwright.tracking.recorder import Recorder
from rollwright.training.execute import execute, log_task

__all__ = ["CONFIG_ARTIFACT", "QRUN_NAME", "SingleRun", "open_workflow", "train_once"]

_logger: Final = logging.getLogger("rollwright.app")

QRUN_NAME: Final = "workflow"
"""What Qlib's ``qrun`` calls an experiment that nobody named."""
CONFIG_ARTIFACT: Final = "config"


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


def open_workflow(
    path: Path, *, experiment_name: str | None = None, uri_folder: str | None = None, provider_uri: str | None = None
) -> OpenCampaign:
    """Read a workflow's file as Qlib's ``qrun`` does.

    Parameters
    ----------
    path : Path
    experiment_name : str, optional
        Where the file gives itself no name, which wins; ``workflow`` if not given.
    uri_folder : str, optional
        Folder that runs are recorded in, from the working directory: ``mlflow.db`` and ``artifacts`` in it. A tracking
        store that the file's ``qlib_init`` names wins. Those of the project if not given.
    provider_uri : str, optional
        As `open_campaign` takes it.

    Raises
    ------
    ConfigError
        As of `open_campaign`, and for a `uri_folder` that is no folder's name.
    """
    folder = None if uri_folder is None else _find_folder(uri_folder)
    campaign = open_campaign(path, provider_uri=provider_uri, default_name=experiment_name or QRUN_NAME)
    if experiment_name is not None and campaign.name != experiment_name:
        _logger.warning("workflow.overruled what=experiment_name given=%s file=%s", experiment_name, campaign.name)
    if folder is None:
        return campaign
    init = campaign.document.data.get("qlib_init")
    if isinstance(init, Mapping) and init.get("exp_manager") is not None:
        _logger.warning("workflow.overruled what=uri_folder given=%s file=exp_manager", escape_text(folder.name))
        return campaign
    return campaign.with_settings(
        {"tracking.uri": f"sqlite:///{folder / 'mlflow.db'}", "tracking.artifacts": str(folder / "artifacts")}
    )


def _find_folder(uri_folder: str) -> Path:
    if not uri_folder.strip() or "://" in uri_folder or uri_folder.startswith("file:") or not uri_folder.isprintable():
        raise ConfigError(
            f"`uri_folder` is `{escape_text(mask_secrets(uri_folder))}`, which is no folder",
            hint="name a folder, such as mlruns; a tracking server is named in the file: "
            "qlib_init: {exp_manager: {kwargs: {uri: …}}}",
        )
    return Path(uri_folder).expanduser().absolute()


def train_once(campaign: OpenCampaign) -> SingleRun:
    """Train the file's task once, without rolling; what Qlib's ``qrun`` does.

    The configuration is saved in the recorder as ``config``, with its secrets hidden, before anything is learnt.
    """
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
        with R.start(experiment_name=campaign.name):
            recorder = R.get_recorder()
            log_task(task, recorder)
            recorder.save_objects(**{CONFIG_ARTIFACT: _hide_secrets(campaign.document.data)})
            execute(task, recorder)
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


def _hide_secrets(value: Any, name: str = "") -> Any:
    """Return a configuration with what is secret in it hidden: it is sent to a tracking server."""
    if isinstance(value, Mapping):
        return {key: _hide_secrets(item, str(key)) for key, item in value.items()}
    if isinstance(value, list):
        return [_hide_secrets(item, name) for item in value]
    return mask_value(name, value) if isinstance(value, str) else value
