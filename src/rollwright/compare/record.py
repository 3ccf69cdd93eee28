"""The record of a comparison: what was asked for, from which its workers and later commands find everything again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Self

from rollwright.core.atomic import write_text
from rollwright.core.bounded_read import SMALL, read_text
from rollwright.core.text import is_name
from rollwright.errors import CompareError, CorruptFileError, nearest

__all__ = ["ComparedModel", "ComparedWorkflow", "ComparisonOptions", "ComparisonRecord", "pool_name"]

_FORMAT: Final = 1
_KEY: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedWorkflow:
    """A workflow's file, relative to the project when it lies there, and the digest of what it says, bases included."""

    file: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedModel:
    """One model of a comparison.

    Attributes
    ----------
    name : str
    requirements : str
        The file, relative to the project when it lies there.
    requirements_sha256 : str
    workflows : mapping of str to ComparedWorkflow
        By dataset.
    environment : str
        The first digits of the digest of its lock; "" until there is one. Results belong to it: with other versions
        a model is trained anew.
    """

    name: str
    requirements: str
    requirements_sha256: str
    workflows: Mapping[str, ComparedWorkflow]
    environment: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonOptions:
    """How the models of a comparison are trained.

    Attributes
    ----------
    times : int
        Runs of each model on each dataset; their seeds are 1, 2, ….
    overrides : tuple of str
        ``dotted.key=value`` over what every workflow says.
    provider_uri : str or None
        Market data over what they say, relative to the project when they lie there.
    timeout : float or None
        Seconds that a task may take.
    memory : float or None
        GB that a task may take.
    network : bool
        Whether tasks may use the network.
    """

    times: int = 1
    overrides: tuple[str, ...] = ()
    provider_uri: str | None = None
    timeout: float | None = None
    memory: float | None = None
    network: bool = True

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "times": self.times,
            "overrides": [*self.overrides],
            "provider_uri": self.provider_uri,
            "timeout": self.timeout,
            "memory": self.memory,
            "network": self.network,
        }

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """Return what `to_json` wrote."""
        if not isinstance(value["network"], bool) or int(value["times"]) < 1:
            raise ValueError("its options are none")
        return cls(
            times=int(value["times"]),
            overrides=tuple(str(text) for text in value["overrides"]),
            provider_uri=_text_or_none(value["provider_uri"]),
            timeout=_number_or_none(value["timeout"]),
            memory=_number_or_none(value["memory"]),
            network=value["network"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonRecord:
    """What a comparison was asked for.

    Attributes
    ----------
    name : str
    source : str
        The folder or the file that was given, relative to the project when it lies there.
    options : ComparisonOptions
    models : tuple of ComparedModel
    """

    name: str
    source: str
    options: ComparisonOptions
    models: tuple[ComparedModel, ...] = field(default=())

    def find_model(self, name: str) -> ComparedModel:
        """Return one of its models, whatever the case of `name`.

        Raises
        ------
        CompareError
            When it has none of that name.
        """
        for model in self.models:
            if model.name.casefold() == name.casefold():
                return model
        known = [model.name for model in self.models]
        near = nearest(name, known)
        raise CompareError(
            f"comparison `{self.name}` has no model `{name}`",
            hint=f"did you mean `{near}`?" if near else f"it has {', '.join(known)}",
        )

    def with_environment(self, model: str, environment: str) -> ComparisonRecord:
        """Return it with the environment of a model."""
        models = tuple(replace(one, environment=environment) if one.name == model else one for one in self.models)
        return replace(self, models=models)

    def write(self, path: Path) -> None:
        """Write it to `path`, whole or not at all."""
        content = {
            "format": _FORMAT,
            "name": self.name,
            "source": self.source,
            "options": self.options.to_json(),
            "models": [_model_to_json(model) for model in self.models],
        }
        write_text(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """Return what was written to `path`; None when nothing was.

        Raises
        ------
        CorruptFileError
        """
        try:
            found = json.loads(read_text(path, limit=SMALL))
            if found["format"] != _FORMAT:
                raise ValueError(f"its format is {found['format']!r}, not {_FORMAT}")
            record = cls(
                name=str(found["name"]),
                source=str(found["source"]),
                options=ComparisonOptions.from_json(found["options"]),
                models=tuple(_read_model(model) for model in found["models"]),
            )
            datasets = [part for model in record.models for name in model.workflows for part in name.split("/")]
            names = [record.name, *(model.name for model in record.models), *datasets]
            if not all(is_name(name) for name in names) or record.name != path.stem:
                raise ValueError("a name in it is none")
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise CorruptFileError(
                path,
                f"it does not say what is compared: {error}",
                hint="give the whole command `rollwright compare run …` again; finished runs are kept",
            ) from error
        return record

    def describe_changes(self, former: ComparisonRecord) -> list[str]:
        """Return in a line each what differs from what was asked for before under this name."""
        told = [
            f"{key.replace('_', ' ')}: {_show(before)} → {_show(now)}"
            for (key, before), now in zip(
                former.options.to_json().items(), self.options.to_json().values(), strict=True
            )
            if before != now
        ]
        if self.source != former.source:
            told.insert(0, f"models of {former.source} → {self.source}")
        before_models = {model.name: model for model in former.models}
        now_models = {model.name: model for model in self.models}
        told += [f"model {name} is new" for name in now_models if name not in before_models]
        told += [f"model {name} is left out; its results are kept" for name in before_models if name not in now_models]
        for name, model in now_models.items():
            if (before := before_models.get(name)) is not None:
                told += _describe_model(before, model)
        return told


def _describe_model(before: ComparedModel, now: ComparedModel) -> list[str]:
    told = [
        f"model {now.name}: its workflow for {dataset} changed"
        for dataset, workflow in now.workflows.items()
        if dataset in before.workflows and before.workflows[dataset].sha256 != workflow.sha256
    ]
    if before.requirements_sha256 != now.requirements_sha256:
        told.append(f"model {now.name}: its requirements changed")
    if before.environment and now.environment and before.environment != now.environment:
        told.append(f"model {now.name}: other versions of its packages are installed; it is trained anew")
    return told


def _show(value: object) -> str:
    return "none" if value is None else str(value)


def _model_to_json(model: ComparedModel) -> dict[str, Any]:
    return {
        "name": model.name,
        "requirements": model.requirements,
        "requirements_sha256": model.requirements_sha256,
        "workflows": {dataset: {"file": one.file, "sha256": one.sha256} for dataset, one in model.workflows.items()},
        "environment": model.environment,
    }


def _read_model(value: Any) -> ComparedModel:
    environment = str(value["environment"])
    if environment and (len(environment) != _KEY or not environment.isalnum()):
        raise ValueError("the environment of a model is none")
    return ComparedModel(
        name=str(value["name"]),
        requirements=str(value["requirements"]),
        requirements_sha256=str(value["requirements_sha256"]),
        workflows={
            str(dataset): ComparedWorkflow(file=str(one["file"]), sha256=str(one["sha256"]))
            for dataset, one in value["workflows"].items()
        },
        environment=environment,
    )


def _text_or_none(value: object) -> str | None:
    return None if value is None else str(value)


def _number_or_none(value: Any) -> float | None:
    return None if value is None else float(value)


def pool_name(comparison: str, model: str, environment: str) -> str:
    """Return the pool, and the experiment, of a model in a comparison as it is trained in one environment.

    Two models may be the same task with other versions of a library, so they share neither.

    Raises
    ------
    CompareError
        When the names are too long for it.
    """
    name = f"compare-{comparison}.{model}.{environment}"
    if not is_name(name):
        raise CompareError(
            f"`{comparison}` and `{model}` are too long together to be names of a comparison and its model",
            hint="give it a shorter name: --name short",
        )
    return name
