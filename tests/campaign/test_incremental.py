"""Market data that grow: what was learnt from the days before stands, byte for byte, and nothing else does."""

from __future__ import annotations

import itertools
import uuid
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rollwright.campaign.config import CampaignConfig, ObjectConfig
from rollwright.campaign.plan import WindowKey, make_plan
from rollwright.campaign.run import Submission, submit
from rollwright.config.context import install
from rollwright.config.settings import load_settings
from rollwright.market.folder.provider import QlibProvider, provider_from_settings
from rollwright.market.ingest.importer import import_market
from rollwright.models.lightgbm import LGBModel
from rollwright.pool.manager import TaskManager
from rollwright.pool.stores.memory import MemoryStore
from rollwright.tracking.r import R
from rollwright.tracking.recorder import Recorder
from rollwright.training.pooled import train_in_slot

DAYS = pd.bdate_range("2020-01-01", periods=210)
CODES = [f"SH60000{number}" for number in range(8)]
FIELDS = ["open", "close", "high", "low", "volume"]

HANDLER = {
    "class": "DataHandlerLP",
    "module_path": "rollwright.dataset.handler",
    "kwargs": {
        "instruments": "all",
        "start_time": "2020-01-01",
        "data_loader": {
            "class": "QlibDataLoader",
            "module_path": "rollwright.dataset.loader",
            "kwargs": {
                "config": {
                    "feature": [["$close/Ref($close, 5)", "CSRank($volume)"], ["MOM", "VOL"]],
                    "label": [["Ref($close, -2)/Ref($close, -1) - 1"], ["LABEL0"]],
                }
            },
        },
        "learn_processors": [{"class": "DropnaLabel"}],
    },
}


def rows(days: pd.DatetimeIndex, codes=CODES, *, factor: float = 1.0) -> pd.DataFrame:
    frames = []
    for place, code in enumerate(codes):
        walk = 10 + place + np.cumsum(np.sin(np.arange(len(DAYS) + 50) * (0.3 + place / 10)))
        close = pd.Series(walk[DAYS.get_indexer(days)] if set(days) <= set(DAYS) else walk[: len(days)], days)
        frames.append(pd.DataFrame({"open": close, "close": close * factor, "high": close + 1, "low": close - 1}))
        frames[-1]["volume"] = 1000.0 * (place + 1) + np.arange(len(days)) % 7
        frames[-1].insert(0, "symbol", code)
        frames[-1].insert(1, "date", days)
    return pd.concat(frames, ignore_index=True)


def config(end: str, **handler) -> CampaignConfig:
    chosen = {**HANDLER, "kwargs": {**HANDLER["kwargs"], **handler}}
    segments = {"train": ["2020-01-08", "2020-04-30"], "test": ["2020-05-11", end]}
    return CampaignConfig.model_validate(
        {
            "task": {
                "model": {
                    "class": "LGBModel",
                    "module_path": "rollwright.models.lightgbm",
                    "kwargs": {"num_boost_round": 3, "min_data_in_leaf": 5, "early_stopping_rounds": 0},
                },
                "dataset": {
                    "class": "DatasetH",
                    "module_path": "rollwright.dataset.dataset",
                    "kwargs": {"handler": chosen, "segments": segments},
                },
                "record": {"class": "SignalRecord", "module_path": "rollwright.analysis.records"},
            },
            "rolling": {"step": 20, "rtype": "sliding"},
        }
    )


