"""What Qlib publishes of Kweichow Moutai, imported, and asked for as its users ask."""

from __future__ import annotations

import dataclasses

import pandas as pd
import pytest

import period_answers
from rollwright import D, init
from rollwright.testing.point_in_time.cases import load_cases

CODE = "SH600519"
EXPRESSIONS = ["P($$roewa_q)", "P(Mean($$roewa_q, 2))", "P(Ref($$roewa_q, 1))"]


@pytest.fixture
def market(tmp_path):
    """Import all reports into a folder with the sessions of 2019 up to the 19th of July, and make it the market."""
    cases = {case.name: case for case in load_cases()}
    case = dataclasses.replace(cases["moutai-2019"], rows=cases["moutai-history"].rows)
    period_answers.import_folder(tmp_path / "market", case, {})
    init(provider_uri=str(tmp_path / "market"))
    return case


def test_every_session_has_the_answers_that_qlib_published(market):
    found = D.features([CODE], EXPRESSIONS, "2019-01-01", "2019-07-19").loc[CODE]
    value = found[EXPRESSIONS[0]]
    assert (value.count(), len(value)) == (133, 133)
    assert value.mean() == pytest.approx(0.196412, abs=5e-7)
    assert value.std() == pytest.approx(0.097591, abs=5e-7)
    assert value.describe()[["min", "25%", "50%", "75%", "max"]].tolist() == pytest.approx(
        [0.0, 0.094737, 0.25522, 0.25522, 0.344644], abs=5e-7
    )
    expected = {
        "2019-07-12": (0.094737, 0.219691, 0.344644),
        "2019-07-15": (0.0, 0.047369, 0.094737),
        "2019-07-18": (0.175322, 0.135029, 0.094737),
    }
    for day, numbers in expected.items():
        assert found.loc[day].tolist() == pytest.approx(numbers, abs=1e-6)


@pytest.mark.parametrize("day", ["2019-03-28", "2019-07-12", "2019-07-16"])
def test_seen_from_a_day_the_answers_up_to_it_are_the_same_and_there_are_none_after(market, day):
    whole, seen = D.features([CODE], EXPRESSIONS), D.features([CODE], EXPRESSIONS, as_of=day)
    before = whole.index.get_level_values("datetime") <= pd.Timestamp(day)
    pd.testing.assert_frame_equal(seen.dropna(how="all"), whole[before])
