"""Scores of new sessions and labels that became known: those rows and no others, the same as if all were made anew."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from rollwright.analysis.records import SignalRecord
from rollwright.dataset.dataset import DatasetH, TSDatasetH
from rollwright.dataset.handler import DataHandlerLP
from rollwright.dataset.processors import Processor
from rollwright.errors import ConfigError, NotTrainedError, OnlineError, SegmentError
from rollwright.online.update import DSBasedUpdater, LabelUpdater, PredUpdater, RecordUpdater, RMDLoader
from rollwright.tracking.recorder import Recorder
from rollwright.training.delayed import DelayTrainerR
from rollwright.training.execute import task_train
from serving_market import DAYS, ServingMarket, make_task

TEST = ("2020-05-11", "2020-05-15")


@pytest.fixture
def market(tmp_path):
    return ServingMarket(tmp_path, until="2020-05-15")


@pytest.fixture
def recorder(market):
    return task_train(make_task(test=TEST), "exp")


def days_of(frame):
    return [f"{day:%m-%d}" for day in frame.index.get_level_values("datetime").unique()]


def predict_whole(recorder, until):
    """Return what the model says of all sessions at once."""
    dataset = RMDLoader(recorder).get_dataset("2020-01-01", until, segments={"test": (TEST[0], until)})
    return recorder.load_object("params.pkl").predict(dataset).to_frame("score")


def test_new_sessions_are_added_and_are_those_of_a_prediction_of_the_whole(market, recorder):
    before = recorder.load_object("pred.pkl")
    market.grow("2020-05-20")
    PredUpdater(recorder, to_date="2020-05-19").update()
    after = recorder.load_object("pred.pkl")
    assert days_of(after)[-2:] == ["05-18", "05-19"]
    pd.testing.assert_frame_equal(after.loc[before.index], before, check_exact=True)
    pd.testing.assert_frame_equal(after, predict_whole(recorder, "2020-05-19"), check_exact=True)


def test_the_rows_to_be_scored_go_on_with_the_scores(market, recorder):
    market.grow("2020-05-20")
    PredUpdater(recorder).update()
    scores, rows = recorder.load_object("pred.pkl"), recorder.load_object("expected_index.pkl")
    assert rows.index.equals(scores.index)
    assert days_of(rows)[-1] == "05-20"


def test_one_session_is_returned_and_nothing_written_where_that_is_asked(market, recorder):
    market.grow("2020-05-20")
    digests = recorder.list_digests()
    (day,) = pd.DatetimeIndex(["2020-05-20"])
    found = PredUpdater(recorder, to_date=day, from_date=day).update(write=False, ret_new=True)
    assert days_of(found) == ["05-20"]
    assert found.columns.to_list() == ["score"]
    assert recorder.list_digests() == digests
    written = PredUpdater(recorder, to_date=day, from_date=day).update(ret_new=True)
    pd.testing.assert_frame_equal(found, written, check_exact=True)


def test_a_range_is_replaced_and_nothing_around_it(market, recorder):
    scores = recorder.load_object("pred.pkl")
    recorder.save_objects(**{"pred.pkl": scores * 0 - 1.0})
    PredUpdater(recorder, from_date="2020-05-12", to_date="2020-05-13").update()
    after = recorder.load_object("pred.pkl")
    inside = after.index.get_level_values("datetime").isin(DAYS[DAYS.slice_indexer("2020-05-12", "2020-05-13")])
    assert after[inside].equals(scores[inside])
    assert (after[~inside]["score"] == -1.0).all()


def test_what_is_so_already_is_not_written_and_a_second_time_gives_the_same(market, recorder, monkeypatch):
    market.grow("2020-05-20")
    PredUpdater(recorder).update()
    digests = recorder.list_digests()
    monkeypatch.setattr(Recorder, "save_objects", lambda *_, **__: pytest.fail("it was written"))
    assert PredUpdater(recorder).update(ret_new=True) is None
    PredUpdater(recorder, from_date="2020-05-18").update()
    assert recorder.list_digests() == digests


def test_without_scores_it_begins_with_the_test_segment(market, recorder):
    whole = recorder.load_object("pred.pkl")
    recorder.delete_artifact("pred.pkl")
    recorder.delete_artifact("expected_index.pkl")
    PredUpdater(recorder).update()
    assert recorder.load_object("pred.pkl").equals(whole)
    assert recorder.load_object("expected_index.pkl").index.equals(whole.index)


def test_o14_only_a_date_behind_the_last_session_is_told(market, recorder, caplog):
    PredUpdater(recorder, to_date="2020-05-15")
    PredUpdater(recorder)
    assert "update.date_cut" not in caplog.text
    assert PredUpdater(recorder, to_date="2020-05-16").to_date == pd.Timestamp("2020-05-15")
    assert "update.date_cut table=pred.pkl to_date=2020-05-16" in caplog.text


@pytest.mark.parametrize("kind", ["series", "frame", "columns"])
def test_o11_scores_may_be_a_series_or_a_frame(market, recorder, kind):
    market.grow("2020-05-20")
    model = recorder.load_object("params.pkl")

    class Other:
        def predict(self, dataset, segment="test"):
            scores = model.predict(dataset, segment)
            if kind == "series":
                return scores
            return scores.to_frame(0) if kind == "frame" else pd.DataFrame({"more": scores, "score": scores})

    class Loader(RMDLoader):
        def get_model(self):
            return Other()

    whole = predict_whole(recorder, "2020-05-20")
    if kind == "columns":
        with pytest.raises(OnlineError, match="the new rows"):
            PredUpdater(recorder, loader_cls=Loader).update()
        assert days_of(recorder.load_object("pred.pkl"))[-1] == "05-15"
        return
    PredUpdater(recorder, loader_cls=Loader).update()
    assert recorder.load_object("pred.pkl").equals(whole)


def test_a_table_that_was_stored_as_a_series_goes_on_as_a_frame(market, recorder):
    recorder.save_objects(**{"pred.pkl": recorder.load_object("pred.pkl")["score"]})
    market.grow("2020-05-18")
    PredUpdater(recorder).update()
    assert recorder.load_object("pred.pkl").equals(predict_whole(recorder, "2020-05-18"))


def test_o12_killed_while_it_writes_the_scores_are_those_of_before(market, recorder, monkeypatch):
    before = recorder.list_digests()
    market.grow("2020-05-20")
    with monkeypatch.context() as patch:
        patch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            PredUpdater(recorder).update()
    recorder.verify_objects("pred.pkl", "expected_index.pkl")
    assert recorder.list_digests() == before
    PredUpdater(recorder).update()
    assert days_of(recorder.load_object("pred.pkl"))[-1] == "05-20"


def test_o15_what_is_only_prepared_says_that_it_is_not_trained(market):
    (recorder,) = DelayTrainerR("exp").train([make_task(test=TEST)])
    with pytest.raises(NotTrainedError, match=r"SCHEDULED(.|\n)*end_train") as caught:
        PredUpdater(recorder, from_date="2020-05-11").update()
    assert caught.value.recorder == recorder.id


def test_processors_do_not_learn_again(market, recorder, monkeypatch):
    market.grow("2020-05-20")
    monkeypatch.setattr(
        "rollwright.dataset.processor_fit.RobustZScoreNorm.fit_table", lambda *_: pytest.fail("it learnt again")
    )
    PredUpdater(recorder).update()


def test_several_may_share_one_dataset(market, recorder):
    other = task_train(make_task("lightgbm", test=TEST), "exp")
    market.grow("2020-05-20")
    first = PredUpdater(recorder)
    dataset = first.prepare_data()
    first.update(dataset)
    second = PredUpdater(other)
    second.update(second.prepare_data(unprepared_dataset=dataset))
    assert recorder.load_object("pred.pkl").equals(predict_whole(recorder, "2020-05-20"))
    assert other.load_object("pred.pkl").equals(predict_whole(other, "2020-05-20"))


def test_it_reads_what_rows_look_back_to_and_no_more(market):
    ranges = []

    class Loader(RMDLoader):
        def get_dataset(self, start_time, end_time, segments=None, unprepared_dataset=None):
            ranges.append(tuple(f"{day:%m-%d}" for day in (start_time, *segments["test"])))
            return super().get_dataset(start_time, end_time, segments, unprepared_dataset)

    recorder = task_train(make_task(test=TEST), "exp")
    market.grow("2020-05-20")
    PredUpdater(recorder, loader_cls=Loader).prepare_data()
    PredUpdater(recorder, hist_ref=2, loader_cls=Loader).prepare_data()
    assert ranges == [("05-18", "05-18", "05-20"), ("05-14", "05-18", "05-20")]


def test_labels_that_have_become_known_are_filled_in_and_nothing_else_is_touched(market, recorder):
    before = recorder.load_object("label.pkl")
    assert days_of(before[before["LABEL0"].isna()]) == ["05-14", "05-15"]
    marked = before.fillna({"LABEL0": before["LABEL0"]})
    marked.loc["2020-05-11"] = 7.0
    recorder.save_objects(**{"label.pkl": marked})
    market.grow("2020-05-18")
    LabelUpdater(recorder).update()
    after = recorder.load_object("label.pkl")
    assert (after.loc["2020-05-11", "LABEL0"] == 7.0).all()
    assert days_of(after[after["LABEL0"].isna()]) == ["05-15", "05-18"]
    dataset = RMDLoader(recorder).get_dataset("2020-05-11", "2020-05-18")
    expected = SignalRecord.generate_label(dataset)
    assert after.loc["2020-05-12":].equals(expected.loc["2020-05-12":])
    market.grow("2020-05-22")
    LabelUpdater(recorder, to_date="2020-05-18").update()
    assert not recorder.load_object("label.pkl")["LABEL0"].isna().any()
    assert days_of(recorder.load_object("label.pkl"))[-1] == "05-18"


def test_labels_none_of_which_was_known_are_filled_in(tmp_path):
    market = ServingMarket(tmp_path, until="2020-05-12")
    recorder = task_train(make_task(test=("2020-05-11", "2020-05-12")), "exp")
    assert recorder.load_object("label.pkl")["LABEL0"].isna().all()
    market.grow("2020-05-14")
    LabelUpdater(recorder).update()
    assert days_of(recorder.load_object("label.pkl").dropna()) == ["05-11", "05-12"]


def test_an_updater_of_ones_own_gives_the_whole_table(market, recorder):
    class Marks(DSBasedUpdater):
        def get_update_data(self, dataset):
            rows = dataset.inference_index("test")
            return self.replace_range(pd.DataFrame({"mark": 1.0}, index=rows))

    recorder.save_objects(marks=recorder.load_object("pred.pkl").iloc[:8].set_axis(["mark"], axis=1))
    new = Marks(recorder, fname="marks").update(write=False, ret_new=True)
    assert days_of(new) == ["05-12", "05-13", "05-14", "05-15"]
    Marks(recorder, fname="marks").update()
    assert days_of(recorder.load_object("marks")) == ["05-11", "05-12", "05-13", "05-14", "05-15"]
    assert issubclass(Marks, RecordUpdater)


def test_what_it_cannot_do_is_refused(market, recorder):
    with pytest.raises(OnlineError, match="is as it is to be"):
        PredUpdater(recorder).prepare_data()
    recorder.delete_artifact("pred.pkl")
    dataset = DatasetH(handler=make_task()["dataset"]["kwargs"]["handler"], segments={"train": ("2020-02-03", None)})
    recorder.save_objects(dataset=dataset)
    with pytest.raises(OnlineError, match="no begin of a segment `test`"):
        PredUpdater(recorder)
    with pytest.raises((ConfigError, SegmentError)):
        RMDLoader(recorder).get_dataset("2020-05-20", "2020-05-11")


class MeanOfLast:
    """A model of sequences: the mean of a sample's first feature."""

    def predict(self, dataset, segment="test"):
        samples = dataset.prepare(segment, col_set="feature")
        scores = [float(np.nansum(samples[number][:, 0])) for number in range(len(samples))]
        return pd.Series(scores, index=samples.get_index()).sort_index()


