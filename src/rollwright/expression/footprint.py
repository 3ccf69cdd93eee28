"""How much memory the computation of a plan takes: its highest number of live bytes for each cell of a tile.

1. The nodes are gone through in their order, as the engine computes them.
2. A node's values live from the node to its last reader. They take 4 bytes a cell, 8 where a window made them, 1 for
   truth values.
3. A piece of shared work lives from its first reader to its last. What it takes follows from its levels (`ladder`): one
   for each width that the windows of its readers are merged from.
4. To the highest sum the arrays are added that an operator works with. Sorting takes what it takes, for however many
   cells (`quantiles`).

It is an estimate from above for inputs in which values are missing; without missing values counts take nothing. It
decides how large tiles are, and never a value.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

from rollwright.expression.ladder import levels_of
from rollwright.expression.planner import Plan, operator_of
from rollwright.expression.quantiles import WIRE_BYTES
from rollwright.expression.schedule import Piece, pieces_of
from rollwright.expression.term import Term

__all__ = ["Footprint", "estimate"]

SINGLE: Final = 4
DOUBLE: Final = 8
WORKING: Final = 4 * DOUBLE
"""Bytes a cell of the arrays that an operator works with while it computes."""
UNCOUNTED: Final = frozenset({"maxima", "minima", "present"})
"""Work that needs no counts of the valid rows of each window."""
CLEAN: Final = DOUBLE + 1
PLACES_KEPT: Final = 4
"""Of how many groups of fields by period a tile keeps which vintage is in force."""


class Footprint(NamedTuple):
    """What a tile takes: bytes for each of its cells, the rows before and after included, and bytes for any tile."""

    per_cell: int
    fixed: int


@lru_cache(maxsize=32)
def estimate(plan: Plan) -> Footprint:
    """Return what a tile of `plan` takes at most, without the values it gives to the consumer."""
    widths = _widths(plan)
    spells = _spells(plan, widths)
    starts: dict[int, int] = defaultdict(int)
    ends: dict[int, int] = defaultdict(int)
    for spell in spells:
        cost = _cost(spell.key, widths[spell.source], spell.windows)
        starts[spell.first] += cost
        ends[spell.last] += cost
    left = dict(plan.uses)
    outputs = {term: plan.terms.count(term) for term in plan.terms}
    live = highest = 0
    for place, term in enumerate(plan.nodes):
        live += starts[place] + widths[term]
        highest = max(highest, live)
        for source in () if term in plan.stages else term.inputs:
            left[source] -= 1
            if left[source] == 0:
                live -= widths[source]
        left[term] -= outputs.get(term, 0)
        if left[term] == 0:
            live -= widths[term]
        live -= ends[place]
    sorts = any(spell.key == "quantiles" for spell in spells)
    return Footprint(
        per_cell=highest + WORKING + (PLACES_KEPT * DOUBLE if plan.collapsed else 0),
        fixed=2 * WIRE_BYTES if sorts else 0,
    )


def _widths(plan: Plan) -> dict[Term, int]:
    widths: dict[Term, int] = {}
    for term in plan.nodes:
        if term.kind == "number":
            widths[term] = 0
        elif term.kind != "call" or term.inner is not None:
            widths[term] = SINGLE
        elif term in plan.stages or operator_of(term).shares:
            widths[term] = DOUBLE
        elif operator_of(term).is_logical:
            widths[term] = 1
        else:
            widths[term] = max(SINGLE, *(widths.get(source, 0) for source in term.inputs))
    return widths


@dataclass(slots=True, kw_only=True)
class _Spell:
    """A piece of shared work from its first reader to the one after which it is dropped."""

    source: Term
    key: object
    first: int
    last: int
    windows: list[int]


def _spells(plan: Plan, widths: Mapping[Term, int]) -> list[_Spell]:
    """Return the spells in which shared work is in memory, with the windows of its readers."""
    found: list[_Spell] = []
    open_spells: dict[Piece, _Spell] = {}
    for place, term in enumerate(plan.nodes):
        window = next((int(literal) for literal in term.literals if isinstance(literal, int)), 0)
        for source, key in () if term in plan.stages else pieces_of(term):
            if not _is_read(term, key, widths[source]):
                continue
            for piece in ((source, key), (source, None)):
                spell = open_spells.get(piece)
                if spell is None:
                    spell = _Spell(source=piece[0], key=piece[1], first=place, last=len(plan.nodes), windows=[])
                    open_spells[piece] = spell
                    found.append(spell)
                if piece[1] is not None or key not in UNCOUNTED:
                    spell.windows.append(window)
        for piece in plan.last_reads[place]:
            ended = open_spells.pop(piece, None)
            if ended is not None:
                ended.last = place
    return found


def _is_read(term: Term, key: object, width: int) -> bool:
    """Say whether a call reads a piece: one that names sums and moments reads the sums of single values only."""
    if "sums" not in operator_of(term).shares:
        return True
    return key == ("sums" if width < DOUBLE else "moments")


def _cost(key: object, width: int, windows: Iterable[int]) -> int:
    calls = list(windows)
    distinct = {window for window in calls if window}
    levels = len(levels_of(distinct))
    single = max(SINGLE, width)
    costs = {
        None: CLEAN + DOUBLE * (3 * levels + len(distinct)),  # the input without NaN, and its counts
        "sums": DOUBLE * levels,
        "moments": DOUBLE * (3 * levels + len(distinct)),
        "trend": DOUBLE * 4 * levels,
        "maxima": (2 * single + SINGLE) * levels,
        "minima": (2 * single + SINGLE) * levels,
        "quantiles": DOUBLE * len(calls),
        "ranks": 2 * (len(distinct) + 1),
        "present": DOUBLE * 3 * levels,
        "clean": 0,
    }
    if isinstance(key, tuple):
        return DOUBLE * levels
    return costs.get(key if key is None else str(key), DOUBLE)
