"""The members of a campaign: the tasks that its ``vary`` section makes of the one in ``task``.

A grid maps dotted keys beneath ``task`` to lists and stands for every combination; a list has one mapping of keys to
values for each member; a generator is a class of `TaskGen`. Expanding is pure: the same configuration gives the same
members, in the order of the file.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from pydantic import ValidationError

from rollwright.campaign.checks.objects import ObjectCheck, check_task
from rollwright.campaign.config import CampaignConfig, ObjectConfig, TaskConfig
from rollwright.campaign.member_names import MEMBER_NAME_RULE, is_member_name, name_members
from rollwright.campaign.pool_section import read_needs_section
from rollwright.campaign.yaml.document import KeyPath, YamlDocument, find_origin
from rollwright.config.construct import init_instance_by_config
from rollwright.config.placeholders import fill_paths
from rollwright.config.slots import find_default_module
from rollwright.core.canonical import fingerprint
from rollwright.errors import ConfigError, RollwrightError, TaskValueError, nearest
from rollwright.pool.needs import Needs
from rollwright.tasks.definition import Task
from rollwright.tasks.generate import write_horizon_label
from rollwright.tasks.shards import SHARDS

__all__ = ["MAX_MEMBERS", "ONLY_VARIANT", "VARY", "Member", "Vary", "expand_members", "list_members", "make_members"]

ONLY_VARIANT: Final = "main"
"""The variant of a campaign that has one member only, because its file has no ``vary``."""
MAX_MEMBERS: Final = 1000
"""More are taken for a mistake: a grid grows by multiplication."""
VARY: Final = "vary"
NAME: Final = "name"
NEEDS: Final = "needs"
HORIZON: Final = "horizon"
SEED: Final = "seed"
BESIDE_TASK: Final = frozenset((SEED, "as_of", SHARDS))
"""What a template has of the campaign, beside what its file says under ``task``."""
ROOTS: Final = ("model", "dataset", "record", "reweighter", SEED, HORIZON)
_LABEL: Final = ("dataset", "kwargs", "handler", "kwargs", "label")
_LONGEST_HORIZON: Final = 1000

Vary: TypeAlias = "Mapping[str, Sequence[Any]] | Sequence[Mapping[str, Any]]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One of the tasks that a campaign walks.

    Attributes
    ----------
    name : str
        The variant of its windows; `ONLY_VARIANT` where the file has no ``vary``.
    task : dict
        Its template.
    origins : mapping of tuple to tuple
        For each place of the task that was set by ``vary``, where in the file its value stands.
    needs : Needs or None
        What its windows need of a worker, in place of what the campaign says; None where it says nothing of its own.
    """

    name: str
    task: Task
    origins: Mapping[KeyPath, KeyPath] = field(default_factory=dict)
    needs: Needs | None = None

    def find_origin(self, keys: KeyPath) -> KeyPath:
        """Return where the file says the value at `keys` of this member's configuration."""
        return find_origin(self.origins, keys)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Places:
    """Says where in the file a part of ``vary`` stands, if there is a file."""

    document: YamlDocument | None

    def problem(self, message: str, keys: KeyPath, *, on_key: bool = False, hint: str | None = None) -> ConfigError:
        """Return the error of the value at `keys`, or of the key itself."""
        if self.document is None:
            return ConfigError(message, hint=hint)
        locate = self.document.locate_key if on_key else self.document.locate
        return ConfigError(f"{locate(keys)}: {message}", hint=hint)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Choice:
    """A value for one dotted key, and where the file has the value and the key."""

    key: str
    value: Any
    keys: KeyPath
    key_keys: KeyPath


def list_members(config: CampaignConfig, *, locate: Callable[[KeyPath], str] | None = None) -> tuple[Member, ...]:
    """Return the members of a campaign, in the order of its file; a generator of the user's own is run for it.

    Parameters
    ----------
    config : CampaignConfig
    locate : callable, optional
        Returns file, line and column of a key of the configuration, for errors.

    Raises
    ------
    ConfigError
        As `expand_members` and `make_members`; and when a generator fails, or makes what is no task.
    """
    template = config.template()
    if config.vary is None:
        return (Member(name=ONLY_VARIANT, task=template),)
    if not isinstance(config.vary, ObjectConfig):
        return expand_members(template, config.vary)
    try:
        return make_members(_run_generator(config.vary, template))
    except RollwrightError as error:
        if locate is not None:
            error.message = f"{locate((VARY,))}: {error.message}"
            error.args = (error.message, *error.args[1:])
        raise


def _run_generator(named: ObjectConfig, template: Task) -> list[Task]:
    """Return the tasks that a generator of the file makes, each as complete as the one it is given."""
    generator = init_instance_by_config(named.as_dict(), find_default_module("generator"), slot="generator")
    try:
        made = list(generator.generate(deepcopy(template)))
    except RollwrightError:
        raise
    except Exception as error:
        raise ConfigError(f"the generator `{named.class_}` failed: {type(error).__name__}: {error}") from error
    check = ObjectCheck(document=None)
    for place, task in enumerate(made):
        problems = _find_faults(task) or check_task(fill_paths(task), check)
        if problems:
            raise ConfigError(f"task {place} of the generator `{named.class_}` is none: {'; '.join(problems)}")
    return made


