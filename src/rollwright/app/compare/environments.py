"""The environments of compared models: opening their folder, and what is in it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rollwright.compare.environments.folder import EnvironmentFolder, StoredEnvironment
from rollwright.compare.environments.installers import Installer, PipInstaller, find_installer
from rollwright.compare.environments.own_wheel import pack_own_wheel
from rollwright.config.context import current_settings
from rollwright.config.settings import Settings
from rollwright.errors import CompareError, nearest

__all__ = [
    "EnvironmentListing",
    "Removal",
    "list_environments",
    "open_environments",
    "plan_removal",
    "remove_environments",
]

_PREFIX: Final = re.compile(r"[0-9a-f]{4,64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentListing:
    """The environments of a folder, the longest unused first; `size` in bytes, with what they share counted in each."""

    root: Path
    environments: tuple[StoredEnvironment, ...]
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """Environments removed or to be removed, and those that stay because they are in use.

    `locks` says whether the compiled locks go too, so that the next comparison chooses versions anew.
    """

    root: Path
    environments: tuple[StoredEnvironment, ...]
    in_use: tuple[StoredEnvironment, ...]
    size: int
    locks: bool


def open_environments(settings: Settings | None = None) -> EnvironmentFolder:
    """Return the store of environments of `settings` (the current ones if not given); nothing is made yet.

    Raises
    ------
    MissingExtraError
        When ``compare.installer`` is ``uv``, and it is not installed.
    """
    present = current_settings() if settings is None else settings
    return _open(present, find_installer(present.compare.installer))


def list_environments(settings: Settings | None = None) -> EnvironmentListing:
    """Return the environments of `settings` (the current ones if not given)."""
    store = _open_for_looking(settings)
    found = tuple(store.entries())
    return EnvironmentListing(root=store.root, environments=found, size=sum(one.size for one in found))


def plan_removal(
    keys: Sequence[str] = (),
    *,
    unused: bool = False,
    everything: bool = False,
    locks: bool = False,
    settings: Settings | None = None,
) -> Removal:
    """Return what `remove_environments` would remove; nothing is changed.

    Parameters
    ----------
    keys : sequence of str
        Keys, or at least four first characters that no other key begins with.
    unused : bool
        Those that no process uses now.
    everything : bool
        All; those in use stay all the same.
    locks : bool
        The compiled locks too.

    Raises
    ------
    CompareError
        When nothing says what is to go, or for a key that there is none of, or several.
    """
    listing = list_environments(settings)
    if not (keys or unused or everything or locks):
        raise CompareError("nothing says what is to go", hint="give a KEY of `compare envs ls`, --unused or --all")
    by_key = {one.key: one for one in listing.environments}
    named = {_find(key, by_key) for key in keys}
    chosen = [one for one in listing.environments if everything or unused or one.key in named]
    going = tuple(one for one in chosen if not one.in_use)
    return Removal(
        root=listing.root,
        environments=going,
        in_use=tuple(one for one in chosen if one.in_use),
        size=sum(one.size for one in going),
        locks=locks,
    )


def remove_environments(plan: Removal, settings: Settings | None = None) -> Removal:
    """Remove the environments of `plan` and return what was removed; one that is used by now stays.

    What killed processes left of others goes too. What is asked for again is made again, from the same lock.
    """
    store = _open_for_looking(settings)
    gone: list[StoredEnvironment] = []
    stayed = list(plan.in_use)
    for one in plan.environments:
        (gone if store.remove(one.key) else stayed).append(one)
    store.remove_leftovers()
    if plan.locks:
        store.forget_locks()
    return Removal(
        root=plan.root,
        environments=tuple(gone),
        in_use=tuple(stayed),
        size=sum(one.size for one in gone),
        locks=plan.locks,
    )


def _open(settings: Settings, installer: Installer) -> EnvironmentFolder:
    return EnvironmentFolder(
        settings.resolve(settings.compare.environments),
        installer=installer,
        wheel=pack_own_wheel,
        exclude_newer=settings.compare.exclude_newer,
    )


def _open_for_looking(settings: Settings | None) -> EnvironmentFolder:
    """Open the folder without asking whether the installer is there, which nobody needs for looking and removing."""
    return _open(current_settings() if settings is None else settings, PipInstaller())


def _find(key: str, known: dict[str, StoredEnvironment]) -> str:
    """Return the one key that begins so."""
    found = [one for one in known if one.startswith(key)] if _PREFIX.fullmatch(key) else []
    if len(found) == 1:
        return found[0]
    if found:
        raise CompareError(f"{key} is the beginning of {len(found)} environments", hint="give more of the key")
    like = nearest(key, known, likeness=0.3)
    hint = f"did you mean {like[:12]}?" if like else "`rollwright compare envs ls` lists them"
    raise CompareError(f"there is no environment {key}", hint=hint)
