"""A configuration builds classes that fit their slot, and nothing else that a trusted package can do (I23)."""

from __future__ import annotations

import importlib
import json
import pkgutil
import sqlite3
import uuid
import warnings
from pathlib import Path

import pytest

from rollwright import TaskManager, init_instance_by_config
from rollwright.cli.root import run
from rollwright.config.construct import Trust, get_class
from rollwright.config.context import using
from rollwright.config.settings import load_settings
from rollwright.core.registry import SLOTS, load_target
from rollwright.dataset.codec import DatasetCodec
from rollwright.errors import ConfigError, ConstructError, MissingExtraError, RollwrightError
from rollwright.pool.urls import store_from_url

PACKAGES = ("rollwright", "sklearn", "lightgbm", "xgboost", "catboost")
# Modules that run a program, open a window or need another package when they are imported.
NOT_IMPORTED = ("__main__", ".tests", ".testing.plotting", "conftest", ".dask", ".spark", ".widget", "pickle_child")


def modules(package):
    root = pytest.importorskip(package)
    yield package
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for found in pkgutil.walk_packages(root.__path__, f"{package}.", onerror=lambda _name: None):
            if not any(part in f"{found.name}." for part in (f"{each}." for each in NOT_IMPORTED)):
                yield found.name


def callables(package):
    """Yield every (module, name) of `package` that could be called."""
    for module in modules(package):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                found = importlib.import_module(module)
            except (ImportError, RollwrightError):
                continue
        yield from ((module, name) for name in dir(found) if callable(getattr(found, name, None)))


def fits(found, module, slot):
    candidate = SLOTS[slot]
    for package, base in candidate.packages:
        if module == package:
            return issubclass(found, load_target(base))
    return module in candidate.modules and issubclass(found, load_target(candidate.base))


@pytest.mark.parametrize("package", PACKAGES)
def test_of_all_that_a_trusted_package_can_do_only_what_fits_a_slot_is_built(package):
    seen = admitted = 0
    for module, name in callables(package):
        seen += 1
        for slot in SLOTS:
            try:
                found, _ = get_class({"class": name, "module_path": module}, trust=Trust(), slot=slot)
            except (ConstructError, MissingExtraError):
                continue
            admitted += 1
            assert isinstance(found, type), f"{module}.{name} is no class and may stand as {slot}"
            assert fits(found, module, slot), f"{module}.{name} may stand as {slot} and does not derive from its base"
    assert seen > 50
    assert (admitted > 0) == (package in ("rollwright", "sklearn"))


@pytest.fixture
def project(tmp_path):
    """Make an empty project the ambient one."""
    settings = load_settings({"tracking.uri": f"memory:{uuid.uuid4().hex}"}, start=tmp_path, environ={})
    with using(settings):
        yield settings


HARMFUL = [
    ("assert_run_python_script_without_output", "sklearn.utils._testing", {"source_code": "open({marker!r}, 'w')"}),
    ("run", "rollwright.cli.root", {"arguments": ["key", "new", "--help"]}),
    ("write_text", "rollwright.core.atomic", {"path": "{marker}", "text": "x"}),
    ("load_function", "rollwright.config.construct", {"name": "run", "module_path": "rollwright.cli.root"}),
    ("require", "rollwright.core.optional", {"module": "antigravity", "extra": "x"}),
    ("fetch_openml", "sklearn.datasets", {"name": "iris", "data_home": "{marker}"}),
    ("load_svmlight_file", "sklearn.datasets", {"f": "{marker}"}),
    ("Booster", "lightgbm", {"model_file": "{marker}"}),
    ("CatBoostRegressor", "catboost", {"train_dir": "{marker}"}),
    ("clear_data_home", "sklearn.datasets", {"data_home": "{marker}"}),
]


def filled(value, marker):
    if isinstance(value, str):
        return value.replace("{marker!r}", repr(str(marker))).replace("{marker}", str(marker))
    return {key: filled(item, marker) for key, item in value.items()} if isinstance(value, dict) else value


@pytest.fixture(params=HARMFUL, ids=lambda case: f"{case[1]}.{case[0]}")
def harmful(request, tmp_path):
    name, module, kwargs = request.param
    marker = tmp_path / "marker"
    yield {"class": name, "module_path": module, "kwargs": filled(kwargs, marker)}
    assert not marker.exists()


