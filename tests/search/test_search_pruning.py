"""A hopeless candidate stops, one that is as good rarely does, and what was stopped is counted."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from rollwright.app.trials import read_trials
from rollwright.campaign.search_section import PruneSection
from rollwright.config.settings import load_settings
from rollwright.search.pruning import find_median_reason, find_paired_reason
from rollwright.search.trial import CurvePoint, ToldTrial
from searched_project import BACKTEST, make_searched, search_here

LOOKS = 8
WINDOW = 40


def series(values):
    return pd.Series(values, index=[f"day-{number:04d}" for number in range(len(values))])


def is_stopped(candidate, best, *, rate=0.1):
    """Walk a candidate beside the best, a look after each window."""
    for look in range(2, LOOKS + 2):
        end = look * WINDOW
        reason = find_paired_reason(
            series(candidate[:end]),
            series(best),
            looks=LOOKS,
            section=PruneSection(after=2, rate=rate),
            label_span=2,
            name="trial-0000",
        )
        if reason:
            return True
    return False


def walk(generator, mean):
    """Return daily coefficients that depend on the day before, as those of a model do."""
    shocks = generator.standard_normal((LOOKS + 2) * WINDOW) * 0.1
    return mean + shocks + 0.3 * np.roll(shocks, 1)


@pytest.mark.slow
def test_one_that_is_as_good_is_stopped_on_its_whole_walk_no_more_often_than_the_rate():
    generator = np.random.default_rng(7)
    stopped = sum(is_stopped(walk(generator, 0.03), walk(generator, 0.03)) for _ in range(200))
    assert stopped / 200 <= 0.1 + 2 * np.sqrt(0.1 * 0.9 / 200)


def test_one_that_is_hopeless_is_stopped():
    generator = np.random.default_rng(8)
    stopped = sum(is_stopped(walk(generator, -0.03), walk(generator, 0.03)) for _ in range(20))
    assert stopped >= 18


def test_only_days_that_both_have_are_compared():
    best = series([0.5] * 60)
    candidate = pd.Series([-9.0] * 60, index=[f"other-{number:04d}" for number in range(60)])
    section = PruneSection(after=1)
    assert not find_paired_reason(candidate, best, looks=3, section=section, label_span=1, name="trial-0000")


def told(number, *values):
    curve = tuple(CurvePoint(windows=at, value=value) for at, value in enumerate(values, 1))
    return ToldTrial(
        number=number,
        params={},
        state="complete",
        value=values[-1],
        metrics={},
        curve=curve,
        windows=len(values),
        planned=len(values),
    )


def test_the_median_is_that_of_earlier_trials_after_as_many_windows():
    earlier = [told(number, number / 10, 0.9) for number in range(5)]
    assert find_median_reason(0.19, 1, earlier)
    assert not find_median_reason(0.2, 1, earlier)
    assert find_median_reason(0.5, 2, earlier)
    assert not find_median_reason(-1.0, 1, earlier[:3])
    assert not find_median_reason(-1.0, 3, earlier)


SEARCH = """\
search:
  trials: 8
  generation: 4
  sampler: grid
  prune: {after: 1, rule: RULE}
  space:
    task.model.kwargs.at: {choices: [0.6, 0.65, 0.68, 0.7, 0.69, 0.0, 0.71, 1.0]}
"""


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.setenv("ROLLWRIGHT_TRACKING__URI", "memory:")
    return make_searched(tmp_path / "project", search=SEARCH.replace("RULE", "median"), more=BACKTEST)


def test_what_is_stopped_is_not_trained_further_and_is_counted_with_what_it_had(file):
    submitted = []
    found = search_here(file, on_progress=lambda what, value: submitted.append(value) if what == "submitted" else None)
    states = [one.state for one in found]
    assert states[:4] == ["complete"] * 4, "the first generation is never stopped"
    stopped = [one for one in found if one.state == "pruned"]
    assert {one.params["task.model.kwargs.at"] for one in stopped} == {0.0, 1.0}
    for one in stopped:
        assert (one.windows, one.planned) == (1, 2)
        assert "below the median" in one.cause
        assert one.metrics["rank_ic"] == one.value
    last = {key.variant for key in submitted[-1].ids}
    assert last == {"trial-0004", "trial-0006"}
    (data,) = read_trials(load_settings(start=file.parent)).data_sets
    assert {one.name for one in data.trials} >= {"probe: trial-0005", "probe: trial-0007"}


def test_a_search_that_prunes_ends_the_same_when_it_is_interrupted(file, tmp_path):
    whole = search_here(file)
    for number in (6, 7):
        (file.parent / ".rollwright/searches/probe/told" / f"{number:04d}.json").unlink()
    assert search_here(file) == whole


def test_the_paired_rule_stops_by_days(tmp_path, monkeypatch):
    monkeypatch.setenv("ROLLWRIGHT_TRACKING__URI", "memory:")
    search = SEARCH.replace("RULE", "paired, rate: 0.3").replace("trials: 8", "trials: 6")
    file = make_searched(tmp_path / "project", search=search)
    text = file.read_text().replace('["2020-05-01", "2020-05-22"]', '["2020-04-10", "2020-05-22"]')
    file.write_text(text.replace('["2020-01-09", "2020-04-30"]', '["2020-01-09", "2020-04-09"]'))
    found = search_here(file)
    assert [one.state for one in found] == [*["complete"] * 5, "pruned"]
    assert "a day against trial-0003" in found[5].cause
