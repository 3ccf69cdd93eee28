"""How far a label reaches is read from its expression, and what is no return has no horizon."""

from __future__ import annotations

import pytest

from rollwright.expression.label_reach import LabelReach

NEXT = "Ref($close,-2)/Ref($close,-1)-1"
WEEK = "Ref($close,-6)/Ref($close,-1)-1"


def reach(*expressions: str) -> tuple[int | None, int, int | None, int | None]:
    found = LabelReach.of_expressions(expressions)
    return found.first, found.last, found.entry, found.horizon


@pytest.mark.parametrize(
    ("label", "found"),
    [
        (NEXT, (1, 2, 1, 1)),
        (WEEK, (1, 6, 1, 5)),
        ("Ref($close,-5)/$close-1", (0, 5, 0, 5)),
        ("Ref($close/Ref($close,5)-1,-6)", (1, 6, 1, 5)),
        ("Log(Ref($close,-2)/Ref($close,-1))", (1, 2, 1, 1)),
        ("Log(Ref($close,-2))-Log(Ref($close,-1))", (1, 2, 1, 1)),
        ("(Ref($close,-2)-Ref($close,-1))/Ref($close,-1)", (1, 2, 1, 1)),
        ("Ref($vwap*$factor,-4)/Ref($vwap*$factor,-1)-1", (1, 4, 1, 3)),
        ("Ref($vwap,-4)*Ref($factor,-4)/(Ref($vwap,-1)*Ref($factor,-1))-1", (1, 4, 1, 3)),
        ("Ref(Mean($close,3),-5)/Ref(Mean($close,3),-1)-1", (-1, 5, 1, 4)),
        ("Ref($close,-1)/Ref($open,-1)-1", (1, 1, 1, 1)),
        ("Ref($open,-2)/Ref($close,-1)-1", (1, 2, 1, 1)),
        (f"{WEEK}-ChangeInstrument('SH000300',{WEEK})", (1, 6, 1, 5)),
        (f"CSDemean({WEEK})", (1, 6, 1, 5)),
    ],
)
def test_a_return_is_known_in_any_spelling(label, found):
    assert reach(label) == found


@pytest.mark.parametrize(
    ("label", "first", "last"),
    [
        ("Ref(Std($close,5),-6)", 2, 6),
        (f"CSRank({NEXT})", 1, 2),
        ("Ref($close,-2)/Ref($close,-1)", 1, 2),
        ("Ref($close,-1)/Ref($close,-2)-1", 1, 2),  # upside down
        ("Ref($close,-2)/Ref($close,-1)-2", 1, 2),
        ("Ref($volume,-2)/Ref($volume,-1)-1", 1, 2),
        ("Ref($volume,-2)/Ref($close,-1)-1", 1, 2),
        (f"{NEXT}-({WEEK})", 1, 6),
        (f"({NEXT})>0", 1, 2),
        ("Ref(Mean($close,0),-3)/$close-1", None, 3),
        ("Ref(P($$a_q),-3)/P($$b_q)-1", 0, 3),
        ("Ref(P($$a_q)*$close,-3)/(P($$b_q)*$close)-1", 0, 3),
        ("Ref(P(Ref($$a_q,2)),-3)", 3, 3),
        ("Ref($close,3)", -3, -3),
        ("1", 0, 0),
    ],
)
def test_what_is_no_return_has_no_horizon_and_still_tells_what_it_reads(label, first, last):
    assert reach(label) == (first, last, None, None)


def test_several_labels_reach_as_far_as_any_and_agree_or_have_no_horizon():
    assert reach(NEXT, WEEK) == (1, 6, None, None)
    assert reach(NEXT, "Ref($open,-2)/Ref($open,-1)-1") == (1, 2, 1, 1)
    assert reach(NEXT, "Ref(Mean($close,0),-3)") == (None, 3, None, None)


def test_parts_without_a_label_have_no_say():
    one = LabelReach.of_expressions([WEEK])
    assert LabelReach.joined([LabelReach.declared(0), one]) == one
    assert LabelReach.joined([LabelReach.declared(4), one]) == LabelReach(first=None, last=6)
    assert LabelReach.joined([]) == LabelReach.declared(0)


def test_the_span_is_never_negative_and_the_text_says_what_it_is():
    past = LabelReach.of_expressions(["Ref($close,3)"])
    assert past.span == 0
    assert past.text == "a label that reads 0 sessions ahead"
    assert LabelReach.of_expressions([WEEK]).text == "the return over 5 sessions, which reads 6 sessions ahead"
    assert LabelReach.of_expressions([NEXT]).to_json() == {"first": 1, "last": 2, "entry": 1, "horizon": 1}
