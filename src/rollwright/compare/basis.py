"""What a table was made from: enough to make it again elsewhere, or to say why that cannot be done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from rollwright.compare.json_values import take_count, take_digest, take_fields, take_list, take_text
from rollwright.core.masking import mask_secrets
from rollwright.core.text import is_name
from rollwright.errors import CompareError

__all__ = ["ComparisonBasis", "ModelBasis", "hide_secrets"]

_FIELDS: Final = ("rollwright", "python", "times", "dataset", "universe", "overrides", "models")
_MODEL_FIELDS: Final = ("name", "requirements", "lock", "workflows")
_WORKFLOW_FIELDS: Final = ("dataset", "sha256", "market")
_MOST_RUNS: Final = 1000
_SHOWN: Final = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelBasis:
    """What the rows of one model were made from.

    Attributes
    ----------
    requirements : str
        SHA-256 of its requirements file.
    lock : str
        SHA-256 of the text of its lock; "" where it had no environment.
    workflows : mapping of str to str
        For each dataset the SHA-256 of what the workflow's file says, its bases included.
    markets : mapping of str to str
        For each dataset the generation of the market data; "" where the workflow could not be opened.
    """

    requirements: str
    lock: str
    workflows: Mapping[str, str]
    markets: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonBasis:
    """What a table was made from. It holds digests and names, and no place where anything lies.

    Attributes
    ----------
    rollwright : str
        Its version.
    python : str
        Version and platform, as ``3.11.7-linux-x86_64``.
    times : int
        Runs of each model on each dataset.
    dataset, universe : str
        Those that were asked for; "" for all.
    overrides : tuple of str
        ``dotted.key=value`` over every workflow, their secrets hidden.
    models : mapping of str to ModelBasis
    """

    rollwright: str
    python: str
    times: int
    dataset: str
    universe: str
    overrides: tuple[str, ...]
    models: Mapping[str, ModelBasis]

    def describe_differences(self, present: ComparisonBasis) -> tuple[str, ...]:
        """Return in a line each why `present` would not make the same table: all of it but locks."""
        told = [
            f"{what}: {before} made it, {now} is here"
            for what, before, now in (
                ("rollwright", self.rollwright, present.rollwright),
                ("Python", self.python, present.python),
            )
            if before != now
        ]
        if self.overrides != present.overrides:
            told.append(f"overrides: it was made with {_show(self.overrides)}, and this has {_show(present.overrides)}")
        for name, before_model in self.models.items():
            now_model = present.models.get(name)
            if now_model is None:
                told.append(f"model {name}: it is not here")
            else:
                told += _describe_model(name, before_model, now_model)
        told += [f"model {name}: it is not in the table" for name in present.models if name not in self.models]
        return tuple(told)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON, which a table holds as its origin."""
        return {
            "rollwright": self.rollwright,
            "python": self.python,
            "times": self.times,
            "dataset": self.dataset,
            "universe": self.universe,
            "overrides": [*self.overrides],
            "models": [_model_to_json(name, self.models[name]) for name in sorted(self.models)],
        }

    @classmethod
    def from_json(cls, value: object) -> ComparisonBasis:
        """Return what `to_json` wrote.

        Raises
        ------
        CompareError
            For anything else.
        """
        try:
            return _basis_from_json(take_fields(value, _FIELDS, "its origin"))
        except ValueError as error:
            raise CompareError(
                f"the table does not say what it was made from: {error}",
                hint="name the table.json that `rollwright compare run` made",
            ) from error


def _describe_model(name: str, before: ModelBasis, now: ModelBasis) -> list[str]:
    told = [f"model {name}: its requirements are others"] if before.requirements != now.requirements else []
    for dataset, digest in before.workflows.items():
        if dataset not in now.workflows:
            told.append(f"model {name}: it has no workflow for {dataset}")
        elif digest != now.workflows[dataset]:
            told.append(f"model {name}: its workflow for {dataset} is another")
        elif before.markets[dataset] != now.markets[dataset]:
            told.append(
                f"model {name}: the market data of {dataset} are others "
                f"({_shorten(before.markets[dataset])}, and {_shorten(now.markets[dataset])} here)"
            )
    told += [f"model {name}: its {dataset} is not in the table" for dataset in now.workflows.keys() - before.workflows]
    return told


def _show(overrides: Sequence[str]) -> str:
    return ", ".join(overrides) if overrides else "none"


def _shorten(generation: str) -> str:
    return f"{generation[:_SHOWN]}…" if len(generation) > _SHOWN else generation or "none"


def _model_to_json(name: str, model: ModelBasis) -> dict[str, Any]:
    return {
        "name": name,
        "requirements": model.requirements,
        "lock": model.lock,
        "workflows": [
            {"dataset": dataset, "sha256": model.workflows[dataset], "market": model.markets[dataset]}
            for dataset in sorted(model.workflows)
        ],
    }


def _basis_from_json(found: Mapping[str, Any]) -> ComparisonBasis:
    models = dict(take_list(found["models"], _model_from_json, "its models"))
    if len(models) != len(found["models"]) or not models:
        raise ValueError("it has no models, or one twice")
    times = take_count(found["times"], "times")
    if not 1 <= times <= _MOST_RUNS:
        raise ValueError(f"{times} runs of each model")
    parts = {key: take_text(found[key], key) for key in ("dataset", "universe")}
    if not all(is_name(part) for part in parts.values() if part):
        raise ValueError("its dataset or universe is no name")
    return ComparisonBasis(
        rollwright=take_text(found["rollwright"], "rollwright"),
        python=take_text(found["python"], "python"),
        times=times,
        overrides=take_list(found["overrides"], lambda text: take_text(text, "an override"), "overrides"),
        models=models,
        **parts,
    )


def _model_from_json(value: object) -> tuple[str, ModelBasis]:
    found = take_fields(value, _MODEL_FIELDS, "a model")
    name = take_text(found["name"], "the name of a model")
    workflows = take_list(found["workflows"], _workflow_from_json, "the workflows of a model")
    if not is_name(name) or not workflows or len({dataset for dataset, _, _ in workflows}) != len(workflows):
        raise ValueError("a model has no name, no workflows, or one of them twice")
    return name, ModelBasis(
        requirements=take_digest(found["requirements"], "the digest of requirements"),
        lock=take_digest(found["lock"], "the digest of a lock"),
        workflows={dataset: digest for dataset, digest, _ in workflows},
        markets={dataset: market for dataset, _, market in workflows},
    )


def _workflow_from_json(value: object) -> tuple[str, str, str]:
    found = take_fields(value, _WORKFLOW_FIELDS, "a workflow")
    dataset = take_text(found["dataset"], "a dataset")
    if not all(is_name(part) for part in dataset.split("/")):
        raise ValueError("a dataset is no name")
    return dataset, take_digest(found["sha256"], "the digest of a workflow"), take_text(found["market"], "a market")


def hide_secrets(overrides: Sequence[str]) -> tuple[str, ...]:
    """Return overrides as a basis holds them."""
    return tuple(mask_secrets(text) for text in overrides)
