"""Market data that grow: what was learnt from the days before stands, byte for byte, and nothing else does."""

from __future__ import annotations

import pandas as pd

from rolling_project import CODES, DAYS, SIGNAL, Project, afresh, config, day, recorded, rows
from rollwright.market.folder.provider import QlibProvider
from rollwright.market.ingest.importer import import_market


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


def test_a_back_test_of_a_window_stands_until_a_session_that_it_trades_on_changes(tmp_path, market):
    strategy = {"class": "TopkDropoutStrategy", "module_path": "qlib.contrib.strategy"}
    traded = {
        "strategy": {**strategy, "kwargs": {"signal": "<PRED>", "topk": 3, "n_drop": 1}},
        "backtest": {"account": 1e6, "benchmark": None},
    }
    portfolio = {"class": "PortAnaRecord", "module_path": "qlib.workflow.record_temp", "kwargs": {"config": traded}}
    project = Project(tmp_path / "project", market)
    asked = recorded(config(day(199)), SIGNAL, portfolio)
    first, before = project.roll(asked)
    report = "portfolio_analysis/report_normal_1day.pkl"
    import_market(rows(DAYS[200:202]), market)
    again, after = project.roll(asked)
    last = list(first.ids)[-1]
    assert [name for name, _ in again.incomplete] == [last]
    assert project.learnt == len(first.ids)
    assert after[last][report] != before[last][report]  # the last predictions are traded on the new session
    assert after == afresh(tmp_path / "afresh", market, asked)


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


def test_days_that_came_later_are_predicted_by_the_model_there_is(tmp_path, market):
    project = Project(tmp_path / "project", market)
    first, _ = project.roll(config(day(199)))
    import_market(rows(DAYS[200:203]), market)
    again, after = project.roll(config(day(202)))
    assert again.todo
    assert project.learnt == len(first.ids)
    assert after == afresh(tmp_path / "afresh", market, config(day(202)))
