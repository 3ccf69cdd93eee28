"""Filters of instruments, by name and by expression; their configurations are Qlib's."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rollwright.core.canonical import canonical_json
from rollwright.errors import ConfigError, UnknownSettingError
from rollwright.expression.engine import evaluate
from rollwright.expression.planner import compile_plan
from rollwright.features.filters import filter_configs
from rollwright.features.rows import RowLayout, spans_of_lifetimes
from rollwright.features.store.feature_store import Universe
from rollwright.market.source import DataSource

__all__ = ["filtered"]

KINDS: Final = {"NameDFilter": "name_rule_re", "ExpressionDFilter": "rule_expression"}
OPTIONS: Final = ("filter_type", "filter_start_time", "filter_end_time", "keep")


def filtered(universe: Universe, pipe: Sequence[Any], source: DataSource) -> Universe:
    """Return the part of `universe` that passes every filter, in order.

    .. warning:: **Look-ahead.** A rule is asked on each session about that session and its past; one that reads later
       sessions is refused.

    Parameters
    ----------
    universe : Universe
    pipe : sequence of SeriesDFilter, or of their configurations
        ``{"filter_type": "NameDFilter", "name_rule_re": …}`` keeps codes that begin with a match, as in Qlib;
        ``{"filter_type": "ExpressionDFilter", "rule_expression": …, "keep": False}`` keeps the sessions on which the
        expression is true. Both act between ``filter_start_time`` and ``filter_end_time`` and leave the rest as it is.
    source : DataSource

    Raises
    ------
    ConfigError
        For anything that is no such configuration.
    LookAheadError
        For a rule that reads later sessions.
    """
    rules = [_checked(rule) for rule in filter_configs(pipe)]
    calendar = source.calendar()
    codes = tuple(sorted(universe.lifetimes.keys() & set(source.instruments())))
    spans = spans_of_lifetimes(universe.lifetimes, codes, source.bounds(codes), calendar)
    alive = RowLayout(instruments=codes, spans=spans, sessions=calendar.known).alive(0, calendar.known)
    for rule in rules:
        window = calendar.known_part().positions(rule.get("filter_start_time"), rule.get("filter_end_time"))
        part = alive[window.start : window.stop]
        if rule["filter_type"] == "NameDFilter":
            part &= np.array([bool(re.match(rule["name_rule_re"], code)) for code in codes], dtype=np.bool_)
        else:
            truth = _truth(rule["rule_expression"], source, codes, window)
            # an instrument without any value in the window has nothing to be judged by
            judged = ~np.isnan(truth).all(axis=0) if rule.get("keep") else np.ones(len(codes), dtype=np.bool_)
            part &= (np.nan_to_num(truth) != 0) | ~judged
    days = calendar.to_index()
    lifetimes = {code: _ranges(alive[:, number], days) for number, code in enumerate(codes)}
    return Universe(
        name=f"{universe.name} {canonical_json(rules)}",
        lifetimes={code: ranges for code, ranges in lifetimes.items() if ranges},
    )


def _checked(rule: Mapping[str, Any]) -> dict[str, Any]:
    kind = str(rule.get("filter_type"))
    if kind not in KINDS:
        raise UnknownSettingError(kind, KINDS, where="the filter types")
    for name in rule:
        if name not in (*OPTIONS, KINDS[kind]):
            raise UnknownSettingError(name, (*OPTIONS, KINDS[kind]), where=kind)
    text = rule.get(KINDS[kind])
    if not isinstance(text, str):
        raise ConfigError(f"{kind} has no {KINDS[kind]}")
    if kind == "NameDFilter":
        try:
            re.compile(text)
        except re.error as error:
            raise ConfigError(f"{text!r} is no regular expression: {error}") from error
    return dict(rule)


def _truth(expression: str, source: DataSource, codes: tuple[str, ...], window: range) -> NDArray[np.float32]:
    truth = np.full((len(window), len(codes)), np.nan, dtype=np.float32)
    for tile in evaluate(compile_plan([expression]), source, instruments=codes, start=window.start, stop=window.stop):
        rows = slice(tile.rows.start - window.start, tile.rows.stop - window.start)
        truth[rows, tile.columns] = tile.values[0]
    return truth


def _ranges(alive: NDArray[np.bool_], days: pd.DatetimeIndex) -> tuple[tuple[pd.Timestamp, pd.Timestamp], ...]:
    steps = np.diff(np.concatenate([[False], alive, [False]]).astype(np.int8))
    starts, stops = np.flatnonzero(steps == 1), np.flatnonzero(steps == -1)
    return tuple((days[first], days[last - 1]) for first, last in zip(starts.tolist(), stops.tolist(), strict=True))
