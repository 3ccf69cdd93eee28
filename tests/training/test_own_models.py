"""A model class of the user's own file trains, is stored, and is opened again where that file is not."""

from __future__ import annotations

import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest

from rollwright.config.context import current_settings, install
from rollwright.errors import UntrustedArtifactError
from rollwright.signing.keys import Keyring
from rollwright.tracking.r import R
from rollwright.training.execute import task_train

OWN = """\
from rollwright.dataset.dataset import Dataset as Answers
from rollwright.models.base import Model as Base
from rollwright.models.lightgbm import LGBModel

FACTOR = 3


class Dataset(dict, Answers):
    generation = "g1"


class Plain:
    def __init__(self, seed=None):
        self.seed, self._fitted = seed, False

    def fit(self, dataset, reweighter=None):
        self._fitted, self.rows = True, {1, 2}

    def predict(self, dataset, segment="test"):
        return FACTOR * len(self.rows) if self._fitted else None


class Derived(Base):
    def fit(self, dataset, reweighter=None):
        self._fitted = lambda: FACTOR

    def predict(self, dataset, segment="test"):
        return self._fitted() * 2


class Mine(LGBModel):
    def fit(self, dataset, reweighter=None):
        self._mean = 6

    def predict(self, dataset, segment="test"):
        return self._mean
"""


def task(name):
    return {"model": {"class": name, "module_path": "own.py"}, "dataset": {"class": "Dataset", "module_path": "own.py"}}


@pytest.fixture(autouse=True)
def own(project, tmp_path):
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "own.py").write_text(OWN)
    install(current_settings().with_values({"trust.folder": str(folder)}, origin="test"))
    return folder / "own.py"


@pytest.mark.parametrize("name", ["Plain", "Derived", "Mine"])
def test_it_trains_is_stored_and_predicts_again(name):
    recorder = task_train(task(name), "exp")
    assert recorder.status == "FINISHED"
    loaded = R.get_recorder(recorder_id=recorder.id, experiment_name="exp").load_object("params.pkl")
    assert (type(loaded).__name__, loaded.predict(None)) == (name, 6)


def test_another_process_opens_it_without_the_file(own, tmp_path):
    recorder = task_train(task("Mine"), "exp")
    path = Path(recorder.get_local_dir()) / "artifacts" / "params.sealed"
    own.unlink()
    script = (
        "import sys; from pathlib import Path; from rollwright.codecs.envelope import EnvelopeCodec\n"
        "print(EnvelopeCodec().read(Path(sys.argv[1]), name=sys.argv[2]).predict(None))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, path, f"{recorder.id}/params.pkl"],
        check=True,
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.stdout == "6\n"


def test_it_is_not_opened_where_nobody_trusts_who_signed_it():
    recorder = task_train(task("Plain"), "exp")
    Keyring().path.unlink()
    with pytest.raises(UntrustedArtifactError, match=r"params\.sealed"):
        recorder.load_object("params.pkl")
    assert recorder.load_object("task")["model"]["class"] == "Plain"  # a lost key takes safe formats with it nowhere


def test_a_signed_file_put_in_the_place_of_another_is_refused():
    recorder = task_train(task("Plain"), "exp")
    recorder.save_objects(**{"other.pkl": Fraction(1, 3)})
    manifest = Path(recorder.get_local_dir()) / "artifacts.json"
    text = manifest.read_text()
    assert text.count('"params.pkl"') == 1
    text = text.replace('"seal"', '"was sealed"')  # whoever can write the folder can seal it too
    manifest.write_text(text.replace('"params.pkl"', '"kept"').replace('"other.pkl"', '"params.pkl"'))
    with pytest.raises(UntrustedArtifactError, match=r"signed as artifact 2 '\w+/other\.pkl'"):
        recorder.load_object("params.pkl")


def test_the_key_is_in_nothing_that_a_run_leaves(tmp_path, caplog, capfd):
    caplog.set_level("DEBUG")
    task_train(task("Plain"), "exp")
    raw = Keyring().path.read_bytes()
    key_file = Keyring().path
    spelled = (raw, raw.hex().encode())
    for path in tmp_path.rglob("*"):
        if path.is_file() and path != key_file:
            assert not any(form in path.read_bytes() for form in spelled), path
    assert raw.hex() not in caplog.text + "".join(capfd.readouterr()) + str(dict(os.environ))
