"""What makes two tasks the same (decision D16): what is learnt, and what is asked of it.

A definition is brought into one normal form before it is hashed, so that two spellings of one thing are one thing:

1. placeholders are filled,
2. names of other programs' modules become ours, and a class is named by where it is defined, whether it was written as
   ``class`` and ``module_path``, as a dotted name or bare in an argument that knows its module,
3. arguments that the constructor would have anyway are left out, and so is an empty ``kwargs``,
4. dates, tuples, paths and NumPy scalars become plain JSON.

From this form come two identities; `identify` brings it about once for all that depends on it. The **fit key** covers
the model, the dataset without the test segment and what serves it alone, the reweighter, the seed, the moment from
which the market is seen and the shards that learn apart: what was learnt. The **fingerprint** adds the test segment,
the records and all shards: what is asked of it. Tags, names and the environment are in neither.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from json.encoder import encode_basestring
from operator import is_
from typing import Any, Final, TypeAlias, TypeGuard, cast

from rollwright.config.class_source import ClassSource, find_class
from rollwright.config.construct import SAVED, Trust, translate_module
from rollwright.config.context import current_settings
from rollwright.config.placeholders import fill_paths
from rollwright.config.slots import find_default_module
from rollwright.core.allowance import MAX_BYTES
from rollwright.core.canonical import LEAF_WRITERS, canonical_json, fingerprint, normalise, sha256_hex
from rollwright.core.part_memo import PartMemo, Parts, is_plain_text
from rollwright.core.registry import SESSION_LOCAL
from rollwright.errors import CalendarError, ConfigError, TaskValueError
from rollwright.tasks.shards import PART, SHARD, SHARDS, read_sharding

__all__ = ["AS_OF", "TaskIdentity", "fit_key", "identify", "record_keys", "task_fingerprint", "task_seed"]

TEST_SEGMENT: Final = "test"
SEED: Final = "seed"
AS_OF: Final = "as_of"
_PARTS: Final = ("model", "dataset", "reweighter", "record", SEED)
_NOT_IDENTITY: Final = frozenset({"tags", "name", "experiment_name", "recorder_name", "environment"})
"""What names or routes a task and changes nothing of its result."""
_SHARED_OUT: Final = (SHARDS, SHARD, PART)
_PARTS_AND_NAMES: Final = _NOT_IDENTITY.union(_PARTS, _SHARED_OUT)
_JSON_LEAVES: Final = frozenset({str, int, float, bool, type(None)})
_COMPARABLE: Final = _JSON_LEAVES - {float}
_SEGMENTS: Final = ("segments",)  # contexts that are no slot's module
_DEFAULTS: Final = ("defaults",)
_Texts: TypeAlias = "dict[int, tuple[str, Any]]"
_OBJECT_KEYS: Final = frozenset({"class", "func", "module_path", "kwargs"})
_MODEL_SEEDS: Final = (SEED, "random_state")
_GIVEN_TO_RECORDS: Final = {"model": "<MODEL>", "dataset": "<DATASET>"}
_FIT_RANGE: Final = ("fit_start_time", "fit_end_time")


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskIdentity:
    """All that is derived from the normal form of one task.

    Attributes
    ----------
    fingerprint : str
        As `task_fingerprint`.
    fit_key : str
        As `fit_key`.
    record_keys : tuple of str
        As `record_keys`.
    seed : int
        As `task_seed`.
    """

    fingerprint: str
    fit_key: str
    record_keys: tuple[str, ...]
    seed: int


def identify(definition: Mapping[str, Any], *, trust: Trust | None = None) -> TaskIdentity:
    """Return all identities of a task that has a model and a dataset, at little more than the cost of one.

    Raises
    ------
    TaskValueError
        When a value has no JSON form, with its path.
    """
    with _placed_errors(definition):
        form = _task_form(definition, trust)
        return TaskIdentity(
            fingerprint=_fingerprint(form),
            fit_key=_fit_key(form),
            record_keys=_record_keys(form),
            seed=_draw_seed(form),
        )


def task_fingerprint(definition: Mapping[str, Any], *, trust: Trust | None = None, parts: Parts | None = None) -> str:
    """Return the identity of a task: the same for every spelling of what is to be learnt and made of it.

    A definition without ``model`` and ``dataset`` is any function's argument, and differs with every value in it.

    Parameters
    ----------
    definition : mapping
    trust : Trust, optional
        Where classes of the user's own are found; that of the current settings if not given.
    parts : Parts, optional
        Those of the definition, when more is asked of them.

    Raises
    ------
    TaskValueError
        When a value has no JSON form, with its path.
    """
    if not _is_learning(definition):
        return fingerprint(definition, typed=True)
    with _placed_errors(definition):
        return _fingerprint(_task_form(definition, trust, parts))


def fit_key(definition: Mapping[str, Any], *, trust: Trust | None = None) -> str:
    """Return the identity of what the task `definition` learns; its records, names and test segment are not in it."""
    return _fit_key(_task_form(definition, trust))


def record_keys(definition: Mapping[str, Any], *, trust: Trust | None = None) -> tuple[str, ...]:
    """Return the identity of each record that is asked for, in order: its configuration, and the data it is made on."""
    return _record_keys(_task_form(definition, trust))


def task_seed(definition: Mapping[str, Any], *, trust: Trust | None = None) -> int:
    """Return the seed of a task: from the campaign's seed, the model, and the segments that are not tested (D18)."""
    return _draw_seed(_task_form(definition, trust))


