"""Market data that grow: what was learnt from the days before stands, byte for byte, and nothing else does."""

from __future__ import annotations

import uuid
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rollwright.campaign.config import CampaignConfig
from rollwright.campaign.plan import make_plan
from rollwright.campaign.run import Submission, submit
from rollwright.config.context import install
from rollwright.config.settings import load_settings
from rollwright.market.folder.provider import QlibProvider, provider_from_settings
from rollwright.market.ingest.importer import import_market
from rollwright.pool.manager import TaskManager
from rollwright.pool.stores.memory import MemoryStore
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
        provider = provider_from_settings(self.settings)
        plan = make_plan(asked, name="p", calendar=provider.calendar())
        submission = submit(plan, self.manager, generation=provider.generation)
        while (task := self.manager.fetch_task()) is not None:
            result = train_in_slot(task["def"], experiment_name="p")
            self.manager.commit_task_res(task, result.value, validity=result.validity)
        sums = {}
        for name, task_id in submission.ids.items():
            recorder = self.manager.re_query(task_id)["res"]
            store = recorder.location.files_of(recorder.experiment_id, recorder.id)
            sums[name] = {ref.name: ref.sha256 for ref in store.list() if ref.name in KEPT}
        return submission, sums


KEPT = ("params.pkl", "pred.pkl", "label.pkl", "expected_index.pkl")


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


def test_a_window_whose_label_reaches_into_the_new_days_is_trained_again(tmp_path, market):
    project = Project(tmp_path / "project", market)
    asked = config(day(199))
    first, before = project.roll(asked)
    import_market(rows(DAYS[200:202]), market)
    again, after = project.roll(asked)
    last = list(first.ids)[-1]
    assert [name for name, _ in again.stale] == [last]
    assert day(200) in dict(again.stale)[last]
    assert after[last]["label.pkl"] != before[last]["label.pkl"]  # the future of its last days is known now
    assert after == afresh(tmp_path / "afresh", market, asked)
    assert project.roll(asked)[0].todo == ()


def test_a_revised_price_trains_the_windows_that_read_it_and_no_other(tmp_path, market):
    project = Project(tmp_path / "project", market)
    asked = config(day(199))
    first, before = project.roll(asked)
    names = list(first.ids)
    place = DAYS.get_loc(pd.Timestamp(names[3].segment.split("..")[0]))
    import_market(rows(DAYS[place : place + 1], CODES[:1], factor=1.01), market, revise=True)
    again, after = project.roll(asked)
    # The window before reads it through the label of its last two days.
    assert [name for name, _ in again.stale] == names[2:]
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
    assert [name for name, _ in again.stale] == names[2:]  # the label of the third looks past its end
    assert "universe" in dict(again.stale)[names[2]]
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
    assert again.stale
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
