"""Noting, while a campaign runs, what its results stand on; see `rollwright.campaign.standing`."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from rollwright.campaign.plan import CampaignPlan, WindowKey
from rollwright.campaign.plan_text import describe_plan
from rollwright.campaign.run import Submission
from rollwright.campaign.standing import (
    Premises,
    Standing,
    WindowRef,
    digest_files,
    digest_windows,
    read_standing,
    standing_path,
)
from rollwright.campaign.summary import CampaignResult
from rollwright.config.construct import Trust
from rollwright.config.settings import Settings
from rollwright.core.canonical import parse_json
from rollwright.core.clock import SystemClock
from rollwright.core.log_relay import RecordedWarning, record_warnings
from rollwright.errors import RollwrightError
from rollwright.market.folder.layout import normalize_freq
from rollwright.market.source import DataSource
from rollwright.pool.store import ManagerStore
from rollwright.tracking.recorder import Recorder
from rollwright.training.user_code import code_files, hash_again
from rollwright.training.validity import Validity

__all__ = ["StandingNote", "covers_all_reads"]

_logger: Final = logging.getLogger("rollwright.app")


class StandingNote:
    """What the results of a campaign will stand on, from the first look at its premises to its last file.

    Nothing is noted, so that the next command judges everything anew, when a premise changed while the campaign ran, or
    when a window read data whose state no folder tells, or is kept although it is stale.

    Parameters
    ----------
    settings : Settings
    rendered, overrides
        As `Premises.find` takes them.
    has_market : bool
        Whether the market was given as an object.
    """

    def __init__(self, settings: Settings, *, rendered: str, overrides: tuple[str, ...], has_market: bool) -> None:
        self._settings = settings
        self._rendered = rendered
        self._overrides = overrides
        self._premises = None if has_market else self._find()
        self._warnings: list[RecordedWarning] = []
        self._code: dict[str, str] = {}
        self._standing: Standing | None = None

    def watch(self) -> AbstractContextManager[None]:
        """Note what is warned of in the block: whoever finds the results as they are says it again."""
        return record_warnings(self._warnings)

    def add_plan(self, plan: CampaignPlan) -> None:
        """Note the user's code as it is before anything is judged."""
        trust = Trust.from_settings(self._settings)
        for windows in plan.variants.values():
            self._code |= code_files(windows[-1].spec.definition, trust)
        if any(name.startswith("operator ") for name in self._code):  # whose code no file tells
            self._premises = None

    def add_windows(
        self,
        plan: CampaignPlan,
        submission: Submission,
        recorders: Mapping[WindowKey, Recorder],
        *,
        store: ManagerStore,
        source: DataSource,
    ) -> tuple[str, str]:
        """Note the finished windows, and return when the results were made and how many windows were kept then.

        That is now and those of the submission, unless there are results already that were made from the very same:
        made again, they have the same bytes.
        """
        created, reused = f"{SystemClock().now():%Y-%m-%d %H:%M} UTC", str(len(submission.reused))
        premises, ids = self._premises, submission.ids
        if premises is None or submission.accepted or len(recorders) < len(plan.windows):
            return created, reused
        if not all(_is_covered(task.validity, source) for task in store.get(plan.name, [*ids.values()])):
            return created, reused
        windows = [
            WindowRef(ids[one.key], recorders[one.key].experiment_id, recorders[one.key].id) for one in plan.windows
        ]
        try:
            held = digest_windows(plan.name, windows, self._settings, store)
        except (RollwrightError, OSError) as error:
            _logger.debug("standing.not_noted campaign=%s error=%s", plan.name, error)
            return created, reused
        standing = Standing(
            name=plan.name,
            premises=premises,
            code=self._code,
            windows=tuple(windows),
            held=held,
            told=describe_plan(plan),
            warned=(),
            created=created,
            reused=reused,
            files={},
        )
        former = read_standing(standing_path(self._settings, plan.name))
        if former is not None and former.basis == standing.basis:
            standing = replace(standing, created=former.created, reused=former.reused)
        self._standing = standing
        return standing.created, standing.reused

    def add_results(self, result: CampaignResult, folder: Path, *, more: tuple[str, ...]) -> None:
        """Note the files that were made, and write the note if all of it is still true.

        Parameters
        ----------
        result : CampaignResult
        folder : Path
            Of the results.
        more : tuple of str
            Files of the folder that are not among the result's.
        """
        standing = self._standing
        if standing is None:
            return
        path = standing_path(self._settings, standing.name)
        code = hash_again(self._code, Trust.from_settings(self._settings))
        if self._find() != standing.premises or code != self._code:
            path.unlink(missing_ok=True)
            return
        paths = [*result.files.values(), *(file for one in result.variants for file in one.files.values())]
        names = sorted({*(path.relative_to(folder).as_posix() for path in paths), *more})
        warned = tuple(dict.fromkeys(self._warnings))
        replace(standing, warned=warned, files=digest_files(folder, names)).write(path)

    def _find(self) -> Premises | None:
        return Premises.find(self._settings, rendered=self._rendered, overrides=self._overrides)


def _is_covered(recorded: str | None, source: DataSource) -> bool:
    value: Any = None if recorded is None else parse_json(recorded)
    validity = Validity.from_json(value)
    return validity is not None and covers_all_reads(validity, source)


def covers_all_reads(validity: Validity, source: DataSource) -> bool:
    """Say whether the state of the market's folder covers all that a task read: nothing of its own, or by period."""
    scopes = [scope for basis in (validity.fit, *validity.records) for scope in basis.reads]
    return all(
        scope.vintages is None
        and (
            scope.generation == source.generation
            or (
                scope.stop is not None
                and scope.freq is not None
                and normalize_freq(scope.freq) == normalize_freq(source.freq)
            )
        )
        for scope in scopes
    )
