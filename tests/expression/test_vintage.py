"""``P`` and ``PRef``: what was known on each session, and expressions over periods as they were known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from rollwright.calendar.trading import TradingCalendar
from rollwright.config.context import using
from rollwright.errors import ExpressionError, LookAheadError, NotPointInTimeError, UnknownFieldError
from rollwright.expression.engine import evaluate
from rollwright.expression.ops import P, PFeature, PRef, Ref
from rollwright.expression.parser import parse
from rollwright.expression.planner import compile_plan
from rollwright.features.api import D
from rollwright.market.frame import FrameSource
from rollwright.testing.market import ArraySource, expression_values
from vintage_markets import NAN, QUARTERS, Row, answer, close_to, market

MOUTAI: tuple[Row, ...] = (
    (201803, "2018-10-29", 0.248644),
    (201804, "2019-03-29", 0.344644),
    (201901, "2019-04-25", 0.094737),
    (201902, "2019-07-13", 0.0),
    (201902, "2019-07-18", 0.175322),
)


# ------------------------------------------------------------------------------------------- what is known, and when


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("P($$roewa_q)", (0.094737, 0.0, 0.175322)),
        ("P(Mean($$roewa_q,2))", (0.219691, 0.047369, 0.135029)),
        ("P(Ref($$roewa_q,1))", (0.344644, 0.094737, 0.094737)),
    ],
)
def test_the_published_answers_for_kweichow_moutai(expression: str, expected: tuple[float, ...]) -> None:
    found = answer(market({"roewa_q": {"A": MOUTAI}}), expression, "2019-07-12", "2019-07-15", "2019-07-18")
    assert found == pytest.approx(expected, abs=1e-6)


def test_a_value_is_seen_on_the_day_it_was_announced_and_not_before() -> None:
    source = market({"x_q": {"A": [(201901, "2019-04-25", 5)]}})
    assert answer(source, "P($$x_q)", "2019-04-24", "2019-04-25", "2019-07-19") == close_to(NAN, 5, 5)


def test_what_is_announced_on_no_session_is_seen_on_the_next() -> None:
    source = market({"x_q": {"A": [(201901, "2019-04-20", 5)]}})  # a Saturday
    assert answer(source, "P($$x_q)", "2019-04-19", "2019-04-22") == close_to(NAN, 5)


def test_what_was_known_before_the_first_session_is_known_from_the_first_on() -> None:
    source = market({"x_q": {"A": [(201702, "2017-08-01", 1), (201703, "2017-11-01", 2)]}})
    assert answer(source, "P($$x_q)", "2019-01-01") == close_to(2)
    assert answer(source, "P(Ref($$x_q,1))", "2019-01-01") == close_to(1)


def test_a_late_restatement_of_an_older_period_never_sets_the_anchor_back() -> None:
    rows = [(201804, "2019-03-01", 4), (201901, "2019-04-25", 1), (201804, "2019-06-03", 40)]
    source = market({"x_q": {"A": rows}})
    assert answer(source, "P($$x_q)", "2019-05-31", "2019-06-03") == close_to(1, 1)
    assert answer(source, "P(Ref($$x_q,1))", "2019-05-31", "2019-06-03") == close_to(4, 40)


def test_of_two_periods_announced_on_one_day_the_later_is_the_latest() -> None:
    source = market({"x_q": {"A": [(201901, "2019-04-25", 1), (201804, "2019-04-25", 4)]}})
    assert answer(source, "P($$x_q)", "2019-04-25") == close_to(1)


def test_of_two_announcements_between_sessions_the_later_holds() -> None:
    source = market({"x_q": {"A": [(201901, "2019-04-20", 1), (201901, "2019-04-21", 2)]}})
    assert answer(source, "P($$x_q)", "2019-04-22") == close_to(2)


def test_a_withdrawn_value_is_missing_and_its_period_stays() -> None:
    rows = [(201804, "2019-03-01", 4), (201901, "2019-04-25", 1), (201901, "2019-06-03", NAN)]
    source = market({"x_q": {"A": rows}})
    assert answer(source, "P($$x_q)", "2019-05-31", "2019-06-03") == close_to(1, NAN)
    assert answer(source, "P(Ref($$x_q,1))", "2019-06-03") == close_to(4)


def test_a_period_that_was_never_reported_is_missing_between_its_neighbours() -> None:
    source = market({"x_q": {"A": [(201802, "2018-08-01", 2), (201804, "2019-03-01", 4)]}})
    assert answer(source, "P(Ref($$x_q,1))", "2019-03-01") == close_to(NAN)
    assert answer(source, "P(Ref($$x_q,2))", "2019-03-01") == close_to(2)


def test_several_fields_anchor_at_the_latest_period_of_any() -> None:
    source = market(
        {
            "a_q": {"A": [(201804, "2019-03-01", 8), (201901, "2019-04-25", 2)]},
            "b_q": {"A": [(201804, "2019-03-04", 4), (201901, "2019-04-30", 1)]},
        }
    )
    dates = "2019-03-01", "2019-03-04", "2019-04-25", "2019-04-30"
    assert answer(source, "P($$a_q/$$b_q)", *dates) == close_to(NAN, 2, NAN, 2)
    assert answer(source, "P($$a_q)/P($$b_q)", *dates) == close_to(NAN, 2, 0.5, 2)


def test_instruments_are_told_apart_and_one_without_reports_has_no_values() -> None:
    source = market({"x_q": {"A": [(201804, "2019-03-01", 1)], "C": [(201901, "2019-04-25", 3)]}}, codes="ABC")
    found = expression_values(source, "P($$x_q)")[0, -1]
    np.testing.assert_array_equal(found, [1, NAN, 3])


def test_the_period_before_a_year_ends_is_the_last_quarter_of_the_year_before() -> None:
    source = market({"x_q": {"A": [(201804, "2019-03-01", 4), (201901, "2019-04-25", 1)]}})
    assert answer(source, "P($$x_q-Ref($$x_q,1))", "2019-04-25") == close_to(-3)


def test_years_and_months_are_counted_too() -> None:
    source = market(
        {
            "x_a": {"A": [(2017, "2018-03-01", 1), (2018, "2019-03-01", 2)]},
            "x_m": {"A": [(201812, "2019-01-10", 5), (201901, "2019-02-10", 7)]},
        }
    )
    assert answer(source, "P(Delta($$x_a,1))", "2019-03-01") == close_to(1)
    assert answer(source, "P(Delta($$x_m,1))", "2019-02-11") == close_to(2)
    assert answer(source, "P($$x_m)/P($$x_a)", "2019-03-01") == close_to(3.5)


def test_what_holds_from_a_day_on_is_seen_from_then_on_when_it_is_known() -> None:
    rows = [(20190201, "2019-01-10", 1), (20190401, "2019-03-01", 2), (20190301, "2019-05-06", 3)]
    source = market({"group_d": {"A": rows}})
    dates = "2019-01-31", "2019-02-01", "2019-03-29", "2019-04-01", "2019-05-06"
    assert answer(source, "P($$group_d)", *dates) == close_to(NAN, 1, 1, 2, 2)
    assert answer(source, "PRef($$group_d,20190301)", *dates) == close_to(NAN, NAN, NAN, NAN, 3)


def test_a_group_of_its_day_serves_a_cross_section() -> None:
    groups = {code: [(20181201, "2018-12-01", number // 2)] for number, code in enumerate("ABCD")}
    source = market({"group_d": groups}, codes="ABCD")
    found = expression_values(source, "CSDemean($close,P($$group_d))")[0, 0]
    np.testing.assert_allclose(found, [-0.5, 0.5, -0.5, 0.5])


# ------------------------------------------------------------------------------------------------ inside of P


@pytest.mark.parametrize(
    ("expression", "function"),
    [
        ("Mean($$x_q,4)", lambda x: x[-4:].mean()),
        ("Sum($$x_q,4)", lambda x: x[-4:].sum()),
        ("Std($$x_q,4)", lambda x: x[-4:].std(ddof=1)),
        ("Max($$x_q,6)", lambda x: x[-6:].max()),
        ("Min($$x_q,6)", lambda x: x[-6:].min()),
        ("Med($$x_q,4)", lambda x: np.median(x[-4:])),
        ("Delta($$x_q,4)", lambda x: x[-1] - x[-5]),
        ("Slope($$x_q,4)", lambda x: np.polyfit(np.arange(4), x[-4:], 1)[0]),
        ("Rank($$x_q,4)", lambda x: (x[-4:] <= x[-1]).mean()),
        ("Corr($$x_q,Ref($$x_q,1),5)", lambda x: np.corrcoef(x[-5:], x[-6:-1])[0, 1]),
        ("Sum($$x_q,0)", lambda x: x.sum()),
        ("Mean($$x_q,0)", lambda x: x.mean()),
        ("Mean($$x_q,0.5)", lambda x: pd.Series(x).ewm(alpha=0.5).mean().iloc[-1]),
        ("If($$x_q>8,Log($$x_q),Abs($$x_q))", lambda x: np.log(x[-1])),
        ("($$x_q>8)&($$x_q<9)", lambda _x: 1),
        ("-$$x_q*2+Power($$x_q,2)", lambda x: -2 * x[-1] + x[-1] ** 2),
        ("Mean($$x_q/Ref($$x_q,4)-1,2)", lambda x: (x[-2:] / x[-6:-4] - 1).mean()),
    ],
)
def test_any_operator_works_over_periods(expression: str, function) -> None:
    source = market({"x_q": {"A": QUARTERS}})
    expected = function(np.array([value for *_, value in QUARTERS]))
    assert answer(source, f"P({expression})", "2019-07-19") == pytest.approx([expected], rel=1e-6)


@pytest.mark.parametrize(
    "expression",
    ["Mean($$x_q,4)", "Sum($$x_q,4)", "Std($$x_q,4)", "Max($$x_q,4)", "Slope($$x_q,4)", "Corr($$x_q,$$x_q*$$x_q,4)"],
)
def test_a_window_with_a_missing_period_has_no_value_instead_of_a_shorter_window(expression: str) -> None:
    whole = market({"x_q": {"A": QUARTERS[:4]}})
    assert np.isfinite(answer(whole, f"P({expression})", "2019-07-19")).all()
    for gap in range(4):
        source = market({"x_q": {"A": [*QUARTERS[:gap], *QUARTERS[gap + 1 : 4]]}})
        assert answer(source, f"P({expression})", "2019-07-19") == close_to(NAN), gap
    withdrawn = market({"x_q": {"A": [*QUARTERS[:4], (QUARTERS[1][0], "2017-06-01", NAN)]}})
    assert answer(withdrawn, f"P({expression})", "2019-07-19") == close_to(NAN)


def test_an_infinite_value_counts_as_missing_in_a_window() -> None:
    source = market(
        {"x_q": {"A": QUARTERS[:4]}, "zero_q": {"A": [(period, day, 0) for period, day, _ in QUARTERS[:4]]}}
    )
    assert answer(source, "P(Mean($$x_q/$$zero_q,2))", "2019-07-19") == close_to(NAN)


def test_all_periods_so_far_have_no_sum_when_one_between_is_missing() -> None:
    rows = [*QUARTERS[:1], *QUARTERS[2:3]]
    found = answer(market({"x_q": {"A": rows}}), "P(Sum($$x_q,0))", "2019-07-19")
    assert found == close_to(NAN)
    later = [*rows, (QUARTERS[1][0], "2019-07-01", 1.0)]
    expected = QUARTERS[0][2] + QUARTERS[2][2] + 1
    source = market({"x_q": {"A": later}})
    assert answer(source, "P(Sum($$x_q,0))", "2019-06-28", "2019-07-01") == close_to(NAN, expected)


def test_the_values_so_far_can_be_counted_with_gaps() -> None:
    source = market({"x_q": {"A": [*QUARTERS[:1], *QUARTERS[2:3]]}})
    assert answer(source, "P(Count($$x_q,3))", "2019-07-19") == close_to(2)


def test_a_shift_before_the_first_period_has_no_value() -> None:
    source = market({"x_q": {"A": QUARTERS[:2]}})
    assert answer(source, "P(Ref($$x_q,2))", "2019-07-19") == close_to(NAN)
    assert answer(source, "P(Ref($$x_q,0))", "2019-07-19") == close_to(QUARTERS[0][2])


def test_periods_are_computed_in_double_precision_and_rounded_once() -> None:
    big = 2.0**24
    source = market({"x_q": {"A": [(201803, "2018-11-01", big), (201804, "2019-03-01", big + 1)]}})
    assert answer(source, "P(Delta($$x_q,1))", "2019-03-01") == [1.0]


@pytest.mark.parametrize(
    ("period", "expected"),
    [(201804, (NAN, 4, 4, 40)), (201901, (NAN, NAN, 1, 1)), (201803, (NAN, NAN, NAN, NAN)), (202001, (NAN,) * 4)],
)
def test_a_period_by_its_name(period: int, expected: tuple[float, ...]) -> None:
    rows = [(201804, "2019-03-01", 4), (201901, "2019-04-25", 1), (201804, "2019-06-03", 40)]
    found = answer(
        market({"x_q": {"A": rows}}), f"PRef($$x_q, {period})", "2019-02-28", "2019-03-01", "2019-04-25", "2019-06-03"
    )
    assert found == close_to(*expected)


def test_an_expression_at_a_named_period_looks_back_from_there() -> None:
    source = market({"x_q": {"A": QUARTERS}})
    assert answer(source, "PRef(Delta($$x_q,1),201701)", "2019-07-19") == pytest.approx([7.1 - 6.4], rel=1e-6)
    assert answer(source, "PRef(Sum($$x_q,0),201602)", "2019-07-19") == pytest.approx([6.1 + 6.2], rel=1e-6)
    assert answer(source, "PRef($$x_q-Ref($$x_q,1)<0,201601)", "2019-07-19") == close_to(0)


def test_a_named_period_outside_of_what_is_known_has_no_truth_value_either() -> None:
    source = market({"x_q": {"A": QUARTERS}})
    for period in (201504, 201901):
        assert answer(source, f"PRef(Mean($$x_q,2)<0,{period})", "2019-07-19") == close_to(NAN)
        assert answer(source, f"PRef(Count($$x_q,3),{period})", "2019-07-19") == close_to(NAN)


# ------------------------------------------------------------------------------------------------ outside of P


def test_daily_operators_and_fields_and_cross_sections_go_around() -> None:
    rows = {"A": [(201804, "2019-03-01", 10)], "B": [(201804, "2019-03-04", 30)], "C": [(201804, "2019-03-04", 20)]}
    source = market({"x_q": rows}, codes="ABC")
    days = source.calendar().to_index()
    at = days.get_loc(pd.Timestamp("2019-03-05"))
    mean, ratio, rank, choice, other = expression_values(
        source, "Mean(P($$x_q),3)", "P($$x_q)/$close", "CSRank(P($$x_q))", "If(P($$x_q)>15,$close,-1)",
        "ChangeInstrument('B',P($$x_q))-P($$x_q)",
    )  # fmt: skip
    np.testing.assert_array_equal(mean[at], [10, 30, 20])
    close = expression_values(source, "$close")[0]
    np.testing.assert_allclose(ratio[at], np.array([10, 30, 20]) / close[at], rtol=1e-6)
    np.testing.assert_allclose(rank[at], [1 / 3, 1, 2 / 3])
    np.testing.assert_array_equal(choice[at], [-1, close[at, 1], close[at, 2]])
    np.testing.assert_array_equal(other[at], [20, 0, 10])


def test_a_label_may_shift_what_is_known() -> None:
    source = market({"x_q": {"A": [(201804, "2019-03-01", 10)]}})
    days = source.calendar().to_index()
    plan = compile_plan(["Ref(P($$x_q),-2)"], allow_lookahead=True)
    (tile,) = evaluate(plan, source, instruments=["A"], start=0, stop=len(days))
    found = tile.values[0, :, 0]
    at = days.get_loc(pd.Timestamp("2019-03-01"))
    assert np.isnan(found[at - 3])
    assert found[at - 2] == 10
    assert np.isnan(found[-2:]).all()


def test_the_rows_are_those_of_the_instrument() -> None:
    frame = pd.DataFrame(
        {"close": 1.0},
        index=pd.MultiIndex.from_product(
            [pd.bdate_range("2019-01-03", periods=3), ["A"]], names=["datetime", "instrument"]
        ),
    )
    table = pd.DataFrame({"instrument": ["A"], "period": [201803], "known_at": ["2018-11-01"], "value": [5.0]})
    calendar = TradingCalendar(pd.bdate_range("2019-01-01", periods=10))
    source = FrameSource(frame, calendar, by_period={"x_q": table})
    with using(market=source):
        found = D.features(["A"], ["P($$x_q)"])
    assert found.index.get_level_values("datetime").tolist() == frame.index.get_level_values("datetime").tolist()
    assert (found["P($$x_q)"] == 5).all()


# ------------------------------------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("text", "position", "reason"),
    [
        ("P($close)", 0, "`$close` has values on sessions"),
        ("1+P(Mean($close,2))", 2, "`Mean($close,2)` has values on sessions"),
        ("P($$x_q+$close)", 7, "`$$x_q` is data by period and `$close` has values on sessions"),
        ("P($$x_q)+$$y_q", 8, "is data by period"),
        ("P(P($$x_q))", 0, "`P($$x_q)` has values on sessions"),
        ("P(P($$x_q)+$$y_q)", 10, "is data by period"),
        ("P(CSRank($$x_q))", 2, "it works on sessions"),
        ("P(ChangeInstrument('B',$$x_q))", 2, "it works on sessions"),
        ("P(TResample($$x_q,'M','sum'))", 2, "it works on sessions"),
        ("P($$x_q/$$y_a)", 7, "have periods of different length"),
        ("P($$x)", 2, "does not say how long its periods are"),
        ("$close+$$x", 7, "does not say how long its periods are"),
        ("P(3)", 0, "takes data by period"),
        ("P($$x_q,3)", 8, "takes 1 arguments"),
        ("PRef($$x_q)", 10, "takes 2 arguments"),
        ("PRef($$x_q,201905)", 0, "201905 is no quarter"),
        ("PRef($$x_a,201904)", 0, "201904 is no year"),
        ("PRef($$x_m,201913)", 0, "201913 is no month"),
        ("PRef($$x_q,2019.5)", 11, "is a period"),
        ("P(Mean($$x_q,2000))", 0, "at most 1000"),
        ("P(Ref($$x_d,1))", 0, "have no period before theirs"),
        ("P(YoY($$x_d))", 0, "have no period before theirs"),
        ("PRef($$x_d,201903)", 0, "201903 is no day"),
        ("SQ($close)", 0, "takes data by period"),
        ("P(SQ($$x_a))", 2, "by years"),
        ("P(TTM(Mean($$x_q,4)))", 2, "neither a field by period nor"),
        ("P(LYR($$x_q+1))", 2, "neither a field by period nor"),
        ("P(TTM(2/$$x_q))", 2, "neither a field by period nor"),
        ("P(TTM($$x_q*$$y_q))", 2, "neither a field by period nor"),
    ],
)
def test_what_makes_no_sense_is_refused_when_the_expression_is_built(text: str, position: int, reason: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        parse(text)
    assert reason in caught.value.reason
    assert caught.value.position == position


@pytest.mark.parametrize("text", ["$$x_q", "Mean($$x_q,4)", "-$$x_q", "TTM($$x_q)"])
def test_data_by_period_has_no_value_outside(text: str) -> None:
    with pytest.raises(NotPointInTimeError, match=r"\$\$x_q") as caught:
        parse(text)
    assert f"P({text})" in str(caught.value.hint)


@pytest.mark.parametrize("text", ["P(Ref($$x_q,-1))", "PRef(Ref($$x_q,-4),201901)", "P(Mean(Delta($$x_q,-1),4))"])
def test_a_later_period_is_refused_in_labels_too(text: str) -> None:
    with pytest.raises(LookAheadError, match=r"`(Ref|Delta)\(\$\$x_q,-\d\)` reads \d period"):
        compile_plan([text], allow_lookahead=True)


def test_a_source_without_fields_by_period_says_so() -> None:
    source = ArraySource({"close": np.ones((3, 1), np.float32)}, ["A"])
    with pytest.raises(NotPointInTimeError, match="has no fields by period"):
        expression_values(source, "P($$x_q)")


def test_an_unknown_field_is_named_with_the_nearest() -> None:
    source = market({"roe_q": {"A": QUARTERS}})
    with pytest.raises(UnknownFieldError, match=r"did you mean `\$\$roe_q`"):
        expression_values(source, "CSRank(P($$roi_q))")


# ------------------------------------------------------------------------------------------------ texts and objects


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("P( $$x_q )", "P($$x_q)"),
        ("PRef($$x_q, 201902)", "PRef($$x_q,201902)"),
        ("PRef(feature=$$x_q, period=201902)", "PRef($$x_q,201902)"),
        ("P(Mean($$x_q, 4)) / $close", "P(Mean($$x_q,4))/$close"),
    ],
)
def test_the_text_is_qlibs_and_parses_to_the_same_term(text: str, canonical: str) -> None:
    term = parse(text)
    assert str(term) == canonical
    assert parse(canonical) is term


def test_a_call_looks_back_and_ahead_over_no_session() -> None:
    term = parse("P(Mean($$x_q,8)/$$y_q)/$close")
    assert (term.lookback, term.lookahead, term.fields, term.periods) == (0, 0, ("close",), ("x_q", "y_q"))
    assert parse("Ref(P(Sum($$x_q,0)),3)").lookback == 3


def test_objects_stand_for_their_text() -> None:
    assert str(P(Ref(PFeature("x_q"), 1))) == "P(Ref($$x_q,1))"
    assert str(PRef(PFeature("x_q"), 201902)) == "PRef($$x_q,201902)"
    source = market({"x_q": {"A": QUARTERS}})
    with using(market=source):
        found = D.features(["A"], [P(PFeature("x_q"))])
    assert found.iloc[-1, 0] == pytest.approx(8.4)
