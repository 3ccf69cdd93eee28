"""What is tried next: Optuna's samplers, asked so that the answer depends on nothing but seed and results.

Each question is put to a study in memory that is made anew from the record, by a sampler that is seeded anew with the
number of the trial. So it is the same after a crash, and with any number of worker processes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from rollwright.campaign.search_section import DimensionSection, SearchSection
from rollwright.core.canonical import JSON, dump_canonical, sha256_hex
from rollwright.core.optional import require
from rollwright.search.space import count_grid, list_grid, show_value
from rollwright.search.trial import AskedTrial, ToldTrial

__all__ = ["DIRECTION", "ask_generation", "count_trials", "import_optuna", "make_distributions", "make_frozen"]

DIRECTION: Final = "maximize"
_STARTUP: Final = 10
"""Trials that TPE draws at random before it learns from them."""
_SEEDS: Final = 2**31


def import_optuna() -> Any:
    """Return Optuna, told to be silent.

    Raises
    ------
    MissingExtraError
    """
    optuna = require("optuna", extra="search")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


def count_trials(section: SearchSection) -> int:
    """Return how many trials there will be: those asked for, or all combinations of a grid that has fewer."""
    return min(section.trials, count_grid(section)) if section.sampler == "grid" else section.trials


def ask_generation(section: SearchSection, told: Sequence[ToldTrial]) -> tuple[AskedTrial, ...]:
    """Return the trials of the next generation; none when all were asked for.

    Parameters
    ----------
    section : SearchSection
    told : sequence of ToldTrial
        All earlier trials, in order.

    Guarantees: a function of its arguments, for one version of Optuna.
    """
    begin = len(told)
    numbers = range(begin, min(begin + section.generation, count_trials(section)))
    if not numbers:
        return ()
    if section.sampler == "grid":
        points = list(list_grid(section))
        return tuple(AskedTrial(number=number, params=points[number]) for number in numbers)
    optuna = import_optuna()
    distributions = make_distributions(section, optuna)
    study = optuna.create_study(direction=DIRECTION)
    for trial in told:
        study.add_trial(make_frozen(trial, section, distributions, optuna))
    asked = []
    for number in numbers:
        study.sampler = _make_sampler(section, number, optuna)
        given = study.ask(distributions).params
        params = {key: read_param(section.space[key], given[key]) for key in section.space}
        asked.append(AskedTrial(number=number, params=params))
    return tuple(asked)


def _make_sampler(section: SearchSection, number: int, optuna: Any) -> Any:
    seed = int(sha256_hex(dump_canonical(["search", section.seed, number]).encode())[:16], 16) % _SEEDS
    if section.sampler == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    return optuna.samplers.TPESampler(seed=seed, n_startup_trials=_STARTUP, constant_liar=True)


def make_distributions(section: SearchSection, optuna: Any) -> dict[str, Any]:
    """Return the space as Optuna's distributions."""
    return {key: _make_distribution(dimension, optuna) for key, dimension in section.space.items()}


def _make_distribution(dimension: DimensionSection, optuna: Any) -> Any:
    kinds = optuna.distributions
    if dimension.choices is not None:
        return kinds.CategoricalDistribution(tuple(show_value(value) for value in dimension.choices))
    low, high = dimension.low or 0, dimension.high or 0
    if dimension.is_int:
        return kinds.IntDistribution(int(low), int(high), log=dimension.log, step=int(dimension.step or 1))
    return kinds.FloatDistribution(float(low), float(high), log=dimension.log, step=dimension.step)


def read_param(dimension: DimensionSection, given: Any) -> JSON:
    """Return the value that Optuna's parameter stands for: a choice is known to it by its text."""
    if dimension.choices is None:
        return int(given) if dimension.is_int else float(given)
    found: JSON = next(value for value in dimension.choices if show_value(value) == given)
    return found


def make_frozen(trial: ToldTrial, section: SearchSection, distributions: Mapping[str, Any], optuna: Any) -> Any:
    """Return a trial as Optuna keeps one; what was stopped early counts by the windows that it had."""
    states = {
        "complete": optuna.trial.TrialState.COMPLETE,
        "pruned": optuna.trial.TrialState.PRUNED,
        "failed": optuna.trial.TrialState.FAIL,
    }
    params = {
        key: value if section.space[key].choices is None else show_value(value) for key, value in trial.params.items()
    }
    return optuna.create_trial(
        state=states[trial.state],
        value=trial.value if trial.state == "complete" else None,
        params=params,
        distributions=dict(distributions),
        intermediate_values={point.windows: point.value for point in trial.curve if not math.isnan(point.value)},
        user_attrs={"cause": trial.cause} if trial.cause else {},
    )
