"""What the context lets be seen of a market: lagged, as of a moment, and before a holdout, through every door."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from rollwright.config.context import using
from rollwright.config.settings import load_settings
from rollwright.errors import CalendarRangeError, ConfigError, UnknownSettingError
from rollwright.market.as_of import AsOf
from rollwright.market.current import choose_market, current_market
from rollwright.market.frame import FrameSource
from rollwright.market.publication_lag import Lagged, Visibility
from rollwright.market.view import find_last_seen, view

DAYS = pd.bdate_range("2020-01-01", periods=40)


@pytest.fixture
def market():
    index = pd.MultiIndex.from_product([DAYS, ["A", "B"]], names=["datetime", "instrument"])
    rows = [("A", 201904, "2020-01-06", 1.0), ("A", 202001, "2020-02-10", 2.0)]
    table = pd.DataFrame(rows, columns=["instrument", "period", "known_at", "value"])
    return FrameSource(pd.DataFrame({"close": np.arange(80.0)}, index=index), by_period={"roe_q": table})


@pytest.fixture
def project(tmp_path):
    return tmp_path


def settings_of(project, text="", environ=None, values=None):
    (project / "rollwright.toml").write_text(text, encoding="utf-8")
    return load_settings(values, start=project, environ=environ or {})


def known_at(source):
    return [str(at)[:10] for at in source.vintages("roe_q", ["A"]).known_at]


def test_by_default_everything_is_seen_as_qlib_sees_it(project, market):
    settings = settings_of(project)
    assert (settings.point_in_time.lag_days, settings.point_in_time.same_day) == (0, True)
    assert settings.point_in_time.as_of is None
    assert view(market, settings) is market
    assert find_last_seen(settings) is None


def test_every_way_to_the_market_of_the_context_is_seen_alike(project, market):
    settings = settings_of(project, '[point_in_time]\nlag_days = 2\nsame_day = false\nas_of = "2020-02-12"\n')
    with using(settings, market=market):
        for found in (current_market(), current_market("day"), choose_market(None), choose_market(market)):
            assert known_at(found) == ["2020-01-09"]
            assert found.calendar().last_known == pd.Timestamp("2020-02-12")
            assert choose_market(found) is found  # seen so already
    assert find_last_seen(settings) == pd.Timestamp("2020-02-12")


def test_a_view_is_made_once_and_anew_for_other_settings(project, market):
    one = settings_of(project, '[point_in_time]\nas_of = "2020-02-12"\n')
    assert view(market, one) is view(market, one)
    other = one.with_values({"point_in_time.as_of": "2020-02-11"}, origin="a test")
    assert view(market, other).calendar().last_known == pd.Timestamp("2020-02-11")


def test_an_earlier_viewpoint_of_a_market_that_is_given_stays(project, market):
    settings = settings_of(project, '[point_in_time]\nas_of = "2020-02-12"\nlag_days = 1\n')
    early = AsOf(market, "2020-01-15")
    assert view(early, settings).calendar().last_known == pd.Timestamp("2020-01-15")
    assert known_at(view(early, settings)) == ["2020-01-07"]
    assert view(AsOf(market, "2020-02-20"), settings).calendar().last_known == pd.Timestamp("2020-02-12")
    assert known_at(view(Lagged(market, Visibility(lag_days=30)), settings)) == ["2020-02-05"]


def test_a_holdout_is_sealed_beneath_no_lag(project, market):
    text = '[data]\nholdout = ["2020-02-11", "open"]\n[point_in_time]\nlag_days = 1\nas_of = "2020-02-20"\n'
    seen = view(market, settings_of(project, text))
    assert known_at(seen) == ["2020-01-07"]  # the one of 2020-02-10 would be seen on the first day of the holdout
    assert seen.calendar().last == pd.Timestamp("2020-02-10")
    assert find_last_seen(settings_of(project, text)) == pd.Timestamp("2020-02-10 23:59:59")


def test_a_moment_before_the_market_begins_is_refused(project, market):
    with pytest.raises(CalendarRangeError):
        view(market, settings_of(project, '[point_in_time]\nas_of = "2019-12-31"\n'))


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ('"2019-12-31"', "2019-12-31"),
        ("2019-12-31", "2019-12-31"),
        ("2019-12-31T00:00:00", "2019-12-31"),
        ("2019-12-31 14:30:00.5", "2019-12-31 14:30:00"),
        ('""', None),
    ],
)
def test_a_moment_may_be_written_as_a_day_or_a_time_of_it(project, written, read):
    assert settings_of(project, f"[point_in_time]\nas_of = {written}\n").point_in_time.as_of == read


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('as_of = "31.12.2019"', r"31\.12\.2019' is no day"),
        ('as_of = "yesterday"', "is no day"),
        ("as_of = 20191231", "20191231 is no day"),
        ("as_of = 2019-12-31T00:00:00Z", "has a time zone"),
        ("lag_days = -1", "greater than or equal to 0"),
        ("lag_days = 4000", "less than or equal to 3660"),
        ('same_day = "perhaps"', "boolean"),
    ],
)
def test_what_is_no_moment_and_no_lag_is_refused_with_its_value(project, text, said):
    with pytest.raises(ConfigError, match=said):
        settings_of(project, f"[point_in_time]\n{text}\n")


def test_the_environment_names_a_section_of_several_words(project):
    environ = {"ROLLWRIGHT_POINT_IN_TIME__LAG_DAYS": "3", "ROLLWRIGHT_POINT_IN_TIME__SAME_DAY": "false"}
    found = settings_of(project, environ=environ).point_in_time
    assert (found.lag_days, found.same_day) == (3, False)
    with pytest.raises(UnknownSettingError, match="ROLLWRIGHT_POINT_IN_TIME__LAG_DAYS"):
        settings_of(project, environ={"ROLLWRIGHT_POINT_IN_TIME_LAG_DAYS": "3"})
    with pytest.raises(UnknownSettingError, match=r"point_in_time\.lag_days"):
        settings_of(project, environ={"ROLLWRIGHT_POINT_IN_TIME__LAG_DAY": "3"})