class Project:
    """A project over a market; it rolls in this process."""

    def __init__(self, folder: Path, market: Path) -> None:
        folder.mkdir()
        self.settings = load_settings(
            {"tracking.uri": f"memory:{uuid.uuid4().hex}", "data.provider_uri": str(market)}, start=folder, environ={}
        )
        install(self.settings)
        self.manager = TaskManager("p", store=MemoryStore())

    def roll(self, asked: CampaignConfig) -> tuple[Submission, dict[str, dict[str, str]]]:
        """Return what was submitted, and the digest of every artifact by window."""
        install(self.settings)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(LGBModel, "fit", self._counting())
            return self._roll(asked)

    learnt = 0

    def recorders(self, submission: Submission) -> dict[WindowKey, Recorder]:
        """Return the recorder of each window."""
        return {key: self.manager.re_query(task_id)["res"] for key, task_id in submission.ids.items()}

    def drop_leases(self) -> None:
        """Do what the pool does when the lease of a dead worker is over, and the tracker when its run is found."""
        self.manager.reset_waiting({}, force=True)
        for recorder in R.get_exp(experiment_name="p").list_recorders("list", status="RUNNING"):
            recorder.end_run("FAILED")

    def _counting(self):
        def fit(model, *args, **kwargs):
            self.learnt += 1
            return FIT(model, *args, **kwargs)

        return fit

    def _roll(self, asked: CampaignConfig) -> tuple[Submission, dict[str, dict[str, str]]]:
        provider = provider_from_settings(self.settings)
        plan = make_plan(asked, name="p", calendar=provider.calendar())
        submission = submit(plan, self.manager)
        while (task := self.manager.fetch_task()) is not None:
            result = train_in_slot(task["def"], experiment_name="p")
            self.manager.commit_task_res(task, result.value, validity=result.validity)
        sums = {}
        for name, task_id in submission.ids.items():
            recorder = self.manager.re_query(task_id)["res"]
            sums[name] = {name: sha for name, sha in recorder.list_digests().items() if name not in SKIPPED}
        return submission, sums


FIT = LGBModel.fit
SKIPPED = ("provenance", "validity")  # they tell of the data, which grew


@pytest.fixture
def market(tmp_path) -> Path:
    import_market(rows(DAYS[:200]), tmp_path / "market")
    return tmp_path / "market"


def day(place: int) -> str:
    return f"{DAYS[place]:%Y-%m-%d}"


def afresh(folder: Path, market: Path, asked: CampaignConfig) -> dict[str, dict[str, str]]:
    """Return the artifacts of the same campaign where nothing was ever learnt before."""
    return Project(folder, market).roll(asked)[1]


def test_a_day_more_trains_the_last_windows_and_the_rest_is_what_all_anew_would_give(tmp_path, market):
    project = Project(tmp_path / "project", market)
    first, before = project.roll(config(day(199)))
    assert len(first.ids) >= 5
    assert first.todo == tuple(first.ids)
    import_market(rows(DAYS[200:201]), market)
    again, after = project.roll(config(day(200)))
    kept = list(first.ids)[:-1]
    assert list(again.reused) == kept
    assert again.todo == (list(again.ids)[-1],)
    assert not again.stale  # the last window is longer by a day, and so another task
    assert {name: after[name] for name in kept} == {name: before[name] for name in kept}
    assert after == afresh(tmp_path / "afresh", market, config(day(200)))


def test_a_window_whose_label_reaches_into_the_new_days_is_measured_again_and_not_trained(tmp_path, market):
    project = Project(tmp_path / "project", market)
    asked = config(day(199))
    first, before = project.roll(asked)
    import_market(rows(DAYS[200:202]), market)
    again, after = project.roll(asked)
    last = list(first.ids)[-1]
    assert not again.stale  # the model learnt nothing of those days
    assert [name for name, _ in again.incomplete] == [last]
    assert day(200) in dict(again.incomplete)[last]
    assert project.learnt == len(first.ids)
    assert after[last]["label.pkl"] != before[last]["label.pkl"]  # the future of its last days is known now
    assert after == afresh(tmp_path / "afresh", market, asked)
    assert project.roll(asked)[0].todo == ()


def test_a_revised_price_trains_the_windows_that_learn_from_it_and_no_other(tmp_path, market):
    project = Project(tmp_path / "project", market)
    asked = config(day(199))
    first, before = project.roll(asked)
    names = list(first.ids)
    place = DAYS.get_loc(pd.Timestamp(names[3].segment.split("..")[0]))
    import_market(rows(DAYS[place : place + 1], CODES[:1], factor=1.01), market, revise=True)
    again, after = project.roll(asked)
    # Two windows predict it, one of them through the label of its last two days; those after learn from it.
    assert [name for name, _ in again.incomplete] == names[2:4]
    assert [name for name, _ in again.stale] == names[4:]
    assert project.learnt == len(names) + len(names[4:])
    assert {name: after[name] for name in names[:2]} == {name: before[name] for name in names[:2]}
    assert after == afresh(tmp_path / "afresh", market, asked)


