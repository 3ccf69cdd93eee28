"""Evidence for a promotion: paired by session and instrument, with no label before it was known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from rollwright.analysis.honesty.intervals import estimate_mean
from rollwright.errors import ConfigError, DataError, LedgerError
from rollwright.online.evidence import Evidence, PromotionTerms, compare_signals, judge_evidence

NAMES = [f"S{number:02d}" for number in range(40)]
SESSIONS = [f"{day:%Y-%m-%d}" for day in pd.bdate_range("2024-01-02", periods=90)]


def make_case(*, champion=0.05, challenger=0.3, seed=3):
    """Return both signals and the labels; the numbers say how much of the label each signal knows."""
    rng = np.random.default_rng(seed)
    labels, signals = {}, ({}, {})
    for session in SESSIONS:
        label = rng.normal(size=len(NAMES))
        labels[pd.Timestamp(session)] = pd.Series(0.02 * label, index=NAMES)
        for share, into in zip((champion, challenger), signals, strict=True):
            into[session] = pd.Series(share * label + rng.normal(size=len(NAMES)), index=NAMES, name="score")
    return *signals, pd.concat(labels, names=["datetime", "instrument"])


def compare(champion, challenger, labels, **changes):
    given = {"names": ("new", ["old"]), "sessions": SESSIONS, "label_span": 2, **changes}
    return compare_signals(champion, challenger, labels, **given)


def test_a_better_challenger_is_told_with_its_interval():
    evidence = compare(*make_case())
    assert (evidence.first, evidence.last, evidence.days) == (SESSIONS[0], SESSIONS[-3], 88)
    assert evidence.rank_ic.challenger - evidence.rank_ic.champion == pytest.approx(evidence.rank_ic.difference)
    assert 0 < evidence.rank_ic.lower < evidence.rank_ic.difference < evidence.rank_ic.upper
    assert judge_evidence(evidence, PromotionTerms()) == ()
    worse = compare(*make_case(champion=0.3, challenger=0.05))
    assert worse.rank_ic.upper < 0
    assert [line.split(",")[0] for line in judge_evidence(worse, PromotionTerms())][:1] == ["the difference in rank IC"]
    assert "lies below 0" in judge_evidence(worse, PromotionTerms())[-1]


def test_the_figures_are_those_of_an_independent_computation():
    champion, challenger, labels = make_case()
    evidence = compare(champion, challenger, labels, terms=PromotionTerms(topk=5))
    ic, top = [], []
    for session in SESSIONS[:-2]:
        label = labels.loc[pd.Timestamp(session)]
        both = [one[session] for one in (champion, challenger)]
        ranks = [one.rank().corr(label.rank()) for one in both]
        tops = [label[one.nlargest(5).index].mean() for one in both]
        ic.append(ranks[1] - ranks[0])
        top.append(tops[1] - tops[0])
    for found, expected in ((evidence.rank_ic, ic), (evidence.top_return, top)):
        interval = estimate_mean(expected, label_span=2)
        assert found.difference == pytest.approx(interval.mean)
        assert (found.lower, found.upper) == pytest.approx((interval.lower, interval.upper))


@pytest.mark.parametrize("span", [1, 2, 5])
def test_a_label_that_was_not_known_yet_changes_nothing(span):
    champion, challenger, labels = make_case()
    known = SESSIONS[:60]
    evidence = compare(champion, challenger, labels, sessions=known, label_span=span)
    assert evidence.last == known[-1 - span]
    late = labels.copy()
    late[late.index.get_level_values(0) > pd.Timestamp(evidence.last)] = 99.0 * np.arange(
        (late.index.get_level_values(0) > pd.Timestamp(evidence.last)).sum()
    )
    assert compare(champion, challenger, late, sessions=known, label_span=span) == evidence


def test_only_instruments_and_sessions_that_both_have_are_compared():
    champion, challenger, labels = make_case()
    whole = compare(champion, challenger, labels)
    some = {session: signal.iloc[:30] for session, signal in challenger.items() if session != SESSIONS[5]}
    fewer = compare(champion, some, labels)
    assert fewer.days == whole.days - 1
    narrowed = {session: signal.iloc[:30] for session, signal in champion.items()}
    assert compare(narrowed, some, labels) == fewer


def test_a_signal_compared_with_itself_is_no_evidence():
    champion, _, labels = make_case()
    evidence = compare(champion, champion, labels)
    assert (evidence.rank_ic.difference, evidence.rank_ic.lower, evidence.rank_ic.upper) == (0, 0, 0)
    assert judge_evidence(evidence, PromotionTerms())


@pytest.mark.parametrize("days", [0, 2, 3, 10, 30])
def test_too_few_days_are_said(days):
    champion, challenger, labels = make_case()
    evidence = compare(champion, challenger, labels, sessions=SESSIONS[:days])
    assert evidence.days == max(0, days - 2)
    assert judge_evidence(evidence, PromotionTerms(min_days=40))[0].startswith(
        f"{evidence.days} sessions with a known label"
    )
    assert Evidence.from_json(evidence.to_json()) == evidence
    assert judge_evidence(None, PromotionTerms())


def test_evidence_is_read_back_and_checked():
    evidence = compare(*make_case())
    assert Evidence.from_json(evidence.to_json()) == evidence
    for changed in (
        {**evidence.to_json(), "days": -1},
        {**evidence.to_json(), "rank_ic": {}},
        {**evidence.to_json(), "rank_ic": {**evidence.rank_ic.to_json(), "lower": "0"}},
        {**evidence.to_json(), "first": "yesterday"},
        {**evidence.to_json(), "challenger": "../x"},
        [],
    ):
        with pytest.raises(LedgerError):
            Evidence.from_json(changed)


def test_intervals_of_a_lower_level_than_asked_for_are_not_enough():
    evidence = compare(*make_case(), terms=PromotionTerms(level=0.5))
    assert "level" in judge_evidence(evidence, PromotionTerms(level=0.9))[0]
    assert judge_evidence(replace(evidence, level=0.9), PromotionTerms(level=0.9)) == ()


def test_what_cannot_be_compared_is_refused():
    champion, challenger, labels = make_case()
    with pytest.raises(ConfigError, match="reads 0 sessions"):
        compare(champion, challenger, labels, label_span=0)
    with pytest.raises(DataError, match="twice"):
        compare(champion, challenger, pd.concat([labels, labels]))
    for terms in ({"level": 1.0}, {"min_days": 0}, {"topk": 0}):
        with pytest.raises(ConfigError):
            PromotionTerms(**terms)