def _find_faults(task: object) -> list[str]:
    if not isinstance(task, dict):
        return [f"it is {type(task).__name__}, not a dictionary"]
    try:
        TaskConfig.model_validate({key: value for key, value in task.items() if key not in BESIDE_TASK})
    except ValidationError as error:
        return [f"`{'.'.join(str(key) for key in one['loc'])}`: {one['msg']}" for one in error.errors()]
    return []


def expand_members(template: Task, vary: Vary, document: YamlDocument | None = None) -> tuple[Member, ...]:
    """Return the members that a grid or a list makes of `template`, which is not changed.

    Parameters
    ----------
    template : dict
    vary : mapping or sequence
    document : YamlDocument, optional
        Of which errors tell file, line and column.

    Raises
    ------
    ConfigError
        For a key that leads nowhere, a value that cannot stand there, members that are the same, and more than
        `MAX_MEMBERS` of them.
    """
    places = _Places(document=document)
    rows = list(_combine_grid(vary, places) if isinstance(vary, Mapping) else _read_list(vary, places))
    tasks, origins = [], []
    for row in rows:
        task: Task = template
        origin: dict[KeyPath, KeyPath] = {}
        for choice in row:
            path, value = _read_target(task, choice, places)
            task = _assign(task, path, value, choice, places)
            origin["task", *(int(key) if key.isdecimal() else key for key in path)] = choice.keys
        tasks.append(task)
        origins.append(origin)
    _refuse_twins(tasks, [_describe_place(vary, place, row) for place, row in enumerate(rows)], places)
    names = name_members(tasks, _read_names(vary, places))
    needs = _read_needs(vary, places) or [None] * len(tasks)
    return tuple(
        Member(name=name, task=task, origins=origin, needs=need)
        for name, task, origin, need in zip(names, tasks, origins, needs, strict=True)
    )


def make_members(tasks: Sequence[Task]) -> tuple[Member, ...]:
    """Return the members that a generator made, named by what differs between them.

    Raises
    ------
    ConfigError
        When there are none, more than `MAX_MEMBERS`, or two are the same.
    """
    if not tasks:
        raise ConfigError("the generator of `vary` made no task")
    places = _Places(document=None)
    if len(tasks) > MAX_MEMBERS:
        raise _too_many(len(tasks), places)
    _refuse_twins(tasks, [(f"task {place} of the generator", (VARY,)) for place in range(len(tasks))], places)
    origin: Mapping[KeyPath, KeyPath] = {("task",): (VARY,)}
    return tuple(
        Member(name=name, task=task, origins=origin) for name, task in zip(name_members(tasks), tasks, strict=True)
    )


def _too_many(count: int, places: _Places) -> ConfigError:
    return places.problem(
        f"`vary` makes {count:,} members, and more than {MAX_MEMBERS:,} are taken for a mistake",
        (VARY,),
        hint="a grid grows by multiplication: vary less, or list the members that are meant",
    )


def _combine_grid(grid: Mapping[str, Sequence[Any]], places: _Places) -> Iterator[tuple[_Choice, ...]]:
    count = math.prod(len(values) for values in grid.values())
    if count > MAX_MEMBERS:
        raise _too_many(count, places)
    choices = [
        [
            _Choice(key=key, value=value, keys=(VARY, key, place), key_keys=(VARY, key))
            for place, value in enumerate(values)
        ]
        for key, values in grid.items()
    ]
    # What stands above is set first: `model` before `model.kwargs.seed`, whichever the file names first.
    order = sorted(range(len(choices)), key=lambda place: choices[place][0].key.count("."))
    for row in itertools.product(*choices):
        yield tuple(row[place] for place in order)


def _read_list(members: Sequence[Mapping[str, Any]], places: _Places) -> Iterator[tuple[_Choice, ...]]:
    if len(members) > MAX_MEMBERS:
        raise _too_many(len(members), places)
    for place, member in enumerate(members):
        row = [
            _Choice(key=key, value=value, keys=(VARY, place, key), key_keys=(VARY, place, key))
            for key, value in member.items()
            if key not in (NAME, NEEDS)
        ]
        yield tuple(sorted(row, key=lambda choice: choice.key.count(".")))


def _read_names(vary: Vary, places: _Places) -> list[str | None]:
    if isinstance(vary, Mapping):
        return []
    names: list[str | None] = []
    for place, member in enumerate(vary):
        name = member.get(NAME)
        if name is not None and not is_member_name(name):
            raise places.problem(f"{name!r} is no name of a member", (VARY, place, NAME), hint=MEMBER_NAME_RULE)
        if name is not None and name.casefold() in [other.casefold() for other in names if other is not None]:
            raise places.problem(f"two members are called `{name}`", (VARY, place, NAME))
        names.append(name)
    return names


