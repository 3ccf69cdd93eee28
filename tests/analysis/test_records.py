from __future__ import annotations

import logging

import numpy as np
import pytest

from rollwright.analysis.records import ACRecordTemp, RecordTemp, SigAnaRecord, SignalRecord
from rollwright.analysis.signal import calc_ic
from rollwright.errors import ArtifactNotFoundError, ConfigError, DataError, ModelError, NoActiveRecorderError
from rollwright.expression.label_reach import LabelReach


@pytest.fixture
def signal(two_days, scorer, recorder):
    record = SignalRecord(model=scorer, dataset=two_days, recorder=recorder)
    record.generate()
    return record


def test_a_signal_is_a_score_column_with_the_raw_label_beside_it(signal, two_days, scorer, recorder):
    pred = recorder.objects["pred.pkl"]
    assert list(pred.columns) == ["score"]
    assert pred["score"].equals(scorer.scores.rename("score"))
    assert recorder.objects["label.pkl"].equals(two_days.label)
    assert two_days.asked == [("test", "label", "raw")]
    assert sorted(signal.list()) == sorted(recorder.objects)


def test_how_the_model_learnt_becomes_metrics(two_days, scorer, recorder):
    scorer.best_iteration_ = 2
    scorer.evals_result_ = {"train": {"l2": [3.0, 2.0, 1.0]}, "valid": {"l2": [3.0, 2.5, 2.6], "ndcg@5": [0.1, 0.2]}}
    SignalRecord(model=scorer, dataset=two_days, recorder=recorder).generate()
    learnt = {name: value for name, value in recorder.metrics.items() if "IC" not in name}
    assert learnt == {"best_iteration": 2, "l2.train": 2.0, "l2.valid": 2.5, "ndcg_5.valid": 0.2}


def test_what_must_be_scored_is_written_before_the_model_is_asked(two_days, recorder):
    class Dying:
        def fit(self, dataset, reweighter=None):
            raise NotImplementedError

        def predict(self, dataset, segment="test"):
            assert recorder.objects["expected_index.pkl"].index.equals(two_days.index)
            raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        SignalRecord(model=Dying(), dataset=two_days, recorder=recorder).generate()
    assert list(recorder.objects) == ["expected_index.pkl"]


def test_scores_that_leave_a_row_out_are_refused(two_days, scorer, recorder):
    scorer.scores = scorer.scores.iloc[:-1]
    with pytest.raises(ModelError, match="scored 19 rows and 20 were to be scored: 1 are missing"):
        SignalRecord(model=scorer, dataset=two_days, recorder=recorder).generate()
    assert "pred.pkl" not in recorder.objects


def test_a_template_without_a_recorder_says_so(two_days, scorer):
    with pytest.raises(NoActiveRecorderError, match="SignalRecord has no recorder"):
        SignalRecord(model=scorer, dataset=two_days).generate()
    with pytest.raises(ModelError, match="needs a model and a dataset"):
        SignalRecord().generate()


def test_the_analysis_saves_daily_coefficients_and_their_summary(signal, two_days, scorer, recorder):
    SigAnaRecord(recorder).generate()
    ic, ric = calc_ic(scorer.scores, two_days.label["LABEL0"])
    assert recorder.objects["sig_analysis/ic.pkl"].equals(ic)
    assert recorder.objects["sig_analysis/ric.pkl"].equals(ric)
    assert recorder.metrics == pytest.approx(
        {"IC": ic.mean(), "ICIR": ic.mean() / ic.std(), "Rank IC": ric.mean(), "Rank ICIR": ric.mean() / ric.std()}
    )


def test_what_is_given_takes_the_place_of_an_artifact_or_is_refused(signal, two_days, scorer, recorder):
    SigAnaRecord(recorder).generate(pred=-scorer.scores)
    ic, _ = calc_ic(-scorer.scores, two_days.label["LABEL0"])
    assert recorder.objects["sig_analysis/ic.pkl"].equals(ic)
    with pytest.raises(ConfigError, match=r"was given scores, which it would not use(.|\n)*hint: it takes pred, label"):
        SigAnaRecord(recorder).generate(scores=scorer.scores)
    with pytest.raises(ConfigError, match=r"was given pred(.|\n)*hint: it takes nothing"):
        SignalRecord(model=scorer, dataset=two_days, recorder=recorder).generate(pred=scorer.scores)


def test_the_analysis_names_what_is_missing_and_never_skips(recorder):
    """RT2: the peer logs a warning and leaves the run finished, without its analysis."""
    with pytest.raises(
        ArtifactNotFoundError, match=r"SigAnaRecord: the recorder has no pred\.pkl, label\.pkl"
    ) as caught:
        SigAnaRecord(recorder).generate()
    assert "put SignalRecord before SigAnaRecord" in str(caught.value)
    assert recorder.objects == {}


def test_the_analysis_asks_for_nothing_it_does_not_read(signal, two_days, recorder):
    """RT4: a template must not need an artifact that it has no use for."""
    del recorder.objects["expected_index.pkl"]
    del recorder.objects["label.pkl"]
    SigAnaRecord(recorder).generate(label=two_days.label)
    assert "IC" in recorder.metrics


def test_an_empty_label_is_an_error(signal, recorder):
    recorder.objects["label.pkl"] = recorder.objects["label.pkl"].iloc[:0]
    with pytest.raises(ArtifactNotFoundError, match=r"`label\.pkl` is empty"):
        SigAnaRecord(recorder).generate()


