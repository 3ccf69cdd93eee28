"""Operators that read other instruments: cross-sections of a session, and another instrument's values.

A cross-section covers every instrument of the source that has a value on the session. It depends neither on the
instruments of the request nor on a universe; to leave instruments out, make their values NaN with ``If``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rollwright.errors import UnknownInstrumentError, nearest
from rollwright.expression.block import Block, Values
from rollwright.expression.operators.registry import Operator, Stage
from rollwright.expression.term import Term

__all__ = ["CROSS_SECTION"]

_Floats: TypeAlias = NDArray[np.float64]


def _refuse(_block: Block, term: Term) -> Values:
    raise AssertionError(f"{term} is computed by the engine, before the blocks")


def _all_instruments(_term: Term, instruments: tuple[str, ...]) -> tuple[str, ...]:
    return instruments


def _find_sections(inputs: Sequence[Values]) -> tuple[_Floats, NDArray[np.bool_], NDArray[np.intp]]:
    """Return the values, the mask of valid ones, and for each valid one the number of its section (session, group)."""
    values = inputs[0].astype(np.float64)
    valid = np.isfinite(values)
    rows = np.broadcast_to(np.arange(len(values))[:, None], values.shape)
    if len(inputs) == 1:
        return values, valid, rows[valid]
    valid &= np.isfinite(inputs[1])
    keys = np.stack([rows[valid].astype(np.float64), inputs[1][valid]], axis=1)
    _, sections = np.unique(keys, axis=0, return_inverse=True)
    return values, valid, sections.reshape(-1).astype(np.intp)


def _per_section(function: Callable[[_Floats, NDArray[np.intp]], _Floats]) -> Callable[[Sequence[Values]], Values]:
    def combine(inputs: Sequence[Values]) -> Values:
        values, valid, sections = _find_sections(inputs)
        result = np.full(values.shape, np.nan)
        if len(sections):
            result[valid] = function(values[valid], sections)
        return result

    return combine


def _rank(values: _Floats, sections: NDArray[np.intp]) -> _Floats:
    """Return average ranks among ties, divided by the size of the section.

    1. Sort by section and value, for all sections at a time.
    2. A rank is the place in the section, counted from 1.
    3. Values that are equal to the one before them belong to the same tie; all of a tie get its mean rank.
    4. Divide by the number of values in the section and write back in the original order.
    """
    order = np.lexsort((values, sections))
    ordered, section = values[order], sections[order]
    is_new = np.ones(len(order), np.bool_)
    is_new[1:] = section[1:] != section[:-1]
    starts = np.maximum.accumulate(np.where(is_new, np.arange(len(order)), 0))
    sizes = np.bincount(sections)[section]
    is_tied = ~is_new
    is_tied[1:] &= ordered[1:] == ordered[:-1]
    tie = np.cumsum(~is_tied) - 1
    place = np.arange(len(order)) - starts + 1.0
    result = np.empty(len(order))
    result[order] = (np.bincount(tie, place) / np.bincount(tie))[tie] / sizes
    return result


def _demean(values: _Floats, sections: NDArray[np.intp]) -> _Floats:
    """Return distances from the section's mean."""
    mean: _Floats = np.bincount(sections, values) / np.bincount(sections)
    distance: _Floats = values - mean[sections]
    return distance


def _zscore(values: _Floats, sections: NDArray[np.intp]) -> _Floats:
    """Return distances from the mean of the section in its standard deviations; NaN for one value or equal values."""
    distance = _demean(values, sections)
    variance = np.bincount(sections, distance * distance) / (np.bincount(sections) - 1.0)
    deviation = np.sqrt(variance)
    score: _Floats = distance / deviation[sections]
    return score


def _cross_section(name: str, function: Callable[[_Floats, NDArray[np.intp]], _Floats]) -> Operator:
    stage = Stage(columns=_all_instruments, combine=_per_section(function), is_per_column=True)
    return Operator(
        name=name, signature=("series", "series"), names=("feature", "group"), optional=1, compute=_refuse, stage=stage,
        axis="sessions",
    )  # fmt: skip


def _other(term: Term, instruments: tuple[str, ...]) -> tuple[str, ...]:
    wanted = str(term.literals[0])
    for name in (wanted, wanted.upper(), wanted.lower()):
        if name in instruments:
            return (name,)
    guess = nearest(wanted, instruments)
    raise UnknownInstrumentError(
        f"`{term}` reads instrument `{wanted}`, which the data does not have",
        hint=f"did you mean `{guess}`?" if guess else None,
    )


def _first_input(inputs: Sequence[Values]) -> Values:
    return inputs[0]


_OTHER: Final = Stage(columns=_other, combine=_first_input, is_per_column=False)

CROSS_SECTION: Final = (
    _cross_section("CSRank", _rank),
    _cross_section("CSZScore", _zscore),
    _cross_section("CSDemean", _demean),
    Operator(name="ChangeInstrument", signature=("name", "series"), compute=_refuse, stage=_OTHER, axis="sessions"),
    Operator(name="Mask", signature=("series", "name"), compute=_refuse, stage=_OTHER, axis="sessions"),
)
