"""A finished campaign given again: its results as they are, when everything they were made from still is as it was.

What is imported here is what that takes: no market, no model, no analysis, and no MLflow.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rollwright.app.campaign_record import (
    CampaignRecord,
    find_record,
    list_records,
    read_record,
    record_path,
    relative_file,
    results_folder,
)
from rollwright.app.campaign_settings import settings_of_file
from rollwright.campaign.standing import Premises, Standing, read_standing, standing_path
from rollwright.campaign.summary import SUMMARY_FILE, CampaignResult, TrainingCounts, read_summary
from rollwright.campaign.yaml.document import YamlDocument, read_document
from rollwright.config.settings import Settings, load_settings
from rollwright.core.canonical import sha256_hex
from rollwright.core.log_relay import relay_warning
from rollwright.errors import CorruptFileError, RollwrightError
from rollwright.pool.urls import store_from_url
from rollwright.tracking.liveness import find_abandoned_runs

__all__ = [
    "FinishedCampaign",
    "check_finished",
    "find_finished",
    "find_finished_named",
]

_logger: Final = logging.getLogger("rollwright.app")


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedCampaign:
    """A campaign whose results stand.

    Attributes
    ----------
    name : str
    settings : Settings
        Those it ran under.
    told : tuple of str
        What was said of its plan.
    result : CampaignResult
    counts : TrainingCounts
    """

    name: str
    settings: Settings
    told: tuple[str, ...]
    result: CampaignResult
    counts: TrainingCounts


def find_finished(
    path: Path,
    *,
    overrides: Sequence[str] = (),
    provider_uri: str | None = None,
    project: Path | None = None,
) -> FinishedCampaign | None:
    """Return the campaign of a file when it is finished and its results stand; None when anything is left to do.

    Parameters
    ----------
    path, overrides, provider_uri, project
        As `rollwright.app.open_campaign.open_campaign` takes them.
    """
    try:
        settings = load_settings(start=project)
        document = read_document(path, overrides)
        wanted = (relative_file(path, settings.root), sha256_hex(document.rendered.encode()), tuple(overrides))
        names = [one.name for one in _list_readable(settings) if (one.file, one.sha256, one.overrides) == wanted]
        found = next(_find(names, settings, document, overrides, provider_uri), None)
        if found is not None:
            record_path(settings, found.name).touch()  # it is the one that ran last
        return found
    except (RollwrightError, OSError) as error:  # told by whoever does the work now
        _logger.debug("standing.not_found file=%s error=%s", path, error)
        return None


def find_finished_named(name: str | None, *, project: Path | None = None) -> FinishedCampaign | None:
    """Return the campaign that was started here under `name`, or last, as `find_finished`."""
    try:
        settings = load_settings(start=project)
        record = find_record(settings, name)
    except RollwrightError:
        return None
    return find_finished(
        settings.root / record.file,
        overrides=record.overrides,
        provider_uri=record.provider_uri,
        project=settings.root,
    )


def _list_readable(settings: Settings) -> Iterator[CampaignRecord]:
    for path in list_records(settings):
        with suppress(CorruptFileError):
            yield read_record(path)


def _find(
    names: Sequence[str],
    settings: Settings,
    document: YamlDocument,
    overrides: Sequence[str],
    provider_uri: str | None,
) -> Iterator[FinishedCampaign]:
    """Yield the finished campaigns among those that were started by this very command."""
    for name in names:
        standing = read_standing(standing_path(settings, name))
        if standing is None or document.data.get("sys"):
            continue
        given = settings_of_file(settings, document.path, document.data, provider_uri)
        premises = Premises.find(given, rendered=document.rendered, overrides=overrides)
        if premises == standing.premises and (found := check_finished(standing, given)) is not None:
            yield found


def check_finished(standing: Standing, settings: Settings) -> FinishedCampaign | None:
    """Return the campaign whose premises are known to be as they were, when everything else is too.

    Raises
    ------
    RollwrightError, OSError
        When something is missing, damaged or away.
    """
    results = results_folder(settings, standing.name)
    if find_abandoned_runs(settings.root):
        return None
    store = store_from_url(settings.resolve_url(settings.pool.url))
    try:
        if not standing.holds(settings, store, results):
            return None
    finally:
        store.close()
    result = read_summary(results / SUMMARY_FILE)
    for warning in standing.warned:
        relay_warning(*warning)
    return FinishedCampaign(
        name=standing.name,
        settings=settings,
        told=standing.told,
        result=result,
        counts=TrainingCounts(trained=0, records_only=0, kept=len(standing.windows)),
    )