@contextmanager
def _placed_errors(definition: Mapping[str, Any]) -> Iterator[None]:
    """Let a value without a JSON form be told by where it stands in the definition, not in its normal form."""
    try:
        yield
    except (TaskValueError, RecursionError, TypeError):
        canonical_json(definition, typed=True)
        raise


@dataclass(frozen=True, slots=True, kw_only=True)
class _Form:
    """The normal form of a task.

    Attributes
    ----------
    parts : dict
        What is learnt and what is asked: every part but names and tags. Parts may be shared, so nobody changes them.
    texts : mapping or None
        The canonical JSON of some of the dictionaries and lists in it, by their `id`, each with what has that id; None
        when not all of the form is canonical JSON already, and has to be looked at before it is hashed.
    """

    parts: dict[str, Any]
    texts: _Texts | None

    def hash(self, value: Mapping[str, Any]) -> str:
        """Return the identity of what was made of the parts."""
        if self.texts is not None:
            text = _write(value, self.texts)
            if len(text) < MAX_BYTES // 4:  # characters have up to four bytes
                return sha256_hex(text.encode())
        return fingerprint(value, typed=True)


def _write(value: Any, texts: _Texts) -> str:
    """Return the canonical text of a form that is canonical JSON."""
    if id(value) in texts:
        return texts[id(value)][0]
    if type(value) is not dict:
        return f"[{','.join([_write_item(item, texts) for item in value])}]"
    return f"{{{','.join([f'{encode_basestring(key)}:{_write_item(value[key], texts)}' for key in sorted(value)])}}}"


def _write_item(value: Any, texts: _Texts) -> str:
    write = LEAF_WRITERS.get(type(value))
    return _write(value, texts) if write is None else write(value)


def _task_form(definition: Mapping[str, Any], trust: Trust | None, parts: Parts | None = None) -> _Form:
    """Return the normal form of a task: quickly if its parts are plain and known, else with care."""
    trust = trust if trust is not None else Trust.from_settings(current_settings())
    parts = Parts(definition) if parts is None else parts
    if parts.is_simple:
        with suppress(_NeedsCareError):
            return _Normaliser(trust, _memo_of(trust), parts).task(definition)
    return _Normaliser(trust).task(_filled(definition))


def _fingerprint(form: _Form) -> str:
    return form.hash({"task": form.parts})


def _fit_key(form: _Form) -> str:
    """Return the identity of the parts that the fitted model depends on."""
    kept = {key: form.parts[key] for key in ("model", "reweighter", SEED, AS_OF) if key in form.parts}
    return form.hash({"fit": {**kept, **_learnt_separately(form), "dataset": _without_test(form.parts["dataset"])}})


def _record_keys(form: _Form) -> tuple[str, ...]:
    shared_out: dict[str, Any] = {key: form.parts[key] for key in (SHARDS, PART) if key in form.parts}
    return tuple(
        form.hash({"record": item, "dataset": form.parts["dataset"], **shared_out}) for item in form.parts["record"]
    )


def _learnt_separately(form: _Form) -> dict[str, Any]:
    """Return what the shards of a task, or one shard, learn apart; nothing where one model serves all."""
    shards, part = form.parts.get(SHARDS), form.parts.get(PART)
    found: dict[str, Any] = {}
    if isinstance(shards, Mapping) and shards.get("separate_models") is not False:
        found[SHARDS] = shards
    if isinstance(part, Mapping) and part.get("mode") == "fit":
        found[PART] = part
    return found


