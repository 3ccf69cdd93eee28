"""A project over memory, so that serving is tested without MLflow's start-up."""

import uuid

import pytest

from rollwright.config import context
from rollwright.config.settings import load_settings


@pytest.fixture(autouse=True)
def project(tmp_path):
    """Make a new project over memory the ambient one."""
    settings = load_settings(
        {"tracking.uri": f"memory:{uuid.uuid4().hex}", "pool.url": f"sqlite:///{tmp_path / 'pool.db'}"},
        start=tmp_path,
        environ={},
    )
    context.install(settings)
    return settings
