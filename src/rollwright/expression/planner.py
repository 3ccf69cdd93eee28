"""Plans: many expressions made one graph, in which what they share is computed once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rollwright.errors import LookAheadError
from rollwright.expression.block import Family, Span
from rollwright.expression.operators.catalogue import OPERATORS
from rollwright.expression.operators.registry import Operator
from rollwright.expression.parser import parse
from rollwright.expression.term import UNBOUNDED, Constant, Term, walk

__all__ = ["Plan", "compile_plan", "operator_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to compute for some expressions, whatever the market, the range and the instruments.

    Attributes
    ----------
    expressions : tuple of str
        Canonical texts, in the order given.
    terms : tuple of Term
        The same as terms.
    fields : tuple of str
        The fields read, without ``$``, sorted.
    lookback, lookahead : int
        Sessions around its own that a value may read; `UNBOUNDED` look-back means the whole past.

        .. warning:: **Look-ahead.** Above 0 some values are not known on their own session.
    nodes : tuple of Term
        Every term to compute, inputs first, each once. What lies below a staged term belongs to the stage.
    uses : mapping
        How often each node is read.
    calls : mapping
        For each family of operators that share work, the literals of its calls, ascending.
    stages : mapping of Term to Plan
        The terms that need other columns than their own, and how to compute their inputs there.
    """

    expressions: tuple[str, ...]
    terms: tuple[Term, ...]
    fields: tuple[str, ...]
    lookback: int
    lookahead: int
    nodes: tuple[Term, ...]
    uses: Mapping[Term, int]
    calls: Mapping[Family, tuple[tuple[Constant, ...], ...]]
    stages: Mapping[Term, Plan]

    @property
    def loaded(self) -> tuple[str, ...]:
        """The fields read outside of stages."""
        return tuple(term.name for term in self.nodes if term.kind == "field")

    def spans(self, start: int) -> dict[Term, Span]:
        """Return which rows around a block that begins at the calendar position `start` each node is wanted on."""
        spans = dict.fromkeys(self.nodes, Span(0, 0))
        for term in reversed(self.nodes):
            before, after = spans[term]
            reaches_all = term.back >= UNBOUNDED
            for source in () if term in self.stages else term.inputs:
                wanted = spans[source]
                past = max(before, start) if reaches_all else before + term.back
                spans[source] = Span(max(wanted.before, past), max(wanted.after, after + term.ahead))
        return spans


def operator_of(term: Term) -> Operator:
    """Return the operator a call calls."""
    return OPERATORS.operators[term.name]


def compile_plan(expressions: Sequence[str], *, allow_lookahead: bool = False) -> Plan:
    """Return the plan of `expressions`.

    Parameters
    ----------
    expressions : sequence of str
    allow_lookahead : bool, default False
        .. warning:: **Look-ahead.** True lets values read sessions after their own. Labels need it; a feature that
           does is a leak.

    Raises
    ------
    ExpressionError
        For a text that is no expression.
    LookAheadError
        Naming the part that reads the future.
    """
    terms = tuple(parse(text) for text in expressions)
    if not allow_lookahead:
        for term in terms:
            _refuse_lookahead(term)
    return _plan(terms)


def _refuse_lookahead(root: Term) -> None:
    if root.lookahead == 0:
        return
    culprit = next(term for term in walk(root) if term.ahead > 0)
    where = "" if culprit is root else f" in `{root}`"
    raise LookAheadError(
        f"`{culprit}`{where} reads {culprit.ahead} session{'s' * (culprit.ahead != 1)} ahead: it is not known yet",
        hint="in a label this is meant, and allowed; in a feature use a positive shift, which looks back",
    )


def _plan(terms: tuple[Term, ...]) -> Plan:
    staged = _staged(terms)
    nodes = tuple(_walk_above(terms, staged))
    uses: dict[Term, int] = defaultdict(int)
    calls: dict[Family, set[tuple[Constant, ...]]] = defaultdict(set)
    for node in nodes:
        if node in staged:
            continue
        for source in node.inputs:
            uses[source] += 1
        family = operator_of(node).family if node.kind == "call" else None
        if family is not None:
            calls[(family, node.inputs)].add(node.literals)
    for term in terms:
        uses[term] += 1
    return Plan(
        expressions=tuple(term.text for term in terms),
        terms=terms,
        fields=tuple(sorted({name for term in terms for name in term.fields})),
        lookback=max((term.lookback for term in terms), default=0),
        lookahead=max((term.lookahead for term in terms), default=0),
        nodes=nodes,
        uses=dict(uses),
        calls={family: tuple(sorted(found)) for family, found in calls.items()},
        stages={term: _plan(term.inputs) for term in nodes if term in staged},
    )


def _staged(terms: tuple[Term, ...]) -> frozenset[Term]:
    return frozenset(term for term in walk(*terms) if term.kind == "call" and operator_of(term).stage is not None)


def _walk_above(terms: tuple[Term, ...], staged: frozenset[Term]) -> list[Term]:
    """Return the terms of `walk` without those only staged terms need."""
    wanted = set(terms)
    for term in reversed(list(walk(*terms))):
        if term in wanted and term not in staged:
            wanted.update(term.inputs)
    return [term for term in walk(*terms) if term in wanted]
