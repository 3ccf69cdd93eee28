"""Dated exchange rules: the right value on each side of its first session, and back-tests that follow them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rollwright.backtest.costs import Costs
from rollwright.backtest.daily import backtest, backtest_daily
from rollwright.backtest.rules.boards import BOARDS, find_boards
from rollwright.backtest.rules.exchange_rules import ExchangeRules
from rollwright.backtest.rules.rule_table import RuleRow, RuleTable
from rollwright.backtest.topk_dropout import TopkDropoutStrategy
from rollwright.calendar.trading import TradingCalendar
from rollwright.errors import ConfigError
from rollwright.testing.market import ArraySource

PAGE = Path(__file__).parents[2] / "docs" / "exchange-rules.md"
CN = RuleTable.for_market("cn")
ROWS = [(kind, board) for kind in ("price_limit", "sale_duty", "lot", "shares_next_day", "tick") for board in BOARDS]


def value(kind, board, day):
    return float(CN.values(kind, board, np.array([day], dtype="datetime64[D]"))[0])


@pytest.mark.parametrize(
    ("kind", "board", "day", "before", "after"),
    [
        ("sale_duty", "main", "2023-08-28", 0.001, 0.0005),
        ("purchase_duty", "main", "2008-09-19", 0.001, 0.0),
        ("transfer_fee", "star", "2022-04-29", 0.00002, 0.00001),
        ("price_limit", "chinext", "2020-08-24", 0.10, 0.20),
        ("special_limit", "chinext", "2020-08-24", 0.05, 0.20),
        ("special_limit", "main", "2026-07-06", 0.05, 0.10),
        ("free_sessions", "main", "2023-04-10", 1, 5),
        ("price_limit", "star", "2019-07-22", np.nan, 0.20),
        ("least_order", "star", "2019-07-22", np.nan, 200),
        ("price_limit", "beijing", "2021-11-15", np.nan, 0.30),
    ],
)
def test_a_rule_holds_from_its_first_session_on(kind, board, day, before, after):
    eve = str(np.datetime64(day) - 1)
    np.testing.assert_equal([value(kind, board, eve), value(kind, board, day)], [before, after])


def test_what_holds_today_by_board():
    now = {
        board: [value(kind, board, "2026-11-30") for kind in ("price_limit", "lot", "least_order")] for board in BOARDS
    }
    np.testing.assert_equal(
        now,
        {
            "main": [0.1, 100, np.nan],
            "chinext": [0.2, 100, np.nan],
            "star": [0.2, 1, 200],
            "beijing": [0.3, 1, 100],
        },
    )


@pytest.mark.parametrize(("kind", "board"), ROWS)
def test_every_board_has_its_rows(kind, board):
    assert np.isfinite(value(kind, board, "2026-11-30"))


@pytest.mark.parametrize("market", ["cn", "us"])
def test_every_row_names_its_source_and_what_it_rests_on(market):
    for row in RuleTable.for_market(market).rows:
        assert row.source.startswith(("https://", "http://")) == ("unverified" not in row.status), row
        assert isinstance(row.since, date)
        assert row.status


@pytest.mark.parametrize("market", ["cn", "us"])
def test_the_page_shows_every_row(market):
    page = PAGE.read_text(encoding="utf-8")
    for row in RuleTable.for_market(market).rows:
        line = f"| `{row.kind}` | {', '.join(row.boards)} | {row.value:g} | {row.since} | {row.status} | {row.source} |"
        assert line in page, line


def test_a_row_without_source_and_one_of_no_kind_are_refused():
    row = {"kind": "lot", "boards": ["main"], "value": 1, "since": date(2020, 1, 1), "status": "verified"}
    with pytest.raises(ConfigError, match="names no source"):
        RuleRow.from_mapping(row)
    with pytest.raises(ConfigError, match="'lots' is no kind of rule"):
        RuleRow.from_mapping({**row, "kind": "lots"})
    with pytest.raises(ConfigError, match="no rules of a market 'jp'"):
        RuleTable.for_market("jp")


def test_boards_by_code():
    codes = [
        "SH600000",
        "SZ000001",
        "sz.300750",
        "688981.SH",
        "SH689009",
        "BJ830799",
        "920002.BJ",
        "002594.XSHE",
        "301001",
    ]
    main, growth, star, north = BOARDS
    assert find_boards(codes) == (main, main, growth, star, star, north, north, main, growth)


@pytest.mark.parametrize("code", ["SH000300", "000300.SH", "SZ399006", "SH510050", "AAPL", "SH9000011", "200002.SZ"])
def test_what_is_no_share_has_no_board(code):
    with pytest.raises(ConfigError, match="no code of an A share"):
        find_boards(["SH600000", code])


def judge(codes, days, closes, *, factor=1.0, listed=None, special=None, rules="cn"):
    """Return the terms of a market whose closes are given, the last price before the first row being its first one."""
    closes = np.asarray(closes, dtype=np.float64)
    return ExchangeRules.from_config(rules).make_terms(
        Costs(open_cost=0.0003, close_cost=0.0003, min_cost=5),
        codes,
        np.array(days, dtype="datetime64[D]"),
        close=closes,
        last=np.vstack([closes[:1], closes[:-1]]),
        factor=None if factor is None else np.full(closes.shape, factor),
        listed=np.full(len(codes), -999) if listed is None else np.array(listed),
        special=special,
    )


def test_duties_and_lots_by_session_and_board():
    terms = judge(["SH600000", "SH688981"], ["2023-08-25", "2023-08-28"], [[10, 50], [10, 50]])
    found = [[terms.find(day, place) for place in (0, 1)] for day in (0, 1)]
    assert [[one.close_duty for one in row] for row in found] == [[0.00101, 0.00101], [0.00051, 0.00051]]
    assert [one.open_duty for row in found for one in row] == [0.00001] * 4
    assert [(one.trade_unit, one.min_unit) for one in found[0]] == [(100, None), (1, 200)]
    assert all(one.shares_next_day and not one.cash_next_day for row in found for one in row)
    assert found[0][0].charge_sale(1000.0) == pytest.approx(5 + 1.01)  # the least cost is that of the commission
    assert terms.greatest_rate() == pytest.approx(0.0003 + 0.00101)


@pytest.mark.parametrize(
    ("code", "last", "close", "up", "down"),
    [
        ("SH600000", 5.03, 5.53, True, False),  # 5.533 is rounded to 5.53, a change of 9.94 %
        ("SH600000", 5.03, 5.52, False, False),
        ("SH600000", 5.05, 5.55, False, False),  # 5.555 is rounded up
        ("SH600000", 5.05, 5.56, True, False),
        ("SH600000", 5.03, 4.53, False, True),  # 4.527
        ("SZ300750", 10.0, 11.0, False, False),
        ("SZ300750", 10.0, 12.0, True, False),
        ("BJ830799", 10.0, 13.0, True, False),
        ("SH600000", 0.04, 0.04, False, False),  # a limit is one tick away at least
        ("SH600000", 0.04, 0.05, True, False),
    ],
)
@pytest.mark.parametrize("factor", [1.0, 3.7])
def test_a_limit_is_the_last_price_times_its_share_rounded_half_up(code, last, close, up, down, factor):
    prices = np.array([[last], [close]], dtype=np.float32) * np.float32(factor)
    terms = judge([code], ["2022-03-01", "2022-03-02"], prices, factor=np.float32(factor))
    assert (bool(terms.upper[1, 0]), bool(terms.lower[1, 0])) == (up, down)


def test_without_factors_a_limit_is_judged_by_the_change():
    terms = judge(["SH600000"], ["2022-03-01", "2022-03-02"], [[5.03], [5.51]], factor=None)
    assert bool(terms.upper[1, 0])
    terms = judge(["SH600000"], ["2022-03-01", "2022-03-02"], [[5.03], [5.50]], factor=None)
    assert not terms.upper.any()


def test_the_limit_of_chinext_is_wider_from_its_reform_on():
    days = ["2020-08-20", "2020-08-21", "2020-08-24"]
    terms = judge(["SZ300750"], days, [[10.0], [11.0], [12.1]])
    assert terms.upper[:, 0].tolist() == [False, True, False]


def test_a_new_listing_has_no_limit_at_first():
    days = pd.bdate_range("2023-05-08", periods=8).to_numpy()
    closes = 10 * 1.1 ** np.arange(8)[:, None].repeat(2, axis=1)
    terms = judge(["SH601000", "SH601001"], days, np.round(closes, 2), listed=[0, -999])
    assert terms.upper[:, 0].tolist() == [False] * 5 + [True] * 3
    assert terms.upper[1:, 1].all()


def test_special_treatment_narrows_the_limit_of_its_lifetime():
    days = ["2022-03-01", "2022-03-02", "2022-03-03", "2022-03-04"]
    closes = [[10.0], [10.5], [11.03], [11.58]]
    lives = pd.DataFrame(
        {"instrument": ["SH600000", "SH600009"], "start": ["2022-03-03"] * 2, "end": ["2022-03-03", None]}
    )
    rules = replace(ExchangeRules.from_config("cn"), special=lives)
    assert judge(["SH600000"], days, closes, rules=rules).upper[:, 0].tolist() == [False, False, True, False]
    open_end = replace(rules, special=lives.assign(end=pd.NaT))
    assert judge(["SH600000"], days, closes, rules=open_end).upper[:, 0].tolist() == [False, False, True, True]
    with pytest.raises(ConfigError, match="no column end"):
        replace(rules, special=lives.drop(columns="end"))


def test_rules_begin_on_a_day():
    with pytest.raises(ConfigError, match="known from 2005-01-24 on, and 2004-12-31 is before"):
        judge(["SH600000"], ["2004-12-31", "2005-01-31"], [[1.0], [1.0]])


def test_other_markets_have_neither_duties_nor_limits():
    for market, lot in (("us", 1), ("none", None)):
        terms = judge(["AAPL", "X"], ["2024-01-02", "2024-01-03"], [[1.0, 1.0], [9.0, 0.1]], rules=market)
        (only,) = terms.kinds
        assert (only.trade_unit, only.close_duty, only.open_cost) == (lot, 0.0, 0.0003)
        assert not terms.upper.any()
        assert not terms.lower.any()


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ("jp", "no rules of a market 'jp'"),
        ({"market": "cn", "specail": "st"}, "unknown key `specail`"),
        ({"special": "st"}, "there is no market"),
    ],
)
def test_rules_that_are_none_are_refused(config, words):
    with pytest.raises(ConfigError, match=words):
        ExchangeRules.from_config(config)


# --- back-tests ------------------------------------------------------------------------------------------------------

NAMES = ["BJ830799", "SH600000", "SH688981", "SZ300750"]


def make_source(first="2023-08-23", sessions=6, prices=(10.0, 10.0, 10.0, 10.0), **fields):
    calendar = TradingCalendar(pd.bdate_range(first, periods=sessions))
    shape = (sessions, len(NAMES))
    close = np.broadcast_to(np.asarray(prices, dtype=np.float64), shape)
    values = {"close": close, "factor": np.ones(shape), "change": np.zeros(shape), **fields}
    return ArraySource(values, NAMES, calendar=calendar)


def make_scores(source, table):
    days = source.calendar().to_index()
    frame = pd.DataFrame(np.array(table, dtype=np.float64), days[: len(table)], NAMES)
    return frame.rename_axis(index="datetime", columns="instrument").stack().rename("score")


def run(source, table, *, topk=1, n_drop=1, account=1e6, rules: str | Mapping | None = "cn", **kwargs):
    strategy = TopkDropoutStrategy(topk=topk, n_drop=n_drop)
    end = source.calendar()[len(table)]
    return backtest(strategy, make_scores(source, table), source, account=account, rules=rules, end=end, **kwargs)


def test_a_sale_costs_the_duty_of_its_session():
    best = np.eye(4)
    made = run(make_source(), [best[1], best[0], best[1], best[0], best[1]])
    sales = made.trades[made.trades["side"] == "sell"]
    rates = (sales["cost"] / sales["value"]).round(8).tolist()
    # a commission of 0.05 % on both sides, the fee of the transfer, and the stamp duty
    assert [str(day.date()) for day, _ in sales.index] == ["2023-08-25", "2023-08-28", "2023-08-29", "2023-08-30"]
    assert rates == [0.00151, 0.00101, 0.00101, 0.00101]
    assert made.rules.market == "cn"


def test_purchases_are_of_the_lots_of_their_board():
    made = run(make_source(), [[1, 2, 3, 4]], topk=4, n_drop=1, account=9_995.0)
    # 2,373.8 for each: 237 shares of Beijing and STAR, two lots elsewhere
    assert made.trades["amount"].xs(made.trades.index[0][0]).to_dict() == {
        "SZ300750": 200.0,
        "SH688981": 237.0,
        "SH600000": 200.0,
        "BJ830799": 237.0,
    }


def test_an_order_below_the_smallest_one_has_that_reason():
    made = run(make_source(), [[1, 2, 3, 4]], topk=4, n_drop=1, account=6_000.0)
    # 1,425 for each: 142 shares
    assert sorted(made.trades.index.get_level_values(1)) == ["BJ830799", "SH600000", "SZ300750"]
    (left,) = made.unfilled.itertuples()
    assert (left.Index[1], left.reason, left.wanted_amount) == ("SH688981", "minimum_lot", 142.5)


def test_a_field_of_the_market_tells_special_treatment():
    up = np.round(10 * 1.05 ** np.arange(6), 2)[:, None].repeat(4, axis=1)
    under = np.zeros((6, 4))
    under[:, 1] = 1
    source = make_source(close=up, st=under)
    assert run(source, [[1, 2, 0, 0]]).trades.index[0][1] == "SH600000"
    kept = run(source, [[1, 2, 0, 0]], rules={"market": "cn", "special": "$st"})
    assert kept.trades.empty
    assert kept.unfilled["reason"].tolist() == ["limit_up"]


def test_the_cash_of_a_sale_waits_where_it_is_said():
    best = np.eye(4)
    table = [best[1], best[0]]
    source = make_source()
    second = source.calendar()[2]

    def bought(**rules):
        trades = run(source, table, rules={"market": "cn", **rules}).trades.loc[second]
        return float(trades.loc[trades["side"] == "buy", "value"].sum())

    assert bought() > 0.9e6
    assert bought(cash_next_day=True) == pytest.approx(0.95 * 0.05e6, abs=3000)


def test_costs_of_ones_own_are_commissions():
    costs = Costs(open_cost=0.001, close_cost=0.002, min_cost=0.0, trade_unit=7, limit_threshold=0.01)
    best = np.eye(4)
    made = run(make_source(), [best[1], best[0]], costs=costs)
    buy, sell, _ = made.trades.itertuples()
    assert buy.amount % 100 == 0
    assert sell.cost / sell.value == pytest.approx(0.002 + 0.00101)


def test_exchange_kwargs_take_rules():
    source = make_source()
    best = np.eye(4)
    pred = make_scores(source, [best[1], best[0]])
    days = source.calendar().to_index()
    strategy = TopkDropoutStrategy(topk=1, n_drop=1, signal=pred)

    def play(**kwargs):
        return backtest_daily(days[0], days[2], strategy, benchmark=None, exchange_kwargs=kwargs, source=source)

    report, _ = play(rules="cn", open_cost=0.0002)
    assert report["cost"].iloc[1] == pytest.approx(0.95 * 0.00021, rel=1e-2)
    for name, given in (("close_cost", 0.0015), ("limit_threshold", 0.095), ("trade_unit", 100)):
        with pytest.raises(ConfigError, match=f"`{name}` is given, and the rules of `cn` say it"):
            play(rules={"market": "cn"}, **{name: given})
    with pytest.raises(ConfigError, match="`trade_unit` is given, and the rules of `us`"):
        play(rules="us", trade_unit=1)
    assert not play(rules="us", close_cost=0.001)[0].empty


def test_an_instrument_without_a_board_is_told():
    source = ArraySource({"close": np.ones((3, 1)), "factor": np.ones((3, 1))}, ["AAPL"])
    pred = pd.Series(
        [1.0], pd.MultiIndex.from_tuples([(source.calendar()[0], "AAPL")], names=["datetime", "instrument"])
    )
    with pytest.raises(ConfigError, match="AAPL: no code of an A share"):
        backtest(TopkDropoutStrategy(topk=1, n_drop=1), pred, source, rules="cn")
