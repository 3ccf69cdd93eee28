"""A finished campaign given again: its results as they are while nothing changed, and noticed when anything did."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing, contextmanager

import pytest

from rolling_project import DAYS, rows
from rollwright.app.campaign import collect_campaign, roll_campaign
from rollwright.app.finished import find_finished, find_finished_named
from rollwright.app.open_campaign import open_campaign
from rollwright.market.ingest.importer import import_market

HEAVY = ("alembic", "lightgbm", "mlflow", "numpy", "pandas", "plotly", "pyarrow", "scipy", "sklearn", "sqlalchemy")
CAMPAIGN = """\
experiment_name: small
qlib_init: {provider_uri: market, region: us}
task:
  model: {class: Mine, module_path: own.py}
  dataset:
    class: DatasetH
    module_path: rollwright.dataset.dataset
    kwargs:
      handler:
        class: DataHandlerLP
        module_path: rollwright.dataset.handler
        kwargs:
          instruments: all
          start_time: 2020-01-01
          data_loader:
            class: QlibDataLoader
            module_path: rollwright.dataset.loader
            kwargs:
              config:
                feature: [["$close/Ref($close, 5)", "CSRank($volume)"], [MOM, VOL]]
                label: [["Ref($close, -2)/Ref($close, -1) - 1"], [LABEL0]]
          learn_processors: [{class: DropnaLabel}]
      segments: {train: [2020-01-08, 2020-04-30], test: [2020-05-11, 2020-07-31]}
  record: {class: SignalRecord, module_path: rollwright.analysis.records}
rolling: {step: 25}
backtest: {topk: 3, n_drop: 1, benchmark: mean}
"""
OWN = "from rollwright.models.linear import LinearModel\n\n\nclass Mine(LinearModel):\n    pass\n"


def roll(project, *overrides):
    campaign = open_campaign(project / "small.yaml", overrides=overrides, project=project)
    told = []
    result = roll_campaign(campaign, jobs=1, on_progress=lambda what, value: told.append((what, value)))
    return result, dict(told)["trained"]


def make_project(folder):
    """Return a project with a market and the campaign, which nobody has rolled."""
    (folder / ".rollwright").mkdir()
    import_market(rows(DAYS), folder / "market")
    (folder / "own.py").write_text(OWN)
    (folder / "small.yaml").write_text(CAMPAIGN)
    return folder


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A project whose campaign of three windows is finished, and what its roll gave."""
    project = make_project(tmp_path_factory.mktemp("finished"))
    result, counts = roll(project)
    assert counts.trained == 3
    return project, result


def find(project, *overrides, **given):
    return find_finished(project / "small.yaml", overrides=overrides, project=project, **given)


def contents(project):
    folder = project / "results" / "small"
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@contextmanager
def kept_aside(*paths):
    """Put files and folders back afterwards, with the times they had."""
    for path in paths:
        (shutil.copytree if path.is_dir() else shutil.copy2)(path, path.with_name(f"{path.name}.aside"))
    try:
        yield
    finally:
        for path in paths:
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
            path.with_name(f"{path.name}.aside").rename(path)


def test_results_that_stand_are_given_back_whole(finished):
    project, result = finished
    before = contents(project)
    for found in (
        find(project),
        find_finished_named("small", project=project),
    ):
        assert found is not None
        assert found.name == "small"
        assert found.result.to_json() == result.to_json()
        assert (found.counts.trained, found.counts.records_only, found.counts.kept) == (0, 0, 3)
        assert found.told[0].startswith("small: 3 windows, test 2020-05-11 to 2020-07-31")
    assert contents(project) == before


