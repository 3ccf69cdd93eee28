from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings

from rollwright.analysis.signal_tables.signal_panel import build_signal_panel
from rollwright.errors import DataError
from signal_frames import draw_signals, frame_signal


@given(case=draw_signals())
@settings(max_examples=60, deadline=None)
def test_rows_are_sorted_and_have_their_own_label(case):
    pred, label = case
    panel = build_signal_panel(pred, label)
    wanted = pd.DataFrame({"score": pred, "label": label.reindex(pred.index)}).sort_index()
    found = pd.DataFrame(
        {"score": panel.score, "label": panel.label},
        index=pd.MultiIndex.from_arrays(
            [panel.days[panel.day], panel.instruments[panel.instrument]], names=["datetime", "instrument"]
        ),
    )
    pd.testing.assert_frame_equal(found, wanted, check_index_type=False, check_freq=False)
    assert set(panel.days) == set(pred.index.get_level_values("datetime"))


def test_levels_in_the_other_order_and_frames_are_taken():
    pred, label = frame_signal([[3, 1, 2], [1, 2, 3]], [[1, 2, 3], [4, 5, 6]])
    one = build_signal_panel(pred, label)
    two = build_signal_panel(pred.swaplevel().to_frame("score"), label.to_frame("L").swaplevel().iloc[::-1])
    assert one.score.tolist() == two.score.tolist() == [3, 1, 2, 1, 2, 3]
    assert one.label.tolist() == two.label.tolist() == [1, 2, 3, 4, 5, 6]


def test_values_by_instrument_stand_for_all_days():
    panel = build_signal_panel(frame_signal([[3, 1, 2], [1, 2, 3]], np.zeros((2, 3)))[0])
    taken = panel.take(pd.Series({"S02": 5.0, "S00": 7.0, "X": 9.0}), what="size")
    np.testing.assert_array_equal(taken, [7, np.nan, 5, 7, np.nan, 5])
    assert np.isnan(panel.take(pd.Series(dtype=float), what="size")).all()


def test_what_cannot_be_meant_is_refused():
    pred, label = frame_signal([[3, 1, 2]], [[1, 2, 3]])
    with pytest.raises(DataError, match=r"prediction has the row .* more than once"):
        build_signal_panel(pd.concat([pred, pred]), label)
    with pytest.raises(DataError, match=r"label has the row .* more than once"):
        build_signal_panel(pred, pd.concat([label, label]))
    with pytest.raises(DataError, match=r"prediction has the levels \['instrument'\]"):
        build_signal_panel(pred.droplevel("datetime"))
    with pytest.raises(DataError, match=r"label has the levels \['datetime', 'code'\]"):
        build_signal_panel(pred, label.rename_axis(["datetime", "code"]))
    with pytest.raises(DataError, match="without a date"):
        build_signal_panel(pd.Series([1.0], index=pd.MultiIndex.from_tuples([(pd.NaT, "A")], names=pred.index.names)))
    panel = build_signal_panel(pred)
    with pytest.raises(DataError, match="size has the instrument 'S00' more than once"):
        panel.take(pd.Series([1.0, 2.0], index=["S00", "S00"]), what="size")
    with pytest.raises(DataError, match="size holds values that are no numbers"):
        panel.take(pd.Series({"S00": "large"}), what="size")


def test_a_day_with_an_infinite_value_among_its_pairs_is_spoilt():
    inf = np.inf
    pred, label = frame_signal([[1, 2], [1, inf], [inf, 2], [1, 2]], [[1, inf], [1, 2], [np.nan, 2], [1, 2]])
    assert build_signal_panel(pred, label).find_spoilt_days().tolist() == [True, True, False, False]