def test_a_universe_that_changed_within_a_window_trains_it_again(tmp_path, market):
    universe = market / "instruments" / "mine.txt"
    lines = [f"{code}\t{day(0)}\t{day(199)}\n" for code in CODES[:6]]
    universe.write_text("".join(lines))
    project = Project(tmp_path / "project", market)
    asked = config(day(199), instruments="mine")
    first, _ = project.roll(asked)
    names = list(first.ids)
    late = names[3].segment.split("..")[0]
    universe.write_text("".join(lines) + f"{CODES[6]}\t{late}\t{day(199)}\n")
    again, after = project.roll(asked)
    assert list(again.reused) == names[:2]
    assert [name for name, _ in again.incomplete] == names[2:4]  # the label of the third looks past its end
    assert "universe" in dict(again.incomplete)[names[2]]
    assert [name for name, _ in again.stale] == names[4:]
    assert after == afresh(tmp_path / "afresh", market, asked)


def test_a_universe_that_no_window_studies_changes_nothing(tmp_path, market):
    project = Project(tmp_path / "project", market)
    asked = config(day(199))
    generation = QlibProvider(market).generation
    project.roll(asked)
    (market / "instruments" / "other.txt").write_text(f"{CODES[0]}\t{day(0)}\t{day(199)}\n")
    assert QlibProvider(market).generation != generation
    assert project.roll(asked)[0].todo == ()


def test_an_instrument_that_is_listed_later_leaves_the_windows_before_it_alone(tmp_path, market):
    project = Project(tmp_path / "project", market)
    asked = config(day(199))
    first, _ = project.roll(asked)
    import_market(rows(DAYS[190:200], ["SH600000A"]), market)  # sorts between the others
    again, after = project.roll(asked)
    assert list(again.reused) == [name for name in first.ids if name.segment.split("..")[1] < day(188)]
    assert not again.stale  # none learns from the days it has
    assert again.incomplete
    assert after == afresh(tmp_path / "afresh", market, asked)


def test_a_processor_that_looks_at_everything_ties_every_window_to_the_newest_day(tmp_path, market):
    own = tmp_path / "own"
    own.mkdir()
    (own / "mine.py").write_text(
        "from rollwright.dataset.processors import Processor\n\n\n"
        "class Demean(Processor):\n"
        "    def __call__(self, df):\n"
        "        return df - df.mean()\n"
    )
    project = Project(tmp_path / "project", market)
    project.settings = project.settings.with_values({"trust.folder": str(own)}, origin="test")
    processors = [{"class": "Demean", "module_path": "mine.py", "kwargs": {}}]
    asked = config(day(150), infer_processors=processors)
    first, _ = project.roll(asked)
    assert project.roll(asked)[0].todo == ()
    import_market(rows(DAYS[200:201]), market)
    assert [name for name, _ in project.roll(asked)[0].stale] == list(first.ids)


def test_a_model_that_says_it_reads_beyond_its_dataset_is_trained_again_by_any_change(tmp_path, market):
    own = tmp_path / "own"
    own.mkdir()
    (own / "mine.py").write_text(
        "import numpy as np\nimport pandas as pd\n\n\n"
        "class Curious:\n"
        "    reads_beyond_dataset = True\n\n"
        "    def fit(self, dataset, reweighter=None):\n"
        "        self.rows = len(dataset.prepare('train'))\n\n"
        "    def predict(self, dataset, segment='test'):\n"
        "        index = dataset.inference_index(segment)\n"
        "        return pd.Series(np.zeros(len(index)), index)\n\n\n"
        "class Modest(Curious):\n"
        "    reads_beyond_dataset = False\n"
    )
    for name, stale in (("Curious", True), ("Modest", False)):
        project = Project(tmp_path / name, market)
        project.settings = project.settings.with_values({"trust.folder": str(own)}, origin="test")
        asked = config(day(150))
        model = asked.task.model.model_copy(update={"class_": name, "module_path": "mine.py", "kwargs": {}})
        asked = asked.model_copy(update={"task": asked.task.model_copy(update={"model": model})})
        first, _ = project.roll(asked)
        assert project.roll(asked)[0].todo == ()
        import_market(rows(DAYS[200:201] if stale else DAYS[201:202]), market)
        assert project.roll(asked)[0].todo == (tuple(first.ids) if stale else ())


def test_a_folder_of_other_tools_has_no_history_so_all_is_trained_again(tmp_path, market):
    for name in ("rollwright.json", "rollwright.files"):
        (market / name).unlink()
    project = Project(tmp_path / "project", market)
    asked = config(day(199))
    first, _ = project.roll(asked)
    (market / "instruments" / "other.txt").write_text(f"{CODES[0]}\t{day(0)}\t{day(199)}\n")
    again, _ = project.roll(asked)
    assert [name for name, _ in again.stale] == list(first.ids)
    assert all("cannot be told" in reason for _, reason in again.stale)