def test_giving_them_back_imports_nothing_that_computes_or_records(finished):
    project, result = finished
    program = (
        "import json, sys\nfrom rollwright.cli.root import run\n"
        "code = run(sys.argv[1:])\nprint(json.dumps([code, sorted({name.partition('.')[0] for name in sys.modules})]))"
    )
    for command in (["roll", "small.yaml", "--json"], ["resume", "small", "--json"]):
        done = subprocess.run(
            [sys.executable, "-c", program, *command],
            cwd=project,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        said, _, last = done.stdout.rstrip().rpartition("\n")
        code, modules = json.loads(last)
        assert code == 0
        assert not {*HEAVY}.intersection(modules)
        assert json.loads(said)["data"] == {
            **result.to_json(),
            "training": {"trained": 0, "records_only": 0, "kept": 3},
        }
        assert "3 of 3 windows are finished already and kept" in done.stderr


@pytest.mark.parametrize(
    "command", ["pool ls", "pool stat small", "pool tasks small", "track status", "status small", "config show"]
)
def test_commands_that_only_look_import_nothing_that_computes_or_records(finished, command):
    project, _ = finished
    program = (
        "import sys\nfrom rollwright.cli.root import run\ncode = run(sys.argv[1:])\n"
        f"print(code, sorted(set({HEAVY!r}).intersection(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *command.split()],
        cwd=project,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "0 []"


def test_a_campaign_whose_file_names_its_pool_is_found_too(finished):
    own = ("experiment_name=pooled", "pool.url=sqlite:///own/pool.db", "pool.lease=90", "pool.max_attempts=2")
    project, _ = finished
    roll(project, *own)
    found = find(project, *own)
    assert found is not None
    assert found.settings.pool.url == "sqlite:///own/pool.db"
    assert find(project, *own[:2], "pool.lease=91", own[3]) is None


def test_another_command_is_another_campaign(finished):
    project, _ = finished
    assert find(project, "rolling.step=20") is None
    assert find(project, provider_uri=str(project / "elsewhere")) is None
    assert find_finished_named("other", project=project) is None
    assert find_finished(project / "absent.yaml", project=project) is None


def test_a_changed_file_setting_or_module_is_noticed(finished):
    project, _ = finished
    for name, text in (("small.yaml", f"{CAMPAIGN}# a remark\n"), ("own.py", f"{OWN}    kind = 1\n")):
        with kept_aside(project / name):
            (project / name).write_text(text)
            assert find(project) is None
        assert find(project) is not None
    settings = project / "rollwright.toml"
    settings.write_text("[data]\ndays_per_year = 250\n")
    assert find(project) is None
    settings.write_text("[worker]\nmemory_limit = 0.9\n")  # on which no result depends
    assert find(project) is not None
    settings.unlink()


def test_revised_data_and_universes_changed_by_hand_are_noticed(finished):
    project, _ = finished
    market = project / "market"
    with kept_aside(market):
        import_market(rows(DAYS, factor=1.01), market, revise=True)
        assert find(project) is None
    roll(project)  # the data are as they were, but other files
    assert find(project) is not None
    (market / "instruments" / "mine.txt").write_text("SH600000\t2020-01-01\t2020-12-31\n")
    assert find(project) is None
    (market / "instruments" / "mine.txt").unlink()
    assert find(project) is not None


def first_run(project):
    (folder, *_) = sorted((project / ".rollwright" / "artifacts").glob("*/*/artifacts.json"))
    return folder.parent


@pytest.mark.parametrize("name", ["pred", "label", "expected_index", "validity"])
def test_a_deleted_or_damaged_artifact_is_noticed(finished, name):
    project, _ = finished
    (path,) = (first_run(project) / "artifacts").glob(f"{name}*")
    with kept_aside(path):
        path.unlink()
        assert find(project) is None
    with kept_aside(path):
        path.write_bytes(path.read_bytes()[:-1] + b"\x00")
        assert find(project) is None
    assert find(project) is not None


def test_a_deleted_recorder_and_a_changed_task_are_noticed(finished):
    project, _ = finished
    state, run = project / ".rollwright", first_run(project).name
    for file, change, back in (
        (
            "mlflow.db",
            f"UPDATE runs SET lifecycle_stage = 'deleted' WHERE run_uuid = '{run}'",
            f"UPDATE runs SET lifecycle_stage = 'active' WHERE run_uuid = '{run}'",
        ),
        (
            "mlflow.db",
            f"UPDATE runs SET end_time = end_time + 1000 WHERE run_uuid = '{run}'",
            f"UPDATE runs SET end_time = end_time - 1000 WHERE run_uuid = '{run}'",
        ),
        (
            "pool.db",
            "UPDATE document SET definition = definition || ' ' WHERE task = 1",
            "UPDATE document SET definition = substr(definition, 1, length(definition) - 1) WHERE task = 1",
        ),
        ("pool.db", "UPDATE task SET status = 'waiting' WHERE id = 1", "UPDATE task SET status = 'done' WHERE id = 1"),
    ):
        for statement, stands in ((change, False), (back, True)):
            with closing(sqlite3.connect(state / file)) as database:
                assert database.execute(statement).rowcount == 1
                database.commit()
            assert (find(project) is not None) == stands, statement


@pytest.mark.parametrize("name", ["pred.parquet", "label.parquet", "summary.json", "report.html"])
def test_a_deleted_or_damaged_result_is_made_anew_with_the_same_bytes(finished, name):
    project, result = finished
    before = contents(project)
    path = project / "results" / "small" / name
    for damage in (path.unlink, lambda: path.write_bytes(before[path.relative_to(path.parent)][:-9])):
        damage()
        assert find(project) is None
        made, counts = roll(project)
        assert counts.kept == 3
        assert made.to_json() == result.to_json()
        assert contents(project) == before
        assert find(project) is not None


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"format": 1}', "\x00", '{"format": 99}'])
def test_a_damaged_note_is_none(finished, text):
    project, _ = finished
    note = project / ".rollwright" / "standing" / "small.json"
    with kept_aside(note):
        note.write_text(text)
        assert find(project) is None
    assert find(project) is not None


def test_results_that_are_collected_anew_are_the_same_and_stand(finished):
    project, _ = finished
    before = contents(project)
    note = project / ".rollwright" / "standing" / "small.json"
    collect_campaign(open_campaign(project / "small.yaml", project=project))
    assert contents(project) == before
    assert find(project) is not None
    note.unlink()
    collect_campaign(open_campaign(project / "small.yaml", project=project))  # another time stands in its report
    assert find(project) is not None


def test_what_is_collected_of_another_configuration_than_was_submitted_is_rolled_before_it_stands(tmp_path):
    project = make_project(tmp_path)
    roll(project)
    record = open_campaign(project / "small.yaml", project=project).record
    recorded = record.read_bytes()
    roll(project, "rolling.step=60")
    record.write_bytes(recorded)  # what a roll leaves that is killed before it submits
    collect_campaign(open_campaign(project / "small.yaml", project=project))
    assert find(project) is None
    assert find(project, "rolling.step=60") is None
    _, counts = roll(project)
    assert counts.kept == 3


def test_what_was_warned_of_is_said_again(finished, caplog):
    project, _ = finished
    late = ("experiment_name=late", "rolling.step=100", "task.dataset.kwargs.segments.test=[2020-05-11, 2031-12-31]")
    caplog.set_level("WARNING", logger="rollwright")
    roll(project, *late)
    first = [record.getMessage() for record in caplog.records if "features" not in record.name]
    assert any("rolling.segment_cut" in text for text in first)
    caplog.clear()
    assert find(project, *late) is not None
    assert [record.getMessage() for record in caplog.records] == [*dict.fromkeys(first)]
