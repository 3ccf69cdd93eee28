"""Telling what a comparison is made from, here and now."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from rollwright import __version__
from rollwright.app.compare.opening import open_workflow
from rollwright.compare.basis import ComparisonBasis, ModelBasis, hide_secrets
from rollwright.compare.environments.lock_text import describe_python
from rollwright.compare.record import ComparedModel, ComparisonRecord
from rollwright.config.context import using
from rollwright.config.settings import Settings
from rollwright.core.atomic import measure_file
from rollwright.errors import RollwrightError
from rollwright.market.current import current_market

__all__ = ["LOCKS", "find_basis"]

LOCKS: Final = "locks"


def find_basis(
    settings: Settings,
    record: ComparisonRecord,
    *,
    dataset: str | None,
    universe: str,
    folder: Path | None = None,
    without_environment: Iterable[str] = (),
) -> ComparisonBasis:
    """Return what the table of a comparison is made from as files and market data are now.

    Parameters
    ----------
    settings : Settings
    record : ComparisonRecord
    dataset, universe
        As they were asked for.
    folder : Path, optional
        Of its results, for the digests of its locks; without it there are none.
    without_environment : iterable of str
        Models that have no lock this time, whatever lies in the folder.
    """
    without = {*without_environment}
    models = {
        model.name: ModelBasis(
            requirements=model.requirements_sha256,
            lock="" if folder is None or model.name in without else _digest(folder / LOCKS / f"{model.name}.txt"),
            workflows={name: workflow.sha256 for name, workflow in model.workflows.items()},
            markets={name: _find_generation(settings, record, model, name) for name in model.workflows},
        )
        for model in record.models
    }
    return ComparisonBasis(
        rollwright=__version__,
        python=describe_python(),
        times=record.options.times,
        dataset=dataset or "",
        universe=universe,
        overrides=hide_secrets(record.options.overrides),
        models=models,
    )


def _digest(file: Path) -> str:
    return measure_file(file).sha256 if file.is_file() else ""


def _find_generation(settings: Settings, record: ComparisonRecord, model: ComparedModel, dataset: str) -> str:
    """Return the identity of the data that a workflow reads; "" where it cannot be opened, as its runs then say."""
    try:
        opened = open_workflow(settings, record, model, dataset)
        with using(opened.context):
            return current_market().generation
    except RollwrightError:
        return ""
