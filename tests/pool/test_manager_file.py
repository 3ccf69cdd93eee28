"""A task manager in a file: its pool and its terms, and never a connection."""

from __future__ import annotations

import copy

from rollwright.config.context import install
from rollwright.config.settings import load_settings
from rollwright.pool.manager import TaskManager


def test_a_manager_comes_back_on_the_current_store(tmp_path):
    install(load_settings({"pool.url": f"sqlite:///{tmp_path / 'one.db'}"}, start=tmp_path, environ={}))
    manager = TaskManager("p", lease=7.0)
    manager.create_task([{"n": 1}])
    manager.to_pickle(tmp_path / "manager.pkl", dump_all=True)
    loaded = TaskManager.load(tmp_path / "manager.pkl")
    assert (loaded.task_pool, loaded.lease, loaded.store) == ("p", 7.0, manager.store)
    assert loaded.owner != manager.owner
    assert loaded.task_stat() == manager.task_stat()
    install(load_settings({"pool.url": f"sqlite:///{tmp_path / 'two.db'}"}, start=tmp_path, environ={}))
    assert TaskManager.load(tmp_path / "manager.pkl").store is not manager.store
    assert copy.copy(manager).store is manager.store
