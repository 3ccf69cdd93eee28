"""A fit that was stopped goes on to the same bytes, and from nothing but a whole checkpoint of its own."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from rollwright.core.fit_checkpoint import find_checkpoint_place, offer_checkpoint_place
from rollwright.errors import ModelError
from rollwright.models.torch import checkpoint
from rollwright.models.torch.dnn import DNNModelPytorch
from rollwright.models.torch.general import GeneralPTNN
from rollwright.models.torch.sequences import ALSTM
from rollwright.models.torch.tensor_file import pack_tensors, unpack_tensors
from rollwright.testing.model import sample_dataset
from rollwright.training.checkpoint_file import CheckpointFile, keep_checkpoint

torch = pytest.importorskip("torch")
NET = {"input_dim": 5, "layers": [8, 4]}


def general(**kwargs):
    return GeneralPTNN(**{
        "n_epochs": 6, "batch_size": 60, "lr": 0.05, "early_stop": 3, "metric": "ic",
        "pt_model_uri": "qlib.contrib.model.pytorch_nn.Net", "pt_model_kwargs": NET, **kwargs,
    })  # fmt: skip


def perceptron():
    return DNNModelPytorch(max_steps=30, eval_steps=7, batch_size=30, optimizer="gd", lr_decay=0.9, lr_decay_steps=4,
                           pt_model_kwargs=NET)  # fmt: skip


def attentive():
    return ALSTM(d_feat=1, hidden_size=4, num_layers=2, dropout=0.3, n_epochs=3, batch_size=60, lr=0.02)


class StopError(BaseException):
    """Stands for the end of the process."""


class Place:
    """A place in memory; the process "ends" when so many checkpoints were written."""

    def __init__(self, stop_after=None):
        self.content, self.saved, self.stop_after = None, 0, stop_after

    def load(self):
        return self.content

    def save(self, content):
        self.content = content
        self.saved += 1
        if self.saved == self.stop_after:
            raise StopError


@pytest.fixture(autouse=True)
def _every_step(monkeypatch):
    monkeypatch.setattr(checkpoint, "_PAUSE", 0.0)
    monkeypatch.setattr(checkpoint, "_SHARE", 0)


def result(model):
    dataset = sample_dataset()
    weights = b"".join(tensor.numpy().tobytes() for tensor in model.model.state_dict().values())
    return weights, model.predict(dataset).to_numpy().tobytes(), model.state()


def fit(model, place=None):
    if place is None:
        model.fit(sample_dataset())
    else:
        with offer_checkpoint_place(place):
            model.fit(sample_dataset())
    return result(model)


@pytest.mark.parametrize("make", [general, perceptron, attentive])
def test_a_fit_that_is_stopped_anywhere_ends_with_the_same_bytes(make):
    whole = fit(make())
    counting = Place()
    assert fit(make(), counting) == whole  # checkpoints alone change nothing
    assert counting.saved > 8
    for stop in (1, 4, 5, 6, counting.saved - 1, counting.saved):
        place = Place(stop_after=stop)
        with pytest.raises(StopError):
            fit(make(), place)
        place.stop_after = None
        made = place.saved
        assert fit(make(), place) == whole
        assert place.saved - made == counting.saved - stop  # no step was taken twice


def test_a_fit_may_be_stopped_again_and_again():
    whole = fit(general())
    place = Place(stop_after=1)
    for _ in range(100):
        try:
            found = fit(general(), place)
            break
        except StopError:
            place.stop_after = place.saved + 3
    assert found == whole


def stopped(make=general, after=8):
    place = Place(stop_after=after)
    with pytest.raises(StopError):
        fit(make(), place)
    place.stop_after = None
    return place


def changed(content, change):
    arrays, state = unpack_tensors(content, name="it")
    arrays = {name: array.copy() for name, array in arrays.items()}
    del state["sha256"]
    change(arrays, state)
    return pack_tensors(arrays, state)


def other_format(arrays, state):
    state["version"] = 2


def no_draws(arrays, state):
    del arrays["draws"]


def short_draws(arrays, state):
    arrays["draws"] = arrays["draws"][:7]


def other_weights(arrays, state):
    arrays["weights.layers.1.bias"] = np.zeros(9, np.float32)


def spoilt_weights(arrays, state):
    arrays["weights.layers.1.bias"][:] = np.nan


def other_numbers(arrays, state):
    arrays["optimizer.0.exp_avg"] = np.zeros((2, 2), np.float32)


def strange_parameter(arrays, state):
    arrays["optimizer.99.exp_avg"] = np.zeros((), np.float32)


def beyond(arrays, state):
    state["state"]["round"] = 6


def behind(arrays, state):
    state["state"]["steps"] = -1


def short_history(arrays, state):
    state["state"]["history"]["valid"]["ic"].pop()


def no_best(arrays, state):
    for name in [name for name in arrays if name.startswith("best.")]:
        del arrays[name]


def no_rate(arrays, state):
    state["state"]["rate"] = {}


def no_state(arrays, state):
    state["state"] = []


@pytest.mark.parametrize(
    "change",
    [
        other_format, no_draws, short_draws, other_weights, spoilt_weights, other_numbers, strange_parameter, beyond,
        behind, short_history, no_best, no_rate, no_state,
    ],
)  # fmt: skip
def test_a_checkpoint_that_is_not_the_fits_own_is_ignored_and_said(change, caplog):
    place = stopped()
    place.content = changed(place.content, change)
    with caplog.at_level(logging.WARNING, logger="rollwright.models"):
        assert fit(general(), place) == fit(general())
    assert "model.checkpoint_ignored reason=" in caplog.text


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "text"])
def test_a_damaged_checkpoint_is_ignored_and_said(damage, caplog):
    place = stopped()
    content = place.content
    place.content = {
        "flip": content[:-9] + bytes([content[-9] ^ 1]) + content[-8:],
        "cut": content[: len(content) // 2],
        "empty": b"",
        "text": b"not a checkpoint at all",
    }[damage]
    with caplog.at_level(logging.WARNING, logger="rollwright.models"):
        assert fit(general(), place) == fit(general())
    assert "model.checkpoint_ignored reason=" in caplog.text


@pytest.mark.parametrize("other", [{"lr": 0.04}, {"seed": 3}, {"batch_size": 61}, {"metric": "loss"}])
def test_a_checkpoint_of_another_fit_is_ignored(other, caplog):
    place = stopped()
    with caplog.at_level(logging.WARNING, logger="rollwright.models"):
        assert fit(general(**other), place) == fit(general(**other))
    assert "it is of another training" in caplog.text


def test_a_checkpoint_of_other_labels_is_ignored(caplog):
    place = stopped()
    dataset = sample_dataset()
    dataset = dataset.changed("train", label=dataset.folds["train"].label[::-1].copy())
    model, plain = general(), general()
    with caplog.at_level(logging.WARNING, logger="rollwright.models"), offer_checkpoint_place(place):
        model.fit(dataset)
    plain.fit(dataset)
    assert result(model) == result(plain)
    assert "it is of another training" in caplog.text


def test_how_far_it_had_come_is_logged(caplog):
    place = stopped(after=8)  # five steps a round
    with caplog.at_level(logging.INFO, logger="rollwright.models"):
        fit(general(), place)
    assert "model.resumed round=1 steps=3" in caplog.text


def test_a_place_in_the_project_is_emptied_when_the_fit_has_ended(tmp_path):
    folder = tmp_path / "checkpoints" / "abc"
    stopped_in(folder, StopError())
    assert (folder / "checkpoint").is_file()
    (folder / ".tmp-0011").write_bytes(b"the draft of a killed writer")
    with keep_checkpoint(folder):
        assert result_of(general()) == fit(general())
    assert not (tmp_path / "checkpoints").exists()


def result_of(model):
    model.fit(sample_dataset())
    return result(model)


def stopped_in(folder, error):
    """Save a checkpoint in `folder`, and let the fit end with an error."""

    def run():
        with keep_checkpoint(folder):
            place = find_checkpoint_place()
            place.save(stopped().content)
            raise error

    with pytest.raises(type(error)):
        run()


def test_a_fit_that_refuses_to_learn_leaves_nothing(tmp_path):
    folder = tmp_path / "checkpoints" / "abc"
    stopped_in(folder, ModelError("no"))
    assert not (tmp_path / "checkpoints").exists()


def test_a_place_without_room_is_said_once_and_the_fit_goes_on(tmp_path, caplog):
    (tmp_path / "checkpoints").write_text("in the way")
    with (
        caplog.at_level(logging.WARNING, logger="rollwright.training"),
        keep_checkpoint(tmp_path / "checkpoints" / "a"),
    ):
        assert result_of(general()) == fit(general())
    assert caplog.text.count("fit.checkpoint_not_written fit=a reason=") == 1


def test_a_place_that_is_no_file_is_ignored_and_said(tmp_path, caplog):
    (tmp_path / "a" / "checkpoint").mkdir(parents=True)
    with caplog.at_level(logging.WARNING, logger="rollwright.training"):
        assert CheckpointFile(tmp_path / "a").load() is None
    assert "fit.checkpoint_ignored fit=a reason=" in caplog.text
    assert CheckpointFile(tmp_path / "b").load() is None
