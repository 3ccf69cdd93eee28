"""A finished project is moved: it goes on, it is whole, it is read, and it comes out again to the same bytes."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from rollwright.config.context import install
from rollwright.config.settings import load_settings
from rollwright.market.demo import make_demo_market
from rollwright.tracking.r import R

pytestmark = pytest.mark.slow

CAMPAIGN = """\
experiment_name: small
qlib_init: {region: us}
task:
  model:
    class: LGBModel
    module_path: rollwright.models.lightgbm
    kwargs: {num_boost_round: 8, early_stopping_rounds: 0, min_data_in_leaf: 40}
  dataset:
    class: DatasetH
    module_path: rollwright.dataset.dataset
    kwargs:
      handler:
        class: DataHandlerLP
        module_path: rollwright.dataset.handler
        kwargs:
          instruments: all
          start_time: 2015-01-05
          end_time: 2016-11-30
          data_loader:
            class: QlibDataLoader
            module_path: rollwright.dataset.loader
            kwargs:
              config:
                feature: [["$close/Ref($close, 5)", "Std($close, 20)/$close"], [MOM, STD]]
                label: [["Ref($close, -2)/Ref($close, -1) - 1"], [LABEL0]]
          infer_processors:
            - {class: Doubled, module_path: mine.py}
          learn_processors:
            - {class: DropnaLabel}
      segments:
        train: [2015-06-01, 2016-03-31]
        test: [2016-07-01, 2016-09-30]
  record:
    - {class: SignalRecord, module_path: rollwright.analysis.records}
rolling: {step: 40, rtype: sliding}
"""

OWN = """\
from rollwright.dataset.processors import Processor


class Doubled(Processor):
    def __call__(self, df):
        return df * 2
"""

PRED = Path("results") / "small" / "pred.parquet"


@pytest.fixture(scope="module")
def moved(shell, tmp_path_factory) -> tuple[Path, bytes]:
    """Roll in one place, move the folder, and return its new place and the bytes of the prediction."""
    home = tmp_path_factory.mktemp("moved")
    first = home / "first"
    (first / ".rollwright").mkdir(parents=True)
    make_demo_market(first / "market", instruments=20, sessions=500, seed=3)
    (first / "small.yaml").write_text(CAMPAIGN)
    (first / "mine.py").write_text(OWN)
    # The market is named by its absolute path: it lies in the project, and goes with it.
    done = shell.run("roll", "small.yaml", "-j", "1", "--provider-uri", str(first / "market"), cwd=first)
    assert done.returncode == 0, done.stderr
    pred = (first / PRED).read_bytes()
    second = home / "elsewhere" / "second"
    second.parent.mkdir()
    shutil.move(first, second)
    return second, pred


def test_it_goes_on_where_it_stopped(moved, shell):
    folder, pred = moved
    (folder / PRED).unlink()
    done = shell.run("resume", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "2 of 2 windows are finished already and kept" in done.stderr
    assert (folder / PRED).read_bytes() == pred


def test_everything_it_recorded_is_whole(moved, shell):
    folder, _ = moved
    done = shell.run("verify", "--json", cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert found["ok"]
    assert found["data"]["findings"] == []
    assert found["data"]["runs"] == 2
    assert found["data"]["databases"] == 2


def test_its_objects_are_read(moved):
    folder, _ = moved
    install(load_settings(start=folder, environ={}))
    recorders = R.list_recorders(experiment_name="small").values()
    assert recorders
    for recorder in recorders:
        assert recorder.load_object("pred.pkl").columns.tolist() == ["score"]
        assert recorder.load_object("params.pkl").best_iteration_ == 8
        assert recorder.load_object("provenance")["data"]["provider_uri"] == "market"


def test_a_window_comes_out_again_to_the_same_bytes(moved, shell):
    folder, _ = moved
    done = shell.run("replay", "2016-07-01..2016-08-25", "--json", cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["data"]["changed"] == []


def test_a_run_the_store_does_not_know_and_a_store_that_is_damaged_are_told(moved, shell, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(moved[0], folder)
    runs = [path.parent for path in (folder / ".rollwright" / "artifacts").glob("*/*/artifacts.json")]
    stranger = runs[0].with_name("0" * 32)
    shutil.copytree(runs[0], stranger)
    done = shell.run("verify", "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    (finding,) = json.loads(done.stdout)["data"]["findings"]
    assert (finding["severity"], finding["kind"]) == ("warning", "orphan")
    assert finding["where"].endswith("0" * 32)

    database = next(path for path in folder.rglob("*.db") if "pool" not in path.name)
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    whole = database.read_bytes()
    database.write_bytes(whole[: len(whole) // 2])
    done = shell.run("verify", "--json", cwd=folder)
    assert done.returncode == 4, done.stderr
    assert {item["kind"] for item in json.loads(done.stdout)["data"]["findings"]} == {"database"}
