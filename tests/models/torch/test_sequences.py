"""Networks over sequences: rows and windows, and the paths by which Qlib's configurations name them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from rollwright.config.construct import get_class, init_instance_by_config
from rollwright.dataset.dataset import TSDatasetH
from rollwright.dataset.handler import DataHandlerLP
from rollwright.dataset.loader import StaticDataLoader
from rollwright.errors import ConfigError, ModelError
from rollwright.models.torch import sequences
from rollwright.testing.model import sample_dataset

torch = pytest.importorskip("torch")
MODELS = {
    "lstm": ("LSTM", {"hidden_size": 4, "num_layers": 1}),
    "gru": ("GRU", {"hidden_size": 4, "num_layers": 1}),
    "alstm": ("ALSTM", {"hidden_size": 4, "num_layers": 1, "rnn_type": "LSTM"}),
    "tcn": ("TCN", {"n_chans": 4, "kernel_size": 3, "num_layers": 2}),
    "transformer": ("TransformerModel", {"d_model": 8, "nhead": 2, "num_layers": 1}),
}
NETWORKS = ("LSTMModel", "GRUModel", "ALSTMModel", "TCNModel", "Transformer")
FAST = {"n_epochs": 2, "batch_size": 200, "lr": 0.01}


def built(name: str, *, windows: bool, **kwargs):
    kind, small = MODELS[name]
    module = f"qlib.contrib.model.pytorch_{name}" + ("_ts" if windows else "")
    return init_instance_by_config(
        {"class": kind, "module_path": module, "kwargs": {**small, **FAST, **kwargs}}, slot="model"
    )


@pytest.fixture
def frame() -> pd.DataFrame:
    random = np.random.default_rng(5)
    index = pd.MultiIndex.from_product(
        [pd.bdate_range("2020-01-01", periods=90), [f"S{place:02d}" for place in range(6)]],
        names=["datetime", "instrument"],
    )
    gone = random.random(len(index)) < 0.05  # stocks that rested for a day
    features = random.normal(size=(len(index), 3)).astype(np.float32)
    label = features[:, 0] + 0.3 * random.normal(size=len(index))
    flag = (np.arange(len(index)) % 5 > 0).astype(np.float32)
    columns = pd.MultiIndex.from_tuples([*(("feature", name) for name in "abc"), ("label", "L"), ("flag", "F")])
    values = np.column_stack([features, label, flag]).astype(np.float32)
    return pd.DataFrame(values, index=index, columns=columns)[~gone]


def windows_of(frame: pd.DataFrame, **kwargs) -> TSDatasetH:
    segments = {
        "train": ("2020-01-15", "2020-03-06"),
        "valid": ("2020-03-09", "2020-03-31"),
        "test": ("2020-04-01", "2020-04-30"),
    }
    handler = DataHandlerLP(data_loader=StaticDataLoader(frame), learn_processors=[{"class": "DropnaLabel"}])
    return TSDatasetH(4, handler=handler, segments=segments, **kwargs)


@pytest.mark.parametrize("name", MODELS)
def test_qlib_names_lead_to_models_with_qlibs_defaults(name):
    plain, _ = get_class({"class": MODELS[name][0], "module_path": f"qlib.contrib.model.pytorch_{name}"}, slot="model")
    windows, _ = get_class(
        {"class": MODELS[name][0], "module_path": f"qlib.contrib.model.pytorch_{name}_ts"}, slot="model"
    )
    assert (plain.windowed, windows.windowed) == (False, True)
    assert issubclass(windows, plain)
    differing = {key: (value, windows().params[key]) for key, value in plain().params.items()}
    differing = {key: pair for key, pair in differing.items() if pair[0] != pair[1]}
    assert differing == {
        "tcn": {"num_layers": (5, 2), "dropout": (0.5, 0.0), "lr": (0.0001, 0.001)},
        "transformer": {"batch_size": (2048, 8192)},
    }.get(name, {})


@pytest.mark.parametrize(("number", "name"), list(enumerate(MODELS)))
def test_qlib_names_lead_to_networks_too(number, name):
    for ending in ("", "_ts"):
        config = {"class": NETWORKS[number], "module_path": f"qlib.contrib.model.pytorch_{name}{ending}"}
        found, _ = get_class(config, slot="network")
        assert issubclass(found, torch.nn.Module)


@pytest.mark.parametrize("name", MODELS)
def test_a_row_has_all_sessions_of_its_first_feature_first(name):
    network = built(name, windows=False, d_feat=3).build_network().eval()
    windows = torch.randn(7, 5, 3, generator=torch.Generator().manual_seed(1))
    rows = torch.cat([windows[:, :, place] for place in range(3)], dim=1)
    with torch.no_grad():
        np.testing.assert_array_equal(network(rows), network(windows))


@pytest.mark.parametrize("name", MODELS)
def test_the_order_of_sessions_and_every_feature_count(name):
    network = built(name, windows=True, d_feat=3).build_network().eval()
    windows = torch.randn(7, 5, 3, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        scores = network(windows).reshape(-1)
        assert not torch.equal(network(windows.flip(1)).reshape(-1), scores)
        for place in range(3):
            changed = windows.clone()
            changed[:, -1, place] += 1.0
            assert not torch.equal(network(changed).reshape(-1), scores)


def test_a_convolution_sees_no_session_after_its_own():
    network = built("tcn", windows=True, d_feat=3).build_network().eval()
    windows = torch.randn(2, 9, 3, generator=torch.Generator().manual_seed(1))
    changed = windows.clone()
    changed[:, 5:] = 0.0
    with torch.no_grad():
        one, two = (network.blocks(each.transpose(1, 2)) for each in (windows, changed))
    torch.testing.assert_close(one[:, :, :5], two[:, :, :5], rtol=0, atol=0)


@pytest.mark.parametrize("name", MODELS)
def test_windows_are_learnt_from_and_scored_in_the_order_of_the_index(name, frame):
    dataset = windows_of(frame)
    model = built(name, windows=True, d_feat=3)
    model.fit(dataset)
    scores = model.predict(dataset)
    assert scores.index.equals(dataset.inference_index("test"))
    sampler = dataset.prepare("test", col_set="feature")
    sampler.config(fillna_type="ffill+bfill")
    for row in scores.index[[0, 17, -1]]:
        with torch.no_grad():
            alone = model.model(torch.from_numpy(sampler[row][None]))
        assert float(alone) == pytest.approx(scores[row], rel=1e-5, abs=1e-6)


def test_a_network_learns_from_windows_what_only_an_earlier_session_tells(frame):
    earlier = frame.groupby(level="instrument")[[("feature", "b")]].shift(1)
    frame[("label", "L")] = earlier[("feature", "b")]
    frame = frame.dropna()
    dataset = windows_of(frame)
    model = built("gru", windows=True, d_feat=3, n_epochs=80, hidden_size=16, lr=0.02)
    model.fit(dataset)
    label = frame[("label", "L")].reindex(dataset.inference_index("test"))
    assert model.predict(dataset).corr(label) > 0.8


def test_a_session_alone_has_the_bits_that_it_has_among_others(frame):
    dataset = windows_of(frame)
    model = built("lstm", windows=True, d_feat=3)
    model.fit(dataset)
    together = model.predict(dataset)
    for day in together.index.get_level_values(0).unique()[:3]:
        dataset.config(segments={"test": (day, day)})
        alone = model.predict(dataset)
        assert len(alone) > 1
        assert alone.equals(together.loc[[day]])


def test_rows_that_are_no_samples_are_neither_learnt_from_nor_scored(frame):
    dataset = windows_of(frame, flt_col="flag")
    rows = frame.loc["2020-04-01":"2020-04-30"]
    wanted = rows.index[rows[("flag", "F")] != 0]
    assert 0 < len(wanted) < len(rows)
    model = built("gru", windows=True, d_feat=3)
    model.fit(dataset)
    assert set(model.predict(dataset).index) == set(wanted)
    fold = dataset.fold("test", data_key="infer")
    assert fold.index.equals(dataset.inference_index("test"))
    np.testing.assert_array_equal(fold.features, rows.loc[fold.index, "feature"].to_numpy())


def test_the_other_kind_of_dataset_is_refused_with_the_module_to_take(frame):
    with pytest.raises(ModelError, match="learns from a TSDatasetH") as caught:
        built("gru", windows=True, d_feat=1).fit(sample_dataset())
    assert "does not end with `_ts`" in caught.value.hint
    with pytest.raises(ModelError, match="learns from a DatasetH") as caught:
        built("gru", windows=False, d_feat=3).fit(windows_of(frame))
    assert "ends with `_ts`" in caught.value.hint


def test_a_missing_value_in_the_history_of_a_window_is_named(frame):
    spoilt = frame.copy()
    spoilt.loc[spoilt.index[spoilt.index.get_level_values(0) == "2020-01-14"], ("feature", "b")] = np.nan
    with pytest.raises(ModelError, match=r"windows of segment `train` have some in b"):
        built("gru", windows=True, d_feat=3).fit(windows_of(spoilt))


@pytest.mark.parametrize(
    ("name", "wrong", "said"),
    [
        ("lstm", {"hidden_size": 0}, "whole number from 1"),
        ("gru", {"num_layers": 2.5}, "whole number"),
        ("alstm", {"rnn_type": "RNN"}, "one of GRU, LSTM"),
        ("tcn", {"num_layers": 21}, "`the number of layers` is 21"),
        ("tcn", {"dropout": 1.0}, "below 1"),
        ("transformer", {"nhead": 3}, "by `nhead` = 3"),
        ("lstm", {"d_feat": 10**9}, "whole number from 1 to 65536"),
    ],
)
def test_a_network_that_cannot_be_is_refused(name, wrong, said):
    with pytest.raises(ConfigError) as caught:
        built(name, windows=False, **{"d_feat": 5, **wrong}).fit(sample_dataset())
    assert said in str(caught.value)


def test_what_a_model_is_stored_as_is_its_own_class():
    kinds = {type(built(name, windows=True)).__name__ for name in MODELS}
    assert kinds == {name for name in sequences.__all__ if name.startswith("Window")}
