"""The one loop behind every network: what it keeps, when it stops, and what it leaves alone."""

from __future__ import annotations

import numpy as np
import pytest

from rollwright.core.fit_rounds import listen_to_rounds
from rollwright.errors import ConfigError, ModelError
from rollwright.models.torch.dnn import DNNModelPytorch
from rollwright.models.torch.general import GeneralPTNN
from rollwright.models.torch.learning_rate import LearningRate
from rollwright.models.torch.network_model import read_device
from rollwright.models.torch.samples import TrainingSet
from rollwright.models.torch.training_plan import Decay, Plateau, TrainingPlan
from rollwright.testing.model import ArrayDataset, sample_dataset, sample_fold

torch = pytest.importorskip("torch")
NET = {"pt_model_uri": "qlib.contrib.model.pytorch_nn.Net", "pt_model_kwargs": {"input_dim": 5, "layers": [8]}}


def general(**kwargs) -> GeneralPTNN:
    return GeneralPTNN(**{"n_epochs": 8, "lr": 0.02, "batch_size": 50, **NET, **kwargs})


def weights_of(model) -> bytes:
    return b"".join(tensor.numpy().tobytes() for tensor in model.model.state_dict().values())


@pytest.fixture
def dataset() -> ArrayDataset:
    return sample_dataset()


def test_the_best_round_of_valid_is_kept_and_learning_stops_when_nothing_improves(dataset):
    model = general(n_epochs=200, early_stop=4, lr=0.05)
    model.fit(dataset)
    told = model.evals_result_["valid"]["loss"]
    assert model.best_iteration_ == int(np.argmin(told)) + 1
    assert len(told) == model.best_iteration_ + 4
    scores = model.predict(dataset, "valid").to_numpy()
    label = dataset.folds["valid"].label
    assert np.mean((scores - label) ** 2) == pytest.approx(min(told), rel=1e-5)


def test_a_correlation_may_decide_which_round_is_kept(dataset):
    model = general(metric="ic")
    model.fit(dataset)
    told = model.evals_result_["valid"]
    assert set(told) == {"loss", "ic"}
    assert model.best_iteration_ == int(np.argmax(told["ic"])) + 1
    scores, label = model.predict(dataset, "valid"), dataset.folds["valid"].label
    frame = scores.to_frame().assign(label=label)
    daily = frame.groupby(level="datetime").apply(lambda day: day["score"].corr(day["label"]))
    assert max(told["ic"]) == pytest.approx(daily.mean(), rel=1e-5)


def test_a_correlation_that_never_has_a_value_is_an_error(dataset):
    flat = dataset.changed("valid", label=np.zeros(300, np.float32))
    with pytest.raises(ModelError, match="`ic` of segment `valid` has no value"):
        general(metric="ic").fit(flat)


def test_without_a_segment_to_watch_every_round_is_made_and_the_last_is_kept(dataset):
    alone = ArrayDataset(folds={key: fold for key, fold in dataset.folds.items() if key != "valid"})
    model = general(early_stop=1)
    model.fit(alone)
    assert model.best_iteration_ == len(model.evals_result_["train"]["loss"]) == 8
    assert set(model.evals_result_) == {"train"}


def test_rounds_are_told_to_who_listens(dataset):
    heard = []
    with listen_to_rounds(lambda done, of: heard.append((done, of))):
        general(n_epochs=3).fit(dataset)
    assert heard == [(1, 3), (2, 3), (3, 3)]


def test_how_it_learnt_is_told(dataset):
    model = general(n_epochs=3)
    assert model.tell_learning() is None
    model.fit(dataset)
    curves = {(curve.segment, curve.metric): curve.values for curve in model.tell_learning().curves}
    assert curves["train", "loss"] == tuple(model.evals_result_["train"]["loss"])
    assert len(curves["valid", "loss"]) == 3


def test_steps_are_counted_and_the_last_round_may_be_shorter(dataset):
    model = DNNModelPytorch(max_steps=25, eval_steps=10, batch_size=40, pt_model_kwargs=NET["pt_model_kwargs"])
    model.fit(dataset)
    assert len(model.evals_result_["valid"]["loss"]) == 3
    assert [model.plan().steps_of(number) for number in range(3)] == [10, 10, 5]


def test_what_other_code_has_set_and_drawn_changes_nothing_and_stays_as_it_was(dataset):
    plain = general()
    plain.fit(dataset)
    scores = plain.predict(dataset)
    torch.manual_seed(11)
    expected = torch.rand(4)
    before = torch.get_num_threads()
    try:
        torch.manual_seed(11)
        torch.rand(2)
        torch.set_num_threads(2)
        torch.set_default_dtype(torch.float64)
        torch.set_grad_enabled(False)
        other = general()
        other.fit(dataset)
        assert other.predict(dataset).equals(scores)
        assert torch.get_num_threads() == 2
        assert torch.get_default_dtype() is torch.float64
        assert not torch.is_grad_enabled()
        assert not torch.are_deterministic_algorithms_enabled()
        torch.set_default_dtype(torch.float32)
        np.testing.assert_array_equal(torch.rand(2), expected[2:])
    finally:
        torch.set_num_threads(before)
        torch.set_default_dtype(torch.float32)
        torch.set_grad_enabled(True)
    assert weights_of(other) == weights_of(plain)


def test_another_seed_gives_other_weights_and_none_means_a_fixed_one(dataset):
    made = {}
    for seed in (None, 0, 7):
        model = general(seed=seed, n_epochs=2)
        model.fit(dataset)
        made[seed] = weights_of(model)
    assert made[None] == made[0] != made[7]


