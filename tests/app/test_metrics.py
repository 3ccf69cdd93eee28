"""How pools stand in the text format of Prometheus, read by its own parser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from rollwright.app.metrics import PoolMetrics, collect_metrics, format_metrics
from rollwright.cli.root import run
from rollwright.config.settings import load_settings
from rollwright.pool.needs import Needs
from rollwright.pool.store import ClaimRequest, NewTask, Offer, Outcome
from rollwright.pool.stores.memory import MemoryStore
from rollwright.pool.urls import store_from_url

NOW = 4e9
NAMES = ("alpha", 'a"b\\c', "趋势", "x{y}=z,\u2028#")


def read(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Return every value by its name and labels."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value_of(values: dict[Any, float], name: str, **labels: str) -> float | None:
    return values.get((f"rollwright_{name}", frozenset(labels.items())))


def told(store: MemoryStore) -> dict[Any, float]:
    return read(format_metrics(collect_metrics(store, now=NOW)))


def put(store: MemoryStore, pool: str, count: int, **given: Any) -> None:
    first = sum(store.stat(pool).counts.values())
    store.put(pool, [NewTask.of({"n": first + number}, **given) for number in range(count)])


def claim(store: MemoryStore, pool: str, owner: str, count: int, *, lease: float = 1e10) -> list[Any]:
    offer = Offer(tags=frozenset({"gpu"}))
    return store.claim(ClaimRequest(pool=pool, owner=owner, lease=lease, limit=count, offer=offer))


def test_tasks_open_work_and_workers_are_told_by_pool() -> None:
    store = MemoryStore()
    put(store, "alpha", 5)
    put(store, "alpha", 2, needs=Needs(tags=("gpu",)))
    put(store, "alpha", 1, delay=1e6)
    first = claim(store, "alpha", "a:1:x", 2)
    claim(store, "alpha", "b:1:x", 1)
    store.settle([Outcome.done(first[0])])
    store.set_share("alpha", weight=2.5, max_running=7)

    values = told(store)

    assert value_of(values, "pool_tasks", pool="alpha", state="waiting") == 5
    assert value_of(values, "pool_tasks", pool="alpha", state="running") == 2
    assert value_of(values, "pool_tasks", pool="alpha", state="done") == 1
    assert value_of(values, "pool_tasks", pool="alpha", state="failed") == 0
    assert value_of(values, "pool_open_tasks", pool="alpha", needs="") == 2
    assert value_of(values, "pool_open_tasks", pool="alpha", needs="gpu") == 2
    assert value_of(values, "pool_delayed_tasks", pool="alpha", needs="") == 1
    assert value_of(values, "pool_running_tasks", pool="alpha", needs="") == 2
    assert value_of(values, "pool_oldest_open_seconds", pool="alpha", needs="gpu") is not None
    assert value_of(values, "pool_workers", pool="alpha") == 2
    assert value_of(values, "pool_weight", pool="alpha") == 2.5
    assert value_of(values, "pool_max_running", pool="alpha") == 7
    assert value_of(values, "pool_paused", pool="alpha") == 0
    assert value_of(values, "pools_left_out") == 0


def test_a_worker_whose_lease_ended_is_not_alive_and_what_it_lost_is_told() -> None:
    store = MemoryStore()
    put(store, "alpha", 2)
    lease = claim(store, "alpha", "a:1:x", 1)[0]
    store.settle([Outcome.failed(lease, error="x")])
    claim(store, "alpha", "a:1:x", 1, lease=0.001)
    values = told(store)
    assert value_of(values, "pool_workers", pool="alpha") == 0
    assert value_of(values, "pool_retried_tasks", pool="alpha") == 1
    assert value_of(values, "pool_recently_ended_tasks", pool="alpha") == 0


def test_every_name_of_a_pool_is_read_back_as_it_is() -> None:
    store = MemoryStore()
    for name in NAMES:
        put(store, name, 1)
    assert {dict(labels)["pool"] for (name, labels) in told(store) if name == "rollwright_pool_tasks"} == {*NAMES}


def test_the_number_of_values_is_bounded_and_pools_with_open_work_come_first() -> None:
    store = MemoryStore()
    for number in range(150):
        put(store, f"pool {number:03}", 1)
        if number < 140:
            store.settle([Outcome.done(lease) for lease in claim(store, f"pool {number:03}", "a:1:x", 1)])
    values = told(store)
    names = {dict(labels)["pool"] for _, labels in values if labels}
    assert len(names) == 100
    assert {f"pool {number}" for number in range(140, 150)} <= names
    assert value_of(values, "pools_left_out") == 50


def test_each_metric_says_what_it_is_once() -> None:
    store = MemoryStore()
    put(store, "alpha", 1)
    text = format_metrics(collect_metrics(store, now=NOW))
    families = [*text_string_to_metric_families(text)]
    assert len({family.name for family in families}) == len(families) == text.count("# TYPE ")
    assert all(family.type == "gauge" and family.documentation.endswith(".") for family in families)


def test_a_store_that_was_not_made_yet_has_no_pools_and_is_not_made(tmp_path: Path) -> None:
    (tmp_path / "rollwright.toml").write_text("")
    settings = load_settings(start=tmp_path)
    assert PoolMetrics(settings).read().strip() == ""
    assert not (tmp_path / ".rollwright").exists()


class HandClock:
    def __init__(self) -> None:
        self.at = 0.0

    def monotonic(self) -> float:
        return self.at

    def now(self) -> Any:
        from rollwright.core.clock import SystemClock  # noqa: PLC0415 - the day does not matter

        return SystemClock().now()

    def sleep(self, seconds: float) -> None:
        self.at += seconds


def test_the_store_is_asked_once_for_all_who_ask_at_a_time(tmp_path: Path) -> None:
    (tmp_path / "rollwright.toml").write_text("")
    settings = load_settings(start=tmp_path)
    clock = HandClock()
    store = store_from_url(settings.resolve_url(settings.pool.url))
    store.put("alpha", [NewTask.of({"n": 1})])
    metrics = PoolMetrics(settings, clock=clock)
    first = metrics.read()
    store.put("alpha", [NewTask.of({"n": 2})])
    assert metrics.read() == first
    clock.sleep(6)
    assert value_of(read(metrics.read()), "pool_open_tasks", pool="alpha", needs="") == 2
    store.close()


@pytest.mark.parametrize("name", ["alpha", "趋势"])
def test_the_command_prints_the_same(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "rollwright.toml").write_text("")
    monkeypatch.chdir(tmp_path)
    settings = load_settings(start=tmp_path)
    store = store_from_url(settings.resolve_url(settings.pool.url))
    store.put(name, [NewTask.of({"n": 1})])
    store.close()
    assert run(["pool", "metrics"]) == 0
    assert value_of(read(capsys.readouterr().out), "pool_open_tasks", pool=name, needs="") == 1
