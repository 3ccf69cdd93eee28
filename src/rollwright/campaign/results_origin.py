"""Which configuration made a results folder: results of another one are kept beside, never overwritten."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from rollwright.campaign.config import AnalysisConfig, CampaignConfig
from rollwright.core.atomic import sync_folder, write_text
from rollwright.core.bounded_read import SMALL, read_text
from rollwright.core.canonical import fingerprint

__all__ = ["ORIGIN_FILE", "ResultsOrigin", "keep_former_results"]

ORIGIN_FILE: Final = "origin.json"
_FORMAT: Final = 1
_SUMMARY: Final = "summary.json"
_KEPT: Final = "~"
"""Stands between a campaign's name and a number in the name of a folder that is kept; no campaign's name has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultsOrigin:
    """What a results folder was made from.

    Attributes
    ----------
    config : str
        Fingerprint of the configuration as it was understood, without ``report``, ``pool`` and ``budget``:
        comments, spelling and the title of the report do not change what is found.
    file : str
        The campaign's file, relative to the project.
    """

    config: str
    file: str

    @classmethod
    def of(cls, config: CampaignConfig, *, file: str) -> Self:
        """Return the origin of what `config` makes."""
        said = config.model_dump(by_alias=True, exclude={"report", "pool", "budget", "search"})
        said = {key: value for key, value in said.items() if key not in ("vary", "combine") or value is not None}
        if config.analysis == AnalysisConfig():  # results of before there was this section are of the same file
            del said["analysis"]
        return cls(config=fingerprint(said), file=file)

    def write(self, folder: Path) -> None:
        """Note it in `folder`."""
        text = json.dumps({"format": _FORMAT, "config": self.config, "file": self.file}, indent=1)
        write_text(folder / ORIGIN_FILE, text + "\n")


def keep_former_results(folder: Path, origin: ResultsOrigin) -> Path | None:
    """Rename `folder` when it holds results of another configuration, and return where they are now.

    They go to the first free name of ``NAME~1``, ``NAME~2`` and so on beside it. Results whose origin nobody noted are
    taken as those of another configuration.
    """
    if not (folder / _SUMMARY).is_file() or _read_config(folder / ORIGIN_FILE) == origin.config:
        return None
    number = 1
    while (kept := folder.with_name(f"{folder.name}{_KEPT}{number}")).exists():
        number += 1
    folder.rename(kept)
    sync_folder(folder.parent)
    return kept


def _read_config(path: Path) -> str | None:
    try:
        return str(json.loads(read_text(path, limit=SMALL))["config"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
