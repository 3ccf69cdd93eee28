"""What has to be known before a number is believed: found where it is, and not where it is not."""

from __future__ import annotations

from importlib.resources import files
from string import Formatter
from tomllib import loads

import numpy as np
import pandas as pd
import pytest

from rollwright.analysis.examination import examine_account, examine_scores
from rollwright.analysis.health import ACCOUNT, SIGNAL, HealthFinding, findings_from_json, group_findings, sort_findings
from rollwright.analysis.health_text import count_findings, describe_finding, list_kinds
from rollwright.analysis.metrics import Metric, metrics_to_json, show_metrics
from rollwright.analysis.signal import calc_ic
from rollwright.errors import DataError


def signal(days=100, names=40, *, seed=0):
    """Return scores and labels of a plain, weak signal as matrices [days, names]."""
    rng = np.random.default_rng(seed)
    label = rng.normal(0, 0.02, size=(days, names))
    return label + rng.normal(0, 0.2, size=label.shape), label


def examine(scores, labels, **kwargs):
    index = pd.MultiIndex.from_product(
        [pd.bdate_range("2021-03-01", periods=len(scores)), [f"S{n:03d}" for n in range(scores.shape[1])]],
        names=["datetime", "instrument"],
    )
    pred, label = pd.Series(scores.ravel(), index=index), pd.Series(labels.ravel(), index=index)
    return {finding.kind: finding for finding in examine_scores(pred, label, calc_ic(pred, label)[0], **kwargs)}


def test_nothing_is_found_in_a_plain_signal():
    assert examine(*signal(), topk=5, label_span=2) == {}


def test_constant_scores_are_counted_and_named_as_the_cause_of_missing_ics():
    scores, labels = signal()
    scores[:30] = 0.5
    found = examine(scores, labels)
    assert found["constant_scores"].severity == "serious"
    assert found["constant_scores"].values == {"days": 30, "of": 100, "share": 0.3}
    missing = found["days_without_ic"]
    assert (missing.values["days"], missing.values["equal_scores"], missing.values["no_label"]) == (30, 30, 0)
    assert "constant" in describe_finding(found["constant_scores"]).message
    assert "30 equal scores" in describe_finding(missing).message
    assert "30 分数全相同" in describe_finding(missing, "zh").message
    scores, labels = signal()
    scores[:3] = 0.5
    assert examine(scores, labels)["constant_scores"].severity == "warning"


def test_tied_scores_and_ties_at_the_edge_of_the_top_are_found():
    scores, labels = signal()
    scores[:60] = np.round(scores[:60] * 5)
    found = examine(scores, labels, topk=5)
    assert set(found) == {"tied_scores", "tied_at_topk"}
    assert found["tied_scores"].values["days"] == 60
    assert found["tied_scores"].severity == "serious"
    assert found["tied_scores"].values["distinct"] < 12
    assert found["tied_at_topk"].metrics == ACCOUNT
    assert 20 < found["tied_at_topk"].values["days"] <= 60


@pytest.mark.parametrize(("topk", "severity"), [(20, None), (21, "warning"), (40, "serious"), (50, "serious")])
def test_a_top_that_is_most_of_the_universe_is_found(topk, severity):
    found = examine(*signal(), topk=topk)
    assert (found["topk_against_universe"].severity if severity else found) == (severity or {})


def test_sessions_at_the_end_without_a_label_yet_are_nothing_to_tell():
    scores, labels = signal()
    labels[-2:] = np.nan
    assert examine(scores, labels, label_span=2) == {}
    labels[-40:] = np.nan
    assert examine(scores, labels, label_span=2)["days_without_ic"].values["no_label"] == 40


def test_few_sessions_and_few_instruments_are_found():
    assert examine(*signal(days=30))["few_days"].severity == "warning"
    assert examine(*signal(days=2))["few_days"].severity == "serious"
    assert examine(*signal(names=10))["few_instruments"].severity == "warning"
    one = examine(*signal(names=1), topk=1)
    assert one["few_instruments"].severity == one["topk_against_universe"].severity == "serious"
    assert one["days_without_ic"].values["one_instrument"] == 100
    assert "constant_scores" not in one  # one score is equal to none


def test_what_cannot_be_true_is_found():
    scores, labels = signal()
    assert examine(labels, labels)["implausible_ic"].values == {"ic": pytest.approx(1.0)}
    labels[3, 4], labels[5, 6] = np.inf, -0.9
    found = examine(scores, labels)
    assert found["extreme_labels"].severity == "serious"
    assert found["extreme_labels"].values == {"rows": 2, "limit": 0.5, "infinite": 1, "largest": -0.9}
    assert found["days_without_ic"].values["infinite_labels"] == 1
    labels[3, 4] = 0.0
    assert "extreme_labels" not in examine(scores, labels, label_span=6)  # of a return over five sessions
    assert "extreme_labels" not in examine(scores, labels * 100)  # a label in another unit, as a rank


def test_without_a_single_score_that_is_all_there_is_to_say():
    assert list(examine(np.full((3, 4), np.nan), np.ones((3, 4)))) == ["no_scores"]


