"""A network whose process is killed while it learns goes on where it stood, to the bytes of a fit nobody disturbed."""

from __future__ import annotations

from pathlib import Path

import pytest

from killed_campaign import make_project
from rollwright.market.demo import make_demo_market

pytest.importorskip("torch")
pytestmark = pytest.mark.crash

NETWORK = '''
import os, signal, time
from pathlib import Path

import torch

HERE = Path(__file__).parent


class Mortal(torch.nn.Module):
    """Notes every batch it learns from; kills its own process, once, when a checkpoint lies in the project."""

    def __init__(self, width=3):
        super().__init__()
        self.inner = torch.nn.Linear(width, 8)
        self.drop = torch.nn.Dropout(0.2)
        self.outer = torch.nn.Linear(8, 1)

    def forward(self, features):
        if self.training:
            with open(HERE / "batches", "a") as file:
                file.write("x")
            if (HERE / "mortal").exists():
                time.sleep(0.02)
                if list((HERE / ".rollwright").glob("checkpoints/*/checkpoint")):
                    (HERE / "mortal").unlink()
                    os.kill(os.getpid(), signal.SIGKILL)
        return self.outer(self.drop(torch.relu(self.inner(features))))
'''
CAMPAIGN = """\
experiment_name: net
qlib_init: {provider_uri: ../market, region: us}
task:
  model:
    class: GeneralPTNN
    module_path: qlib.contrib.model.pytorch_general_nn
    kwargs: {n_epochs: 30, batch_size: 100, lr: 0.01, early_stop: 30, pt_model_uri: net.py.Mortal}
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
          end_time: 2017-12-29
          data_loader:
            class: QlibDataLoader
            module_path: rollwright.dataset.loader
            kwargs:
              config:
                feature: [["$close/Ref($close, 5)", "$high/$low", "$volume/Mean($volume, 5)"], [A, B, C]]
                label: [["Ref($close, -2)/Ref($close, -1) - 1"], [LABEL0]]
          infer_processors: [{class: CSZScoreNorm, kwargs: {fields_group: feature}}, {class: Fillna}]
          learn_processors: [{class: DropnaLabel}]
      segments:
        train: [2015-06-01, 2016-03-31]
        valid: [2016-04-06, 2016-06-30]
        test: [2016-07-06, 2016-12-30]
  record:
    - {class: SignalRecord, module_path: rollwright.analysis.records}
rolling: {step: 250, rtype: sliding}
"""


def artifacts(folder: Path) -> dict[str, bytes]:
    """Return the files of models and predictions of a project, by their names."""
    found = {}
    for path in sorted((folder / ".rollwright" / "artifacts").rglob("*")):
        if path.is_file() and path.name.startswith(("params", "pred")) and ".tmp-" not in str(path):
            found.setdefault(path.name, path.read_bytes())
    return found


def project(home: Path, name: str) -> Path:
    folder = make_project(home, name, file="net.yaml", text=CAMPAIGN)
    (folder / "net.py").write_text(NETWORK)
    return folder


def test_a_killed_fit_goes_on_to_the_same_bytes(shell, tmp_path):
    make_demo_market(tmp_path / "market", instruments=20, sessions=500, seed=3)
    whole = project(tmp_path, "whole")
    done = shell.run("roll", "net.yaml", "-j", "1", cwd=whole, timeout=1800)
    assert done.returncode == 0, done.stderr
    batches = len((whole / "batches").read_text())

    folder = project(tmp_path, "killed")
    (folder / "mortal").touch()
    tries = 0
    while tries < 4:
        tries += 1
        done = shell.run("roll", "net.yaml", "-j", "1", cwd=folder, timeout=1800)
        if done.returncode == 0:
            break
    assert done.returncode == 0, done.stderr
    assert not (folder / "mortal").exists(), "nobody was killed"
    made = len((folder / "batches").read_text())
    assert batches < made < 2 * batches - 10, "what was learnt before the kill was learnt again"
    assert artifacts(folder) == artifacts(whole)
    assert len(artifacts(whole)) >= 2
    assert not (folder / ".rollwright" / "checkpoints").exists()