def _one_spelling(task: Mapping[str, Any]) -> Any:
    """Return the shards of a task in the one form of all their spellings; what cannot be read stands for itself."""
    try:
        sharding = read_sharding(task)
    except ConfigError:
        return task[SHARDS]
    return task[SHARDS] if sharding is None else sharding.identify()


def _draw_seed(form: _Form) -> int:
    parts = form.parts
    segments = _kwargs(parts["dataset"]).get("segments")
    if isinstance(segments, Mapping):
        data: Any = {role: pair for role, pair in segments.items() if role != TEST_SEGMENT}
    else:  # a dataset that is cut in another way: all that it is learnt from tells two windows apart
        data = _without_test(parts["dataset"])
    drawn = {SEED: parts.get(SEED, 0), "model": parts["model"], "data": data}
    return int(form.hash({"draw": drawn})[:8], 16) & 0x7FFFFFFF


@lru_cache(maxsize=8)
def _memo_of(trust: Trust) -> PartMemo[tuple[Any, str]]:
    """Return the normal forms of parts in whose classes `trust` is put, with their texts."""
    del trust
    return PartMemo()


class _NeedsCareError(Exception):
    """What a memo cannot do: placeholders, and values that have a typed form only or none."""


class _Normaliser:
    """Brings a definition into normal form; one for each call, so that no file is looked at twice for one answer.

    Parameters
    ----------
    trust : Trust
    memo : PartMemo, optional
        Forms of parts that nothing else decides: they hold nothing but JSON's own types, no placeholder, and no class
        of a file beside the configuration, which somebody may be changing. With it, a placeholder, and what has no JSON
        form, ends in `_NeedsCareError`.
    within : Parts, optional
        Those of the definition; with a memo.
    """

    def __init__(
        self, trust: Trust, memo: PartMemo[tuple[Any, str]] | None = None, within: Parts | None = None
    ) -> None:
        self.trust = trust
        self.memo = memo
        self.within = within
        self.texts: _Texts = {}
        self.files = 0
        """How many classes of files were met so far."""

    def task(self, task: Mapping[str, Any]) -> _Form:
        """Return the normal form of a task whose placeholders are filled, or that has none."""
        form: dict[str, Any] = {
            self.text(key): self.leaf(value) for key, value in task.items() if key not in _PARTS_AND_NAMES
        }
        form["model"] = self.value(task["model"], "")
        form["dataset"] = self.value(task["dataset"], "")
        records = task.get("record")
        items = records if isinstance(records, list | tuple) else [] if records is None else [records]
        form["record"] = [_without_given(self.value(item, find_default_module("record"))) for item in items]
        if task.get("reweighter") is not None:
            form["reweighter"] = self.value(task["reweighter"], "")
        if (seed := self._seed(task, form["model"])) is not None:
            form[SEED] = seed
        for key in _SHARED_OUT:
            if task.get(key) is not None:
                form[key] = self.value(_one_spelling(task) if key == SHARDS else task[key], None)
        return _Form(parts=form, texts=None if self.memo is None else self.texts)

    def _seed(self, task: Mapping[str, Any], model: Any) -> Any:
        """Return the campaign's seed where it decides anything: not 0, and the model names none of its own."""
        seed = self.leaf(task.get(SEED))
        own = any(_kwargs(model).get(name) is not None for name in _MODEL_SEEDS)
        shards = task.get(SHARDS)
        own |= isinstance(shards, Mapping) and shards.get("by") == "seeds"  # each shard has one, which is told there
        return None if own or not seed else seed

    def value(self, value: Any, slot: str | None) -> Any:
        """Return `value` in normal form; `slot` is where a bare class of it is found, None when it is no object."""
        if slot is not None and isinstance(value, str) and not value.startswith(("<", SAVED)):
            return self._object({"class": value}, slot)
        if type(value) in _JSON_LEAVES or not isinstance(value, Mapping | list | tuple):
            return self.leaf(value)
        return self._remembered(value, slot, lambda: self._container(value, slot))

    def text(self, text: Any) -> Any:
        """Return a key or a name as it is."""
        if self.memo is not None and (type(text) is not str or not is_plain_text(text)):
            raise _NeedsCareError
        return text

    def leaf(self, value: Any) -> Any:
        """Return the JSON form of a value; one that has a typed form only stays as it is, until all is hashed.

        Raises
        ------
        TaskValueError
        """
        kind = type(value)
        if self.memo is not None:
            if kind is str:
                if is_plain_text(value):
                    return value
                raise _NeedsCareError
            if kind not in _JSON_LEAVES and isinstance(value, Mapping | list | tuple | str):
                raise _NeedsCareError
        try:
            return normalise(value)
        except TaskValueError as error:
            if self.memo is not None:
                raise _NeedsCareError from error
            normalise(value, typed=True)
            return value

    def _remembered(self, part: Any, context: Hashable, make: Callable[[], Any]) -> Any:
        """Return what `make` makes of a part in its context, remembered where that is always the same."""
        content = None if self.within is None else self.within.content(part)
        if self.memo is None or content is None:
            return make()
        known = self.memo.get(context, content)
        if known is not None:
            self.texts[id(known[0])] = known[1], known[0]
            return known[0]
        before = self.files
        found = make()
        if self.files == before:
            text = _write(found, self.texts)
            self.texts[id(found)] = text, found
            self.memo.put(context, content, (found, text))
        return found

    def _container(self, value: Any, slot: str | None) -> Any:
        if _is_object(value):
            return self._object(value, slot or "")
        if isinstance(value, Mapping):
            return {self.text(key): self._argument(key, item, slot) for key, item in value.items()}
        return [self.value(item, slot) for item in value]

    def _argument(self, key: Any, item: Any, slot: str | None) -> Any:
        if key == "segments" and isinstance(item, Mapping):
            return self._remembered(
                item, _SEGMENTS, lambda: {self.text(role): self._dates(pair) for role, pair in item.items()}
            )
        return self.value(item, find_default_module(key) or slot if isinstance(key, str) else slot)

    def _dates(self, pair: Any) -> Any:
        """Return the ends of a segment in one spelling; what is no date stays as it is."""
        return [self._date(end) for end in pair] if isinstance(pair, list | tuple) else self.leaf(pair)

    def _date(self, end: Any) -> Any:
        try:
            return normalise(_to_session(end))
        except CalendarError:
            return self.leaf(end)

    def _object(self, config: Mapping[str, Any], slot: str) -> dict[str, Any]:
        if self.memo is not None and type(config.get("module_path") or "") is not str:
            raise _NeedsCareError
        name, module = _spelled(config, slot)
        if not module:
            return {key: self.value(item, None) for key, item in config.items()}
        found = self._find(self.text(module), self.text(name))
        given = config.get("kwargs") or {}
        kwargs = {self.text(key): self._argument(key, item, None) for key, item in given.items()}
        if found is not None:
            defaults = self._defaults(found, kwargs)
            kwargs = {
                key: item for key, item in kwargs.items() if key not in defaults or not _same(item, defaults[key])
            }
            form: dict[str, Any] = {"class": found.name, "module_path": found.module}
        else:
            targets = translate_module(module)
            form = {"class": name, "module_path": targets[0] if len(targets) == 1 else module}
        return {**form, "kwargs": kwargs} if kwargs else form

    def _defaults(self, found: ClassSource, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the defaults of a class in normal form: of the arguments that are given, or of all."""
        name = f"{found.module}.{found.name}"
        known = None if self.memo is None else self.memo.get(_DEFAULTS, name)
        if known is not None:
            return cast("Mapping[str, Any]", known[0])
        other = _Normaliser(self.trust)  # they are no parts of the definition
        keeps = self.memo is not None and not found.module.endswith(".py")
        defaults = {
            key: other._argument(key, item, None) for key, item in found.defaults.items() if keeps or key in given
        }
        self.files += other.files
        if self.memo is not None and keeps and not other.files:
            self.memo.put(_DEFAULTS, name, (defaults, ""))
        return defaults

    def _find(self, module: str, name: str) -> ClassSource | None:
        if module.endswith(".py"):
            self.files += 1
        found = (find_class(target, name, self.trust) for target in translate_module(module))
        return next((one for one in found if one is not None), None)


def _is_learning(definition: Mapping[str, Any]) -> bool:
    return all(isinstance(definition.get(part), Mapping | str) for part in ("model", "dataset"))


def _filled(definition: Mapping[str, Any]) -> dict[str, Any]:
    """Return the definition with its placeholders filled; one that leads nowhere stands for itself."""
    try:
        return fill_paths(definition)
    except TaskValueError:  # of any size, it would be walked through again below
        raise
    except ConfigError:
        return dict(definition)


def _is_object(value: Any) -> TypeGuard[Mapping[str, Any]]:
    if not isinstance(value, Mapping) or not set(value) <= _OBJECT_KEYS:
        return False
    named = isinstance(value.get("class", value.get("func")), str)
    return named and isinstance(value.get("kwargs") or {}, Mapping)


def _spelled(config: Mapping[str, Any], slot: str) -> tuple[str, str]:
    """Return the class and the module that a configuration names, in whichever way it does."""
    name = str(config.get("class", config.get("func")))
    module = config.get("module_path") or ""
    if not module and "." in name and not name.startswith(SAVED):
        module, _, name = name.rpartition(".")
    module = str(module or slot)
    return name, module.removeprefix("./") if module.endswith(".py") else module


def _same(one: Any, other: Any) -> bool:
    if type(one) is not type(other):  # 1, 1.0 and True differ
        return False
    if type(one) in _COMPARABLE:
        return bool(one == other)
    return canonical_json({"": one}, typed=True) == canonical_json({"": other}, typed=True)


def _to_session(value: Any) -> Any:
    from rollwright.calendar.trading import to_session  # noqa: PLC0415 - pandas, which who looks into a pool does without

    return to_session(value)


def _without_given(record: Any) -> Any:
    """Leave out the model and the dataset that every record is given anyway."""
    given = _kwargs(record)
    if not given:
        return record
    kwargs = {key: item for key, item in given.items() if _GIVEN_TO_RECORDS.get(key) != item}
    bare = {key: item for key, item in record.items() if key != "kwargs"}
    return {**bare, "kwargs": kwargs} if kwargs else bare


def _kwargs(form: Any) -> Mapping[str, Any]:
    kwargs = form.get("kwargs") if isinstance(form, Mapping) else None
    return kwargs if isinstance(kwargs, Mapping) else {}


def _without_test(dataset: Any) -> Any:
    """Return a dataset in normal form without what serves its test segment alone.

    Handlers reach to the end of test (`handler_mod`), which changes nothing of what is learnt, if

    1. every object the dataset is made of is known to give each session the same whatever comes after, and
    2. no processor learns from an open range, or from one that the end of the handler cuts.

    Else the handler's range stays: it may have decided what was learnt.
    """
    kwargs = dict(_kwargs(dataset))
    segments = kwargs.get("segments")
    if isinstance(segments, Mapping):
        kwargs["segments"] = {role: pair for role, pair in segments.items() if role != TEST_SEGMENT}
    if kwargs:
        dataset = {**dataset, "kwargs": kwargs}
    forms = [*_objects(dataset)]
    ends = [end for form in forms for end in _extents(form)]
    fits = [_kwargs(form)[key] for form in forms for key in _FIT_RANGE if key in _kwargs(form)]
    is_local = all(SESSION_LOCAL.get(f"{form['module_path']}.{form['class']}") for form in forms)
    if not is_local or any(not _is_within(fit, ends) for fit in fits):
        return dataset
    return _cut(dataset)


def _objects(form: Any) -> Iterator[Mapping[str, Any]]:
    """Yield every object of a configuration in normal form."""
    if isinstance(form, dict):
        if _is_object(form) and "module_path" in form:
            yield form
        for item in form.values():
            yield from _objects(item)
    elif isinstance(form, list):
        for item in form:
            yield from _objects(item)


def _extents(form: Mapping[str, Any]) -> Iterator[Any]:
    entry = SESSION_LOCAL.get(f"{form['module_path']}.{form['class']}")
    for argument in () if entry is None else entry.targets:
        if _kwargs(form).get(argument) is not None:
            yield _kwargs(form)[argument]


def _is_within(fit: Any, ends: list[Any]) -> bool:
    """Tell whether an end of a fit range is given and lies before every end of the data."""
    try:
        return fit is not None and all(_to_session(fit) <= _to_session(end) for end in ends)
    except CalendarError:
        return False


def _cut(form: Any) -> Any:
    """Return the configuration without the arguments that only say how far the data reach; itself if it has none."""
    if isinstance(form, list):
        items = [_cut(item) for item in form]
        return form if all(map(is_, items, form)) else items
    if not isinstance(form, dict):
        return form
    cut = {key: _cut(item) for key, item in form.items()}
    if all(map(is_, cut.values(), form.values())):
        cut = form
    entry = SESSION_LOCAL.get(f"{form.get('module_path')}.{form.get('class')}")
    given = _kwargs(cut)
    if entry is None or not any(key in entry.targets for key in given):
        return cut
    kwargs = {key: item for key, item in given.items() if key not in entry.targets}
    return {**cut, "kwargs": kwargs} if kwargs else {key: item for key, item in cut.items() if key != "kwargs"}
