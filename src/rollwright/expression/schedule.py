"""The order in which the nodes of a plan are computed, and the shared work that is dropped after each.

Any order that has inputs before their readers gives the same values. This one keeps little in memory, and what it
keeps was used a moment ago, so that it is still in the CPU cache:

1. From each output down, a node's inputs come before it, the ones with the deepest expressions first.
2. A call that shares work on its input (`Operator.shares`) is followed by all other calls that share work on that
   input, if nothing but elementwise work is missing for them. So ladders live for a moment, and one array for each call
   stays.
3. A reader that has all its inputs follows at once if it is an output, which is written and dropped, or if it is the
   last reader of an input, whose place in memory it takes.
4. After the last reader of a piece of shared work the piece is dropped, and after the last call that shares work on an
   input all work on that input. So it is where the next reader is far: what that one needs is computed again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from typing import Final, TypeAlias

from rollwright.expression.operators.catalogue import OPERATORS
from rollwright.expression.term import Term

__all__ = ["Piece", "arrange", "find_last_reads", "pieces_of"]

KEPT_NODES: Final = 32
"""Work that none of so many nodes reads is dropped until a later one does."""

Piece: TypeAlias = tuple[Term, object]
"""A source and the key of the work on it (`Block.share`); the key None stands for all work on the source."""


def pieces_of(term: Term) -> Iterator[Piece]:
    """Yield the shared work that a call reads."""
    if term.kind != "call":
        return
    for key in OPERATORS.operators[term.name].shares:
        if key == "cross":
            yield term.inputs[0], (key, term.inputs[1])
        else:
            yield from ((source, key) for source in term.inputs)


def _shares(term: Term) -> bool:
    return term.kind == "call" and bool(OPERATORS.operators[term.name].shares)


def arrange(outputs: Sequence[Term], nodes: Sequence[Term], leaves: Collection[Term]) -> tuple[Term, ...]:
    """Return `nodes` in the order in which to compute them.

    Parameters
    ----------
    outputs : sequence of Term
    nodes : sequence of Term
        Each once, inputs before their readers.
    leaves : collection of Term
        Nodes whose inputs are not among `nodes`.
    """
    return _Arrangement(outputs, nodes, leaves).run()


class _Arrangement:
    """The state of `arrange`: what is placed, and for each node how many inputs and readers are not."""

    def __init__(self, outputs: Sequence[Term], nodes: Sequence[Term], leaves: Collection[Term]) -> None:
        self._outputs = dict.fromkeys(outputs)
        self._inputs = {term: () if term in leaves else tuple(dict.fromkeys(term.inputs)) for term in nodes}
        self._readers: dict[Term, list[Term]] = defaultdict(list)
        self._depth: dict[Term, int] = {}
        self._is_light: dict[Term, bool] = {}
        for term in nodes:
            below = self._inputs[term]
            self._depth[term] = 1 + max((self._depth[source] for source in below), default=0)
            self._is_light[term] = not _shares(term) and all(self._is_light[source] for source in below)
            for source in below:
                self._readers[source].append(term)
        self._missing = {term: len(below) for term, below in self._inputs.items()}
        self._unread = {term: len(self._readers[term]) for term in nodes}
        self._placed: dict[Term, None] = {}

    def run(self) -> tuple[Term, ...]:
        """Place all nodes; the second of each pair says whether a call was reached as another's sibling."""
        stack = [(term, False) for term in reversed(self._outputs)]
        while stack:
            term, is_sibling = stack.pop()
            if term in self._placed:
                continue
            if self._missing[term]:
                missing = [source for source in self._inputs[term] if source not in self._placed]
                missing.sort(key=self._depth.__getitem__)
                stack.append((term, is_sibling))
                stack.extend((source, False) for source in missing)
                continue
            self._place(term)
            if not is_sibling and _shares(term):
                stack.extend((other, True) for other in self._siblings(term))
            stack.extend((reader, False) for reader in reversed(self._readers[term]) if self._follows(reader))
        return tuple(self._placed)

    def _place(self, term: Term) -> None:
        self._placed[term] = None
        for source in self._inputs[term]:
            self._unread[source] -= 1
        for reader in self._readers[term]:
            self._missing[reader] -= 1

    def _siblings(self, term: Term) -> list[Term]:
        found = {other: None for source in self._inputs[term] for other in self._readers[source] if _shares(other)}
        return [other for other in reversed(found) if other not in self._placed and self._is_near(other)]

    def _is_near(self, term: Term) -> bool:
        return all(source in self._placed or self._is_light[source] for source in self._inputs[term])

    def _follows(self, reader: Term) -> bool:
        if self._missing[reader] or reader in self._placed or _shares(reader):
            return False
        return reader in self._outputs or any(
            self._unread[source] == 1 and source.kind == "call" for source in self._inputs[reader]
        )


def find_last_reads(nodes: Sequence[Term], leaves: Collection[Term]) -> tuple[tuple[Piece, ...], ...]:
    """Return for each node the pieces of shared work to drop after it (step 4 of the module)."""
    last: dict[Piece, int] = {}
    after: dict[int, list[Piece]] = defaultdict(list)
    for place, term in enumerate(nodes):
        for source, key in () if term in leaves else pieces_of(term):
            for piece in ((source, key), (source, None)):
                before = last.get(piece, place)
                if place - before > KEPT_NODES:
                    after[before].append(piece)
                last[piece] = place
    for piece, place in last.items():
        after[place].append(piece)
    return tuple(tuple(after.get(place, ())) for place in range(len(nodes)))
