"""Further records of a signal."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from portfolio_market import make_labels, make_predictions
from rollwright.analysis.records import SignalRecord
from rollwright.analysis.signal import calc_ic, calc_long_short_prec, calc_long_short_return
from rollwright.analysis.signal_records import HFSignalRecord, MultiSegRecord, SignalMseRecord
from rollwright.errors import ArtifactNotFoundError, ConfigError, DataError


@pytest.fixture
def signal(two_days, scorer, recorder):
    SignalRecord(model=scorer, dataset=two_days, recorder=recorder).generate()
    recorder.metrics.clear()
    return recorder


def test_the_squared_error_of_scores_that_are_meant_to_be_the_label(signal):
    known = signal.objects["label.pkl"]["LABEL0"].dropna()
    errors = signal.objects["pred.pkl"]["score"][known.index] - known
    SignalMseRecord(signal).generate()
    assert signal.metrics == pytest.approx({"MSE": (errors**2).mean(), "RMSE": (errors**2).mean() ** 0.5})
    assert signal.objects["sig_analysis/rmse.pkl"] == pytest.approx(signal.metrics["RMSE"])
    signal.objects["label.pkl"] *= np.nan
    with pytest.raises(ArtifactNotFoundError, match="none of the 20 scores has a label"):
        SignalMseRecord(signal).generate()


def test_how_often_both_legs_were_right(signal):
    HFSignalRecord(signal).generate()
    scores, label = signal.objects["pred.pkl"]["score"], signal.objects["label.pkl"]["LABEL0"]
    saved = {key: value for key, value in signal.objects.items() if key.startswith("hg_sig_analysis/")}
    assert sorted(saved) == sorted(HFSignalRecord.get_path(name) for name in HFSignalRecord(signal).list())
    assert saved["hg_sig_analysis/ic.pkl"].equals(calc_ic(scores, label)[0])
    both, average = calc_long_short_return(scores, label)
    assert saved["hg_sig_analysis/long_avg_r.pkl"].equals(average)
    assert signal.metrics["Long-Short Average Sharpe"] == pytest.approx(both.mean() / both.std())
    assert signal.metrics["Long precision"] == saved["hg_sig_analysis/long_pre.pkl"].mean()
    assert set(signal.metrics) == {
        "IC", "ICIR", "Rank IC", "Rank ICIR", "Long precision", "Short precision",
        "Long-Short Average Return", "Long-Short Average Sharpe",
    }  # fmt: skip


def test_the_records_equal_qlibs(recorder):
    recorder.objects |= {"pred.pkl": make_predictions(), "label.pkl": make_labels()}
    HFSignalRecord(recorder).generate()
    SignalMseRecord(recorder).generate()
    wanted = json.loads(Path(__file__).with_name("qlib_portfolio.json").read_text())["signal"]
    assert recorder.metrics == pytest.approx(wanted["metrics"], rel=1e-9)
    for name, values in wanted["days"].items():
        expected = np.array(values, dtype=np.float64)
        np.testing.assert_allclose(recorder.objects[f"hg_sig_analysis/{name}"], expected, rtol=1e-9, err_msg=name)


def test_without_a_signal_it_names_what_is_missing(recorder):
    for record in (HFSignalRecord(recorder), SignalMseRecord(recorder)):
        with pytest.raises(ArtifactNotFoundError, match=r"has no pred\.pkl, label\.pkl"):
            record.generate()


DAYS = pd.to_datetime(["2021-01-04", "2021-01-05"])


def frame(values):
    index = pd.MultiIndex.from_product([DAYS, [f"S{n}" for n in range(10)]], names=["datetime", "instrument"])
    return pd.Series([*values, *values[::-1]], index=index, dtype="float64")


def test_the_precision_of_a_leg_is_the_share_of_its_known_labels_that_have_its_sign():
    scores = frame(range(10))
    label = frame([-1, 2, 3, 3, 3, 3, 3, 3, np.nan, 4])  # worst two: -1 and 2; best two: unknown and 4
    long, short = calc_long_short_prec(scores, label)
    assert long.tolist() == [1.0, 1.0]
    assert short.tolist() == [0.5, 0.5]
    long, short = calc_long_short_prec(scores, label, is_alpha=True)  # from a mean of 2.56
    assert long.tolist() == [1.0, 1.0]
    assert short.tolist() == [1.0, 1.0]
    long, _ = calc_long_short_prec(scores, frame([-1, 2, 3, 3, 3, 3, 3, -3, np.nan, 4]), dropna=True)
    assert long.tolist() == [1.0, 1.0], "nine rows are left, and one in a leg"


def test_equal_scores_share_the_places_of_a_leg():
    long, short = calc_long_short_prec(frame([0] * 10), frame([1] * 4 + [-1] * 6))
    assert long.tolist() == pytest.approx([0.4, 0.4])
    assert short.tolist() == pytest.approx([0.6, 0.6])
    with pytest.raises(DataError, match="quantile"):
        calc_long_short_prec(frame([0] * 10), frame([0] * 10), quantile=0.7)


def test_a_model_is_judged_on_each_segment_by_its_name(two_days, scorer, recorder):
    record = MultiSegRecord(scorer, two_days, recorder)
    record.generate({"now": "test", "slice": slice("2021-01-04", "2021-01-05")})
    assert not recorder.objects
    ic, ric = calc_ic(scorer.scores, two_days.label["LABEL0"])
    assert recorder.metrics["now.IC"] == recorder.metrics["slice.IC"] == pytest.approx(ic.mean())
    assert [asked[1:] for asked in two_days.asked] == [("label", "raw")] * 2
    record.generate({"now": "test"}, save=True)
    assert recorder.objects["results-now.pkl"]["Rank IC"].to_numpy() == pytest.approx(ric.to_numpy())
    with pytest.raises(ConfigError, match="was given no segments"):
        record.generate()
