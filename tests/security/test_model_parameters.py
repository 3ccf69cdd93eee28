"""Parameters of a model by which its library would open a file or an address, from a task that anybody put."""

import json

import pytest

from rollwright.config.construct import init_instance_by_config
from rollwright.config.context import install
from rollwright.config.settings import load_settings
from rollwright.errors import ConfigError
from rollwright.models.boosted import BoostedTrees
from rollwright.models.catboost import CatBoostModel
from rollwright.models.lightgbm import LGBModel
from rollwright.models.sklearn import SklearnModel
from rollwright.models.xgboost import XGBModel

LIGHTGBM = [
    "config", "config_file", "convert_model", "convert_model_file", "data", "data_filename", "train_data_file", "valid",
    "valid_filenames", "forcedbins_filename", "forcedsplits_filename", "fs", "forced_splits", "forced_splits_file",
    "input_model", "model_in", "local_listen_port", "port", "local_port", "machine_list_filename", "mlist",
    "machine_list", "machine_list_file", "machines", "nodes", "workers", "num_machines", "num_machine", "output_model",
    "model_out", "output_result", "prediction_name", "parser_config_file", "save_binary", "is_save_binary_file",
    "snapshot_freq", "save_period",
]  # fmt: skip
CATBOOST = [
    "train_dir", "snapshot_file", "save_snapshot", "profile_log", "learn_error_log", "json_log", "input_borders",
    "output_borders", "fstr_regular_file", "result_model_file", "training_options_file",
]  # fmt: skip
XGBOOST = ["dmlc_tracker_uri", "rabit_tracker_port", "federated_server_address", "model_dir", "save_model_path"]


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        *((LGBModel, name) for name in LIGHTGBM),
        *((CatBoostModel, name) for name in CATBOOST),
        *((XGBModel, name) for name in XGBOOST),
    ],
)
def test_a_parameter_that_names_a_file_or_an_address_is_refused(kind, name, tmp_path):
    with pytest.raises(ConfigError, match=f"`{name}` of {kind.library} would make it open a file or an address"):
        kind(**{name: str(tmp_path / "x")})


def test_every_name_of_lightgbm_that_has_to_do_with_files_is_known():
    """What LightGBM calls so by its own table, its other names included; the rest of the table is about learning."""
    from lightgbm.basic import _ConfigAliases  # noqa: PLC0415 - not a public name

    for main, names in _ConfigAliases._get_all_param_aliases().items():
        words = set(main.split("_"))
        if words & {"file", "filename", "machines", "port", "output", "input", "config", "machine"} or main in LIGHTGBM:
            for name in {main, *names}:
                with pytest.raises(ConfigError, match="would make it open"):
                    LGBModel(**{name: "x"})


@pytest.mark.parametrize("value", ["mse output_model=/x", "mse\nmachines=h:1", ["l2", "l1\tport=1"], "mse\x0bport=1"])
def test_no_parameter_hides_in_the_value_of_another(value):
    for name in ("objective", "metric"):
        with pytest.raises(ConfigError, match="as another parameter"):
            LGBModel(**{name: value})


@pytest.mark.parametrize("name", ["a machines", "a\nport", "", "=", "x=1"])
@pytest.mark.parametrize("kind", [LGBModel, XGBModel, CatBoostModel])
def test_no_parameter_hides_in_a_name(kind, name):
    with pytest.raises(ConfigError, match="no name of a parameter"):
        kind(**{name: 1})


def test_a_stored_model_brings_none(tmp_path):
    state = {**LGBModel().state(), "params": {"objective": "mse", "machines": "127.0.0.1:1"}}
    with pytest.raises(ConfigError, match="machines"):
        LGBModel.from_state(json.loads(json.dumps(state)), "tree")


def test_what_decides_how_a_model_learns_is_passed_on():
    given = {
        "path_smooth": 0.1,
        "data_random_seed": 1,
        "metric": ["l2", "l1"],
        "monotone_constraints": [1, -1],
        "max_bin": 63,
    }
    model = LGBModel(**given, interaction_constraints="[0,1],[2]", save_binary=False)
    assert given.items() <= model.params.items()
    assert XGBModel(eval_metric="rmse", tree_method="hist", device="cpu").params["device"] == "cpu"
    assert CatBoostModel(ignored_features=[1], task_type="CPU", eval_metric="RMSE").params["ignored_features"] == [1]
    assert issubclass(LGBModel, BoostedTrees)


def test_a_pipeline_with_a_cache_opens_no_folder(tmp_path):
    install(load_settings({"trust.modules": ["sklearn"]}, start=tmp_path, environ={}))
    ridge = {"class": "Ridge", "module_path": "sklearn.linear_model"}
    from sklearn.linear_model import Ridge  # noqa: PLC0415 - heavy
    from sklearn.pipeline import Pipeline  # noqa: PLC0415 - see above

    for memory in (str(tmp_path / "cache"), "cache"):
        with pytest.raises(ConfigError, match="`memory` of scikit-learn"):
            SklearnModel(Pipeline([("ridge", Ridge())], memory=memory))
        with pytest.raises(ConfigError, match="`outer__memory` of scikit-learn"):
            SklearnModel(Pipeline([("outer", Pipeline([("ridge", Ridge())], memory=memory))]))
    assert SklearnModel(ridge).estimator.alpha == 1.0
    assert not (tmp_path / "cache").exists()
    with pytest.raises(ConfigError, match="machines"):
        init_instance_by_config(
            {"class": "LGBModel", "module_path": "rollwright.models.lightgbm", "kwargs": {"machines": "h:1"}},
            slot="model",
        )
