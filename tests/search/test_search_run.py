"""A search: the same trials whatever happens, each of ordinary windows, each counted."""

from __future__ import annotations

import json
import math
from contextlib import contextmanager
from pathlib import Path

import optuna
import pytest

from rollwright.app.campaign import roll_campaign
from rollwright.app.open_campaign import open_campaign
from rollwright.app.search_results import read_search, write_best
from rollwright.app.trials import read_trials
from rollwright.config.settings import load_settings
from rollwright.core.sqlite_urls import sqlite_url
from rollwright.errors import ConfigError, CorruptFileError, CoverageError
from rollwright.market.folder.provider import QlibProvider
from searched_project import BACKTEST, make_searched, read_told, search_here

AT = "task.model.kwargs.at"
ONE_WINDOW = "rolling.step=100"


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.setenv("ROLLWRIGHT_TRACKING__URI", "memory:")
    return make_searched(tmp_path / "project", more=BACKTEST)


def table(file):
    folder = file.parent / "results" / "search-probe"
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def record(file):
    return file.parent / ".rollwright" / "searches" / "probe"


def records(file):
    return {str(path.relative_to(record(file))): path.read_bytes() for path in sorted(record(file).rglob("*.json"))}


def roll(path: Path, project: Path):
    """Roll a file here, and return its result and how its windows came to theirs."""
    counts = []
    campaign = open_campaign(path, project=project, market=QlibProvider(project / "market"))
    result = roll_campaign(
        campaign, jobs=1, on_progress=lambda what, value: counts.append(value) if what == "trained" else None
    )
    return {metric.key: metric.value for metric in result.variants[0].metrics}, counts[0]


def test_every_trial_is_told_and_the_best_is_nearest_to_the_planted_optimum(searched):
    report = read_search("probe", project=searched.parent)
    assert [one.number for one in report.trials] == [0, 1, 2, 3]
    assert {one.state for one in report.trials} == {"complete"}
    assert report.best == min(report.trials, key=lambda one: abs(one.params[AT] - 0.7))


def test_the_value_is_what_the_validation_sessions_of_all_windows_say(searched):
    for one in read_told(searched):
        values = [value for value in one.days.values() if not math.isnan(value)]
        assert one.value == pytest.approx(sum(values) / len(values))
        assert one.value == one.metrics["rank_ic"]
        assert min(one.days) == "2020-05-01", "the first valid segment begins then"
        assert [point.windows for point in one.curve] == [2]


def test_a_second_run_trains_nothing_and_tells_the_same(searched):
    first, before = read_told(searched), (table(searched), records(searched))
    events = []
    again = search_here(searched, on_progress=lambda what, value: events.append(what))
    assert list(again) == first
    assert (table(searched), records(searched)) == before
    assert {*events} == {"begun", "resumed"}


def test_a_generation_that_is_told_in_part_ends_as_if_nobody_had_disturbed_it(searched, searched_once):
    for number in (1, 2, 3):  # as if it had been killed between the two trials of a generation
        (record(searched) / "told" / f"{number:04d}.json").unlink()
    (record(searched) / "asked" / "0001.json").unlink()
    (searched.parent / "results" / "search-probe" / "search.csv").unlink()
    search_here(searched)
    assert table(searched) == table(searched_once)
    assert records(searched) == records(searched_once)


def test_more_trials_go_on_from_those_that_are_told(searched):
    first = read_told(searched)
    more = search_here(searched, "search.trials=5")
    assert list(more[:4]) == first
    assert len(more) == 5


def test_the_best_file_trains_nothing_and_is_no_new_trial(file):
    search_here(file, "search.trials=2")
    (before,) = read_trials(load_settings(start=file.parent)).data_sets
    path = write_best("probe", project=file.parent)
    assert path == file.with_name("probe-best.yaml")
    shown, counts = roll(path, file.parent)
    assert counts.trained == 0
    best = read_search("probe", project=file.parent).best
    assert shown["information_ratio"] == pytest.approx(best.metrics["information_ratio"], abs=1e-12)
    (after,) = read_trials(load_settings(start=file.parent)).data_sets
    assert len(after.trials) == len(before.trials)


def test_chosen_by_test_windows_the_value_and_the_windows_are_those_of_rolling_it(file):
    told = search_here(file, "search.segment=test", "search.metric=ic", "search.trials=2")
    path = write_best("probe", project=file.parent)
    shown, counts = roll(path, file.parent)
    assert (counts.trained, counts.records_only, counts.kept) == (0, 0, 2)
    best = max(told, key=lambda one: one.value)
    assert best.value == best.metrics["ic"]
    for key, value in best.metrics.items():
        if key in shown:
            assert shown[key] == pytest.approx(value, abs=1e-12, nan_ok=True), key
    assert {"ic", "rank_ic", "information_ratio", "excess_return"} <= shown.keys() & best.metrics.keys()


