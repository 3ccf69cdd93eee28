"""Generators that vary what learns: other models, other losses, other seeds.

They go before or after `RollingGen` and `MultiHorizonGen` in `task_generator`; each multiplies the tasks made so far.
"""

from __future__ import annotations

import operator
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from typing import Any

from rollwright.core.canonical import fingerprint
from rollwright.errors import ConfigError
from rollwright.tasks.definition import Task
from rollwright.tasks.generate import TaskGen

__all__ = ["LossGen", "ModelGen", "SeedGen"]


class _ModelVariants(TaskGen):
    """One task per variant of the template's model, which alone differs."""

    @abstractmethod
    def _models(self, task: Task) -> Iterator[Any]:
        """Yield the configurations that take the place of ``task["model"]``."""

    def generate(self, task: Task) -> list[Task]:
        """Return one task per variant, in the order they were given.

        Raises
        ------
        ConfigError
            When the template's model cannot be varied.
        """
        return [{**deepcopy(task), "model": model} for model in self._models(task)]


class ModelGen(_ModelVariants):
    """One task per model.

    Parameters
    ----------
    models : sequence of dict or str
        Each a class or ``{class, module_path, kwargs}``, no two the same; copied.

    Raises
    ------
    ConfigError
        When there are none, one is no model's configuration, or two are the same.
    """

    def __init__(self, models: Sequence[Mapping[str, Any] | str]) -> None:
        if isinstance(models, str | Mapping) or not models:
            raise ConfigError(f"models = {models!r} is no list of models")
        for place, model in enumerate(models):
            named = model.get("class") if isinstance(model, Mapping) else model
            if not isinstance(named, str) or not named:
                raise ConfigError(
                    f"models[{place}] = {model!r} names no class", hint="write {class, module_path, kwargs} for each"
                )
        _refuse_twins("models", models)
        self.models = [deepcopy(model) if isinstance(model, str) else deepcopy(dict(model)) for model in models]

    def _models(self, task: Task) -> Iterator[Any]:
        del task
        yield from deepcopy(self.models)


class LossGen(_ModelVariants):
    """One task per loss function.

    Parameters
    ----------
    losses : sequence of str
        As the model names them, no two the same.
    key : str
        The model's argument that takes a loss: ``loss`` for LightGBM, ``objective`` for XGBoost.

    Raises
    ------
    ConfigError
        When there are none, one is no text, or two are the same.
    """

    def __init__(self, losses: Sequence[str], key: str = "loss") -> None:
        if isinstance(losses, str) or not losses or not all(isinstance(loss, str) and loss for loss in losses):
            raise ConfigError(f"losses = {losses!r} is no list of names")
        _refuse_twins("losses", losses)
        self.losses = list(losses)
        self.key = key

    def _models(self, task: Task) -> Iterator[Any]:
        for loss in self.losses:
            yield _with_argument(task, self.key, loss)


class SeedGen(_ModelVariants):
    """One task per seed, to tell what a model knows from what it drew.

    Parameters
    ----------
    seeds : int or sequence of int
        The seeds, no two the same; a number stands for so many of them, from 0.
    key : str
        The model's argument that takes a seed.

    Raises
    ------
    ConfigError
        When there are none, one is no whole number from 0, or two are the same.
    """

    def __init__(self, seeds: int | Sequence[int], key: str = "seed") -> None:
        wanted = range(seeds) if isinstance(seeds, int) and not isinstance(seeds, bool) else seeds
        if isinstance(wanted, str | int) or len(wanted) == 0:
            raise ConfigError(f"seeds = {seeds!r} is no list of seeds", hint="give a list, or how many")
        self.seeds = [_seed(value) for value in wanted]
        self.key = key
        _refuse_twins("seeds", self.seeds)

    def _models(self, task: Task) -> Iterator[Any]:
        for seed in self.seeds:
            yield _with_argument(task, self.key, seed)


def _seed(value: Any) -> int:
    try:
        number = operator.index(value)
    except TypeError as error:
        raise ConfigError(f"the seed {value!r} is no whole number") from error
    if isinstance(value, bool) or number < 0:
        raise ConfigError(f"the seed {value!r} is no whole number from 0")
    return number


def _with_argument(task: Task, key: str, value: object) -> dict[str, Any]:
    """Return the configuration of the task's model with one argument set."""
    model = task.get("model")
    if isinstance(model, str):
        model = {"class": model}
    if not isinstance(model, Mapping):
        given = "has no model" if model is None else f"has {type(model).__name__} as its model"
        raise ConfigError(
            f"the task {given}, whose argument `{key}` cannot be set",
            hint="name the model by class, module_path and kwargs",
        )
    copied = deepcopy(dict(model))
    return {**copied, "kwargs": {**(copied.get("kwargs") or {}), key: value}}


def _refuse_twins(name: str, values: Sequence[Any]) -> None:
    """Refuse two variants that would be one task."""
    seen: dict[str, int] = {}
    for place, value in enumerate(values):
        first = seen.setdefault(fingerprint({"variant": value}), place)
        if first != place:
            raise ConfigError(f"{name}[{first}] and {name}[{place}] are the same: {value!r}")
