"""The one current context: what stands in for an argument nobody gave."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rollwright import C, init, run_task
from rollwright.config.context import (
    QLIB_NAMES,
    Context,
    auto_init,
    bind_context,
    current_context,
    current_settings,
    install,
    open_part,
    settings_for_child,
    update_context,
    using,
)
from rollwright.config.settings import known_names, load_settings
from rollwright.errors import ConfigError, DataNotFoundError, UnknownSettingError
from rollwright.pool.manager import TaskManager
from rollwright.pool.stores.memory import MemoryStore
from rollwright.tracking.manager import MLflowExpManager
from rollwright.tracking.r import R


def origins():
    return dict(current_settings().origins)


def test_the_current_settings_are_loaded_once(monkeypatch):
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
    with pytest.raises(ConfigError, match=r"exp_manager|qlib_init|MLflow"):
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
    with pytest.raises(UnknownSettingError, match=f"unknown name `{name.replace('__', '.')}` in init"):
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


def test_c_can_be_asked_which_names_it_has():
    assert "region" in C
    assert "mongo" in C
    assert "dpm" not in C
    assert (C.get("region"), C.get("dpm"), C.get("dpm", 1)) == (C.region, None, 1)
    assert "data.region" in list(C)
    with pytest.raises(TypeError, match="assignment"):
        C["mongo"]["task_db_name"] = "lost"


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
    with pytest.raises(ConfigError, match="a setting has a value it cannot take"):
        C[name] = value


def test_knobs_are_read_from_the_environment(monkeypatch):
    monkeypatch.setenv("ROLLWRIGHT_STORE__DEFAULT_DISK_CACHE", "0")
    monkeypatch.setenv("ROLLWRIGHT_WORKER__MAX_TASKS_PER_CHILD", "4")
    monkeypatch.setenv("ROLLWRIGHT_WORKER__MEMORY_LIMIT", "0.9")
    assert (C.default_disk_cache, C.maxtasksperchild, C["worker.memory_limit"]) == (0, 4, 0.9)


@pytest.mark.parametrize("name", ["regoin", "mem_cache_limit"])
def test_c_knows_no_name_that_is_not_a_setting(name):
    with pytest.raises(UnknownSettingError, match=f"unknown name `{name}` in C"):
        setattr(C, name, 1)
    with pytest.raises(UnknownSettingError, match=f"unknown name `{name}` in C"):
        C[name]
    with pytest.raises(UnknownSettingError, match=f"unknown name `{name}` in C"):
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
            seen.extend((given.settings, C.region))
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


def seen_by_a_thread(function):
    """Return what `function` gives in a thread started here."""
    seen = []
    thread = threading.Thread(target=lambda: seen.append(function()))
    thread.start()
    thread.join()
    return seen[0]


def test_two_threads_inside_using_each_see_their_own():
    both = threading.Barrier(2, timeout=20)

    def work(region):
        with using(load_settings({"data.region": region})):
            both.wait()  # both are inside now
            first = current_settings().data.region
            init(kernels=1 if region == "us" else 2)
            both.wait()  # both have changed theirs
            return first, current_settings().data.region, current_settings().data.kernels

    init(region="cn", kernels=7)
    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(work, ["us", "tw"])) == [("us", "us", 1), ("tw", "tw", 2)]
    assert (C.region, C.kernels) == ("cn", 7)


def test_a_thread_started_in_a_block_begins_with_the_process_default():
    init(region="us")
    with using(load_settings({"data.region": "tw"})):
        assert seen_by_a_thread(lambda: C.region) == "us"


def test_bind_context_takes_the_block_along_to_any_thread():
    init(region="us")
    with using(load_settings({"data.region": "tw"})):
        bound = bind_context(lambda: C.region)
    assert C.region == "us"
    assert (bound(), seen_by_a_thread(bound)) == ("tw", "tw")


def test_a_function_bound_outside_any_block_sees_what_the_process_has_later():
    bound = bind_context(lambda: C.region)
    init(region="us")
    assert seen_by_a_thread(bound) == "us"


def test_asynchronous_tasks_inside_using_each_see_their_own():
    async def work(region):
        with using(load_settings({"data.region": region})):
            await asyncio.sleep(0)
            init(kernels=3)
            await asyncio.sleep(0)
            return current_settings().data.region, current_settings().data.kernels

    async def all_of_them():
        return await asyncio.gather(*(work(region) for region in ("us", "tw", "cn")))

    init(region="cn", kernels=7)
    assert asyncio.run(all_of_them()) == [("us", 3), ("tw", 3), ("cn", 3)]
    assert C.kernels == 7


def test_init_and_c_inside_a_block_change_the_block_alone():
    outer = init(region="us")
    with using():
        init(region="tw")
        C.kernels = 3
        assert (C.region, C.kernels) == ("tw", 3)
        auto_init(skip_if_reg=False)
        assert C.region == "cn"
    assert current_settings() is outer


def test_auto_init_leaves_a_block_s_context_as_it_is():
    with using(load_settings({"data.region": "tw"})):
        assert auto_init(region="us").data.region == "tw"


def test_install_sets_the_default_and_not_the_block():
    with using(load_settings({"data.region": "tw"})):
        install(load_settings({"data.region": "us"}))
        assert C.region == "tw"
    assert C.region == "us"


def test_using_replaces_one_part_and_keeps_the_others():
    market, pool = object(), object()
    with using(market=market) as outer, using(pool=pool) as inner:
        assert (inner.market, inner.pool) == (market, pool)
        with using(market=None):
            assert (current_context().market, current_context().pool) == (None, pool)
        with using(load_settings()):  # settings name everything themselves
            assert current_context().market is None
        with using(outer, tracking="t"):
            assert current_context() == Context(settings=outer.settings, market=market, tracking="t")
    assert current_context().market is None


@pytest.mark.parametrize(
    ("part", "setting", "value"),
    [("market", "provider_uri", "prices"), ("tracking", "tracking_uri", "memory:"), ("pool", "pool_url", "memory:")],
)
def test_a_setting_that_names_a_part_replaces_the_object_given_before(part, setting, value):
    given = object()
    init(**{part: given})
    init(region="us")
    assert getattr(current_context(), part) is given
    with pytest.raises(ConfigError, match="both given"):
        init(**{part: given, setting: value})
    with using():
        C[QLIB_NAMES[setting]] = value
        assert getattr(current_context(), part) is None
    init(**{setting: value})
    assert getattr(current_context(), part) is None


def test_a_part_that_was_given_is_not_opened_from_the_settings():
    market = object()
    with using(load_settings({"data.provider_uri": "nowhere"}), market=market):
        assert open_part("market") is market
        assert update_context(market=None).market is None
        with pytest.raises(DataNotFoundError, match=r"nowhere: there is no such folder"):
            open_part("market")


def test_an_open_market_or_tracking_is_not_left_behind_silently_when_a_process_is_started():
    with using(load_settings({"pool.url": "memory:"})) as context:
        assert settings_for_child() is context.settings
        for part in ({"market": object()}, {"tracking": MLflowExpManager(uri="memory:mine")}):
            with using(**part), pytest.raises(ConfigError, match="cannot be sent to another process"):
                run_task(settings_for_child, "p", force_release=True)
        with using(pool=MemoryStore()):  # the process gets its tasks from here
            assert settings_for_child() is context.settings


def test_the_pool_and_the_tracking_of_a_context_are_the_defaults_of_qlibs_classes():
    store, elsewhere = MemoryStore(), MemoryStore()
    with using(load_settings({"pool.url": "memory:"}), pool=store, tracking=MLflowExpManager(uri="memory:mine")):
        assert TaskManager("p").store is store
        assert TaskManager("p", store=elsewhere).store is elsewhere
        assert R.get_uri() == "memory:mine"
        R.set_uri("memory:other")
        assert R.get_uri() == "memory:other"
    assert R.get_uri().startswith("sqlite:")
