"""A network of the user's own: a class that fits its slot, from a file beside the configuration; nothing else."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from rollwright.codecs.registry import codecs
from rollwright.config.construct import Trust
from rollwright.config.context import using
from rollwright.config.settings import load_settings
from rollwright.errors import ConstructError, CorruptArtifactError, MissingExtraError, ModelError, UntrustedModuleError
from rollwright.models.torch.general import GeneralPTNN
from rollwright.models.torch.tensor_file import pack_tensors, unpack_tensors
from rollwright.testing.model import sample_dataset
from rollwright.training.user_code import code_files

torch = pytest.importorskip("torch")
TEXT = """
import torch

class Mine(torch.nn.Module):
    def __init__(self, width=5, scores=1):
        super().__init__()
        self.inner = torch.nn.Linear(width, 4)
        self.outer = torch.nn.Linear(4, scores)

    def forward(self, features):
        return self.outer(torch.relu(self.inner(features)))

class NotANetwork:
    def __init__(self, width=5):
        raise AssertionError("it was built")

def make(width=5):
    raise AssertionError("it was called")
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "mine.py").write_text(TEXT)
    with using(load_settings({"trust.folder": str(tmp_path)}, start=tmp_path, environ={})):
        yield tmp_path


def fitted(**kwargs):
    model = GeneralPTNN(**{"n_epochs": 4, "lr": 0.02, "batch_size": 50, "pt_model_uri": "mine.py.Mine", **kwargs})
    model.fit(sample_dataset())
    return model


@pytest.mark.parametrize("uri", ["mine.py.Mine", {"class": "Mine", "module_path": "mine.py"}])
def test_a_class_of_a_file_beside_the_configuration_learns_and_is_stored(folder, uri):
    model = fitted(pt_model_uri=uri)
    codec = codecs.for_object(model)
    codec.check(model)
    codec.write(model, folder / "model")
    found = codec.read(folder / "model")
    assert found.predict(sample_dataset()).equals(model.predict(sample_dataset()))
    assert found.params == model.params
    codec.write(found, folder / "again")
    assert (folder / "again").read_bytes() == (folder / "model").read_bytes()


@pytest.mark.parametrize(("name", "said"), [("make", "is a function"), ("NotANetwork", "cannot stand as `network`")])
def test_what_is_no_network_is_refused_before_it_is_called(folder, name, said):
    with pytest.raises(ConstructError, match=said):
        fitted(pt_model_uri=f"mine.py.{name}")


@pytest.mark.parametrize("uri", ["os.system", "torch.hub.load", "torch.nn.Linear", "torch.jit.ScriptModule"])
def test_a_module_that_nobody_trusts_is_not_imported_for_it(folder, uri):
    with pytest.raises(UntrustedModuleError):
        fitted(pt_model_uri=uri)


def test_a_model_is_no_network():
    with pytest.raises(ConstructError, match="nothing is built of"):
        fitted(pt_model_uri="rollwright.models.torch.general.GeneralPTNN")
    with pytest.raises(ConstructError, match="did you mean `GRUModel`"):
        fitted(pt_model_uri="qlib.contrib.model.pytorch_gru_ts.GRUModell")


def test_its_file_counts_as_the_users_code(folder):
    task = {"model": {"class": "GeneralPTNN", "kwargs": {"pt_model_uri": "mine.py.Mine"}}}
    before = code_files(task, Trust(folder=folder))
    assert list(before) == ["mine.py"]
    (folder / "mine.py").write_text(TEXT.replace("relu", "tanh"))
    assert code_files(task, Trust(folder=folder)) != before


def test_a_network_that_does_not_give_one_score_for_each_sample_is_refused(folder):
    with pytest.raises(ModelError, match=r"Mine gave \[50, 2\] for 50 samples"):
        fitted(pt_model_kwargs={"scores": 2})


def test_its_weights_are_opened_by_safetensors_alone(folder):
    load_file = pytest.importorskip("safetensors.numpy").load_file
    model = fitted()
    codecs.for_object(model).write(model, folder / "model.safetensors")
    found = load_file(folder / "model.safetensors")
    assert set(found) == {"inner.weight", "inner.bias", "outer.weight", "outer.bias"}
    np.testing.assert_array_equal(found["inner.weight"], model.model.inner.weight.detach().numpy())


def forged(path, change):
    """Write the file again with a valid checksum, after `change` of its arrays and its state."""
    arrays, state = unpack_tensors(path.read_bytes(), name="it")
    arrays = {name: array.copy() for name, array in arrays.items()}
    del state["sha256"]
    change(arrays, state)
    path.write_bytes(pack_tensors(arrays, state))


def spoil(arrays, state):
    arrays["inner.bias"][2] = np.nan


def widen(arrays, state):
    arrays["inner.bias"] = np.zeros(5, np.float32)


def double(arrays, state):
    arrays["inner.bias"] = arrays["inner.bias"].astype(np.float64)


def lose(arrays, state):
    del arrays["outer.bias"]


def add(arrays, state):
    arrays["more"] = np.zeros(3, np.float32)


def rename(arrays, state):
    state["model"] = "os.system"


def confuse(arrays, state):
    state["params"]["lr"] = "fast"


def extend(arrays, state):
    state["params"]["surprise"] = 1


@pytest.mark.parametrize("change", [spoil, widen, double, lose, add, rename, confuse, extend])
def test_a_file_that_fits_its_checksum_and_not_its_network_is_refused(folder, change):
    path = folder / "model"
    model = fitted()
    codec = codecs.for_object(model)
    codec.write(model, path)
    forged(path, change)
    with pytest.raises(CorruptArtifactError):
        codec.read(path)


def test_a_file_names_a_class_under_the_same_rules_as_a_configuration(folder):
    path = folder / "model"
    model = fitted()
    codec = codecs.for_object(model)
    codec.write(model, path)

    def lead_elsewhere(arrays, state):
        state["params"]["pt_model_uri"] = "os.system"

    forged(path, lead_elsewhere)
    with pytest.raises(UntrustedModuleError):
        codec.read(path)


def test_no_memory_is_taken_for_what_a_file_only_says_it_has(folder):
    path = folder / "model"
    net = {"pt_model_uri": "rollwright.models.torch.networks.GRUModel", "pt_model_kwargs": {"d_feat": 5}}
    model = fitted(**net)
    codec = codecs.for_object(model)
    codec.write(model, path)

    def boast(arrays, state):
        state["params"]["pt_model_kwargs"] = {"d_feat": 5, "hidden_size": 60_000, "num_layers": 40}  # 3 TB

    forged(path, boast)
    with pytest.raises(CorruptArtifactError, match="weights are not those of the network"):
        codec.read(path)


def test_without_pytorch_a_file_says_what_to_install(folder, monkeypatch):
    model = fitted()
    codec = codecs.for_object(model)
    codec.write(model, folder / "model")
    for name in [name for name in sys.modules if name == "torch" or name.startswith("torch.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtraError, match=r'pip install "rollwright\[torch\]"'):
        codec.read(folder / "model")


def test_importing_the_models_does_not_import_pytorch(folder):
    names = ["general", "dnn", "sequences", "sequence_windows", "codec", "network_model", "checkpoint"]
    code = (
        "import importlib, json, sys;"
        f"[importlib.import_module('rollwright.models.torch.' + name) for name in {names}];"
        "print(json.dumps('torch' in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) is False
