"""The page: what it shows, that it shows text as text, and that it asks the network for nothing."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from plotly.offline import get_plotlyjs

from made_report import (
    DAYS,
    METRICS,
    make_analysed,
    make_collected,
    make_report,
    make_table,
    make_traded,
    make_variant,
    make_windows,
)
from rollwright.analysis.conventions import BacktestTerms, Conventions
from rollwright.analysis.health import EVERYTHING, HealthFinding
from rollwright.analysis.health_text import list_kinds
from rollwright.analysis.metrics import Metric
from rollwright.analysis.order_counts import count_orders
from rollwright.analysis.report import CampaignReport, render_report, report_html
from rollwright.analysis.report.words import load_words
from rollwright.analysis.stages.learning_tables import make_learning_tables
from rollwright.collect.coverage import CAUSES
from rollwright.errors import ConfigError, DataError
from rollwright.models.learning import Learning

PLOTLY = get_plotlyjs().replace("</script", r"<\/script")  # five megabytes that no test reads
HOSTILE = '</script><script src="https://evil.example/x.js">alert(1)</script><img src=x onerror=alert(2)> & "\''


def make_page(lang="en", **changes):
    """Return the page of one variant, changed."""
    return report_html(make_report(variants=[make_variant(**changes)], lang=lang))


def with_stages(**stages):
    """Return the page of one variant whose stages are as given, and in all else as usual."""
    made = {"collect": make_collected(), "analyze": make_analysed(), "backtest": make_traded()} | stages
    return make_page(stages=tuple(stage for stage in made.values() if stage is not None))


class Page(HTMLParser):
    """What a browser would see: elements, their attributes, and the text outside scripts, styles and code."""

    def __init__(self, html):
        super().__init__()
        self.elements, self.ids, self.open = [], set(), []
        self.text, self.code, self.scripts, self.styles = [], [], [], []
        self.feed(html.replace(PLOTLY, ""))

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self.ids.add(dict(attrs).get("id"))
        self.open.append(tag)

    def handle_endtag(self, tag):
        while self.open and self.open.pop() != tag:
            pass

    def handle_data(self, data):
        inside = self.open[-1] if self.open else ""
        {"script": self.scripts, "style": self.styles, "code": self.code}.get(inside, self.text).append(data)


CHARTS = {"learning", "importance"} | {
    "timeline", "performance", "compounded", "ic", "group_lines", "group_bars", "long_short", "decay",
    "autocorrelation", "turnover", "calibration", "contribution", "activity", "holdings", "coverage_map",
    "capacity", "reconciliation",
}  # fmt: skip
CATEGORIES = {"timeline", "group_bars", "contribution", "coverage_map", "reconciliation"}  # one axis names things


def figures(html):
    found = re.findall(r'<script type="application/json" id="figure-(\w+)">(.*?)</script>', html)
    return {name: json.loads(text) for name, text in found}


@pytest.fixture(scope="module")
def html():
    return report_html(make_report())


def test_every_part_is_there(html):
    page = Page(html)
    sections = {
        "health", "headline", "notes", "timeline", "performance", "ic", "cuts", "groups", "lasting", "contribution",
        "trading", "holdings", "orders", "sensitivity", "capacity", "reconciliation", "inert", "timing", "honesty",
        "months", "numbers", "windows", "coverage", "caveats", "data", "config",
    }  # fmt: skip
    assert sections <= page.ids
    text = " ".join(page.text)
    for shown in (
        "A campaign",
        "0.0423",
        "± 0.0051",
        "-9.27%",
        "No vwap in the data.",
        "suspended",
        "97.94%",
    ):
        assert shown in text
    assert "step: 40" in "".join(page.code)
    assert set(figures(html)) == CHARTS


def test_the_page_asks_the_network_for_nothing(html):
    page = Page(html)
    for tag, attributes in page.elements:
        assert not {"src", "srcset", "action", "data", "poster"} & set(attributes), (tag, attributes)
        assert attributes.get("href", "#").startswith("#")
        assert tag not in {"link", "iframe", "img", "object", "embed", "base"}
    style = " ".join(page.styles) + " ".join(str(attributes.get("style")) for _, attributes in page.elements)
    assert "@import" not in style
    assert "url(" not in style
    policy = next(a["content"] for _, a in page.elements if a.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy
    assert "http" not in policy
    ours = html.replace(PLOTLY, "")
    assert "http:" not in ours
    assert "https:" not in ours


def test_the_chart_library_is_embedded_once(html):
    assert html.count("plotly.js v") == 1
    assert len(html) < 6_000_000
    assert len(html.replace(PLOTLY, "")) < 1_000_000


def test_equal_reports_give_equal_bytes(html):
    assert report_html(make_report()) == html


def test_whatever_a_name_contains_is_text():
    causes = pd.DataFrame({"cause": [HOSTILE], "rows": [1]})
    stages = make_variant().stages
    contribution = stages[1].frame("contribution").assign(member=[HOSTILE, "line"])
    neutralised = stages[1].frame("neutralised").assign(columns=HOSTILE)
    held = pd.MultiIndex.from_tuples([(DAYS[-1], HOSTILE)], names=["datetime", "instrument"])
    positions = stages[2].frame("positions").head(1).set_axis(held)
    told = Learning.of({HOSTILE: {HOSTILE: [2.0, 1.0]}}, basis=HOSTILE, weights=[(HOSTILE, 1.0)])
    learnt = make_learning_tables([(HOSTILE, HOSTILE, told)])
    report = make_report(
        facts=[(HOSTILE, HOSTILE)],
        created=HOSTILE,
        notes=[HOSTILE],
        config=HOSTILE,
        name=HOSTILE,
        variants=[
            make_variant(
                windows=[replace(make_windows()[0], name=HOSTILE, recorder=HOSTILE, state=HOSTILE)],
                stages=(
                    make_collected(tables={"missing_rows": make_table("missing_rows", causes, unit="count"), **learnt}),
                    make_analysed(contribution=contribution, neutralised=neutralised),
                    make_traded(positions=positions),
                ),
            )
        ],
    )
    page, calm = Page(report_html(report)), Page(report_html(make_report()))
    count = [tag for tag, _ in page.elements].count("script")
    assert count == [tag for tag, _ in calm.elements].count("script")
    assert "img" not in [tag for tag, _ in page.elements]
    assert HOSTILE in "".join(page.text)
    assert HOSTILE in "".join(page.code)


def test_the_orders_are_counted_by_reason(html):
    text = " ".join(" ".join(Page(html).text).split())
    orders = count_orders(make_traded().frame("trades"), make_traded().frame("unfilled"))
    assert orders.whole > 0
    assert f"Of {orders.wanted:,} orders that the strategy wanted, {orders.whole:,} were made whole." in text
    assert "buy cash does not cover it 31 7 31" in text
    assert "orders" not in Page(with_stages(backtest=make_traded(unfilled=None))).ids


def test_every_chart_is_one_plotly_understands(html):
    assert figures(html).keys() == CHARTS
    for name, figure in figures(html).items():
        checked = go.Figure(figure)
        assert checked.data, name
        for trace in checked.data:
            assert trace.type in {"bar", "scatter", "heatmap"}


def test_axes_have_titles(html):
    assert figures(html).keys() == CHARTS
    for name, figure in figures(html).items():
        titles = {key: axis.get("title") for key, axis in figure["layout"].items() if re.match(r"[xy]axis", key)}
        nameless = [key for key, title in titles.items() if not title]
        assert len(nameless) == (name in CATEGORIES), (name, titles)


def test_the_timeline_has_a_row_per_window_and_a_bar_per_role(html):
    traces = figures(html)["timeline"]["data"]
    bars = {trace["name"]: trace for trace in traces if trace["type"] == "bar"}
    assert list(bars) == ["train", "valid", "purge gap", "test"]
    test = bars["test"]
    window = make_windows()[0]
    start, end = window.segments["test"]
    assert test["y"] == [row.name for row in make_windows()]
    assert test["base"][0] == f"{start:%Y-%m-%d}"
    assert test["x"][0] == ((end - start).days + 1) * 86_400_000
    assert test["text"][0] == "-0.010"


def test_a_failed_window_is_marked():
    windows = [replace(row, state="failed") if place == 1 else row for place, row in enumerate(make_windows())]
    page_text = make_page(windows=windows)
    bars = figures(page_text)["timeline"]["data"][0]["marker"]["line"]["width"]
    assert bars == [0, 2, 0, 0, 0]
    assert 'class="state failed"' in page_text


def test_a_window_whose_future_is_not_known_yet_has_no_ic():
    windows = [replace(row, ic=float("nan"), rank_ic=float("nan")) for row in make_windows()]
    html = make_page(windows=windows)
    assert "nan" not in "".join(Page(html).text).lower()
    assert figures(html)["timeline"]["data"][3]["text"] == [""] * 5


def test_curves_are_sums_of_daily_returns_after_costs(html):
    account = make_traded().frame("account")
    curves = {trace["name"]: trace for trace in figures(html)["performance"]["data"] if trace.get("yaxis") is None}
    net = account["return"] - account["cost"]
    assert curves["strategy, after costs"]["y"][-1] == pytest.approx(net.sum(), rel=1e-4)
    assert curves["excess, after costs"]["y"][-1] == pytest.approx((net - account["bench"]).sum(), rel=1e-4)
    falls = [trace for trace in figures(html)["performance"]["data"] if trace.get("yaxis") == "y2"]
    assert all(value <= 0 for trace in falls for value in trace["y"])


def test_days_without_a_value_stay_empty():
    ic = make_analysed().frame("ic").copy()
    ic.iloc[3, 0] = np.nan
    shown = figures(with_stages(analyze=make_analysed(ic=ic)))["ic"]["data"][0]["y"]
    assert shown[3] is None
    assert shown[4] is not None


def test_an_empty_report_is_still_a_page():
    html = report_html(CampaignReport(name="nothing yet"))
    page = Page(html)
    assert "nothing yet" in " ".join(page.text)
    assert len(html) < 20_000, "without a chart the chart library stays out"
    assert not {"timeline", "windows", "coverage", "config"} & page.ids


@pytest.mark.parametrize("days", [1, 2])
def test_a_day_or_two_are_enough(days):
    analysed = {name: table.frame[:days] for name, table in make_analysed().tables.items()}
    traded = {name: table.frame[:days] for name, table in make_traded().tables.items()}
    traded["account"] = traded["account"][["return"]]
    html = with_stages(analyze=make_analysed(**analysed), backtest=make_traded(**traded))
    assert {"timeline", "performance", "ic"} <= figures(html).keys()


def test_two_hundred_windows_fit():
    row = make_windows()[0]
    html = make_page(windows=[replace(row, name=f"w{place}") for place in range(200)])
    assert figures(html)["timeline"]["layout"]["height"] < 2000


def test_the_ic_of_a_window_stands_beside_its_bar_and_covers_none():
    (bars,) = [trace for trace in figures(report_html(make_report()))["timeline"]["data"] if "text" in trace]
    assert bars["textposition"] == "outside"
    layout = figures(report_html(make_report()))["timeline"]["layout"]
    assert pd.Timestamp(layout["xaxis"]["range"][1]) > pd.Timestamp("2018-12-31")  # room after the last bar


def conventions(horizon, span):
    return Conventions(days_per_year=252, label_horizon=horizon, label_span=span)


def test_a_label_over_several_sessions_is_counted_once_and_named_on_the_axes():
    plain = figures(report_html(make_report(conventions=conventions(1, 2))))
    five = figures(report_html(make_report(conventions=conventions(5, 6))))
    one = np.array(plain["group_lines"]["data"][0]["y"])
    np.testing.assert_allclose(five["group_lines"]["data"][0]["y"], one / 5, rtol=1e-4)
    assert five["group_lines"]["layout"]["yaxis"]["title"]["text"] == "sum of excess, 1/5 of the 5-session return"
    assert five["group_bars"]["data"][0]["y"] == plain["group_bars"]["data"][0]["y"]
    assert five["group_bars"]["layout"]["yaxis"]["title"]["text"] == "mean excess, 5-session return (bp)"


def test_error_bars_take_as_many_lags_as_labels_overlap():
    groups = pd.DataFrame(np.random.default_rng(1).normal(size=(200, 3)), DAYS, columns=list("abc"))
    analysed = make_analysed(groups=groups.rolling(5).sum().dropna(), ic=None)
    variant = make_variant(stages=(analysed,))

    def errors(span):
        page = report_html(make_report(conventions=conventions(None, span), variants=[variant]))
        return np.array(figures(page)["group_bars"]["data"][0]["error_y"]["array"])

    assert (errors(9) > errors(2)).all()
    assert set(errors(300).tolist()) == {None}


def test_a_label_that_is_no_return_is_shown_in_its_own_unit():
    page = report_html(make_report(conventions=conventions(None, 3)))
    for name, title in (("group_lines", "sum of excess label"), ("group_bars", "mean excess label")):
        axis = figures(page)[name]["layout"]["yaxis"]
        assert axis["title"]["text"] == title
        assert "tickformat" not in axis
    assert "%{y:.4g}" in figures(page)["group_bars"]["data"][0]["hovertemplate"]
    assert "not known to be a return" in page


UNTRANSLATED = {
    "IC", "ICIR", "Rank", "JavaScript", "Newey", "West", "Ref", "close", "UTC", "rollwright", "CSV", "JSON", "Parquet",
    "topk", "drop", "SH", "DSR", "PBO",
}  # fmt: skip


@pytest.mark.parametrize("several", [False, True])
def test_a_chinese_report_leaves_nothing_in_english(several):
    values = dict.fromkeys(("days", "of", "share", "distinct", "names", "topk", "windows", "wanted", "span", "gap"), 3)
    values |= dict.fromkeys(("leak", "reason", "reasons", "message", "fields", "benchmark", "examples", "first"), "—")
    values |= dict.fromkeys(("rows", "limit", "infinite", "largest", "ic", "planted", "realised", "jumps"), 1)
    values |= dict.fromkeys(("with_factor", "sessions", "equal_scores", "equal_labels", "one_instrument"), 1)
    values |= dict.fromkeys(("infinite_labels", "no_label", "other"), 1)
    values |= dict.fromkeys(("sharpe", "psr", "deflated", "expected", "trials", "years", "pbo", "problems", "lost"), 1)
    metrics = tuple(Metric(key=key, value=0.1, unit="ratio") for key in (*EVERYTHING, "ic_days"))
    windows = [replace(window, name="—") for window in make_windows()]
    causes = pd.DataFrame({"cause": [*CAUSES], "rows": 1})
    stages = (
        make_collected(tables={"missing_rows": make_table("missing_rows", causes, unit="count")}),
        make_analysed(
            neutralised=make_analysed().frame("neutralised").assign(columns="行业"),
            ic_by_group=make_analysed().frame("ic_by_group").assign(column="行业", group=["甲", "乙"]),
            contribution=make_analysed().frame("contribution").assign(member=["甲", "乙"]),
        ),
        make_traded(),
    )
    variant = make_variant(metrics=metrics, windows=windows, stages=stages)
    told = BacktestTerms(
        topk=30, n_drop=5, account=1e8, benchmark="mean", open_cost=0.0005, close_cost=0.0015, min_cost=5.0,
        trade_unit=100, limit_threshold=0.095,
    )  # fmt: skip
    page = report_html(
        CampaignReport(
            name="—",
            variants=[replace(variant, name="一"), replace(variant, name="二")] if several else [variant],
            facts=[("reused", "3"), ("version", "0.1")],
            created="2026-01-02 03:04 UTC",
            health=[
                HealthFinding(kind=kind, severity=severity, values=values)
                for kind in list_kinds()
                for severity in ("serious", "warning", "note")
            ],
            conventions=Conventions(days_per_year=252, label_horizon=5, label_span=6, backtest=told),
            lang="zh",
        )
    )
    seen = Page(page)
    shown = [value for tag, attrs in seen.elements if tag != "meta" for name, value in attrs.items() if name in SHOWN]
    texts = [*seen.text, *shown, *(text for figure in figures(page).values() for text in list_texts(figure))]
    words = {word for text in texts for word in re.findall(r"[A-Za-z]{2,}", re.sub(r"`[^`]*`", "", text))}
    assert words <= UNTRANSLATED


SHOWN = ("aria-label", "title", "alt", "placeholder", "text", "name", "hovertemplate", "customdata", "ticktext")


def list_texts(value, key=""):
    """Return every text of a figure that a reader can see."""
    if isinstance(value, str):
        if key in SHOWN:
            yield re.sub(r"%\{[^}]*\}|<[^>]*>", "", value)
        return
    for name, part in value.items() if isinstance(value, dict) else [(key, one) for one in value]:
        if isinstance(part, str | dict | list):
            yield from list_texts(part, name)


def test_chinese_has_every_word_of_english():
    assert set(load_words("zh")) == set(load_words("en"))
    html = report_html(make_report(lang="zh"))
    assert '<html lang="zh-CN">' in html
    assert "滚动窗口" in html
    assert "最大回撤" in html


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_words_are_plain_text(lang):
    assert not [text for text in load_words(lang).values() if "`" in text]


def test_an_unknown_language_is_refused():
    with pytest.raises(ConfigError, match="no report in language `de`"):
        report_html(make_report(lang="de"))


def test_a_frame_without_its_column_is_refused():
    with pytest.raises(DataError, match=r"`account` .* lacks \['return'\]"):
        with_stages(backtest=make_traded(account=pd.DataFrame({"x": [1.0]}, index=[pd.Timestamp("2020-01-01")])))


def test_the_file_is_written_whole(tmp_path, html):
    path = tmp_path / "deep" / "report.html"
    assert render_report(make_report(), path) == path
    assert path.read_text(encoding="utf-8") == html
    assert [item.name for item in path.parent.iterdir()] == ["report.html"]


def test_several_variants_are_compared_and_each_has_its_own_sections(html):
    other = make_variant(name="second", metrics=[*METRICS[:2], Metric(key="turnover", value=0.1, unit="fraction")])
    page_text = report_html(replace(make_report(), variants=[make_variant(), other]))
    page = Page(page_text)
    assert {"members", "timeline-1", "timeline-2", "windows-2", "coverage-2", "groups-1"} <= page.ids
    assert "timeline" not in page.ids
    assert (
        len(page.ids) == len([1 for _, attributes in page.elements if attributes.get("id")]) + 1
    )  # None, and no id twice
    text = " ".join(page.text)
    for shown in ("first", "second", "-9.27%", "10.00%", "0.0423 ± 0.0051"):
        assert shown in text
    drawn = re.findall(r'data-figure="([\w-]+)"', page_text)
    written = re.findall(r'id="figure-([\w-]+)"', page_text)
    assert drawn == written
    assert len(set(drawn)) == 2 * len(figures(html))
    assert page_text.count("plotly.js v") == 1


def test_a_signal_of_members_leads_with_its_numbers_and_the_table_compares_it_with_them():
    members = [make_variant(name=name) for name in ("trees", "line")]
    signal = make_variant(name="combined", is_signal=True)
    page = Page(report_html(replace(make_report(), variants=[signal, *members])))
    assert {"headline", "members"} <= page.ids
    cards = [attributes for _, attributes in page.elements if attributes.get("class") == "card"]
    assert len(cards) == sum(metric.key != "ic_error" for metric in METRICS)
    without = Page(report_html(replace(make_report(), variants=members)))
    assert "members" in without.ids
    assert not [attributes for _, attributes in without.elements if attributes.get("class") == "card"]


def test_a_column_that_no_window_fills_is_left_out():
    rows = [
        replace(row, segments={"test": row.segments["test"]}, best_iteration=None, seconds=None, recorder="")
        for row in make_windows()
    ]
    whole = report_html(make_report())
    heads = re.findall(r"<th[^>]*>([^<]*)</th>", whole[whole.index('id="windows"') : whole.index('id="coverage"')])
    assert {"train", "valid", "test", "Trees", "Seconds", "Recorder"} <= {*heads}
    bare = make_page(windows=rows)
    table = bare[bare.index('id="windows"') : bare.index('id="coverage"')]
    heads = re.findall(r"<th[^>]*>([^<]*)</th>", table)
    assert {*heads} == {"State", "test", "Rows", "IC", "Rank IC"}
    for line in re.findall(r"<tr title.*?</tr>", table, flags=re.DOTALL):
        assert line.count("<td") == len(heads)


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_first_twelve_have_charts_and_the_page_says_where_the_rest_is(lang):
    members = [make_variant(name=f"member-{number}", stages=()) for number in range(13)]
    report = replace(make_report(), variants=[make_variant(name="combined", is_signal=True), *members], lang=lang)
    page_text = report_html(report)
    page = Page(page_text)
    assert "timeline-12" in page.ids
    assert "timeline-13" not in page.ids
    said = re.search(r'<p class="notes" id="left-out">(.*?)</p>', page_text, flags=re.DOTALL)
    assert said is not None
    for shown in ("12", "member-11", "member-12", "summary.json", "members/"):
        assert shown in said[1]
    assert "member-10" not in said[1]
    assert "left-out" not in Page(report_html(replace(report, variants=report.variants[:12]))).ids
    text = " ".join(page.text)
    for member in members:  # all are compared
        assert member.name in text


def test_the_table_of_members_names_the_findings_of_a_row_once_and_leads_to_them():
    members = [make_variant(name=name) for name in ("trees", "line")]
    doubted = [metric.key for metric in METRICS[:3]]
    finding = HealthFinding(
        kind="missing_fields", severity="warning", values={"fields": "$vwap"}, metrics=tuple(doubted), variant="line"
    )
    shared = [replace(finding, variant=member.name, metrics=("nothing",)) for member in members]
    page_text = report_html(replace(make_report(), variants=members, health=[finding, finding, *shared]))
    assert "the same of: trees, line" in page_text
    table = page_text[page_text.index('<section id="members"') : page_text.index('id="timeline-1"')]
    trees, line = re.findall(r"<tr><td>(?:trees|line)</td>.*?</tr>", table, flags=re.DOTALL)
    assert "[1]" not in trees
    for number in (1, 2):
        assert line.count(f'<a href="#finding-{number}">[{number}]</a>') == 1
    assert "findings" in table
    calm = report_html(replace(make_report(), variants=members, health=[]))
    assert "findings" not in calm[calm.index('<section id="members"') : calm.index('id="timeline-1"')]
