"""Terms as JSON: what was parsed once is built again without its text, for less than half the time.

``{"nodes": [node, …], "terms": [place, …]}``, where a node comes after those it reads, and is one of

- ``["field", name]``
- ``["period", name]``, a field by period
- ``["number", value]``
- ``["call", operator, [argument, …]]``; an argument is a constant, or ``[place]`` of a node.

What is built passes the checks of the operators again, so a file cannot say what no expression says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rollwright.core.canonical import JSON
from rollwright.expression.operators.catalogue import known_operators
from rollwright.expression.operators.registry import Operator
from rollwright.expression.term import Argument, Term, field, number, period, walk

__all__ = ["dump_terms", "load_terms"]


def dump_terms(terms: Sequence[Term], order: Sequence[Term] = ()) -> JSON:
    """Return terms in the form that `load_terms` reads; of `order`, which has all nodes, that is kept too.

    Terms with ``P`` have no such order: what is within is none of a plan's nodes.
    """
    places: dict[Term, int] = {}
    nodes: list[JSON] = []
    for term in order or walk(*terms, within=True):
        places[term] = len(nodes)
        nodes.append(_dump_node(term, places))
    return {"nodes": nodes, "terms": [places[term] for term in terms]}


def _dump_node(term: Term, places: Mapping[Term, int]) -> JSON:
    if term.kind == "number":
        return ["number", term.value]
    if term.kind != "call":
        return [term.kind, term.name]
    arguments: list[JSON] = [[places[part]] if isinstance(part, Term) else part for part in term.arguments]
    return ["call", term.name, arguments]


def load_terms(value: Any) -> tuple[tuple[Term, ...], tuple[Term, ...]]:
    """Return the terms that `dump_terms` was given, the same objects where they are still known; and all nodes.

    Raises
    ------
    ValueError
        For another form, and for a call of an operator that is not there or refuses its arguments.
    """
    try:
        operators = known_operators()
        nodes: list[Term] = []
        for node in value["nodes"]:
            nodes.append(_load_node(node, nodes, operators))
        terms = tuple(nodes[place] for place in value["terms"])
        if any(term.axis == "periods" for term in terms):
            raise ValueError("data by period have no value on a session")
        return terms, () if any(node.inner is not None for node in nodes) else tuple(nodes)
    except (LookupError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"these are no terms: {error!r}") from error


def _load_node(node: Sequence[Any], before: Sequence[Term], operators: Mapping[str, Operator]) -> Term:
    match node:
        case ["field", str(name)]:
            return field(name)
        case ["period", str(name)]:
            return period(name)
        case ["number", int(value) | float(value)]:
            return number(value)
        case ["call", str(name), [*given]]:
            arguments: list[Argument] = [before[part[0]] if isinstance(part, list) else part for part in given]
            operator = operators[name]
            if not len(operator.signature) - operator.optional <= len(arguments) <= len(operator.signature):
                raise ValueError(f"{len(arguments)} arguments of {name}")
            return operator.applied(tuple(arguments))
    raise ValueError(f"no node: {node!r:.80}")
