"""The one ambient context: what stands in for an argument nobody gave."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from rollwright import C, init
from rollwright.config.context import QLIB_NAMES, current_settings, install, using
from rollwright.config.settings import known_names, load_settings
from rollwright.errors import ConfigError, UnknownSettingError


def origins():
    return dict(current_settings().origins)


def test_the_ambient_settings_are_loaded_once(monkeypatch):
    first = current_settings()
    monkeypatch.setenv("ROLLWRIGHT_POOL__LEASE", "7")
    assert current_settings() is first
    install(None)
    assert current_settings().pool.lease == 7.0


def test_a_second_init_keeps_what_the_first_one_set():
    init(provider_uri="prices", pool_url="memory:")
    settings = init(region="us")
    assert (settings.data.provider_uri, settings.pool.url, settings.data.region) == ("prices", "memory:", "us")
    assert current_settings() is settings
    assert origins() == dict.fromkeys(("data.provider_uri", "pool.url", "data.region"), "init")


def test_init_keeps_what_c_and_the_environment_set(monkeypatch):
    monkeypatch.setenv("ROLLWRIGHT_POOL__LEASE", "7")
    C.region = "us"
    init(provider_uri="prices")
    assert origins() == {"pool.lease": "environment", "data.region": "code", "data.provider_uri": "init"}


def test_init_takes_dotted_names_and_double_underscores():
    settings = init(pool__lease=5, **{"pool.poll": 0.1})
    assert (settings.pool.lease, settings.pool.poll) == (5.0, 0.1)


def test_init_takes_the_experiment_manager_of_qlib():
    manager = {"class": "MLflowExpManager", "module_path": "qlib.workflow.expm", "kwargs": {"uri": "sqlite:///x.db"}}
    assert init(exp_manager=manager).tracking.uri == "sqlite:///x.db"
    settings = init(exp_manager={"kwargs": {"default_exp_name": "mine"}})
    assert (settings.tracking.uri, settings.tracking.default_experiment) == ("sqlite:///x.db", "mine")


@pytest.mark.parametrize("manager", ["mlruns", {"kwargs": ["uri"]}, {"kwarg": {}}, {"kwargs": {"url": "x"}}])
def test_nothing_of_an_experiment_manager_is_passed_over(manager):
    before = current_settings()
    with pytest.raises(ConfigError):
        init(exp_manager=manager)
    assert current_settings() == before


def test_init_takes_the_one_set_of_defaults_there_is():
    assert init("client", region="us").data.region == "us"
    before = current_settings()
    with pytest.raises(ConfigError, match="no data server") as caught:
        init(default_conf="server", region="cn")
    assert "provider_uri" in str(caught.value)
    assert current_settings() is before


def test_init_takes_a_path():
    assert init(provider_uri=Path("a") / "b").data.provider_uri == "a/b"


def test_none_changes_nothing():
    init(region="us")
    assert init(region=None).data.region == "us"


@pytest.mark.parametrize("name", ["provider_url", "redis_port", "redis_host", "pool__leese", "nonsense"])
def test_init_refuses_names_nobody_knows_and_changes_nothing(name):
    before = init(region="us")
    with pytest.raises(UnknownSettingError):
        init(provider_uri="x", **{name: 1})
    assert current_settings() is before


def test_the_error_of_init_suggests():
    with pytest.raises(UnknownSettingError) as caught:
        init(provider_url="x")
    assert caught.value.suggestion == "provider_uri"


def test_init_refuses_a_bad_value_and_changes_nothing():
    before = current_settings()
    with pytest.raises(ConfigError, match=r"data\.region"):
        init(region="mars")
    assert current_settings() is before


def test_every_name_of_qlib_leads_to_a_setting():
    assert set(QLIB_NAMES.values()) <= set(known_names())


def test_c_reads_and_writes_by_qlib_s_names():
    C.region = "us"
    C["kernels"] = 2
    assert (C.region, C["kernels"], C["data.kernels"]) == ("us", 2, 2)
    assert origins() == {"data.region": "code", "data.kernels": "code"}


def test_assigning_to_c_makes_a_new_value_and_leaves_the_old():
    before = current_settings()
    C.region = "us"
    assert before.data.region == "cn"
    assert current_settings() is not before


KNOBS = {
    "mem_cache_size_limit": (7.0, "data.mem_cache_size_limit"),
    "default_disk_cache": (2, "store.default_disk_cache"),
    "kernels": (3, "data.kernels"),
    "maxtasksperchild": (5, "worker.max_tasks_per_child"),
}


@pytest.mark.parametrize("name", KNOBS)
def test_k1_what_init_and_c_are_given_arrives(name):
    value, dotted = KNOBS[name]
    init(**{name: value})
    assert C[name] == C[dotted] == value
    C[name] = 1
    assert C[dotted] == 1
    assert origins() == {dotted: "code"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("mem_cache_size_limit", -1),
        ("mem_cache_size_limit", float("inf")),
        ("default_disk_cache", 3),
        ("maxtasksperchild", 0),
        ("worker.memory_limit", 1.5),
        ("worker.memory_limit", 0),
        ("store.max_size", 0),
        ("store.max_size", float("nan")),
    ],
)
def test_a_knob_refuses_what_it_cannot_mean(name, value):
    with pytest.raises(ConfigError):
        C[name] = value


def test_knobs_are_read_from_the_environment(monkeypatch):
    monkeypatch.setenv("ROLLWRIGHT_STORE__DEFAULT_DISK_CACHE", "0")
    monkeypatch.setenv("ROLLWRIGHT_WORKER__MAX_TASKS_PER_CHILD", "4")
    monkeypatch.setenv("ROLLWRIGHT_WORKER__MEMORY_LIMIT", "0.9")
    assert (C.default_disk_cache, C.maxtasksperchild, C["worker.memory_limit"]) == (0, 4, 0.9)


@pytest.mark.parametrize("name", ["regoin", "mem_cache_limit"])
def test_c_knows_no_name_that_is_not_a_setting(name):
    with pytest.raises(UnknownSettingError):
        setattr(C, name, 1)
    with pytest.raises(UnknownSettingError):
        C[name]
    with pytest.raises(UnknownSettingError):
        getattr(C, name)


def test_c_suggests_the_nearest_name_when_it_is_read():
    with pytest.raises(UnknownSettingError) as caught:
        C["regoin"]
    assert caught.value.suggestion == "region"


def test_c_suggests_the_nearest_name_when_it_is_written():
    with pytest.raises(UnknownSettingError) as caught:
        C["regoin"] = "us"
    assert caught.value.suggestion in ("region", "data.region")


def test_hasattr_and_copy_do_not_stumble_over_c():
    assert not hasattr(C, "__wrapped__")
    assert not hasattr(C, "nonsense")
    assert not hasattr(C, "_repr_html_")
    assert getattr(C, "nonsense", 3) == 3


def test_using_gives_settings_for_a_block_also_when_it_fails():
    outer = init(region="us")
    inner = load_settings({"data.region": "tw"})
    seen = []

    def fail():
        with using(inner) as given:
            seen.extend((given, C.region))
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert seen == [inner, "tw"]
    assert current_settings() is outer


def test_using_nests():
    first, second = load_settings({"pool.lease": 1}), load_settings({"pool.lease": 2})
    with using(first):
        with using(second):
            assert current_settings() is second
        assert current_settings() is first


def test_what_init_sets_every_thread_sees():
    seen = []
    settings = init(region="tw")
    thread = threading.Thread(target=lambda: seen.append(current_settings()))
    thread.start()
    thread.join()
    assert seen == [settings]