SIGNAL = {"class": "SignalRecord", "module_path": "rollwright.analysis.records"}
ANALYSIS = {"class": "SigAnaRecord", "module_path": "rollwright.analysis.records"}


def recorded(asked: CampaignConfig, *records: dict) -> CampaignConfig:
    """Return the campaign with other records."""
    asked_for = [ObjectConfig.model_validate(record) for record in records]
    return asked.model_copy(update={"task": asked.task.model_copy(update={"record": asked_for})})


def test_a_record_that_is_added_trains_nothing_and_leaves_what_training_with_it_would(tmp_path, market):
    project = Project(tmp_path / "project", market)
    asked = config(day(199))
    first, before = project.roll(asked)
    held = project.recorders(first)
    more = recorded(asked, SIGNAL, ANALYSIS)
    again, after = project.roll(more)
    assert project.learnt == len(first.ids)
    assert again.todo == tuple(again.ids)  # they are other tasks
    assert project.recorders(again) == held  # in the recorders there were
    assert all(recorder.status == "FINISHED" for recorder in held.values())
    assert all({"sig_analysis/ic.pkl", "sig_analysis/ric.pkl"} <= sums.keys() for sums in after.values())
    assert after == afresh(tmp_path / "afresh", market, more)
    assert all(before[name].items() <= {**after[name], "task": before[name]["task"]}.items() for name in before)
    assert {"IC", "Rank IC"} <= held[next(iter(held))].list_metrics().keys()
    for one in (asked, more):  # both stand from now on
        assert project.roll(one)[0].todo == ()
    assert project.learnt == len(first.ids)


def test_a_record_that_changes_trains_nothing_and_leaves_the_other_as_it_was(tmp_path, market):
    project = Project(tmp_path / "project", market)
    asked = recorded(config(day(199)), SIGNAL, ANALYSIS)
    first, before = project.roll(asked)
    changed = recorded(asked, SIGNAL, {**ANALYSIS, "kwargs": {"ana_long_short": True}})
    again, after = project.roll(changed)
    assert project.learnt == len(first.ids)
    assert after == afresh(tmp_path / "afresh", market, changed)
    assert not set(project.recorders(again).values()) & set(project.recorders(first).values())
    back, sums = project.roll(asked)
    assert back.todo == ()
    assert sums == before
    assert project.learnt == len(first.ids)


def test_a_longer_test_segment_is_predicted_by_the_model_there_is(tmp_path, market):
    project = Project(tmp_path / "project", market)
    asked = config(day(114), end_time=day(100))  # the handler's end follows the test segment
    first, before = project.roll(asked)
    again, after = project.roll(config(day(117), end_time=day(100)))
    assert again.todo
    assert project.learnt == len(first.ids)
    assert after == afresh(tmp_path / "afresh", market, config(day(117), end_time=day(100)))
    assert project.roll(asked)[1] == before


def test_days_that_came_later_are_predicted_by_the_model_there_is(tmp_path, market):
    project = Project(tmp_path / "project", market)
    first, _ = project.roll(config(day(199)))
    import_market(rows(DAYS[200:203]), market)
    again, after = project.roll(config(day(202)))
    assert again.todo
    assert project.learnt == len(first.ids)
    assert after == afresh(tmp_path / "afresh", market, config(day(202)))


def test_another_processor_or_seed_is_another_fit(tmp_path, market):
    project = Project(tmp_path / "project", market)
    asked = config(day(140))
    first, _ = project.roll(asked)
    project.roll(config(day(140), learn_processors=[{"class": "DropnaLabel"}, {"class": "CSRankNorm"}]))
    project.roll(asked.model_copy(update={"seed": 1}))
    assert project.learnt == 3 * len(first.ids)


class Killed(BaseException):
    """What a kill would do, where a test can see it."""


