"""Where the signatures of this package differ from those that Qlib's users know.

`qlib_signatures.json` holds what pyqlib 0.9.7 takes (see `extract_signatures.py`), `promised_calls.json` some calls
that must go through besides. Compared are the names, the order, the kinds and the defaults of arguments, and which
methods, properties and constants a class has. An argument of ours that Qlib lacks is fine while it is keyword-only and
has a default. Not compared: what a call returns, and attributes that a constructor sets.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from inspect import Parameter
from typing import Any, Final

import rollwright

__all__ = ["KINDS", "Difference", "compare_calls", "compare_names", "compare_signature"]

KINDS: Final = {
    "call": "a promised call is not taken",
    "constant": "the constant has another value",
    "default": "the argument has another default",
    "extra-position": "an argument that Qlib does not have can be given by position",
    "extra-required": "an argument must be given that Qlib does not have",
    "gathered": "the argument is taken by `**` only, so nothing says that it is known",
    "keyword-only": "the argument is not taken by position",
    "missing": "the argument is not taken",
    "no-args": "further positional arguments are not taken",
    "no-constant": "the constant is not here",
    "no-kwargs": "further keywords are not taken",
    "no-method": "the method is not here",
    "no-property": "the property is not here",
    "not-static": "it cannot be called without an instance",
    "position": "the argument stands in another place",
    "position-only": "the argument is not taken by keyword",
    "required": "the argument has no default here",
}
_NOTHING: Final[tuple[Any, ...]] = ([], {}, None)

Arguments = list[list[Any]]
Aliases = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Difference:
    """One difference: `name` is a function, a class (meaning its constructor) or `Class.method`."""

    name: str
    parameter: str = ""
    kind: str
    text: str = ""

    @property
    def key(self) -> tuple[str, str, str]:
        """What an entry of the allow-list is found by."""
        return self.name, self.parameter, self.kind

    def __str__(self) -> str:
        place = f"{self.name}({self.parameter})" if self.parameter else self.name
        return f"{place}: {self.kind}: {KINDS[self.kind]}{self.text and f' ({self.text})'}"


def compare_names(names: Mapping[str, Any], aliases: Aliases) -> Iterator[Difference]:
    """Yield what differs at every name of the table that is here, each difference once.

    A name that is not here yet is left out: `check_public_names.py` tells of it.
    """
    seen: set[Difference] = set()
    for name, entry in names.items():
        ours = _find_object(name, entry["module"], aliases)
        if ours is None:
            continue
        found = list(_compare_members(name, names, ours))
        if "call" in entry:
            found += compare_signature(name, entry["call"], ours, forwarded=entry.get("forwarded", []))
        yield from (difference for difference in found if difference not in seen)
        seen.update(found)


def compare_calls(calls: list[dict[str, Any]], aliases: Aliases) -> Iterator[Difference]:
    """Yield the promised calls that our objects do not take."""
    for call in calls:
        owner, _, method = call["name"].partition(".")
        ours = _find_object(owner, "", aliases)
        if ours is None:
            continue
        found = inspect.getattr_static(_class_of(ours), method, None) if method else ours
        if found is None:
            yield Difference(name=call["name"], kind="no-method")
            continue
        function = found.__func__ if isinstance(found, (staticmethod, classmethod)) else found
        instance = bool(method) and not isinstance(found, staticmethod)
        values = [None] * (call.get("positional", 0) + instance)
        try:
            inspect.signature(function).bind(*values, **dict.fromkeys(call.get("keywords", ())))
        except TypeError as error:
            yield Difference(name=call["name"], kind="call", text=str(error))


def compare_signature(
    name: str,
    wanted: Arguments,
    function: Callable[..., Any],
    *,
    forwarded: Arguments | None = None,
    bound: bool = False,
) -> Iterator[Difference]:
    """Yield where the signature of `function` differs from `wanted`.

    Parameters
    ----------
    name
        What the differences are told under.
    wanted
        The arguments in the table's form.
    function
        Ours; without its first argument if `bound`.
    forwarded
        Keywords that Qlib's constructor hands on to a base class without naming them.
    """
    if wanted and all(argument[0].startswith("*") for argument in wanted):
        return  # it gathers everything and names nothing: whoever overrides it decides what it takes
    comparison = _Comparison(name=name, wanted=wanted, forwarded=forwarded or [], function=function, bound=bound)
    yield from comparison.differences()


@dataclass(frozen=True, kw_only=True)
class _Comparison:
    """One signature beside the wanted one."""

    name: str
    wanted: Arguments
    forwarded: Arguments
    function: Callable[..., Any]
    bound: bool
    positional: Arguments = field(default_factory=list)
    keyword: Arguments = field(default_factory=list)

    def __post_init__(self) -> None:
        into = self.positional
        for argument in self.wanted:
            if argument[0].startswith("*"):
                into = self.keyword
            else:
                into.append(argument)

    @cached_property
    def ours(self) -> dict[str, Parameter]:
        """Our parameters by name."""
        return dict([*inspect.signature(self.function).parameters.items()][self.bound :])

    def differences(self) -> Iterator[Difference]:
        """Yield every difference: theirs one by one, then what gathers, then what only we have."""
        for place, argument in enumerate([*self.positional, *self.keyword, *self.forwarded]):
            yield from self._one(argument, place if place < len(self.positional) else None)
        if self._theirs_gather("*") and not self._gathers(Parameter.VAR_POSITIONAL):
            yield self._difference("*", "no-args")
        if self._theirs_gather("**") and not self._gathers(Parameter.VAR_KEYWORD):
            yield self._difference("**", "no-kwargs")
        yield from self._only_ours()

    def _one(self, argument: list[Any], place: int | None) -> Iterator[Difference]:
        name = argument[0]
        known = self.ours.get(name)
        if known is None or known.kind in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD):
            if not self._gathers(Parameter.VAR_KEYWORD):
                yield self._difference(name, "missing")
            elif place is not None or name not in _base_arguments(self.function):
                yield self._difference(name, "gathered")
            return
        if known.kind is Parameter.POSITIONAL_ONLY:
            yield self._difference(name, "position-only")
        if place is not None:
            yield from self._place(known, place)
        if len(argument) == 2:
            yield from self._default(known, argument[1])

    def _place(self, known: Parameter, place: int) -> Iterator[Difference]:
        if known.kind is Parameter.KEYWORD_ONLY:
            yield self._difference(known.name, "keyword-only")
            return
        here = [*self.ours].index(known.name)
        if here != place:
            yield self._difference(known.name, "position", f"{place + 1} there, {here + 1} here")

    def _default(self, known: Parameter, theirs: Any) -> Iterator[Difference]:
        if known.default is Parameter.empty:
            yield self._difference(known.name, "required", f"there {theirs!r}")
        elif not _same_default(theirs, _plain(known.default)):
            yield self._difference(known.name, "default", f"there {theirs!r}, here {known.default!r}")

    def _only_ours(self) -> Iterator[Difference]:
        theirs = {argument[0] for argument in [*self.wanted, *self.forwarded]}
        for extra in self.ours.values():
            if extra.name in theirs or extra.kind in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD):
                continue
            if extra.default is Parameter.empty:
                yield self._difference(extra.name, "extra-required")
            elif extra.kind is not Parameter.KEYWORD_ONLY and not self._theirs_gather("*"):
                yield self._difference(extra.name, "extra-position")

    def _theirs_gather(self, stars: str) -> bool:
        return any(
            name.startswith(stars) and name.strip("*") and name.count("*") == len(stars) for name, *_ in self.wanted
        )

    def _gathers(self, kind: Any) -> bool:
        return any(parameter.kind is kind for parameter in self.ours.values())

    def _difference(self, parameter: str, kind: str, text: str = "") -> Difference:
        return Difference(name=self.name, parameter=parameter, kind=kind, text=text)


def _compare_members(name: str, names: Mapping[str, Any], ours: Any) -> Iterator[Difference]:
    for method, (owner, wanted) in _members(name, names, "methods").items():
        static = method in names[owner].get("static", ())
        yield from _compare_method(f"{owner}.{method}", wanted, _class_of(ours), static=static)
    for attribute, (owner, _) in _members(name, names, "properties").items():
        if not hasattr(ours, attribute):
            yield Difference(name=f"{owner}.{attribute}", kind="no-property")
    for constant, (owner, value) in _members(name, names, "constants").items():
        if not hasattr(ours, constant):
            yield Difference(name=f"{owner}.{constant}", kind="no-constant")
        elif _plain(getattr(ours, constant)) != value:
            text = f"there {value!r}, here {getattr(ours, constant)!r}"
            yield Difference(name=f"{owner}.{constant}", kind="constant", text=text)


def _compare_method(place: str, wanted: Arguments, ours: type, *, static: bool) -> Iterator[Difference]:
    method = place.rpartition(".")[2]
    raw = inspect.getattr_static(ours, method, None)
    inherited = any(method in vars(base) for base in ours.__mro__)  # `__call__` of a class is also its metaclass's
    if raw is None or isinstance(raw, property) or not inherited:
        yield Difference(name=place, kind="no-method")
        return
    free = isinstance(raw, (staticmethod, classmethod))
    if static and not free:
        yield Difference(name=place, kind="not-static")
    yield from compare_signature(place, wanted, getattr(ours, method) if free else raw, bound=not free)


def _members(name: str, names: Mapping[str, Any], part: str) -> dict[str, tuple[str, Any]]:
    """Return the methods, properties or constants of a class, each with the class of the table that defines it."""
    found: dict[str, tuple[str, Any]] = {}
    for owner in (name, *names[name].get("bases", ())):
        listed = names[owner].get(part, {})
        for member in listed:
            found.setdefault(member, (owner, listed[member] if isinstance(listed, Mapping) else None))
    return found


def _find_object(name: str, module: str, aliases: Aliases) -> Any:
    """Return our object: from the top of the package, or from where a configuration finds it; None if it is nowhere."""
    if name in rollwright.__all__:
        return getattr(rollwright, name)
    for target in aliases.get(module, ()):
        found = getattr(importlib.import_module(target), name, None)
        if found is not None:
            return found
    return None


def _class_of(ours: Any) -> type:
    return ours if inspect.isclass(ours) else type(ours)


def _base_arguments(function: Callable[..., Any]) -> set[str]:
    """Return what the constructors of the base classes name, when `function` is a class that gathers keywords."""
    bases = function.__mro__[1:] if isinstance(function, type) else ()
    return {name for base in bases if "__init__" in vars(base) for name in inspect.signature(base).parameters}


def _plain(value: Any) -> Any:
    """Return a default as the table writes it."""
    if isinstance(value, (str, int, float, bool, type(None))):
        return value
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted(_plain(item) for item in value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    name = getattr(value, "__name__", None) or type(value).__name__
    return {"object": "function" if name == "<lambda>" else name}


def _same_default(theirs: Any, ours: Any) -> bool:
    """Tell whether two defaults are the same in effect: None and an empty collection are."""
    if theirs in _NOTHING and ours in _NOTHING:
        return True
    return type(theirs) is type(ours) and bool(theirs == ours)