def test_another_column_of_the_label_can_be_judged(signal, recorder, caplog):
    recorder.metrics.clear()  # the first label's, which SignalRecord logs
    with caplog.at_level(logging.WARNING, logger="rollwright.analysis"):
        SigAnaRecord(recorder, label_col=1).generate()
    assert recorder.metrics == {}, "all labels are equal, so there is no coefficient; a tracker stores no NaN"
    assert "record.metrics_undefined names=IC, ICIR, Rank IC, Rank ICIR" in caplog.text
    with pytest.raises(DataError, match="none numbered 2"):
        SigAnaRecord(recorder, label_col=2).generate()


def test_metrics_that_are_undefined_are_named_in_order_of_their_names(signal, recorder, caplog):
    with caplog.at_level(logging.WARNING, logger="rollwright.analysis"):
        SigAnaRecord(recorder, ana_long_short=True, label_col=1).generate()
    sharpes = "Long-Avg Ann Sharpe, Long-Short Ann Sharpe"
    assert f"record.metrics_undefined names=IC, ICIR, {sharpes}, Rank IC, Rank ICIR reason" in caplog.text


def test_long_and_short_are_judged_on_request(signal, recorder):
    record = SigAnaRecord(recorder, ana_long_short=True, ann_scaler=10)
    record.generate()
    assert sorted(f"sig_analysis/{name}" for name in record.list()) == sorted(
        name for name in recorder.objects if name.startswith("sig_analysis/")
    )
    long_short = recorder.objects["sig_analysis/long_short_r.pkl"]
    assert recorder.metrics["Long-Short Ann Return"] == pytest.approx(long_short.mean() * 10)
    assert recorder.metrics["Long-Avg Ann Sharpe"] == pytest.approx(
        recorder.objects["sig_analysis/long_avg_r.pkl"].agg(lambda x: x.mean() / x.std()) * np.sqrt(10)
    )


def test_what_is_there_is_not_made_again_on_request(signal, recorder):
    assert SigAnaRecord(recorder, skip_existing=True).generate() is not None
    recorder.metrics.clear()
    assert SigAnaRecord(recorder, skip_existing=True).generate() is None
    assert recorder.metrics == {}
    assert SigAnaRecord(recorder).generate() is not None


def test_loading_looks_at_the_template_it_depends_on_and_stays_itself(signal, recorder):
    """RT1: after a failed look-up the peer's object stays an instance of its parent."""
    record = SigAnaRecord(recorder)
    assert record.load("pred.pkl") is recorder.objects["pred.pkl"]
    with pytest.raises(ArtifactNotFoundError, match=r"none of sig_analysis/none\.pkl, none\.pkl"):
        record.load("none.pkl")
    with pytest.raises(ArtifactNotFoundError, match="the recorder has none of sig_analysis"):
        record.load("pred.pkl", parents=False)
    assert type(record) is SigAnaRecord


def test_checking_looks_at_own_and_parents_artifacts(signal, recorder):
    record = SigAnaRecord(recorder)
    record.check()
    with pytest.raises(ArtifactNotFoundError, match=r"sig_analysis/ic\.pkl, sig_analysis/ric\.pkl"):
        record.check(include_self=True)
    record.generate()
    record.check(include_self=True)
    signal.check(include_self=True)
    del recorder.objects["expected_index.pkl"]
    with pytest.raises(ArtifactNotFoundError, match="expected_index"):
        record.check()


def test_templates_can_be_stacked(signal, recorder):
    class Third(ACRecordTemp):
        artifact_path = "third"
        depend_cls = SigAnaRecord

        def _generate(self, **kwargs):
            return {"x.pkl": self.load("ic.pkl").mean() + len(self.load("pred.pkl"))}

        def list(self):
            return ["x.pkl"]

    with pytest.raises(ArtifactNotFoundError, match=r"sig_analysis/ic\.pkl"):
        Third(recorder).generate()
    SigAnaRecord(recorder).generate()
    Third(recorder).generate()
    assert recorder.objects["third/x.pkl"] > 19


def test_a_bare_template_has_nothing_and_makes_nothing(recorder):
    record = RecordTemp(recorder)
    assert record.list() == []
    assert record.get_path("a.pkl") == record.get_path(path="a.pkl") == "a.pkl"
    with pytest.raises(NotImplementedError):
        record.generate()


def test_annual_figures_count_the_sessions_of_the_label(recorder, two_days, scorer):
    found = {}
    for horizon in (1, 5):
        two_days.label_reach = LabelReach.of_expressions([f"Ref($close,{-1 - horizon})/Ref($close,-1)-1"])
        SignalRecord(model=scorer, dataset=two_days, recorder=recorder).generate()
        assert (recorder.tags["label.horizon"], recorder.tags["label.span"]) == (str(horizon), str(horizon + 1))
        SigAnaRecord(recorder, ana_long_short=True).generate()
        found[horizon] = dict(recorder.metrics)
    assert found[5]["Long-Short Ann Return"] == pytest.approx(found[1]["Long-Short Ann Return"] / 5)
    assert found[5]["Long-Short Ann Sharpe"] == pytest.approx(found[1]["Long-Short Ann Sharpe"] / 5**0.5)


def test_a_label_that_is_no_known_return_is_not_annualised_and_the_log_says_so(signal, recorder, caplog):
    recorder.tags.clear()
    with caplog.at_level(logging.WARNING, logger="rollwright.analysis"):
        SigAnaRecord(recorder, ana_long_short=True).generate()
    assert not [name for name in recorder.metrics if "Ann" in name]
    assert "record.label_unknown" in caplog.text
    SigAnaRecord(recorder, ana_long_short=True, ann_scaler=50).generate()
    assert "Long-Short Ann Return" in recorder.metrics
