"""Confidence sets and intervals of ranks on models whose truth is known, and the page that says so."""

import pytest

import set_calibration


def test_a_set_that_allows_for_its_blocks_keeps_equal_models_more_often_than_the_published_one():
    held = set_calibration.measure(250, 10, 20, repeats=40)
    assert held.all > held.published + 0.1
    assert held.best >= 0.9


@pytest.mark.slow
def test_the_page_says_what_sets_hold_and_that_is_within_its_bounds():
    table = set_calibration.make_table()
    assert set_calibration.measured_part(set_calibration.PAGE.read_text(encoding="utf-8")) == table
    for line in table.splitlines()[2:]:
        equal, best, _, ranks = (float(cell.strip(" %")) for cell in line.strip("|").split("|")[3:])
        assert equal >= 83.0, line
        assert best >= 97.0, line
        assert ranks >= 97.0, line
