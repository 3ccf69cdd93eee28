"""Audit a campaign: its file, or one that was started here by its name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rollwright.app.open_campaign import OpenCampaign, open_campaign, reopen_campaign
from rollwright.campaign.audit.audit import DATES, NAMES, audit
from rollwright.campaign.audit.findings import AuditReport
from rollwright.campaign.checks.location import located
from rollwright.campaign.plan import make_plan, plan_once
from rollwright.config.context import using
from rollwright.market.current import current_market

__all__ = ["audit_campaign", "find_audited"]


def find_audited(
    what: str | None, *, overrides: Sequence[str] = (), provider_uri: str | None = None, project: Path | None = None
) -> OpenCampaign:
    """Return the campaign that a file describes, or that was started here under that name; the last one for None.

    Raises
    ------
    ConfigError
        When there is neither, or the file of one that was started here has changed since.
    """
    if what is not None and (Path(what).is_file() or Path(what).suffix in (".yaml", ".yml") or overrides):
        return open_campaign(Path(what), overrides=overrides, provider_uri=provider_uri, project=project)
    return reopen_campaign(what, project=project)


def audit_campaign(campaign: OpenCampaign, *, dates: int = DATES, names: int = NAMES) -> AuditReport:
    """Return what leaks in a campaign, with proofs, and what would have been seen; see `rollwright.campaign.audit`.

    Nothing is trained, and nothing of the project is written.

    Parameters
    ----------
    campaign : OpenCampaign
    dates : int
        Probe dates.
    names : int
        Instruments that are looked at around each.
    """
    with using(campaign.context), located(campaign.document):
        source, config = current_market(), campaign.config
        locate = campaign.document.locate
        plan = (
            plan_once(config, calendar=source.calendar(), locate=locate, keep_leaks=True)
            if config.rolling is None
            else make_plan(config, name=campaign.name, calendar=source.calendar(), locate=locate, keep_leaks=True)
        )
        return audit(plan, source, name=campaign.name, allowed=config.declared_leaks(), dates=dates, names=names)
