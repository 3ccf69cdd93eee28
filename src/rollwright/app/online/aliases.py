"""Aliases in MLflow's model registry: a copy of the roles for whoever looks there, made anew from the ledger.

MLflow's registry has no atomic switch of several models and no history, so nothing here is ever read back as the truth:
it follows the ledger, a while after it at worst. A failure is a warning, and the next call repairs it.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from rollwright.app.online.serving import OpenServing
from rollwright.core.atomic import write_text
from rollwright.core.bounded_read import SMALL, read_text
from rollwright.core.sqlite_urls import SQLITE
from rollwright.core.text import escape_text
from rollwright.errors import RollwrightError
from rollwright.online.state import ROLES, ServingState, is_active
from rollwright.tracking.manager import MLflowExpManager
from rollwright.tracking.stores.opening import MEMORY

__all__ = ["ModelRegistry", "RegisteredAlias", "list_aliases", "mirror_aliases", "write_aliases"]

_logger: Final = logging.getLogger("rollwright.app")
_UNSUITABLE: Final = re.compile(r"[^\w.=-]")


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredAlias:
    """An alias as it should stand.

    Attributes
    ----------
    model : str
        Registered name: the serving's and the strategy's.
    alias : str
        The role; those of a second and third online model are numbered.
    run : str
        The recorder it points to.
    """

    model: str
    alias: str
    run: str


class ModelRegistry(Protocol):
    """What of ``mlflow.MlflowClient`` is used."""

    def get_run(self, run_id: str) -> Any:
        """Return a run."""
        ...

    def create_registered_model(self, name: str) -> Any:
        """Register a name."""
        ...

    def search_registered_models(self, filter_string: str) -> Any:
        """Return what is registered, with its aliases."""
        ...

    def search_model_versions(self, filter_string: str) -> Any:
        """Return the versions of a name."""
        ...

    def create_model_version(self, name: str, source: str, run_id: str, *, await_creation_for: int) -> Any:
        """Add a version."""
        ...

    def set_registered_model_alias(self, name: str, alias: str, version: str) -> None:
        """Point an alias to a version."""
        ...

    def delete_registered_model_alias(self, name: str, alias: str) -> None:
        """Remove an alias."""
        ...


def list_aliases(serving: str, state: ServingState) -> list[RegisteredAlias]:
    """Return the aliases as they should stand."""
    return [
        RegisteredAlias(
            model=_UNSUITABLE.sub("-", f"{serving}.{name}"),
            alias=one.role if number == 1 else f"{one.role}-{number}",
            run=model.recorder,
        )
        for name, one in sorted(state.strategies.items())
        if is_active(one)
        for number, model in enumerate(one.online, start=1)
    ]


def mirror_aliases(serving: OpenServing) -> bool:
    """Bring the aliases in MLflow's registry in line with the ledger; return whether they are.

    Where they are so already since the last call, MLflow is not even imported. Where runs are in memory there is no
    registry; in a file of SQLite there is one only for whoever asks for it (`aliases` in the section ``online``).
    """
    uri, wanted_here = serving.settings.tracking.uri, serving.options.aliases
    if uri.startswith(MEMORY) or not (wanted_here if wanted_here is not None else not uri.startswith(SQLITE)):
        return False
    _, state = serving.read_head()
    wanted = list_aliases(serving.name, state)
    note = serving.settings.state_dir / "online" / f"{serving.name}.aliases"
    text = json.dumps([[one.model, one.alias, one.run] for one in wanted], ensure_ascii=True) + "\n"
    if _read_note(note) == text:
        return True
    known = {one.model for one in wanted} | {
        _UNSUITABLE.sub("-", f"{serving.name}.{name}") for name in state.strategies
    }
    try:
        write_aliases(MLflowExpManager().client, wanted, models=known)
        write_text(note, text)
    except Exception as error:  # noqa: BLE001 - a copy for others must not stop serving, whatever MLflow raises
        said = error.message if isinstance(error, RollwrightError) else error
        _logger.warning("aliases.not_mirrored serving=%s error=%s", serving.name, escape_text(said, longest=300))
        return False
    _logger.info("aliases.mirrored serving=%s count=%d", serving.name, len(wanted))
    return True


def _read_note(path: Path) -> str | None:
    try:
        return read_text(path, limit=SMALL)
    except (OSError, RollwrightError):
        return None


def write_aliases(registry: ModelRegistry, wanted: list[RegisteredAlias], *, models: set[str]) -> None:
    """Make the aliases of `models` those that are `wanted`, each pointing to a version of its run; idempotent."""
    for model in sorted(models):
        given = {one.alias: one.run for one in wanted if one.model == model}
        found = {one.name: one for one in registry.search_registered_models(f"name = '{model}'")}
        if model not in found:
            if not given:
                continue
            registry.create_registered_model(model)
        standing: Mapping[str, str] = dict(found[model].aliases) if model in found else {}
        versions = {one.run_id: str(one.version) for one in registry.search_model_versions(f"name = '{model}'")}
        for alias in sorted(standing):
            if alias not in given and alias.partition("-")[0] in ROLES:
                registry.delete_registered_model_alias(model, alias)
        for alias, run in given.items():
            if run not in versions:
                source = registry.get_run(run).info.artifact_uri
                made = registry.create_model_version(model, source, run, await_creation_for=0)
                versions[run] = str(made.version)
            if str(standing.get(alias)) != versions[run]:
                registry.set_registered_model_alias(model, alias, versions[run])
