"""How far the features of a handler look back and ahead, told from their expressions before anything is read."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rollwright.dataset.handler import DataHandler
from rollwright.dataset.loader import DataLoader, DataLoaderDH, NestedDataLoader, QlibDataLoader
from rollwright.errors import LookAheadError
from rollwright.expression.parser import parse
from rollwright.expression.planner import calls_own_code, compile_plan
from rollwright.expression.term import UNBOUNDED, walk
from rollwright.features.panel import FieldGroup

__all__ = ["FeatureReach", "find_feature_reaches", "narrow_handler"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureReach:
    """What the expression of one column reads.

    Attributes
    ----------
    group : str or None
    name : str
        Of the column.
    expression : str
    lookback : int or None
        Sessions before its own; None when it reads the whole past of its series.
    lookahead : int
        Sessions after its own.

        .. warning:: **Look-ahead.** Above 0 in any group but ``label`` it is a leak.
    is_label : bool
        Whether it may look ahead.
    own_code : bool
        Whether it calls an operator of the user's own, of which only that operator knows what it reads.
    words : tuple of str
        The texts among its arguments: instruments that it names, as ``ChangeInstrument`` does, and whatever else.
    refusal : str or None
        Why it may be no feature, in the words with which computing it is refused.
    """

    group: str | None
    name: str
    expression: str
    lookback: int | None
    lookahead: int
    is_label: bool
    own_code: bool
    words: tuple[str, ...]
    refusal: str | None


def find_feature_reaches(handler: DataHandler) -> tuple[FeatureReach, ...]:
    """Return what the expressions of `handler`, and of the handlers inside it, read; reads no data.

    Raises
    ------
    ExpressionError
        For a text that is no expression.
    """
    return tuple(_of_loader(handler.data_loader))


def _of_loader(loader: DataLoader) -> Iterator[FeatureReach]:
    if isinstance(loader, DataLoaderDH):
        for inner in loader.handlers.values():
            yield from _of_loader(inner.data_loader)
    if isinstance(loader, NestedDataLoader):
        for part in loader.data_loader_l:
            yield from _of_loader(part)
    if isinstance(loader, QlibDataLoader):
        for group in loader.groups:
            for name, text in zip(group.names, group.expressions, strict=True):
                yield _reach_of(group.group, name, text, is_label=group.is_label)


def _reach_of(group: str | None, name: str, text: str, *, is_label: bool) -> FeatureReach:
    term = parse(text)
    refusal = None
    if term.lookahead and not is_label:
        try:
            compile_plan([text])
        except LookAheadError as error:
            refusal = error.message
    return FeatureReach(
        group=group,
        name=name,
        expression=text,
        lookback=term.lookback if term.lookback < UNBOUNDED else None,
        lookahead=term.lookahead,
        is_label=is_label,
        own_code=calls_own_code(term),
        words=tuple(sorted({word for part in walk(term) for word in part.literals if isinstance(word, str)})),
        refusal=refusal,
    )


def narrow_handler(handler: DataHandler, *, without: Iterable[FeatureReach], instruments: Iterable[str]) -> None:
    """Let `handler`, which has read nothing yet, load without some columns, and of a list of codes only some.

    So it does for the handlers inside it, of which it is given copies. Universes that are named stay as they are.
    """
    narrowing = _Narrowing(
        columns=frozenset((one.group, one.name) for one in without),
        instruments=frozenset(code.lower() for code in instruments),
    )
    narrowing.narrow(handler)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Narrowing:
    columns: frozenset[tuple[str | None, str]]
    instruments: frozenset[str]

    def narrow(self, handler: DataHandler) -> None:
        handler.instruments = self._cut_codes(handler.instruments)
        handler.data_loader = self._cut_loader(handler.data_loader)

    def _cut_codes(self, given: Any) -> Any:
        if isinstance(given, Mapping) and "market" in given:
            return {**given, "market": self._cut_codes(given["market"])}
        if isinstance(given, Mapping):
            return {code: ranges for code, ranges in given.items() if str(code).lower() in self.instruments}
        if isinstance(given, str) or not isinstance(given, Iterable):
            return given
        return [code for code in given if str(code).lower() in self.instruments]

    def _cut_loader(self, loader: DataLoader) -> DataLoader:
        made = copy.copy(loader)
        if isinstance(made, DataLoaderDH):
            made.handlers = {group: copy.copy(handler) for group, handler in made.handlers.items()}
            for handler in made.handlers.values():
                self.narrow(handler)
        if isinstance(made, NestedDataLoader):
            made.data_loader_l = [self._cut_loader(part) for part in made.data_loader_l]
        if isinstance(made, QlibDataLoader) and self.columns:
            kept = (_cut_group(group, self.columns) for group in made.groups)
            made.groups = tuple(group for group in kept if group is not None)
        return made


def _cut_group(group: FieldGroup, unwanted: frozenset[tuple[str | None, str]]) -> FieldGroup | None:
    keep = [number for number, name in enumerate(group.names) if (group.group, name) not in unwanted]
    if not keep:
        return None
    return FieldGroup(
        group=group.group,
        expressions=tuple(group.expressions[number] for number in keep),
        names=tuple(group.names[number] for number in keep),
    )
