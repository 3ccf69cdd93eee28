"""Operators that read other instruments: cross-sections of a session, and another instrument's values.

A cross-section is over every instrument of the source that has a value on the session, so it depends neither on which
instruments are asked for nor on any universe; blank an instrument with ``If`` to leave it out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rollwright.errors import UnknownInstrumentError, nearest
from rollwright.expression.block import Block, Values
from rollwright.expression.operators.registry import Operator, Stage
from rollwright.expression.term import Term

__all__ = ["CROSS_SECTION"]

_Floats: TypeAlias = NDArray[np.float64]


def _staged(_block: Block, term: Term) -> Values:
    raise AssertionError(f"{term} is computed by the engine, before the block")


def _everybody(_term: Term, instruments: tuple[str, ...]) -> tuple[str, ...]:
    return instruments


def _sections(panels: _Floats) -> tuple[_Floats, NDArray[np.bool_], NDArray[np.intp]]:
    """Return the values, which of them count, and for those the number of their section: session and group."""
    values = panels[0]
    valid = np.isfinite(values)
    rows = np.broadcast_to(np.arange(len(values))[:, None], values.shape)
    if len(panels) == 1:
        return values, valid, rows[valid]
    valid &= np.isfinite(panels[1])
    keys = np.stack([rows[valid].astype(np.float64), panels[1][valid]], axis=1)
    _, sections = np.unique(keys, axis=0, return_inverse=True)
    return values, valid, sections.reshape(-1).astype(np.intp)


def _per_section(function: Callable[[_Floats, NDArray[np.intp]], _Floats]) -> Callable[[_Floats], _Floats]:
    def combine(panels: _Floats) -> _Floats:
        values, valid, sections = _sections(panels)
        result = np.full(values.shape, np.nan)
        if len(sections):
            result[valid] = function(values[valid], sections)
        return result

    return combine


def _rank(values: _Floats, sections: NDArray[np.intp]) -> _Floats:
    """Return average ranks among ties, as shares of the section."""
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
    """Return distances from the section's mean in its standard deviations; NaN for one value or equal ones."""
    distance = _demean(values, sections)
    variance = np.bincount(sections, distance * distance) / (np.bincount(sections) - 1.0)
    deviation = np.sqrt(variance)
    score: _Floats = distance / deviation[sections]
    return score


def _cross_section(name: str, function: Callable[[_Floats, NDArray[np.intp]], _Floats]) -> Operator:
    stage = Stage(columns=_everybody, combine=_per_section(function), is_per_column=True)
    return Operator(name=name, signature=("series", "series"), optional=1, compute=_staged, stage=stage)


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


def _as_it_is(panels: _Floats) -> _Floats:
    values: _Floats = panels[0]
    return values


_OTHER: Final = Stage(columns=_other, combine=_as_it_is, is_per_column=False)

CROSS_SECTION: Final = (
    _cross_section("CSRank", _rank),
    _cross_section("CSZScore", _zscore),
    _cross_section("CSDemean", _demean),
    Operator(name="ChangeInstrument", signature=("name", "series"), compute=_staged, stage=_OTHER),
    Operator(name="Mask", signature=("series", "name"), compute=_staged, stage=_OTHER),
)
