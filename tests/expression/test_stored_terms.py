"""Terms come back from JSON as the same objects, and nothing comes back that no expression says."""

from __future__ import annotations

import json

import pytest

from rollwright.expression.parser import parse
from rollwright.expression.planner import compile_plan, plan_terms
from rollwright.expression.stored_terms import dump_terms, load_terms

TEXTS = [
    "Mean($close,5)/$close",
    "Ref($close,-1)/$close-1",
    "Quantile($close,20,0.8)*-0.5",
    "If($close>$open,Mean($volume,0.2),0)",
    "Mask(ChangeInstrument('SH600000',$close),'SZ000001')",
    "Power(EMA($close,2.5),3)",
    "$close",
    "CSRank(P(Mean($$roe_q,4))/P($$roe_a))-PRef(SQ($$revenue_q)+Ref($$revenue_q,1),201803)",
]


def test_terms_come_back_as_the_same_objects() -> None:
    terms = tuple(map(parse, TEXTS))
    found, _ = load_terms(json.loads(json.dumps(dump_terms(terms))))
    assert all(one is other for one, other in zip(found, terms, strict=True))


def test_a_plan_of_terms_that_came_back_is_the_plan_of_the_texts() -> None:
    for texts in (TEXTS[:4], TEXTS, ["P($$roe_q)"]):  # without and with other instruments; by period
        plan = compile_plan(texts, allow_lookahead=True)
        order = () if plan.stages or plan.periods else plan.nodes
        terms, nodes = load_terms(json.loads(json.dumps(dump_terms(plan.terms, order))))
        again = plan_terms(terms, order=nodes, allow_lookahead=True)
        assert (again.nodes, again.last_reads, again.uses) == (plan.nodes, plan.last_reads, plan.uses)
        assert (again.calls, again.expressions) == (plan.calls, plan.expressions)
        assert again.stages.keys() == plan.stages.keys()


@pytest.mark.parametrize(
    "value",
    [
        None,
        {},
        {"nodes": [], "terms": [0]},
        {"nodes": [["field", 1]], "terms": [0]},
        {"nodes": [["period", "roe_q"]], "terms": [0]},
        {"nodes": [["period", "roe"], ["call", "P", [[0]]]], "terms": [1]},
        {"nodes": [["field", "roe_q"], ["call", "P", [[0]]]], "terms": [1]},
        {"nodes": [["field", "close"], ["call", "Exec", [[0]]]], "terms": [1]},
        {"nodes": [["field", "close"], ["call", "Mean", [[0]]]], "terms": [1]},
        {"nodes": [["field", "close"], ["call", "Rank", [[0], 0.5]]], "terms": [1]},
        {"nodes": [["call", "Mean", [[1], 5]], ["field", "close"]], "terms": [0]},
    ],
)
def test_what_no_expression_says_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"."):
        load_terms(value)