def test_a_kill_at_any_write_of_any_step_leaves_what_the_same_command_completes(tmp_path, market):
    asked = config(day(119))
    more = recorded(asked, SIGNAL, ANALYSIS)
    wanted = {"asked": afresh(tmp_path / "one", market, asked), "more": afresh(tmp_path / "two", market, more)}
    kills = 0
    for number in itertools.count(1):
        project = Project(tmp_path / f"project{number}", market)
        writes = itertools.count(1)
        killed = 0
        for name, one in (("asked", asked), ("more", more)):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(Recorder, "save_objects", killing(Recorder.save_objects, writes, number))
                try:
                    project.roll(one)
                except Killed:
                    killed += 1
                    project.drop_leases()
            assert project.roll(one)[1] == wanted[name]
        kills += killed
        if not killed:
            break
    assert kills >= 10  # the task, the fit, its validity, each artifact of each record …


def killing(save, writes, number):
    def save_objects(recorder, *args, **kwargs):
        if next(writes) == number:
            raise Killed
        return save(recorder, *args, **kwargs)

    return save_objects


def test_a_record_that_fails_leaves_the_finished_recorder_as_it_was(tmp_path, market):
    own = tmp_path / "own"
    own.mkdir()
    (own / "mine.py").write_text(
        "from rollwright.analysis.records import RecordTemp\n\n\n"
        "class Failing(RecordTemp):\n"
        "    def generate(self, **kwargs):\n"
        "        raise ValueError('no such thing')\n"
    )
    project = Project(tmp_path / "project", market)
    project.settings = project.settings.with_values({"trust.folder": str(own)}, origin="test")
    asked = config(day(119))
    first, before = project.roll(asked)
    with pytest.raises(ValueError, match="no such thing"):
        project.roll(recorded(asked, SIGNAL, {"class": "Failing", "module_path": "mine.py"}))
    assert {recorder.status for recorder in project.recorders(first).values()} == {"FINISHED"}
    project.drop_leases()
    again = submit(make_plan(asked, name="p", calendar=QlibProvider(market).calendar()), project.manager)
    assert again.todo == ()
    sums = {key: recorder.list_digests() for key, recorder in project.recorders(again).items()}
    assert all(sums[key]["pred.pkl"] == before[key]["pred.pkl"] for key in before)


def test_a_damaged_prediction_is_made_again_from_the_model(tmp_path, market):
    project = Project(tmp_path / "project", market)
    asked = recorded(config(day(119)), SIGNAL, ANALYSIS)
    first, before = project.roll(asked)
    key = next(iter(first.ids))
    path = Path(project.recorders(first)[key].download_artifact("pred.pkl"))
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    again, after = project.roll(asked)
    assert [name for name, _ in again.incomplete] == [key]
    assert not again.stale
    assert project.learnt == len(first.ids)
    assert after == before
    assert project.recorders(again)[key].load_object("pred.pkl").shape[1] == 1  # whose bytes are verified
    assert project.roll(asked)[0].todo == ()


def test_a_damaged_model_is_trained_again(tmp_path, market):
    project = Project(tmp_path / "project", market)
    asked = config(day(119))
    first, before = project.roll(asked)
    recorder = project.recorders(first)[next(iter(first.ids))]
    for name in ("params.pkl", "pred.pkl"):
        Path(recorder.download_artifact(name)).write_bytes(b"nothing")
    assert project.roll(asked)[1] == before
    assert project.learnt == len(first.ids) + 1


def test_a_record_that_another_task_was_killed_in_making_again_is_missed_by_all_who_had_it(tmp_path, market):
    project = Project(tmp_path / "project", market)
    asked = recorded(config(day(119)), SIGNAL, ANALYSIS)
    more = recorded(asked, SIGNAL, ANALYSIS, {**ANALYSIS, "kwargs": {"ana_long_short": True}})
    first, before = project.roll(asked)
    again, _ = project.roll(more)
    key = next(iter(first.ids))
    recorder = project.recorders(first)[key]
    assert project.recorders(again)[key] == recorder
    Path(recorder.download_artifact("pred.pkl")).write_bytes(b"nothing")
    save = Recorder.save_objects

    def killed(self, *args, **kwargs):
        if "ic.pkl" in kwargs:
            raise Killed
        return save(self, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Recorder, "save_objects", killed)
        with pytest.raises(Killed):
            project.roll(more)
    project.drop_leases()
    assert "sig_analysis/ic.pkl" not in recorder.list_digests()
    later, _ = project.roll(asked)
    assert [name for name, _ in later.incomplete] == [key]
    assert before[key].items() <= {**recorder.list_digests(), "task": before[key]["task"]}.items()
    assert recorder.load_object("pred.pkl").shape[1] == 1
    assert project.learnt == len(first.ids)