def account(**columns):
    days = 100
    plain = {"account": 100.0, "value": 95.0, "turnover": 0.1}
    return pd.DataFrame({**plain, **columns}, index=pd.bdate_range("2021-03-01", periods=days))


def test_an_account_that_did_not_trade_or_was_not_invested_is_found():
    assert examine_account(account(), benchmark="mean") == []
    assert [one.kind for one in examine_account(account(turnover=0.0), benchmark="mean")] == ["no_trades"]
    (idle,) = examine_account(account(value=20.0), benchmark="mean")
    assert (idle.kind, idle.values["share"]) == ("idle_cash", pytest.approx(0.2))
    (gaps,) = examine_account(account(), benchmark="SH000300", benchmark_gaps=40)
    assert gaps.metrics == ("excess_return", "information_ratio")
    assert "SH000300 has no price on 40 of 100 sessions" in describe_finding(gaps).message


def test_findings_stand_beside_the_metrics_they_are_about():
    findings = sort_findings(
        [
            HealthFinding(kind="missing_fields", severity="note", values={"fields": "$vwap"}),
            HealthFinding(kind="idle_cash", severity="warning", values={"share": 0.1}, metrics=ACCOUNT, variant="b"),
            HealthFinding(kind="few_days", severity="serious", values={"days": 3, "wanted": 60}, metrics=SIGNAL),
        ]
    )
    assert [finding.severity for finding in findings] == ["serious", "warning", "note"]
    assert count_findings(findings) == "1 serious, 1 warning, 1 note"
    assert count_findings(findings, "zh") == "1 项严重、1 项警告、1 项说明"
    metrics = (Metric(key="ic", value=0.1, unit="correlation"), Metric(key="turnover", value=0.1, unit="fraction"))
    assert [one.mark for one in show_metrics(metrics, findings=findings, variant="b")] == ["[1]", "[2]"]
    assert [one.mark for one in show_metrics(metrics, findings=findings, variant="a")] == ["[1]", ""]
    data = metrics_to_json(metrics, findings=findings, variant="a")
    assert data["ic"]["findings"] == ["few_days"]
    assert "findings" not in data["turnover"]


def test_an_unknown_severity_is_refused():
    with pytest.raises(DataError, match="'bad' is no severity"):
        findings_from_json([{"kind": "x", "severity": "bad", "values": {}, "metrics": [], "variant": ""}])


WORDS = loads(files("rollwright.analysis").joinpath("templates/health.toml").read_text(encoding="utf-8"))


def fields_of(kind, language):
    texts = (WORDS[kind][language], WORDS[kind][f"{language}_hint"])
    return {name for text in texts for _, name, _, _ in Formatter().parse(text) if name}


@pytest.mark.parametrize("kind", list_kinds())
def test_the_words_of_a_kind_use_the_same_values_in_both_languages(kind):
    assert fields_of(kind, "en") - {"message"} == fields_of(kind, "zh")  # a message from elsewhere is in English
    finding = HealthFinding(
        kind=kind, severity="note", values=dict.fromkeys(fields_of(kind, "en"), 1) | {"equal_scores": 1}
    )
    english, chinese = describe_finding(finding), describe_finding(finding, "zh")
    assert english.message.replace("±", "").isascii()
    assert not chinese.message.isascii()
    assert bool(english.hint) == bool(chinese.hint)
    assert not english.message.endswith(".")
    assert not english.hint.endswith((".", "?"))  # the report puts a full stop behind it


def test_a_kind_of_a_later_version_is_shown_by_its_key_and_values():
    assert (
        describe_finding(HealthFinding(kind="new_thing", severity="note", values={"n": 3})).message == "new_thing: n 3"
    )


def test_what_members_share_has_one_number_and_stands_beside_each_of_them():
    findings = [
        HealthFinding(kind="few_days", severity="serious", values={"days": 3}, metrics=SIGNAL),
        *(HealthFinding(kind="few_days", severity="serious", metrics=SIGNAL, variant=name) for name in "abc"),
        HealthFinding(kind="idle_cash", severity="warning", metrics=ACCOUNT, variant="c"),
        HealthFinding(kind="idle_cash", severity="note", metrics=ACCOUNT, variant="a"),
        HealthFinding(kind="few_days", severity="serious", values={"days": 4}, metrics=SIGNAL, variant="a"),
    ]
    groups = group_findings(findings)
    assert [[one.variant for one in group] for group in groups] == [[""], ["a", "b", "c"], ["c"], ["a"], ["a"]]
    assert [one for group in groups for one in group] == findings
    metrics = (Metric(key="ic", value=0.1, unit="correlation"), Metric(key="turnover", value=0.1, unit="fraction"))
    for name, marks in (("a", ["[1] [2] [5]", ""]), ("c", ["[1] [2]", "[3]"]), ("d", ["[1]", ""])):
        assert [one.mark for one in show_metrics(metrics, findings=findings, variant=name)] == marks
    assert metrics_to_json(metrics, findings=findings, variant="b")["ic"]["findings"] == ["few_days", "few_days"]
