"""Sections and figures: what each shows, that each says how it is read, and that one without its table is left out."""

from __future__ import annotations

import json
import re
from typing import get_args

import numpy as np
import pandas as pd
import pytest

from made_report import DAYS, make_analysed, make_collected, make_report, make_table, make_traded, make_variant
from rollwright.analysis.metrics import Metric
from rollwright.analysis.report import VariantReport, report_html
from rollwright.analysis.report.blocks import HeatCell
from rollwright.analysis.report.downloads import embed_tables
from rollwright.analysis.report.drawing import MOST_POINTS, draw_band, thin
from rollwright.analysis.report.view import format_value
from rollwright.analysis.report.words import load_words
from rollwright.analysis.stages.table import ColumnUnit, StageResult


def render(*stages, lang="en"):
    return report_html(make_report(variants=[VariantReport(stages=stages)], lang=lang))


def figure(html, name):
    found = re.search(rf'<script type="application/json" id="figure-{name}">(.*?)</script>', html)
    assert found is not None, name
    return json.loads(found[1])


def block(html, name):
    """Return the text of a figure or table."""
    found = re.search(rf'<figure class="block[^"]*" id="block-{name}">(.*?)</figure>', html, flags=re.DOTALL)
    assert found is not None, name
    text = re.sub(r"<script.*?</script>", "", found[1], flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]*>", " ", text).split())


@pytest.fixture(scope="module", params=["en", "zh"])
def html(request):
    return report_html(make_report(lang=request.param))


def test_no_figure_and_no_table_is_without_a_sentence_that_says_how_to_read_it(html):
    blocks = re.findall(r'<figure class="block[^"]*" id="block-([^"]+)">(.*?)</figure>', html, flags=re.DOTALL)
    assert len(blocks) > 20
    assert len({name for name, _ in blocks}) == len(blocks)
    for name, text in blocks:
        caption = re.search(r'<figcaption>.*?<p class="about">(.*?)</p></figcaption>', text, flags=re.DOTALL)
        assert caption is not None, name
        assert len(caption[1]) > 12, name
    drawn = re.findall(r'data-figure="([^"]+)"', html)
    assert set(drawn) <= {name for name, _ in blocks}
    tables = html.count("<table")
    assert tables - len(re.findall(r'<div class="panels">', html)) * 6 <= len(blocks) + 1  # the list of tables to save


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_every_unit_that_a_column_may_have_has_words(lang):
    units = {unit for part in get_args(ColumnUnit) for unit in (get_args(part) or (part,))}
    assert {f"unit_{unit}" for unit in units} <= load_words(lang).keys()


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_whatever_has_a_title_says_how_it_is_read(lang):
    words = load_words(lang)
    titles = {key.removesuffix("_title") for key in words if key.endswith("_title")} - {"config"}
    assert titles
    for name in titles:
        assert words[f"{name}_title"]
        assert len(words[f"{name}_read"]) > 8, name


def test_a_chart_is_described_for_those_who_do_not_see_it(html):
    charts = re.findall(r'<div class="chart" role="img" aria-label="([^"]*)"', html)
    assert len(charts) > 10
    assert all(len(text) > 20 for text in charts)


ALL = {**make_analysed().tables, **make_traded().tables}


@pytest.mark.parametrize("name", sorted(ALL))
def test_a_table_alone_is_enough_for_its_section_and_none_is_missed_elsewhere(name):
    stage = "analyze" if name in make_analysed().tables else "backtest"
    html = render(StageResult(stage=stage, tables={name: ALL[name]}))
    assert "<h1>A campaign</h1>" in html
    assert f'id="table-{name}"' in html


def test_contents_lead_to_every_section(html):
    sections = re.findall(r'<section id="([^"]+)"', html)
    links = re.findall(r'href="#([^"]+)"', html)
    assert set(sections) - {"headline", "notes"} <= set(links)


def test_compounded_growth_is_the_product_of_daily_returns_after_costs(html):
    account = make_traded().frame("account")
    net = account["return"] - account["cost"]
    strategy, benchmark, relative = figure(html, "compounded")["data"]
    assert strategy["y"][-1] == pytest.approx((1 + net).prod(), rel=1e-5)
    assert benchmark["y"][-1] == pytest.approx((1 + account["bench"]).prod(), rel=1e-5)
    assert relative["y"][-1] == pytest.approx((1 + net).prod() / (1 + account["bench"]).prod(), rel=1e-5)
    assert figure(html, "compounded")["layout"]["yaxis"]["type"] == "log"


