"""A whole campaign with a model class of the user's own, in real processes: it is stored, collected and opened again,
and the key is in nothing that it leaves behind.
"""

from __future__ import annotations

import base64
import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

OWN = """\
from rollwright.models.lightgbm import LGBModel


class MyModel(LGBModel):
    def fit(self, dataset, reweighter=None):
        super().fit(dataset, reweighter=reweighter)
        self._shift = 0.125

    def predict(self, dataset, segment="test"):
        return super().predict(dataset, segment) + self._shift
"""
CAMPAIGN = """\
qlib_init: {provider_uri: market, region: us}
task:
  model: {class: MyModel, module_path: own.py, kwargs: {num_boost_round: 5}}
  dataset:
    class: DatasetH
    module_path: rollwright.dataset.dataset
    kwargs:
      handler: {class: Alpha158, module_path: rollwright.dataset.alpha, kwargs: {instruments: all}}
      segments: {train: [2015-03-02, 2015-12-31], test: [2016-03-01, 2016-06-30]}
  record: {class: SignalRecord, module_path: rollwright.analysis.records}
rolling: {step: 40}
"""
OPEN = """\
import rollwright
from rollwright.tracking.r import R
found = {}
for name in R.list_experiments():
    for recorder in R.list_recorders(experiment_name=name).values():
        if "params.pkl" in recorder.list_artifacts():
            model = recorder.load_object("params.pkl")
            found[recorder.id] = (type(model).__name__, model._shift, len(recorder.load_object("pred.pkl")) > 0)
assert len(found) == 3, found
assert set(found.values()) == {("MyModel", 0.125, True)}, found
"""


def spelled(raw):
    """Return the ways in which a key could have got out."""
    yield from (raw, raw.hex().encode(), base64.b64encode(raw), base64.urlsafe_b64encode(raw), repr(raw)[2:-1].encode())
    yield raw.hex().upper().encode()


def test_a_model_of_ones_own_goes_through_a_campaign_and_the_key_through_nothing(tmp_path):
    project, home = tmp_path / "project", tmp_path / "user"
    project.mkdir()
    home.mkdir()
    (project / "own.py").write_text(OWN)
    (project / "mine.yaml").write_text(CAMPAIGN)
    environment = {**os.environ, "HOME": str(home), "XDG_DATA_HOME": str(home / "data")}

    def run(*arguments):
        done = subprocess.run(
            [sys.executable, *arguments], cwd=project, env=environment, capture_output=True, check=False, timeout=300
        )
        assert done.returncode == 0, done.stderr.decode()[-3000:]
        return done.stdout + done.stderr

    said = run("-m", "rollwright", "data", "demo", "--out", "market", "--instruments", "30", "--sessions", "480")
    said += run("-m", "rollwright", "-vv", "roll", "mine.yaml", "-j", "2")
    (project / "own.py").rename(tmp_path / "own.py")  # what was stored holds the class
    said += run("-c", OPEN)
    raw = (home / "data" / "rollwright" / "key").read_bytes()
    texts = {"said": said, "environment": repr(environment).encode()}
    texts |= {str(path): path.read_bytes() for path in project.rglob("*") if path.is_file()}
    assert len(texts) > 20
    assert [name for name, text in texts.items() for form in spelled(raw) if form in text] == []
