"""The seeds' way to MongoDB: `C["mongo"]`, `init(mongo=…)`, `get_mongodb`."""

from __future__ import annotations

import pytest

from rollwright import C, init
from rollwright.config.context import current_settings
from rollwright.errors import ConfigError
from rollwright.pool.manager import TaskManager
from rollwright.pool.urls import close_shared_stores, get_mongodb


@pytest.mark.parametrize(
    ("keys", "url"),
    [
        ({}, "mongodb://localhost:27017/default_task_db"),
        ({"task_url": "mongodb://h:1/"}, "mongodb://h:1/default_task_db"),
        ({"task_url": "mongodb://h:1", "task_db_name": "db"}, "mongodb://h:1/db"),
        ({"task_url": "mongodb://a,b,c/?replicaSet=r", "task_db_name": "db"}, "mongodb://a,b,c/db?replicaSet=r"),
        ({"task_url": "mongodb+srv://h/own"}, "mongodb+srv://h/own"),
        ({"task_url": "mongodb://u:p@h/", "task_db_name": "db"}, "mongodb://u:p@h/db?authSource=admin"),
        ({"task_url": "mongodb://u:p@h/own?w=1", "task_db_name": "db"}, "mongodb://u:p@h/db?w=1&authSource=own"),
        ({"task_url": "mongodb://u:p@h/?authSource=x", "task_db_name": "db"}, "mongodb://u:p@h/db?authSource=x"),
    ],
)
def test_qlibs_two_keys_are_the_pools_url(keys, url):
    C["mongo"] = keys
    assert current_settings().pool.url == url
    assert current_settings().origins["pool.url"] == "code"
    init(mongo=keys)
    assert current_settings().pool.url == url


def test_the_keys_can_be_read_back():
    assert C["mongo"] == {"task_url": "mongodb://localhost:27017/", "task_db_name": "default_task_db"}
    C["mongo"] = {"task_url": "mongodb://a,b/?replicaSet=r", "task_db_name": "db"}
    assert C["mongo"] == {"task_url": "mongodb://a,b/?replicaSet=r", "task_db_name": "db"}
    assert C.mongo == C["mongo"]


@pytest.mark.parametrize(
    "wrong", ["mongodb://h", {"task_url": "http://u:s3cret@h"}, {"task_uri": "mongodb://h"}, {"task_url": "localhost"}]
)
def test_anything_else_is_refused_without_a_password(wrong):
    with pytest.raises(ConfigError) as caught:
        C["mongo"] = wrong
    assert "s3cret" not in str(caught.value)
    with pytest.raises(ConfigError, match=r"`mongo` takes a dictionary|begins with mongodb"):
        init(mongo=wrong)


def test_k2_a_later_init_keeps_it():
    C["mongo"] = {"task_url": "mongodb://h", "task_db_name": "db"}
    init(region="us")
    assert C["mongo"] == {"task_url": "mongodb://h/", "task_db_name": "db"}


def test_t14_get_mongodb_without_mongodb_says_how_to_set_it():
    init(pool_url="sqlite:///pool.db")
    with pytest.raises(ConfigError, match="no MongoDB") as caught:
        get_mongodb()
    assert "task_db_name" in caught.value.hint


def test_t14_get_mongodb_gives_the_one_database_of_this_process(mongo_url):
    server, _, name = mongo_url.rpartition("/")
    C["mongo"] = {"task_url": server, "task_db_name": name}
    try:
        manager = TaskManager("p")
        manager.create_task([{"x": 1}])
        database = get_mongodb()
        assert database.name == name
        assert get_mongodb().client is TaskManager("q").store.database.client is database.client
        assert database["rollwright_tasks"].count_documents({"pool": "p"}) == 1
        assert TaskManager.list() == ["p"]
    finally:
        close_shared_stores()
