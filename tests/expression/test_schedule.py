"""The order of a plan: inputs first, calls that share work together, outputs as soon as they can be."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from rollwright.expression.planner import Plan, compile_plan


def _texts(plan: Plan) -> list[str]:
    return [str(term) for term in plan.nodes]


def _nested(rng: random.Random, depth: int) -> str:
    if depth == 0:
        return rng.choice(("$open", "$close", "$volume"))
    inner = [_nested(rng, depth - 1) for _ in range(2)]
    window = rng.choice((5, 9, 20))
    return rng.choice(
        (
            f"({inner[0]}/{inner[1]})",
            f"Mean({inner[0]},{window})",
            f"Std({inner[0]},{window})",
            f"Corr({inner[0]},{inner[1]},{window})",
            f"Ref({inner[0]},{window})",
        )
    )


@given(st.integers(0, 10_000), st.integers(0, 4), st.integers(1, 8))
def test_every_node_comes_once_and_after_its_inputs(seed: int, depth: int, count: int) -> None:
    rng = random.Random(seed)
    plan = compile_plan([_nested(rng, depth) for _ in range(count)])
    place = {term: number for number, term in enumerate(plan.nodes)}
    assert len(place) == len(plan.nodes)
    assert set(plan.terms) <= place.keys()
    assert all(place[source] < place[term] for term in plan.nodes for source in term.inputs)


def test_calls_that_share_work_come_together_however_far_apart_they_were_asked_for() -> None:
    plan = compile_plan(["Std($close,5)", "Std($open,5)", "Std($close,10)", "Std($open,10)"])
    assert _texts(plan) == [
        "$close", "Std($close,5)", "Std($close,10)", "$open", "Std($open,5)", "Std($open,10)"
    ]  # fmt: skip


def test_an_output_follows_as_soon_as_its_inputs_are_there() -> None:
    plan = compile_plan(["Max($close,5)/$close", "Min($close,5)/$close"])
    assert _texts(plan) == [
        "$close", "Max($close,5)", "Max($close,5)/$close", "Min($close,5)", "Min($close,5)/$close"
    ]  # fmt: skip


def test_a_sibling_that_needs_other_windows_first_waits() -> None:
    plan = compile_plan(["Mean($close,5)", "Corr($close,Std($open,9),5)", "Mean($close,9)"])
    assert _texts(plan) == [
        "$close", "Mean($close,5)", "Mean($close,9)", "$open", "Std($open,9)", "Corr($close,Std($open,9),5)"
    ]  # fmt: skip


def test_work_is_dropped_after_its_last_reader_and_all_work_after_the_last_call() -> None:
    plan = compile_plan(["Std($close,5)", "Max($close,5)", "Std($close,9)", "Log($close)"])
    found = [
        (str(term), sorted(str(key) for _, key in pieces))
        for term, pieces in zip(plan.nodes, plan.last_reads, strict=True)
        if pieces
    ]
    # the maximum was asked for between the two deviations, and stands there
    assert found == [("Max($close,5)", ["maxima"]), ("Std($close,9)", ["None", "moments"])]
