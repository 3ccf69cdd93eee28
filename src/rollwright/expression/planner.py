"""Query planner: many expressions become one graph in which every common sub-expression is computed once.

1. Each text is parsed to a term. Equal terms are one object (`term`), so common sub-expressions meet by themselves.
2. Terms that look ahead are refused, unless the caller allows it.
3. Terms that need other instruments (`Stage`) are set apart: their inputs become plans of their own, computed before.
4. The nodes of the graph are listed, inputs before what reads them, each once, in an order that keeps little in memory
   (`schedule`).
5. Each node is given the number of its readers, so that its values can be dropped after the last of them.
6. Calls that share work (the windows of one quantile or rank input) are collected, so that it is done once for all.
7. `Plan.margins` says how many rows before and after a block each node is needed on, from the outputs down.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from rollwright.errors import LookAheadError
from rollwright.expression.block import Family, Margin
from rollwright.expression.operators.catalogue import OPERATORS, known_operators
from rollwright.expression.operators.registry import Operator
from rollwright.expression.parser import parse
from rollwright.expression.schedule import Piece, arrange, find_last_reads
from rollwright.expression.term import UNBOUNDED, Constant, Term, walk

__all__ = ["Plan", "calls_own_code", "compile_plan", "operator_of", "plan_terms"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)  # one object is one plan, and quick to hash
class Plan:
    """What to compute for some expressions; independent of the market, the range of sessions and the instruments.

    Attributes
    ----------
    expressions : tuple of str
        Canonical texts, in the order given.
    terms : tuple of Term
        The same as terms.
    fields : tuple of str
        The fields read, without ``$``, sorted.
    periods : tuple of str
        The fields by period read, without ``$$``, sorted.
    lookback, lookahead : int
        How many sessions before and after its own a value may read; `UNBOUNDED` look-back means the whole past.

        .. warning:: **Look-ahead.** Above 0 some values are not known on their own session.
    nodes : tuple of Term
        Every term to compute, inputs first, each once. The terms below a staged term belong to its stage.
    last_reads : tuple
        For each node the shared work that no later node reads.
    uses : mapping
        How often each node is read.
    calls : mapping
        For each family of operators that share work, the literals of its calls, ascending.
    stages : mapping of Term to Plan
        The terms that need other columns than their own, and the plans of their inputs.
    allows_lookahead : bool
        .. warning:: **Look-ahead.** Whether values may read later sessions, also those of operators of one's own.
    """

    expressions: tuple[str, ...]
    terms: tuple[Term, ...]
    fields: tuple[str, ...]
    periods: tuple[str, ...]
    lookback: int
    lookahead: int
    nodes: tuple[Term, ...]
    last_reads: tuple[tuple[Piece, ...], ...]
    uses: Mapping[Term, int]
    calls: Mapping[Family, tuple[tuple[Constant, ...], ...]]
    stages: Mapping[Term, Plan]
    allows_lookahead: bool = False

    @property
    def loaded(self) -> tuple[str, ...]:
        """The fields that are read outside of stages."""
        return tuple(term.name for term in self.nodes if term.kind == "field")

    @property
    def collapsed(self) -> tuple[Term, ...]:
        """The calls of ``P`` and ``PRef`` outside of stages, each once."""
        return tuple(term for term in self.nodes if term.inner is not None)

    def margins(self, start: int) -> dict[Term, Margin]:
        """Return how many rows before and after a block each node must be computed on.

        1. An output is needed on the rows of the block itself.
        2. From the last node to the first: an input is needed on the rows of its reader, extended by how far the reader
           looks back and ahead. For a reader of the whole past, that is back to the first session.
        3. With several readers, the widest margin holds.

        Parameters
        ----------
        start : int
            Calendar position of the first row of the block.
        """
        margins = dict.fromkeys(self.nodes, Margin(0, 0))
        for term in reversed(self.nodes):
            before, after = margins[term]
            reaches_all = term.back >= UNBOUNDED
            for source in () if term in self.stages else term.inputs:
                wanted = margins[source]
                past = max(before, start) if reaches_all else before + term.back
                margins[source] = Margin(max(wanted.before, past), max(wanted.after, after + term.ahead))
        return margins


def operator_of(term: Term) -> Operator:
    """Return the operator of a call."""
    return OPERATORS.operators[term.name]


def calls_own_code(root: Term) -> bool:
    """Say whether an operator of the user's own is called anywhere in `root`."""
    return any(term.kind == "call" and operator_of(term).code for term in walk(root, within=True))


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
    known_operators()  # those that the settings name, too
    return _compile(tuple(expressions), allow_lookahead, OPERATORS.version)


@lru_cache(maxsize=32)
def _compile(expressions: tuple[str, ...], allow_lookahead: bool, _version: int) -> Plan:  # noqa: FBT001 - of a cache
    # the version of the table of operators is part of the key, so that registering one is seen
    return plan_terms(tuple(map(parse, expressions)), allow_lookahead=allow_lookahead)


def plan_terms(terms: tuple[Term, ...], *, order: tuple[Term, ...] = (), allow_lookahead: bool = False) -> Plan:
    """Return the plan of expressions that are parsed already, as `compile_plan` does.

    Parameters
    ----------
    terms : tuple of Term
    order : tuple of Term
        The nodes of an earlier plan of these terms, in which they are computed again; found anew if not given.
    allow_lookahead : bool

    Raises
    ------
    LookAheadError
        Naming the part that reads the future.
    """
    if not allow_lookahead:
        for term in terms:
            _refuse_lookahead(term)
    return _plan(terms, order=order, allows_lookahead=allow_lookahead)


def _refuse_lookahead(root: Term) -> None:
    if root.lookahead == 0:
        return
    culprit = next(term for term in walk(root) if term.ahead > 0)
    where = "" if culprit is root else f" in `{root}`"
    raise LookAheadError(
        f"`{culprit}`{where} reads {culprit.ahead} session{'s' * (culprit.ahead != 1)} ahead: it is not known yet",
        hint="in a label this is meant, and allowed; in a feature use a positive shift, which looks back",
    )


def _plan(terms: tuple[Term, ...], *, allows_lookahead: bool, order: tuple[Term, ...] = ()) -> Plan:
    staged = _find_staged(order or terms)
    nodes = order if order and not staged else arrange(terms, _walk_without_stages(terms, staged), staged)
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
        periods=tuple(sorted({name for term in terms for name in term.periods})),
        lookback=max((term.lookback for term in terms), default=0),
        lookahead=max((term.lookahead for term in terms), default=0),
        nodes=nodes,
        last_reads=find_last_reads(nodes, staged),
        uses=dict(uses),
        calls={family: tuple(sorted(found)) for family, found in calls.items()},
        stages={term: _plan(term.inputs, allows_lookahead=allows_lookahead) for term in nodes if term in staged},
        allows_lookahead=allows_lookahead,
    )


def _find_staged(terms: tuple[Term, ...]) -> frozenset[Term]:
    return frozenset(term for term in walk(*terms) if term.kind == "call" and operator_of(term).stage is not None)


def _walk_without_stages(terms: tuple[Term, ...], staged: frozenset[Term]) -> list[Term]:
    """Return the terms of `walk` without those that only staged terms read."""
    wanted = set(terms)
    for term in reversed(list(walk(*terms))):
        if term in wanted and term not in staged:
            wanted.update(term.inputs)
    return [term for term in walk(*terms) if term in wanted]
