"""One MLflow database for the whole session: making its tables costs seconds."""

import uuid

import pandas as pd
import pytest

from rollwright.config import context
from rollwright.config.settings import load_settings
from rollwright.tracking.location import TrackingLocation
from rollwright.tracking.stores.embedded.store import EmbeddedStore


@pytest.fixture(scope="session")
def embedded_store(tmp_path_factory):
    """Return the store of a project that uses the default, its database made."""
    root = tmp_path_factory.mktemp("project")
    (root / ".rollwright").mkdir()
    location = TrackingLocation.from_settings(load_settings(start=root, environ={}))
    store = location.store
    assert isinstance(store, EmbeddedStore)
    store.experiments()
    yield store
    store.close()


@pytest.fixture(scope="session")
def mlflow_store(embedded_store):
    """Return MLflow's own way to the same database."""
    return embedded_store.mlflow


@pytest.fixture
def database(embedded_store, tmp_path_factory):
    """Return the project folder of the shared store."""
    return embedded_store.artifacts.parent.parent


@pytest.fixture
def mlflow_project(database):
    """Make the shared MLflow project the ambient one."""
    settings = load_settings(start=database, environ={})
    context.install(settings)
    return settings


@pytest.fixture
def memory_project(tmp_path):
    """Make a new project over memory the ambient one."""
    settings = load_settings({"tracking.uri": f"memory:{uuid.uuid4().hex}"}, start=tmp_path, environ={})
    context.install(settings)
    return settings


@pytest.fixture(params=["memory", "mlflow"])
def project(request):
    """Make a project the ambient one, over each adapter."""
    return request.getfixturevalue(f"{request.param}_project")


@pytest.fixture
def name():
    """Return an experiment name nobody used."""
    return f"exp-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def frame():
    """Return a small prediction frame."""
    days = pd.date_range("2020-01-01", periods=3, unit="us")
    index = pd.MultiIndex.from_product([days, ["SH600000", "SZ000001"]], names=["datetime", "instrument"])
    return pd.DataFrame({"score": [0.1, -0.2, float("nan"), 0.4, -0.0, 6.0]}, index=index)