class Noting:
    """Samples that note which were taken."""

    def __init__(self, features):
        self.features, self.taken = features, []

    def __len__(self):
        return len(self.features)

    def take(self, numbers):
        self.taken.append(np.array(numbers))
        return self.features[numbers]


def test_a_round_takes_every_sample_once_in_batches_of_equal_size():
    fold = sample_fold(1)
    samples = Noting(fold.features[:203])
    train = TrainingSet(samples=samples, label=fold.label[:203], weights=None, days=np.arange(203))
    plan = TrainingPlan(rounds=2, batch_size=100, patience=1, seed=3, lr=0.1)
    training = pytest.importorskip("rollwright.models.torch.training")
    training.train_network(torch.nn.Linear(5, 1), plan, train, None)
    assert [len(part) for part in samples.taken] == [68, 68, 67] * 2
    one, two = (np.concatenate(samples.taken[start : start + 3]) for start in (0, 3))
    assert sorted(one) == sorted(two) == list(range(203))
    assert not np.array_equal(one, two)


def test_learning_that_diverges_says_so(dataset):
    huge = dataset.changed("train", features=dataset.folds["train"].features * np.float32(1e18))
    with pytest.raises(ModelError, match="learning diverged") as caught:
        general(optimizer="gd", lr=1e10, pt_model_uri="qlib.contrib.model.pytorch_gru.GRUModel",
                pt_model_kwargs={"d_feat": 5, "hidden_size": 4}).fit(
            huge.changed("train", label=np.full(300, 1e30, np.float32)))  # fmt: skip
    assert "smaller lr" in caught.value.hint


def test_a_network_of_another_width_says_what_to_look_at(dataset):
    with pytest.raises(ModelError, match="Net cannot learn") as caught:
        general(pt_model_kwargs={"input_dim": 4}).fit(dataset)
    assert "as wide as the dataset has features" in caught.value.hint


def test_logits_are_learnt_of_labels_that_are_yes_or_no(dataset):
    label = (dataset.folds["train"].label > 0).astype(np.float32)
    yes = dataset.changed("train", label=label).changed("valid", label=(dataset.folds["valid"].label > 0).astype("f4"))
    model = general(loss="binary", n_epochs=20)
    model.fit(yes)
    scores = model.predict(yes, "train").to_numpy()
    assert scores[label == 1].mean() > 0.3 > -0.3 > scores[label == 0].mean()
    assert model.evals_result_["valid"]["loss"][-1] < np.log(2)
    with pytest.raises(ModelError, match="labels from 0 to 1"):
        general(loss="binary").fit(dataset)


def test_the_learning_rate_falls_after_steps_and_when_nothing_improves():
    told = {"rounds": 1, "batch_size": 1, "patience": 1, "seed": 0, "lr": 1.0}
    rate = LearningRate(TrainingPlan(**told, decay=Decay(factor=0.5, steps=2)))
    seen = []
    for _ in range(4):
        rate.note_step()
        seen.append(rate.value)
    assert seen == [1.0, 0.5, 0.5, 0.25]
    plateau = Plateau(factor=0.5, patience=1, least=0.3, threshold=0.1)
    rate = LearningRate(TrainingPlan(**told, plateau=plateau))
    seen = []
    for loss in (1.0, 0.95, 0.95, 0.5, 0.5, 0.5, 0.5, 0.5):
        rate.note_round(loss)
        seen.append(rate.value)
    assert seen == [1.0, 1.0, 0.5, 0.5, 0.5, 0.3, 0.3, 0.3]
    again = LearningRate(TrainingPlan(**told, plateau=plateau))
    again.restore(rate.state())
    assert again.state() == rate.state()


@pytest.mark.parametrize(
    ("given", "device"),
    [(0, "cuda:0"), ("1", "cuda:1"), (-1, "cpu"), ("cpu", "cpu"), ("cuda", "cuda:0"), ("cuda:2", "cuda:2")],
)
def test_a_device_is_named_as_in_qlib(given, device):
    assert read_device(given) == device


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"GPU": "tpu"}, "which is no device"),
        ({"optimizer": "adamm"}, "did you mean `adam`"),
        ({"loss": "mae"}, "one of mse, binary"),
        ({"metric": "auc"}, "one of loss, ic"),
        ({"lr": 0}, "above 0"),
        ({"lr": "fast"}, "it is a number"),
        ({"batch_size": 0}, "whole number from 1"),
        ({"n_epochs": True}, "whole number from 1"),
        ({"early_stop": 0}, "whole number from 1"),
        ({"weight_decay": -1}, "0 or more"),
        ({"seed": -1}, "whole number from 0"),
        ({"pt_model_uri": 3}, "give the name of a class"),
        ({"pt_model_uri": {"class": "Net", "kwargs": {"input_dim": 3}}}, "give them as `pt_model_kwargs`"),
    ],
)
def test_an_argument_that_means_nothing_is_refused_when_the_model_is_built(wrong, said):
    with pytest.raises(ConfigError) as caught:
        general(**wrong)
    assert said in str(caught.value)


def test_a_schedule_of_ones_own_is_refused():
    with pytest.raises(ConfigError, match="`default` or null"):
        DNNModelPytorch(scheduler="cosine")
    assert DNNModelPytorch(scheduler=None).plan().plateau is None
    assert DNNModelPytorch(lr_decay=0.9, lr_decay_steps=7).plan().decay == Decay(factor=0.9, steps=7)