@pytest.mark.parametrize("step_len", [1, 4, 9])
def test_sequences_of_a_new_session_reach_back_as_in_the_batch(market, recorder, step_len):
    kwargs = make_task(test=TEST)["dataset"]["kwargs"]
    recorder.save_objects(dataset=TSDatasetH(step_len=step_len, **kwargs))
    recorder.delete_artifact("pred.pkl")

    class Loader(RMDLoader):
        def get_model(self):
            return MeanOfLast()

    for until in ("2020-05-15", "2020-05-18", "2020-05-20"):
        market.grow(until)
        PredUpdater(recorder, loader_cls=Loader).update()
    dataset = RMDLoader(recorder).get_dataset("2020-01-01", until, segments={"test": (TEST[0], until)})
    whole = MeanOfLast().predict(dataset).to_frame("score")
    pd.testing.assert_frame_equal(recorder.load_object("pred.pkl"), whole, check_exact=True, check_names=False)


@pytest.mark.parametrize("model", ["linear", "lightgbm"])
def test_day_by_day_gives_the_bytes_of_the_batch(tmp_path, model):
    market = ServingMarket(tmp_path, until="2020-05-11")
    one = task_train(make_task(model, test=("2020-05-11", "2020-05-11")), "exp")
    for day in DAYS[DAYS.slice_indexer("2020-05-12", "2020-06-05")]:
        market.grow(day)
        PredUpdater(one).update()
    task = make_task(model, test=("2020-05-11", "2020-06-05"))
    task["dataset"]["kwargs"]["handler"]["kwargs"]["end_time"] = "2020-06-05"
    batch = task_train(task, "exp")
    assert one.list_digests()["pred.pkl"] == batch.list_digests()["pred.pkl"]
    assert one.list_digests()["expected_index.pkl"] == batch.list_digests()["expected_index.pkl"]


def test_a_processor_that_looks_at_other_sessions_gets_them_all(market):
    class Whole(Processor):
        """Subtract the mean of all rows it is given."""

        def __call__(self, df):
            df["feature"] = df["feature"] - df["feature"].iloc[:8].mean()
            return df

    handler = DataHandlerLP(
        instruments="all",
        start_time="2020-02-03",
        data_loader=make_task()["dataset"]["kwargs"]["handler"]["kwargs"]["data_loader"],
        infer_processors=[Whole()],
    )
    dataset = DatasetH(handler, {"train": ("2020-02-03", "2020-04-30"), "test": TEST})
    whole = dataset.prepare(slice("2020-05-14", "2020-05-15"), col_set="feature")
    dataset.move_to("2020-05-14", "2020-05-15", segments={"test": ("2020-05-14", "2020-05-15")})
    assert dataset.prepare("test", col_set="feature").equals(whole)