@pytest.mark.parametrize("slot", [None, *SLOTS])
@pytest.mark.parametrize("key", ["class", "func"])
def test_what_has_an_effect_is_refused_before_it_is_called(harmful, slot, key):
    config = {key: harmful["class"], "module_path": harmful["module_path"], "kwargs": harmful["kwargs"]}
    with pytest.raises(ConstructError, match=r"not trusted|is a function|cannot stand as"):
        init_instance_by_config(config, slot=slot, trust=Trust())
    with pytest.raises(ConstructError, match=r"not trusted|is a function|cannot stand as"):
        init_instance_by_config({key: f"{harmful['module_path']}.{harmful['class']}"}, slot=slot, trust=Trust())


TASK = {
    "model": {"class": "LGBModel", "module_path": "rollwright.models.lightgbm"},
    "dataset": {
        "class": "DatasetH",
        "module_path": "rollwright.dataset.dataset",
        "kwargs": {
            "handler": {"class": "Alpha158", "module_path": "rollwright.dataset.alpha"},
            "segments": {"train": ["2020-01-01", "2020-02-01"], "test": ["2020-03-01", "2020-04-01"]},
        },
    },
    "record": [{"class": "SignalRecord", "module_path": "rollwright.analysis.records"}],
}


@pytest.mark.parametrize("role", ["model", "dataset", "record", "reweighter", "handler"])
def test_a_file_that_names_it_is_refused(harmful, role, project, tmp_path, capsys):
    task = json.loads(json.dumps(TASK))
    if role == "handler":
        task["dataset"]["kwargs"]["handler"] = harmful
    else:
        task[role] = [harmful] if role == "record" else harmful
    file = tmp_path / "campaign.yaml"
    file.write_text(json.dumps({"task": task}))
    assert run(arguments=["run", str(file)]) == 2
    assert harmful["module_path"] in capsys.readouterr().err


@pytest.mark.parametrize("role", ["model", "dataset"])
def test_a_row_that_sql_put_into_the_pool_is_refused(harmful, role, project, tmp_path):
    from rollwright.training.pooled import train_in_slot  # noqa: PLC0415 - heavy, and only this test needs it

    url = f"sqlite:///{tmp_path / 'pool.db'}"
    store = store_from_url(url)
    manager = TaskManager("p", store=store)
    (task_id,) = manager.create_task([TASK])
    with sqlite3.connect(tmp_path / "pool.db") as connection:
        table, column = definition_column(connection)
        text = json.dumps({**TASK, role: harmful}, sort_keys=True, separators=(",", ":"))
        connection.execute(f"UPDATE {table} SET {column} = ?", [text])
    definition = manager.re_query(task_id)["def"]
    assert definition[role] == harmful
    with pytest.raises(ConfigError, match=r"not trusted|is a function|cannot stand as"):
        train_in_slot(definition, experiment_name="exp")
    store.close()


def definition_column(connection):
    """Return where the store keeps definitions, whatever it calls them."""
    for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'"):
        for _, column, *_ in connection.execute(f"PRAGMA table_info({table})").fetchall():
            rows = connection.execute(f"SELECT count(*) FROM {table} WHERE {column} LIKE '%DatasetH%'").fetchone()
            if rows[0]:
                return table, column
    raise AssertionError("no table holds the definition")


def test_a_dataset_artifact_that_names_it_is_refused(harmful, tmp_path):
    path = tmp_path / "dataset.json"
    path.write_text(json.dumps({"format": 1, "dataset": harmful, "state": None}))
    with pytest.raises(RollwrightError, match="is no dataset of format 1"):
        DatasetCodec().read(path)


def test_a_module_that_holds_nothing_for_the_slot_is_not_imported():
    import sys  # noqa: PLC0415

    before = set(sys.modules)
    for module in ("sklearn.datasets._openml", "rollwright.cli.worker", "sklearn.externals.array_api_compat.torch"):
        with pytest.raises(ConstructError, match=r"not trusted|cannot stand as `model`"):
            init_instance_by_config({"class": "X", "module_path": module}, slot="model", trust=Trust())
    assert set(sys.modules) == before


def test_a_class_of_the_users_own_must_fit_its_slot(tmp_path):
    (tmp_path / "own.py").write_text(
        "class Model:\n    def fit(self, dataset): ...\n    def predict(self, dataset, segment='test'): ...\n"
        "class Server:\n    def __init__(self, port=0):\n        raise AssertionError('it was built')\n"
    )
    trust = Trust(folder=Path(tmp_path))
    assert init_instance_by_config({"class": "Model", "module_path": "own.py"}, slot="model", trust=trust)
    with pytest.raises(ConstructError, match=r"`Server` of .* cannot stand as `model`") as caught:
        init_instance_by_config({"class": "Server", "module_path": "own.py"}, slot="model", trust=trust)
    assert "derive it from rollwright.models.base.Model" in str(caught.value)