def test_the_spread_is_the_best_group_less_the_worst(html):
    groups = make_analysed().frame("groups")
    spread, long, short = (trace["y"][-1] for trace in figure(html, "long_short")["data"])
    assert spread == pytest.approx((groups.iloc[:, 0] - groups.iloc[:, -1]).sum(), rel=1e-4)
    assert long + short == pytest.approx(spread, rel=1e-3)


def test_the_ic_of_each_month_stands_in_its_cell():
    months = pd.DataFrame({"month": ["2018-12", "2019-01", "2019-03"], "ic": [0.05, -0.1, np.nan]})
    text = block(render(make_analysed(ic_by_month=months)), "ic_by_month")
    assert "2018 +0.050" in text
    assert "2019 -0.100" in text
    assert "nan" not in text
    assert "±0.100" in text


def test_the_colour_of_a_cell_tells_its_sign_and_its_size():
    assert HeatCell(text="1", level=1.0).colour == "rgba(0,114,178,0.55)"
    assert HeatCell(text="1", level=-0.5).colour == "rgba(230,120,0,0.28)"
    assert HeatCell(text="1").colour == ""


def test_the_cell_that_was_reported_is_framed_and_every_cell_is_shown():
    html = render(make_traded())
    assert html.count('class="number framed"') == 1
    sensitivity = html[html.index('id="block-sensitivity"') : html.index('<section id="capacity"')]
    assert len(re.findall(r'<td class="number[^>]*background', sensitivity)) == 24
    assert "24 cells" in block(html, "sensitivity")


def test_holdings_are_counted_and_weighed_by_day():
    held = pd.MultiIndex.from_tuples(
        [(DAYS[0], "A"), (DAYS[0], "B"), (DAYS[2], "A")], names=["datetime", "instrument"]
    )  # fmt: skip
    positions = pd.DataFrame({"amount": 1.0, "price": 2.0, "value": 3.0, "weight": [0.5, 0.3, 0.9]}, index=held)
    html = render(make_traded(positions=positions))
    names, largest, five, invested = figure(html, "holdings")["data"]
    assert names["y"][:3] == [2.0, 0.0, 1.0]
    assert largest["y"][:3] == [0.5, 0.0, 0.9]
    assert five["y"][:3] == [0.8, 0.0, 0.9]
    assert invested["y"][:3] == [0.8, 0.0, 0.9]
    text = block(html, "last_holdings")
    assert f"{DAYS[2]:%Y-%m-%d}" in text
    assert "A 90.00% 1 2.00 3" in text


def test_a_decay_is_drawn_with_its_intervals_in_order_of_the_horizon():
    decay = make_analysed().frame("decay").sample(frac=1, random_state=0)
    whole, disjoint, last = figure(render(make_analysed(decay=decay)), "decay")["data"]
    assert whole["x"] == ["1", "5", "10"]
    assert whole["y"] == [0.05, 0.01, 0.005]
    assert whole["error_y"]["array"] == pytest.approx([0.03, 0.07, 0.075])
    assert disjoint["name"] == "whole return, without overlap"
    assert last["name"] == "last session alone"


def test_an_interval_that_is_not_known_has_no_bar():
    band = draw_band([1.0, 2.0, np.nan], [0.5, np.nan, 0.0], [1.5, 3.0, 1.0], "#000000")
    assert band["array"] == [0.5, None, None]
    assert band["arrayminus"] == [0.5, None, None]


def test_the_line_of_equal_scores_and_labels_is_drawn_only_where_both_are_of_one_size():
    bins = make_analysed().frame("calibration")
    names = [trace["name"] for trace in figure(render(make_analysed()), "calibration")["data"]]
    assert names == ["within the day", "raw", "equal"]
    ranks = bins.assign(score=bins["score"] * 1e4)
    names = [trace["name"] for trace in figure(render(make_analysed(calibration=ranks)), "calibration")["data"]]
    assert names == ["within the day", "raw"]


def test_a_member_is_shown_alone_and_by_its_own_part():
    members = make_analysed().frame("contribution").assign(ic=[0.05, 0.03], ic_own=[0.04, 0.0])
    alone, own = figure(render(make_analysed(contribution=members)), "contribution")["data"]
    assert alone["x"] == ["trees", "line"]
    assert (alone["y"], own["y"]) == ([0.05, 0.03], [0.04, 0.0])


