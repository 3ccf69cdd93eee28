"""A batch of models from Python, under the names of Qlib's ``run_all_model.py``."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Final

from rollwright.app.compare.environments import open_environments
from rollwright.app.compare.run import ComparisonResult, TellComparison, run_comparison
from rollwright.app.compare.table import write_results
from rollwright.compare.environment import EnvironmentStore
from rollwright.compare.folders import find_models
from rollwright.config.settings import load_settings
from rollwright.errors import ConfigError

__all__ = ["ModelRunner", "run"]

_logger: Final = logging.getLogger("rollwright.app")

_FOLDER: Final = "benchmarks"
_EXPERIMENT: Final = "run_all_model_records"


def run(
    times: int = 1,
    models: str | Sequence[str] | None = None,
    dataset: str = "Alpha360",
    universe: str = "",
    exclude: bool = False,  # noqa: FBT001, FBT002 - Qlib's order
    qlib_uri: str | None = None,
    exp_folder_name: str = _EXPERIMENT,
    wait_before_rm_env: bool = False,  # noqa: FBT001, FBT002 - Qlib's order
    wait_when_err: bool = False,  # noqa: FBT001, FBT002 - Qlib's order
    *,
    folder: str | Path = _FOLDER,
    jobs: int = 1,
    environments: EnvironmentStore | None = None,
    on_progress: TellComparison | None = None,
) -> ComparisonResult:
    """Train the models of a folder several times, each in an environment of its own, and compare them.

    Killed and called again, it goes on; a model that fails is a row of the table.

    Parameters
    ----------
    times : int
        Runs of each model, each with a seed of its own.
    models : str or sequence of str, optional
        Only these, whatever their case, as ``"mlp,lstm"``, ``"[mlp]"`` or a list; all if not given.
    dataset, universe : str
        The workflow ``*{dataset}[_{universe}].yaml`` of each model; a model that has none is left out, and that is
        logged.
    exclude : bool
        All but `models`.
    qlib_uri : None
        Qlib installs itself from it. Here every environment has this rollwright; anything but None is an error.
    exp_folder_name : str
        Name of the comparison: its results are in ``results/compare-NAME``.
    wait_before_rm_env : bool
        Qlib waits for a key before it removes an environment, so that one can look into it. Here environments are kept,
        and there is nothing to wait for.
    wait_when_err : bool
        Wait for a key at the end when a run failed. It needs a terminal.
    folder : path
        Has a folder for each model.
    jobs : int
        Tasks that train at the same time.
    environments : EnvironmentStore, optional
        Those of the settings if not given.
    on_progress : callable, optional
        As `run_comparison` takes it.

    Returns
    -------
    ComparisonResult

    Raises
    ------
    CompareError
        For an unknown model, and when no model has such a workflow.
    ConfigError
        For a `qlib_uri`, and for `wait_when_err` without a terminal.
    """
    del wait_before_rm_env  # see above
    if qlib_uri is not None:
        raise ConfigError(
            "`qlib_uri` names a place to install from, and every environment has the rollwright that runs now",
            hint="leave it out; to compare two versions, install the other one and give the batch another name",
        )
    if wait_when_err and not sys.stdin.isatty():
        raise ConfigError("`wait_when_err` waits for a key, and there is no terminal", hint="leave it out")
    root = Path(folder)
    found = find_models(root, models=_split(models), exclude=exclude, dataset=dataset, universe=universe)
    made = closing(open_environments(load_settings())) if environments is None else nullcontext(environments)
    with made as store:
        result = run_comparison(
            root,
            environments=store,
            name=exp_folder_name,
            models=[one.name for one in found],
            dataset=dataset,
            universe=universe,
            times=times,
            jobs=jobs,
            on_progress=on_progress,
        )
    origin = result.basis.to_json() if result.basis is not None else None
    write_results(result.folder, result.name, result.evaluations, origin=origin)
    if wait_when_err and result.failed:
        input(f"{len(result.failed)} of {len(result.evaluations)} runs failed; press Enter to go on")
    return result


class ModelRunner:
    """Qlib's class of that name: ``ModelRunner().run(3, "mlp", "Alpha158")`` is the function `run` of this module."""

    run = staticmethod(run)


def _split(models: str | Sequence[str] | None) -> list[str]:
    """Return the names that were given, in one of Qlib's three ways."""
    if models is None:
        return []
    named = models.strip().removeprefix("[").removesuffix("]").split(",") if isinstance(models, str) else models
    if not all(isinstance(name, str) for name in named):
        raise ConfigError(f"`models` holds what is no text: {models!r}", hint='give "mlp,lstm" or ["mlp", "lstm"]')
    names = [name.strip().strip("'\"") for name in named]
    if not all(names) or not names:
        raise ConfigError(f"`models` names no model: {models!r}", hint="leave it out for all of them")
    return names
