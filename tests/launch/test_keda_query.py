"""What KEDA asks PostgreSQL: the printed query counts the tasks that the workers could take or hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from rollwright.launch.kubernetes import KubernetesLauncher
from rollwright.launch.kubernetes_objects import PodPlan, WorkToScaleBy
from rollwright.launch.launcher import Resources, WorkerCommand
from rollwright.pool.needs import Needs, Offer
from rollwright.pool.store import ClaimRequest, NewTask
from rollwright.pool.urls import store_from_url

POOL = 'it\'s "alpha"; DROP TABLE task; --'


def print_query(**given: Any) -> str:
    launcher = KubernetesLauncher(PodPlan(image="a", secret="s"), project="p")
    command = WorkerCommand(name=POOL, words=("w",), folder=Path("/p"), logs=Path("/p"))
    work = WorkToScaleBy(url="postgresql://db/x", least=0, most=9, every=15, **given)
    _, scaled = YAML(typ="safe", pure=True).load_all(launcher.describe_scaling(command, Resources(), work))
    (trigger,) = scaled["spec"]["triggers"]
    return str(trigger["metadata"]["query"])


def ask(url: str, query: str) -> int:
    psycopg = pytest.importorskip("psycopg")
    address, _, rest = url.partition("?")
    (schema,) = (part.partition("=")[2] for part in rest.split("&") if part.startswith("schema="))
    with psycopg.connect(address, options=f"-c search_path={schema}") as connection:
        return int(connection.execute(query.encode()).fetchone()[0])


def test_tasks_that_the_workers_could_take_or_hold_count_up_to_the_cap(postgres_url: str) -> None:
    store = store_from_url(postgres_url)
    wanted = {"": 3, "gpu": 2, "gpu,memory=16": 1, "gpu,highmem": 1, "memory=64": 1}
    for text, count in wanted.items():
        needs = Needs.of_text(text)
        store.put(POOL, [NewTask.of({"text": text, "n": number}, needs=needs) for number in range(count)])
    store.put(POOL, [NewTask.of({"n": "later"}, delay=1e6)])
    store.put("another", [NewTask.of({"n": 1})])
    store.claim(ClaimRequest(pool=POOL, owner="a:1:x", lease=60, limit=2))

    assert ask(postgres_url, print_query()) == 3 + 1
    assert ask(postgres_url, print_query(memory=16.0)) == 3
    assert ask(postgres_url, print_query(tags=("gpu",), memory=16.0)) == 3 + 2 + 1
    assert ask(postgres_url, print_query(tags=("gpu",), memory=15.5)) == 3 + 2
    assert ask(postgres_url, print_query(tags=("gpu", "highmem"))) == sum(wanted.values())
    for tags, memory in (((), 16.0), (("gpu",), None), (("gpu", "highmem"), 64.0)):
        offer = Offer(tags=frozenset(tags), memory=memory)  # the same rule in Python and in SQL
        met = sum(one.open + one.running for one in store.demand([POOL]) if offer.meets(one.needs))
        assert ask(postgres_url, print_query(tags=tags, memory=memory)) == met
    store.set_share(POOL, max_running=4)
    assert ask(postgres_url, print_query(tags=("gpu", "highmem"))) == 4
    store.pause(POOL)
    assert ask(postgres_url, print_query()) == 0
    store.close()