def test_a_long_series_is_thinned_to_its_ends_and_extremes():
    values = pd.Series(np.random.default_rng(0).normal(size=9000), index=pd.bdate_range("1990-01-01", periods=9000))
    values.iloc[4321] = 9.0
    values.iloc[1234] = -9.0
    shown = thin(values)
    assert len(shown) <= MOST_POINTS
    assert shown.index[0] == values.index[0]
    assert shown.index[-1] == values.index[-1]
    assert (shown.max(), shown.min()) == (9.0, -9.0)
    assert shown.index.is_monotonic_increasing
    pd.testing.assert_series_equal(shown, values.loc[shown.index])
    assert thin(values[:MOST_POINTS]) is not None
    assert len(thin(values[:MOST_POINTS])) == MOST_POINTS


def test_the_page_says_when_a_series_is_thinned():
    days = pd.bdate_range("2000-01-03", periods=4000, name="datetime")
    rng = np.random.default_rng(0)
    ic = pd.DataFrame({"ic": rng.normal(size=4000), "rank_ic": rng.normal(size=4000)}, index=days)
    html = render(make_analysed(ic=ic))
    assert "Drawn with at most 1,500 of 4,000 sessions" in block(html, "ic")
    assert all(len(trace["x"]) <= MOST_POINTS for trace in figure(html, "ic")["data"])
    assert "Drawn with at most" not in block(render(make_analysed()), "ic")


def test_a_table_that_is_too_large_for_the_page_is_named_with_its_file():
    size = 60_000
    index = pd.MultiIndex.from_product([pd.bdate_range("2015-01-01", periods=200), [f"S{n:03d}" for n in range(300)]])
    large = pd.DataFrame({"weight": np.zeros(size)}, index=index.set_names(["datetime", "instrument"]))
    small = make_table("account", make_traded().frame("account"))
    stage = StageResult(stage="backtest", tables={"positions": make_table("positions", large), "account": small})
    found = {one.name: one for one in embed_tables([stage])}
    assert found["positions"].text == ""
    assert (found["positions"].path, found["positions"].rows) == ("backtest/positions.parquet", size)
    assert json.loads(found["account"].text)["columns"][:2] == [["datetime", ""], ["account", "fraction"]]
    assert embed_tables([stage], room=100)[1].text == ""


def test_an_embedded_table_has_every_value_and_null_where_there_is_none():
    frame = pd.DataFrame(
        {
            "day": pd.DatetimeIndex(["2020-01-02", None]),
            "x": [0.123456789, np.inf],
            "n": pd.array([1, None], dtype="Int64"),
            "ok": [True, False],
            "name": ["</script>", None],
        }
    )
    units = {"day": "date", "x": "ratio", "n": "count", "ok": "flag", "name": "text"}
    (one,) = embed_tables([StageResult(stage="analyze", tables={"ic": make_table("ic", frame, units)})])
    assert "</script>" not in one.text
    assert json.loads(one.text)["data"] == [
        ["2020-01-02", None], [0.12345679, None], [1, None], [True, False], ["</script>", None],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.0512, "fraction", "5.12%"),
        (0.0512, "correlation", "+0.0512"),
        (1234.0, "currency", "1,234"),
        (0.97512, "probability", "0.975"),
        (float("nan"), "ratio", "–"),
        (float("inf"), "ratio", "–"),
        (pd.NaT, "date", "–"),
        (pd.Timestamp("2020-01-02"), "date", "2020-01-02"),
    ],
)
def test_a_value_is_told_by_its_unit(value, unit, text):
    assert format_value(value, unit) == text


def test_caveats_of_trading_stand_only_where_something_was_traded():
    assert "no short sales" in render(make_traded())
    assert "no short sales" not in render(make_analysed())
    assert "delisted before they were recorded" in render(make_analysed())


def test_windows_and_days_are_those_of_the_stage_collect():
    windows = pd.DataFrame(
        {
            "window": ["w0", "w1"], "variant": "main",
            "train_start": pd.DatetimeIndex(["2018-01-01", None]), "train_end": pd.DatetimeIndex(["2018-06-01", None]),
            "test_start": pd.DatetimeIndex(["2018-07-02", "2018-08-01"]),
            "test_end": pd.DatetimeIndex(["2018-07-31", "2018-08-31"]),
            "rows": [300, 310], "ic": [0.05, np.nan], "rank_ic": [0.04, np.nan],
            "best_iteration": pd.array([12, None], dtype="Int64"), "seconds": [1.5, np.nan], "recorder": ["abc", ""],
        }
    )  # fmt: skip
    collected = make_collected(tables={"windows": make_table("windows", windows)})
    html = render(collected)
    text = block(html, "windows")
    assert "done 2018-01-01 – 2018-06-01 2018-07-02 – 2018-07-31 300 +0.0500 +0.0400 12 1.5 abc" in text
    assert "nan" not in text.lower()
    assert "<span>sessions</span> 200" in html
    assert "<span>windows</span> 2" in html


