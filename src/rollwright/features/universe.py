"""Universes: which instruments have rows on which sessions, by name, code, lifetimes or filters."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rollwright.core.canonical import canonical_json, sha256_hex
from rollwright.errors import ConfigError, UnknownInstrumentError, UnknownSettingError, nearest
from rollwright.expression.engine import evaluate
from rollwright.expression.planner import Plan, compile_plan
from rollwright.features.filters import filter_configs
from rollwright.features.generations import generation_of
from rollwright.features.name_rule import compile_name_rule
from rollwright.features.row_layout import RowLayout, spans_of_lifetimes
from rollwright.market.as_of import AsOf
from rollwright.market.source import DataSource, Lifetimes

__all__ = ["Universe", "apply_filters", "resolve_codes", "universe_of"]

_PLAIN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")
KINDS: Final = {"NameDFilter": "name_rule_re", "ExpressionDFilter": "rule_expression"}
OPTIONS: Final = ("filter_type", "filter_start_time", "filter_end_time", "keep")


@dataclass(frozen=True, slots=True, kw_only=True)
class Universe:
    """Which instruments have rows, and in which sessions.

    Attributes
    ----------
    name : str
        Stable over generations of the daily data, unlike the lifetimes: the name of a universe, or a text that lists
        its members.
    lifetimes : mapping
        Code to closed ranges of sessions.
    periods : tuple of str
        The fields by period that filters read to find them, without ``$$``.
    """

    name: str
    lifetimes: Lifetimes
    periods: tuple[str, ...] = ()

    @property
    def folder(self) -> str:
        """The name of its folder in the feature store."""
        digest = sha256_hex(self.name.encode())[:16]
        return f"{self.name}-{digest[:6]}" if _PLAIN.fullmatch(self.name) else digest


def universe_of(instruments: Any, source: DataSource) -> Universe | None:
    """Return the universe that a name, a configuration, codes or lifetimes describe; None means every instrument.

    Parameters
    ----------
    instruments : str, mapping, sequence of str or None
        A universe's name; ``{"market": name, "filter_pipe": filters, "as_of": date}``; codes; or codes with their
        closed ranges. With ``as_of`` the members are those that were known then.

        .. warning:: **Look-ahead.** Without ``as_of``, or a viewpoint on `source`, they are those of today.

    Raises
    ------
    UnknownInstrumentError
        For an unknown universe or code; carries the nearest.
    ConfigError
        For anything else, and an empty sequence.
    HoldoutSealedError
        For lifetimes that are given and name a session of the sealed holdout.
    """
    if instruments is None:
        return None
    if isinstance(instruments, str):
        return Universe(name=instruments, lifetimes=source.members(instruments))
    if isinstance(instruments, Mapping) and "market" in instruments:
        if instruments.get("as_of") is not None:
            return _known_then(
                {key: value for key, value in instruments.items() if key != "as_of"}, instruments["as_of"], source
            )
        market = universe_of(instruments["market"], source)
        pipe = instruments.get("filter_pipe") or ()
        return apply_filters(market, pipe, source) if pipe and market is not None else market
    if isinstance(instruments, Mapping):
        lifetimes = {
            str(code): tuple((pd.Timestamp(start), pd.Timestamp(end)) for start, end in ranges)
            for code, ranges in instruments.items()
        }
        for span in (span for spans in lifetimes.values() for span in spans):
            source.calendar().refuse_sealed(*span)
        spelled = resolve_codes(lifetimes, source)
        lifetimes = {code: lifetimes[asked] for code, asked in spelled.items()}
        text = canonical_json({code: [list(span) for span in spans] for code, spans in lifetimes.items()})
        return Universe(name=f"lifetimes {text}", lifetimes=lifetimes)
    codes = list(resolve_codes(list(instruments), source))
    calendar = source.calendar()
    return Universe(
        name=f"codes {canonical_json(sorted(codes))}",
        lifetimes=dict.fromkeys(sorted(codes), ((calendar.first, calendar.last),)),
    )


def _known_then(instruments: Mapping[str, Any], as_of: Any, source: DataSource) -> Universe | None:
    """Return the universe that a configuration describes, as it was known at `as_of`."""
    seen = AsOf(source, as_of)
    found = universe_of(instruments, seen)
    return None if found is None else Universe(name=f"{found.name} as of {seen.session}", lifetimes=found.lifetimes)


def resolve_codes(codes: Any, source: DataSource) -> dict[str, str]:
    """Return each instrument that `codes` name, as the source spells it, and how it was asked for: in any case.

    Raises
    ------
    UnknownInstrumentError
        For a code that the source does not have; carries the nearest.
    ConfigError
        For none at all, and for one that is no text.
    """
    if not codes:
        raise ConfigError("the list of instruments is empty", hint="give a universe's name, codes, or None for all")
    known = set(source.instruments())
    lowered = {} if all(code in known for code in codes) else {code.lower(): code for code in known}
    found: dict[str, str] = {}
    for code in codes:
        if not isinstance(code, str):
            raise ConfigError(
                f"instrument {code!r} is {type(code).__name__}, not text", hint='quote codes in YAML: "000001"'
            )
        name = code if code in known else lowered.get(code.lower())
        if name is None:
            suggestion = nearest(code, known)
            raise UnknownInstrumentError(
                f"there is no instrument `{code}`", hint=f"did you mean `{suggestion}`?" if suggestion else None
            )
        found.setdefault(name, code)
    return found


def apply_filters(universe: Universe, pipe: Sequence[Any], source: DataSource) -> Universe:
    """Return the part of `universe` that passes every filter, in order.

    1. List on which sessions each member has rows.
    2. For each filter, within its range of dates: remove instruments whose code does not match, or sessions on which
       its expression is false or NaN.
    3. Turn what is left into closed ranges of sessions.

    .. warning:: **Look-ahead.** A rule may read its session and the past; one that reads later sessions is refused.

    Parameters
    ----------
    universe : Universe
    pipe : sequence of SeriesDFilter, or of their configurations
        ``{"filter_type": "NameDFilter", "name_rule_re": …}`` keeps codes that begin with a match;
        ``{"filter_type": "ExpressionDFilter", "rule_expression": …, "keep": False}`` keeps the sessions on which the
        expression is true. Both act from ``filter_start_time`` to ``filter_end_time`` and leave other sessions alone.
    source : DataSource

    Raises
    ------
    ConfigError
        For anything else.
    LookAheadError
        For a rule that reads later sessions.
    """
    rules = [_check_rule(rule) for rule in filter_configs(pipe)]
    calendar = source.calendar()
    codes = tuple(sorted(universe.lifetimes.keys() & set(source.instruments())))
    spans = spans_of_lifetimes(universe.lifetimes, codes, source.bounds(codes), calendar)
    periods = set(universe.periods)
    alive = RowLayout(instruments=codes, spans=spans, sessions=calendar.known).has_row(0, calendar.known)
    for rule in rules:
        window = calendar.known_part().positions(rule.get("filter_start_time"), rule.get("filter_end_time"))
        part = alive[window.start : window.stop]
        if rule["filter_type"] == "NameDFilter":
            pattern = compile_name_rule(rule["name_rule_re"])
            part &= np.array([pattern.match(code) is not None for code in codes], dtype=np.bool_)
        else:
            plan = compile_plan([rule["rule_expression"]])
            periods.update(plan.periods)
            truth = _truth(plan, source, codes, window)
            # with `keep`, an instrument without any value in the window is not filtered
            judged = ~np.isnan(truth).all(axis=0) if rule.get("keep") else np.ones(len(codes), dtype=np.bool_)
            part &= (np.nan_to_num(truth) != 0) | ~judged
    days = calendar.to_index()
    lifetimes = {code: _ranges(alive[:, number], days) for number, code in enumerate(codes)}
    read = tuple(sorted(periods))
    known = f" {generation_of(source, read)}" if read else ""  # the same rule has other members when a report changes
    return Universe(
        name=f"{universe.name} {canonical_json(rules)}{known}",
        lifetimes={code: ranges for code, ranges in lifetimes.items() if ranges},
        periods=read,
    )


def _check_rule(rule: Mapping[str, Any]) -> dict[str, Any]:
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
        compile_name_rule(text)
    return dict(rule)


def _truth(plan: Plan, source: DataSource, codes: tuple[str, ...], window: range) -> NDArray[np.float32]:
    truth = np.full((len(window), len(codes)), np.nan, dtype=np.float32)
    for tile in evaluate(plan, source, instruments=codes, start=window.start, stop=window.stop):
        rows = slice(tile.rows.start - window.start, tile.rows.stop - window.start)
        truth[rows, tile.columns] = tile.values[0]
    return truth


def _ranges(alive: NDArray[np.bool_], days: pd.DatetimeIndex) -> tuple[tuple[pd.Timestamp, pd.Timestamp], ...]:
    steps = np.diff(np.concatenate([[False], alive, [False]]).astype(np.int8))
    starts, stops = np.flatnonzero(steps == 1), np.flatnonzero(steps == -1)
    return tuple((days[first], days[last - 1]) for first, last in zip(starts.tolist(), stops.tolist(), strict=True))
