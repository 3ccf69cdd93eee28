"""A password that a setting, a task or a driver's error holds is shown nowhere and stored in nothing that is shown."""

import json
import logging
import uuid

import pytest

from rollwright.cli import root
from rollwright.config.context import init, install
from rollwright.config.settings import load_settings
from rollwright.errors import ConfigError
from rollwright.pool.manager import TaskManager
from rollwright.pool.stores.memory import MemoryStore
from rollwright.pool.worker.worker import work_through
from rollwright.tracking.r import R
from rollwright.training.execute import log_task
from rollwright.training.provenance import provenance

URL = "postgresql://me:hush@host/db?sslpassword=hush"


@pytest.fixture
def project(tmp_path):
    settings = load_settings(
        {"tracking.uri": f"memory:{uuid.uuid4().hex}", "pool.url": URL}, start=tmp_path, environ={}
    )
    install(settings)
    return settings


def test_settings_show_no_password(project):
    assert "hush" not in repr(project) + str(project) + repr(project.pool)
    assert project.pool.url == URL


@pytest.mark.parametrize("error", [ConfigError(f"no {URL}", hint=f"see {URL}"), OSError(5, f"cannot reach {URL}")])
def test_errors_show_none_on_the_terminal_and_in_json(monkeypatch, capsys, error):
    def fail(*_args, **_kwargs):
        raise error

    monkeypatch.setattr(root, "_command", lambda: fail)
    assert root.run(["config", "show", "--json"]) != 0
    captured = capsys.readouterr()
    assert "hush" not in captured.out + captured.err
    assert "me:***@host" in captured.err
    if isinstance(error, ConfigError):
        assert "me:***@host" in json.loads(captured.out)["errors"][0]["message"]


def test_parameters_tags_and_provenance_show_none_and_the_task_is_kept_whole(project):
    task = {
        "model": {"class": "LGBModel", "module_path": "rollwright.models.lightgbm", "kwargs": {"api_key": "hush"}},
        "dataset": {"class": "DatasetH", "module_path": "rollwright.dataset.dataset", "kwargs": {"uri": URL}},
    }
    with R.start(experiment_name="e") as recorder:
        log_task(task, recorder)
    assert "hush" not in str(recorder.list_params()) + str(recorder.list_tags())
    assert recorder.list_params()["dataset.kwargs.uri"] == "postgresql://me:***@host/db?sslpassword=***"
    assert recorder.load_object("task") == task

    class Model:
        def __init__(self):
            self.params = {"uri": URL, "token": "hush", "depth": 3}

    settings = project.with_values({"pool.url": "postgresql://me:hush@host/x"}, origin="test")
    install(settings)
    found = provenance(task, fingerprint="f", generation="g", code={}, model=Model())
    assert "hush" not in json.dumps(found)
    assert found["model"]["params"]["depth"] == 3


def test_the_traceback_of_a_task_that_is_kept_in_the_pool_shows_none(project):
    def fail(_task):
        raise ValueError(f"connection to {URL} failed: password=hush")

    manager = TaskManager("p", store=MemoryStore(), max_attempts=1)
    task_id = manager.insert_task_def({"a": 1})
    work_through(manager, fail, {})
    error = manager.re_query(task_id)["error"]
    assert "hush" not in error
    assert "me:***@host" in error


def test_the_log_of_a_command_shows_none(monkeypatch, capsys):
    logger = logging.getLogger()
    monkeypatch.setattr(logger, "handlers", [])
    root.common(verbose=0, version=False)
    logging.getLogger("rollwright.pool").warning("store.retry url=%s", URL)
    assert "hush" not in capsys.readouterr().err


def test_a_setting_that_is_refused_shows_none():
    with pytest.raises(ConfigError) as caught:
        init(provider_uri="https://me:hush@host/x")
    assert "hush" not in str(caught.value)
    assert "https://me:***@host/x" in str(caught.value)