def test_metrics_that_lead_are_few_and_in_order():
    keys = ("turnover", "monotone_days", "information_ratio", "ic", "psr", "calibration_slope")
    metrics = tuple(Metric(key=key, value=0.5, unit="ratio") for key in keys)
    html = report_html(make_report(variants=[make_variant(metrics=metrics)]))
    cards = re.findall(r'<div class="card"><dt>([^<]*)</dt>', html)
    assert len(cards) == 4
    assert cards[:2] == ["IC", "information ratio"]
    other = tuple(Metric(key=key, value=0.5, unit="ratio") for key in ("first", "second"))
    html = report_html(make_report(variants=[make_variant(metrics=other)]))
    assert re.findall(r'<div class="card"><dt>([^<]*)</dt>', html) == ["first", "second"]


def test_an_honest_number_is_read_once_and_each_of_its_rows_is_shown():
    text = block(render(make_traded()), "honest_numbers")
    assert text.count("Deflated Sharpe ratio") == 2
    assert text.count("Probability that the true ratio is above the best expected by luck") == 1
    assert "2012/14 raw 12 0.410" in text
    assert "12 –" in text
    assert "收缩夏普比率" in block(render(make_traded(), lang="zh"), "honest_numbers")


def test_the_interval_of_a_metric_stands_in_its_card():
    metrics = [
        Metric(key=key, value=value, unit="correlation")
        for key, value in (("ic", 0.04), ("ic_error", 0.005), ("ic_low", 0.03), ("ic_high", 0.05))
    ]
    html = report_html(make_report(variants=[make_variant(metrics=metrics)]))
    assert "± 0.0050" in html
    assert '<small class="range">95 % 0.0300 … 0.0500</small>' in html


def test_the_year_is_the_sum_of_its_months_and_their_compound():
    account = make_traded().frame("account")
    net = account["return"] - account["cost"]
    html = render(make_traded())
    for year in ("2018", "2019"):
        of_year = net[net.index.year == int(year)]
        added, compounded = of_year.sum(), (1 + of_year).prod() - 1
        row = re.search(rf'<th scope="row">{year}</th>(.*?)</tr>', html, flags=re.DOTALL)[1]
        assert re.findall(r"<td[^>]*>([^<]*)</td>", row)[12:] == [f"{added:.1%}", f"{compounded:.1%}"]
    assert "2018" in block(html, "monthly_excess")


def test_the_waterfall_begins_with_the_theory_and_ends_with_the_account():
    (bars,) = figure(render(make_traded()), "reconciliation")["data"]
    table = make_traded().frame("reconciliation")
    assert len(bars["y"]) == len(table) + 1
    assert bars["y"][0] == "top group, traded at once, free"
    assert bars["y"][-2:] == ["costs", "the account"]
    assert (bars["base"][0], bars["x"][0]) == (0.0, 0.4)
    assert (bars["base"][-1], bars["x"][-1]) == (0.0, 0.1)
    np.testing.assert_allclose(bars["x"][1:-1], table["difference"][1:], atol=1e-12)
    np.testing.assert_allclose(bars["base"][1:-1], table["annualized_return"][:-1])


def test_capacity_has_an_axis_of_powers_and_its_costs_below():
    drawn = figure(render(make_traded()), "capacity")
    assert drawn["layout"]["xaxis"]["type"] == "log"
    earned, *shares = drawn["data"]
    assert (earned["x"], earned["y"]) == ([1e5, 1e6, 1e7], [0.05, 0.1, 0.12])
    assert [trace["y"][0] for trace in shares] == [0.06, 0.3, 0.8]
    assert "1,000,000 10.00%" in block(render(make_traded()), "capacity_table")


@pytest.mark.parametrize(
    ("lang", "told"), [("en", "every trade cost more than that by its rate"), ("zh", "每笔最低成本")]
)
def test_settings_that_changed_nothing_say_why(lang, told):
    text = block(render(make_traded(), lang=lang), "inert_settings")
    assert told in text
    assert "0.095" in text


def test_the_moment_at_which_a_number_is_known_stands_beside_its_trade():
    text = block(render(make_traded()), "timing")
    assert "the score of a session 0 after the close 1" in text
    assert "nan" not in text.lower()
    assert "某交易日的分数" in block(render(make_traded(), lang="zh"), "timing")
