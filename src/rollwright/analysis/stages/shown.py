"""What of the stages the report shows of one signal: every table there is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from rollwright.analysis.report import VariantReport
from rollwright.analysis.stages.files import KNOWN_TABLES
from rollwright.analysis.stages.locations import STAGES, StageName
from rollwright.analysis.stages.table import StageResult

__all__ = ["SHOWN_TABLES", "show_variant"]

SHOWN_TABLES: Final[Mapping[StageName, tuple[str, ...]]] = KNOWN_TABLES
"""The tables that `show_variant` takes: a section is made of each, and any can be saved from the page."""


def show_variant(name: str, stages: Mapping[StageName, StageResult], *, is_signal: bool = False) -> VariantReport:
    """Return what the report shows of one signal.

    Parameters
    ----------
    name : str
    stages : mapping of StageName to StageResult
        Those that were made, each with its tables `SHOWN_TABLES`.
    is_signal : bool
        Whether it is made of others.
    """
    made = tuple(stages[stage] for stage in STAGES if stage in stages)
    return VariantReport(name=name, stages=made, is_signal=is_signal)