def test_the_best_file_is_never_written_over_another(searched):
    path = write_best("probe", project=searched.parent)
    assert write_best("probe", project=searched.parent) == path
    path.write_text("mine: true\n")
    with pytest.raises(ConfigError, match="is there already"):
        write_best("probe", project=searched.parent)
    assert path.read_text() == "mine: true\n"


def test_a_best_file_elsewhere_that_loses_its_modules_is_refused_and_not_written(searched, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    with pytest.raises(ConfigError, match=r"best\.yaml"):
        write_best("probe", tmp_path / "elsewhere" / "best.yaml", project=searched.parent)
    assert not [*(tmp_path / "elsewhere").iterdir()]


def test_the_best_of_a_file_with_variables_does_not_write_their_values_down(tmp_path, monkeypatch):
    monkeypatch.setenv("ROLLWRIGHT_TRACKING__URI", "memory:")
    monkeypatch.setenv("STEP", "100")
    file = make_searched(tmp_path / "project")
    file.write_text(file.read_text().replace("step: 50", "step: {{ STEP }}"))
    search_here(file, "search.trials=1")
    path = write_best("probe", project=file.parent)
    assert "100" not in path.read_text()
    _, counts = roll(path, file.parent)
    assert counts.trained == 0


def test_a_trial_that_fails_is_told_with_its_cause_and_ends_nothing(file):
    told = search_here(file, "task.model.kwargs.fails_above=0.6", "pool.max_attempts=1", ONE_WINDOW)
    failed = [one for one in told if one.params[AT] > 0.6]
    assert 0 < len(failed) < len(told)
    assert all((one.state == "failed") == (one in failed) for one in told)
    assert all("planted failure" in one.cause and math.isnan(one.value) for one in failed)
    assert read_search("probe", project=file.parent).best.state == "complete"
    with_cause = (file.parent / "results/search-probe/search.md").read_text()
    assert "planted failure" in with_cause


def test_every_trial_is_counted_and_the_best_is_deflated_by_all(searched):
    (data,) = read_trials(load_settings(start=searched.parent)).data_sets
    report = read_search("probe", project=searched.parent)
    assert [(one.source, one.name) for one in data.trials] == [
        ("search", f"probe: trial-{number:04d}") for number in range(4)
    ]
    assert report.honesty["trials"] == 4
    assert report.honesty["deflated_sharpe"] < report.honesty["psr"]


def test_without_a_back_test_no_trial_is_registered(tmp_path, monkeypatch):
    monkeypatch.setenv("ROLLWRIGHT_TRACKING__URI", "memory:")
    file = make_searched(tmp_path / "plain")
    told = search_here(file, "search.trials=1", ONE_WINDOW)
    assert all(one.trial is None for one in told)
    assert read_trials(load_settings(start=file.parent)).data_sets == ()
    assert read_search("probe", project=file.parent).honesty == {}


def test_a_changed_file_is_refused_until_it_is_begun_anew(searched):
    searched.write_text(searched.read_text().replace("step: 50", "step: 100"))
    with pytest.raises(ConfigError, match="changed since"):
        search_here(searched)
    with pytest.raises(ConfigError, match="changed since"):
        write_best("probe", project=searched.parent)
    told = search_here(searched, "search.trials=1", anew=True)
    assert [one.planned for one in told] == [1]
    assert [path.name for path in (searched.parent / ".rollwright" / "former-searches").iterdir()] == ["probe~1"]


def test_another_report_is_no_other_search(searched):
    assert list(search_here(searched, "report.title=Other")) == read_told(searched)


def test_trials_that_do_not_stand_any_more_are_named_and_begun_anew_they_are_made_again(searched):
    first = read_told(searched)
    code = searched.parent / "probe.py"
    code.write_text(code.read_text() + "\n# another version\n")
    with pytest.raises(CoverageError, match="4 of 4 trials") as caught:
        search_here(searched)
    assert "--anew" in caught.value.hint
    again = search_here(searched, "search.trials=2", anew=True)
    assert list(again) == first[:2]


def test_a_damaged_record_is_named_and_never_passed_over(searched):
    path = record(searched) / "told" / "0001.json"
    value = json.loads(path.read_text())
    path.write_text("{")
    with pytest.raises(CorruptFileError, match=r"0001\.json"):
        search_here(searched)
    with pytest.raises(CorruptFileError, match=r"0001\.json"):
        read_search("probe", project=searched.parent)
    value["params"][AT] = 0.7
    path.write_text(json.dumps(value))
    with pytest.raises(CorruptFileError, match="other values"):
        read_search("probe", project=searched.parent)


def test_a_lost_generation_in_the_middle_is_damage(searched):
    (record(searched) / "asked" / "0000.json").unlink()
    with pytest.raises(CorruptFileError, match="numbered from 0"):
        read_search("probe", project=searched.parent)


@contextmanager
def study(file):
    storage = optuna.storages.RDBStorage(sqlite_url(record(file) / "optuna.db"))
    yield optuna.load_study(study_name="probe", storage=storage)
    storage.remove_session()
    storage.engine.dispose()


def test_the_dashboards_storage_holds_every_trial(searched):
    told = read_told(searched)
    with study(searched) as held:
        assert held.direction.name == "MAXIMIZE"
        assert [one.params for one in held.trials] == [dict(one.params) for one in told]
        assert [one.value for one in held.trials] == [one.value for one in told]
        assert held.best_trial.number == read_search("probe", project=searched.parent).best.number


@pytest.mark.parametrize("damage", ["gone", "no database", "another trial"])
def test_a_storage_that_is_lost_or_damaged_is_made_anew_and_changes_no_search(searched, damage, caplog):
    path, told, before = record(searched) / "optuna.db", read_told(searched), table(searched)
    if damage == "gone":
        path.unlink()
    elif damage == "no database":
        path.write_bytes(b"no database at all" * 100)
    else:
        with study(searched) as held:
            held.add_trial(optuna.create_trial(value=9.0))
    assert list(search_here(searched)) == told
    assert table(searched) == before
    with study(searched) as held:
        assert [one.value for one in held.trials] == [one.value for one in told]
    assert ("search.storage_rebuilt" in caplog.text) == (damage != "gone")


def test_a_storage_that_cannot_be_written_is_told_and_ends_no_search(searched, caplog):
    path, told = record(searched) / "optuna.db", read_told(searched)
    path.unlink()
    path.mkdir()
    assert list(search_here(searched, "search.trials=4")) == told
    assert "search.storage_failed" in caplog.text


def test_a_grid_tries_every_combination_in_the_order_of_the_file(tmp_path, monkeypatch):
    monkeypatch.setenv("ROLLWRIGHT_TRACKING__URI", "memory:")
    search = """\
search:
  trials: 50
  sampler: grid
  space:
    task.model.kwargs.at: {low: 0.5, high: 0.75, step: 0.25}
    task.model.kwargs.spoil: {choices: [badly, gently]}
"""
    file = make_searched(tmp_path / "grid", search=search)
    told = search_here(file, ONE_WINDOW)
    assert [tuple(one.params.values()) for one in told] == [
        (0.5, "badly"), (0.5, "gently"), (0.75, "badly"), (0.75, "gently"),
    ]  # fmt: skip
    assert read_search("probe", project=file.parent).best.number == 3


def test_trials_of_equal_windows_are_trained_once(tmp_path, monkeypatch):
    monkeypatch.setenv("ROLLWRIGHT_TRACKING__URI", "memory:")
    search = """\
search:
  trials: 4
  generation: 4
  sampler: random
  space:
    task.model.kwargs.at: {choices: [0.5, 0.6]}
"""
    file = make_searched(tmp_path / "equal", search=search)
    ids = set()
    told = search_here(
        file,
        ONE_WINDOW,
        on_progress=lambda what, value: ids.update(value.ids.values()) if what == "submitted" else None,
    )
    assert {one.params[AT] for one in told} == {0.5, 0.6}
    assert len(ids) == 2
    for at in (0.5, 0.6):
        assert len({one.value for one in told if one.params[AT] == at}) == 1


def test_a_search_that_is_running_is_not_run_twice(searched):
    inner = []

    def tell(what, _value):
        if what == "begun":
            with pytest.raises(ConfigError, match="another process is at the search"):
                search_here(searched)
            inner.append(what)

    search_here(searched, on_progress=tell)
    assert inner == ["begun"]


def test_a_name_that_was_never_searched_is_told_with_the_nearest(searched):
    with pytest.raises(ConfigError, match="no search `prob`") as caught:
        read_search("prob", project=searched.parent)
    assert "probe" in caught.value.hint


def test_a_file_without_the_section_is_refused(tmp_path):
    file = make_searched(tmp_path / "none", search="")
    with pytest.raises(ConfigError, match="no section `search`"):
        search_here(file)