def _read_needs(vary: Vary, places: _Places) -> list[Needs | None]:
    if isinstance(vary, Mapping):
        return []
    needs: list[Needs | None] = []
    for place, member in enumerate(vary):
        try:
            needs.append(read_needs_section(member[NEEDS]) if NEEDS in member else None)
        except ConfigError as error:
            raise places.problem(error.message, (VARY, place, NEEDS), hint=error.hint) from error
    return needs


def _read_target(task: Task, choice: _Choice, places: _Places) -> tuple[tuple[str, ...], Any]:
    """Return the path that a choice sets, and the value there: a horizon is a label of the handler."""
    key = choice.key.removeprefix("task.")  # as overrides of the command line write it
    path = tuple(key.split("."))
    root = path[0]
    if root not in ROOTS:
        near = nearest(root, ROOTS)
        meant = f"did you mean `{near}`?" if near else f"a key beneath `task` begins with {', '.join(ROOTS)}"
        raise places.problem(f"`vary` cannot set `{choice.key}`; {meant}", choice.key_keys, on_key=True)
    if root in (SEED, HORIZON) and len(path) > 1:
        raise places.problem(f"`{root}` has no parts, so there is no `{choice.key}`", choice.key_keys, on_key=True)
    if root == SEED:
        if isinstance(choice.value, bool) or not isinstance(choice.value, int) or choice.value < 0:
            raise places.problem(f"the seed {choice.value!r} is no whole number from 0", choice.keys)
        return path, choice.value
    if root != HORIZON:
        return path, choice.value
    horizon = choice.value
    if isinstance(horizon, bool) or not isinstance(horizon, int) or not 1 <= horizon <= _LONGEST_HORIZON:
        raise places.problem(
            f"the horizon {horizon!r} is no whole number of sessions from 1 to {_LONGEST_HORIZON:,}", choice.keys
        )
    if not isinstance(_look_up(task, _LABEL[:3]), Mapping):
        raise places.problem(
            "`horizon` writes the label of the handler, and this task has none by class, module_path and kwargs",
            choice.key_keys,
            on_key=True,
        )
    return _LABEL, [write_horizon_label(horizon)]


def _look_up(value: Any, path: Sequence[str]) -> Any:
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _assign(value: Any, path: Sequence[str], new: Any, choice: _Choice, places: _Places, above: str = "task") -> Any:
    """Return `value` with `new` at `path`; what is on the way is copied, so that no member shares what was set."""
    if not path:
        return new
    key, rest = path[0], path[1:]
    if key == "kwargs" and isinstance(value, str):
        value = {"class": value}
    if isinstance(value, list):
        if not (key.isdecimal() and int(key) < len(value)):
            raise _leads_nowhere(choice, places, f"`{key}` is no position of the list of {len(value)} at `{above}`")
        place = int(key)
        made = _assign(value[place], rest, new, choice, places, f"{above}.{key}")
        return [*value[:place], made, *value[place + 1 :]]
    if not isinstance(value, Mapping):
        raise _leads_nowhere(choice, places, f"`{above}` is {type(value).__name__}, which has no `{key}`")
    if rest and key not in value and not (key == "kwargs" and "class" in value):
        near = nearest(key, [str(name) for name in value])
        raise _leads_nowhere(
            choice, places, f"`{above}` has no `{key}`" + (f"; did you mean `{near}`?" if near else "")
        )
    inner = value.get(key)
    if inner is None and rest:
        inner = {}
    return {**value, key: _assign(inner, rest, new, choice, places, f"{above}.{key}")}


def _leads_nowhere(choice: _Choice, places: _Places, why: str) -> ConfigError:
    return places.problem(f"`vary` cannot set `{choice.key}`: {why}", choice.key_keys, on_key=True)


def _describe_place(vary: Vary, place: int, row: Sequence[_Choice]) -> tuple[str, KeyPath]:
    """Return how a message calls a member before it has a name, and where it stands."""
    if isinstance(vary, Mapping):
        return ", ".join(f"{choice.key}[{choice.keys[-1]}]" for choice in row), row[-1].keys if row else (VARY,)
    return f"vary[{place}]", (VARY, place)


def _refuse_twins(tasks: Sequence[Task], called: Sequence[tuple[str, KeyPath]], places: _Places) -> None:
    seen: dict[str, int] = {}
    for place, task in enumerate(tasks):
        try:
            identity = fingerprint({"member": task}, typed=True)
        except TaskValueError as error:
            raise places.problem(error.message, called[place][1], hint=error.hint) from error
        first = seen.setdefault(identity, place)
        if first != place:
            raise places.problem(
                f"two members are the same task: {called[first][0]}, and {called[place][0]}", called[place][1]
            )
