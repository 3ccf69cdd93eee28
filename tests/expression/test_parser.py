"""What is an expression, what is not, and what the error says."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollwright.errors import ConfigError, ExpressionError, LookAheadError, NotPointInTimeError
from rollwright.expression.operators.catalogue import OPERATORS
from rollwright.expression.operators.elementwise import elementwise
from rollwright.expression.operators.registry import OperatorTable
from rollwright.expression.parser import MAX_DEPTH, MAX_LENGTH, parse
from rollwright.expression.planner import compile_plan
from rollwright.expression.term import UNBOUNDED, call, field, period, walk


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("$close / Ref($close, 1)", "$close/Ref($close,1)"),
        ("(($close))", "$close"),
        ("$a+$b+$c", "($a+$b)+$c"),
        ("Add($a,$b)", "$a + $b"),
        ("$a*2.0", "$a*2"),
        ("-$a", "-1*$a"),
        ("$a - -1", "$a-(-1)"),
        ("Mean($a, 2*3-1)", "Mean($a,5)"),
        ("Gt($a,$b)", "$a>$b"),
        ("$a**2", "Power($a,2)"),
        ("($a>1)&($b>2)", "And($a>1,$b>2)"),
        ("ChangeInstrument('X',$a)", 'ChangeInstrument("X", $a)'),
        ("\tMean( $a ,\n 5 )", "Mean($a,5)"),
    ],
)
def test_equal_expressions_are_one_object(one: str, other: str) -> None:
    assert parse(one) is parse(other)
    assert str(parse(one)) == str(parse(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("$a-($b-$c)", "$a-$b-$c"),
        ("$a/($b*$c)", "$a/$b*$c"),
        ("Ref($a,1)", "Ref($a,2)"),
        ("$a>$b", "$b<$a"),
        ("$a", "$A"),
    ],
)
def test_different_expressions_are_different(one: str, other: str) -> None:
    assert parse(one) is not parse(other)
    assert str(parse(one)) != str(parse(other))


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("( $close - $open ) / ( $high - $low + 1e-12 )", "($close-$open)/($high-$low+1e-12)"),
        ("Quantile($close, 30, 0.80)", "Quantile($close,30,0.8)"),
        ("Ref($close, -2)/Ref($close, -1) - 1", "Ref($close,-2)/Ref($close,-1)-1"),
        ("2*$close-$high", "2*$close-$high"),
        ("$a&$b|$c", "$a&$b|$c"),
        ("$a&($b|$c)", "$a&($b|$c)"),
        ("($a>$b)>$c", "($a>$b)>$c"),
        ("$a|$b > $c+1", "$a|$b>$c+1"),
        ("$市盈率（TTM）/$净利润：合计", "$市盈率（TTM）/$净利润：合计"),
    ],
)
def test_the_canonical_text_has_no_needless_character(text: str, canonical: str) -> None:
    assert str(parse(text)) == canonical
    assert parse(canonical) is parse(text)


_leaves = st.sampled_from(["$close", "$open", "$换手率", "1", "-2.5", "1e-12", "0.3", "1e300", "-7"])


def _grow(children: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    infix = st.tuples(children, st.sampled_from(["+", "-", "*", "/", ">", "<=", "==", "!=", "&", "|", "**"]), children)
    window = st.tuples(st.sampled_from(["Mean", "Ref", "Std", "Rank"]), children, st.integers(1, 60))
    return st.one_of(
        infix.map(lambda parts: f"({parts[0]}) {parts[1]} ({parts[2]})"),
        infix.map(lambda parts: f"({parts[0]}{parts[1]}({parts[2]}))"),
        window.map(lambda parts: f"{parts[0]}({parts[1]}, {parts[2]})"),
        children.map(lambda text: f"-({text})"),
        st.tuples(children, children, children).map(lambda parts: f"If({parts[0]},{parts[1]},{parts[2]})"),
        st.tuples(children, children).map(lambda parts: f"Corr({parts[0]},{parts[1]},5)"),
    )


@given(st.recursive(_leaves, _grow, max_leaves=12))
def test_the_canonical_text_parses_to_the_same_object(text: str) -> None:
    try:
        term = parse(text)
    except ExpressionError as error:  # arithmetic on constants alone may have no result
        assert "arithmetic on constants" in error.reason or "chained" in error.reason  # noqa: PT017
        return
    assert parse(str(term)) is term
    assert parse(f" ( {term} ) ") is term


@given(st.text(alphabet="$ab1.e-+*/()<>=!&|,'\" Mean、（", max_size=40))
def test_any_text_is_an_expression_or_an_error_of_ours(text: str) -> None:
    try:
        term = parse(text)
    except (ExpressionError, NotPointInTimeError):
        return
    assert parse(str(term)) is term


@pytest.mark.parametrize(
    ("text", "lookback", "lookahead", "fields"),
    [
        ("$close", 0, 0, ("close",)),
        ("Ref($close,1)", 1, 0, ("close",)),
        ("Ref($close,-5)", 0, 5, ("close",)),
        ("Mean($close,5)", 4, 0, ("close",)),
        ("Std($close/Ref($close,1),60)", 60, 0, ("close",)),
        ("Ref($close,-2)/Ref($close,-1)-1", 0, 2, ("close",)),
        ("Mean(Ref($open,-3),10)/$close", 9, 3, ("close", "open")),
        ("Mean($close,0)", UNBOUNDED, 0, ("close",)),
        ("EMA($close,12)", UNBOUNDED, 0, ("close",)),
        ("Ref($close,0)", UNBOUNDED, 0, ("close",)),
        ("Corr($close,$volume,20)", 19, 0, ("close", "volume")),
        ("If($a>1,Ref($b,7),Mean($c,3))", 7, 0, ("a", "b", "c")),
        ("CSRank(Mean($close,5))", 4, 0, ("close",)),
    ],
)
def test_a_term_knows_what_it_reads(text: str, lookback: int, lookahead: int, fields: tuple[str, ...]) -> None:
    term = parse(text)
    assert (term.lookback, term.lookahead, term.fields) == (lookback, lookahead, fields)


BAD = [
    ("", 0, "empty"),
    ("   ", 0, "empty"),
    ('__import__("os")', 0, "no operator `__import__`"),
    ("$close.__class__", 6, "unexpected character '.'"),
    ("(len)('ab')", 1, "neither a field nor a call"),
    ("lambda: 1", 6, "unexpected character ':'"),
    ("[1]", 0, "unexpected character"),
    ("Meen($close,5)", 0, "no operator `Meen`"),
    ("mean($close,5)", 0, "no operator `mean`"),
    ("close/$open", 0, "neither a field nor a call"),
    ("Mean($close)", 11, "takes 2 arguments (series, window); 1 were given"),
    ("Mean($close,5,6)", 14, "takes 2 arguments (series, window); more were given"),
    ("Mean($close,$open)", 12, "must be a number, not `$open`"),
    ("Mean($close,2.5)", 12, "whole number of sessions"),
    ("Mean($close,-5)", 12, "cannot be negative"),
    ("Mean($close,200000)", 12, "beyond 100000"),
    ("Ref($close,1.5)", 11, "whole number of sessions"),
    ("Quantile($close,5,1.5)", 18, "from 0 to 1"),
    ("Skew($close,2)", 0, "too short"),
    ("Mean($close,5", 13, "the expression ends where `)` was expected"),
    ("Mean($close,5))", 14, "`)` where the end was expected"),
    ("$close $open", 7, "`open` where the end was expected"),
    ("$close+", 7, "ends too early"),
    ("$close+*2", 7, "cannot stand here"),
    ("()", 1, "cannot stand here"),
    ("$", 0, "without the name of a field"),
    ("$close>1>2", 8, "cannot be chained"),
    ("$close>1 & $open>2", 16, "cannot be chained"),
    ("2**3**4", 4, "powers cannot be chained"),
    ("$close+1/0", 8, "no result"),
    ("1e999", 0, "too large a number"),
    ("5min", 0, "a number that is no number"),
    ("Mean", 0, "needs arguments in brackets"),
    ("'text'", 0, "cannot stand here"),
    ("ChangeInstrument($close,$close)", 17, "is a name, in quotes"),
    ("Mask($close,'SH600000)", 12, "never closed"),
    ("TResample($close,'fortnight','mean')", 0, "period `fortnight` is none of"),
    ("$close; import os", 6, "unexpected character ';'"),
]


@pytest.mark.parametrize(("text", "position", "reason"), BAD)
def test_the_error_says_where_and_why(text: str, position: int, reason: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        parse(text)
    assert caught.value.position == position
    assert reason in caught.value.reason


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("Meen($close,5)", "`Mean`"),
        ("mean($close,5)", "`Mean`"),
        ("close/$open", "`$close`"),
        ("Quantil($a,5,0.1)", "`Quantile`"),
    ],
)
def test_the_error_suggests_the_nearest_name(text: str, hint: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        parse(text)
    assert hint in str(caught.value.hint)


@pytest.mark.parametrize(
    "text",
    [
        "(" * 100_000,
        "(" * 3_000 + "$a" + ")" * 3_000,
        "Abs(" * (MAX_DEPTH + 1) + "$a" + ")" * (MAX_DEPTH + 1),
        "-" * 100_000 + "$a",
    ],
)
def test_deep_nesting_is_refused_at_once(text: str) -> None:
    start = time.perf_counter()
    with pytest.raises(ExpressionError, match=r"at most 8000 are read|nested deeper than 64"):
        parse(text)
    assert time.perf_counter() - start < 5


def test_deep_nesting_within_the_limit_works() -> None:
    depth = MAX_DEPTH - 1
    assert parse("(" * depth + "$a" + ")" * depth) is parse("$a")
    assert parse("Abs(" * depth + "$a" + ")" * depth).depth == depth
    long_sum = "+".join(["$a"] * (MAX_LENGTH // 3))
    assert parse(long_sum).depth == MAX_LENGTH // 3 - 1
    assert len(compile_plan([long_sum]).nodes) == MAX_LENGTH // 3


def test_period_data_is_no_daily_value() -> None:
    with pytest.raises(NotPointInTimeError, match=r"\$\$roewa_q"):
        parse("Mean($$roewa_q,4)")


def test_look_ahead_is_refused_by_name_unless_allowed() -> None:
    with pytest.raises(LookAheadError) as caught:
        compile_plan(["$close", "Mean(Ref($close, -5), 3)/$close"])
    assert "`Ref($close,-5)`" in str(caught.value)
    assert "5 sessions ahead" in str(caught.value)
    plan = compile_plan(["Ref($close,-2)/Ref($close,-1)-1"], allow_lookahead=True)
    assert plan.lookahead == 2


def test_a_name_means_one_operator() -> None:
    registry = OperatorTable(OPERATORS.operators.values())
    with pytest.raises(ConfigError, match="`Mean` exists already"):
        registry.add(elementwise("Mean", lambda values: values))
    with pytest.raises(ConfigError, match="cannot name an operator"):
        registry.add(elementwise("no name", lambda values: values))


def test_what_is_shared_is_planned_once() -> None:
    plan = compile_plan(["Mean($close/$open, 5)", "$close / $open", "Std($close/$open,5)", "$close/$open"])
    assert len(plan.nodes) == 5
    assert plan.fields == ("close", "open")
    assert plan.lookback == 4
    assert plan.expressions == ("Mean($close/$open,5)", "$close/$open", "Std($close/$open,5)", "$close/$open")


def test_a_field_by_period_is_a_term_of_a_kind_of_its_own():
    roe = period("roe_q")
    assert (roe.kind, str(roe), roe.fields, roe.lookback, roe.lookahead) == ("period", "$$roe_q", (), 0, 0)
    assert period("roe_q") is roe
    assert roe is not field("roe_q")
    assert set(walk(call("P", (roe,)))) == {roe, call("P", (roe,))}
    assert str(call("P", (roe,))) == "P($$roe_q)"
