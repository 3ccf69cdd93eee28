"""Connections cut around COMMIT, the server crashed in mid-run, workers frozen past their lease: nothing is lost."""

from __future__ import annotations

import collections
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time as real_time
from pathlib import Path

import pytest

import pgbouncer_server
import postgres_server
from crash_size import sized
from cutting_proxy import CUTS, Proxy
from rollwright.errors import StoreUnavailableError
from rollwright.pool.query import parse
from rollwright.pool.states import Status
from rollwright.pool.store import Amendment, ClaimRequest, NewTask, Outcome

REASON = postgres_server.missing() or pgbouncer_server.missing()
pytestmark = pytest.mark.skipif(REASON is not None, reason=REASON or "")
if REASON is None:
    import psycopg

    from rollwright.pool.stores.postgres import address as postgres_link
    from rollwright.pool.stores.postgres import session as postgres_session
    from rollwright.pool.stores.postgres.store import PostgresStore
    from rollwright.pool.stores.postgres.turn import Turns

COMMIT = b"COMMIT\x00"  # and not the level of isolation


@pytest.fixture(params=["server", "pooler"])
def proxied(request, postgres_url):
    """A store whose connections can be cut, and one that sees the truth."""
    behind = pgbouncer_server.PgBouncer(postgres_url) if request.param == "pooler" else None
    if behind is not None:
        behind.start()
    info = psycopg.conninfo.conninfo_to_dict(postgres_url.partition("?")[0])
    proxy = Proxy(info["host"], behind.port if behind is not None else int(info["port"]))
    store = PostgresStore(postgres_url.replace(f":{info['port']}/", f":{proxy.port}/"))
    truth = PostgresStore(postgres_url)
    yield proxy, store, truth
    store.close()
    truth.close()
    session = postgres_session._Sessions.known.pop(store._address.server, None)
    if session is not None:  # it would go on looking for a proxy that is no more
        session.close()
    proxy.close()
    if behind is not None:
        behind.remove()


def request(owner="w", **fields):
    return ClaimRequest(pool="p", owner=owner, lease=600.0, **fields)


def result_of(task_id):
    return f'"what came of it {task_id}"'


def turn_with_cuts(proxied, tasks, seed):
    """Work through `tasks`, cutting the connection in every turn; return how many cuts there were."""
    proxy, store, truth = proxied
    generator = random.Random(seed)
    ids = store.put("p", [NewTask.of({"x": number}, max_attempts=10_000) for number in range(tasks)]).ids
    held, tokens, acknowledged = store.claim(request()), [], []
    pooled = store._connections.is_pooled()
    while held:
        (lease,) = held
        tokens.append((lease.task_id, lease.token))
        kind = generator.choice(["done", "done", "done", "released", "retry"])
        # At the values of the statement itself, at its COMMIT, or at whatever comes first, as preparing it.
        words = b"what came of it" if kind == "done" and not (pooled and len(tokens) % 2) else COMMIT
        proxy.arm(generator.choice(CUTS), words if generator.random() < 0.8 else b"")
        if kind == "done":
            settlement = store.settle([Outcome.done(lease, result=result_of(lease.task_id))], claim=request())
            acknowledged.append(lease.task_id)
        elif kind == "released":
            settlement = store.settle([Outcome.released(lease)], claim=request())
        else:
            settlement = store.settle([Outcome.failed(lease, error="no")], claim=request())
        assert settlement.refused == ()
        assert [*settlement.statuses] == [lease.task_id]
        held = settlement.leases
    assert len(set(tokens)) == len(tokens), "no two claims share a token"
    assert sorted(acknowledged) == sorted(ids), "nothing was acknowledged twice or never"
    events = collections.Counter((row.task_id, row.event) for row in truth.read_history("p"))
    for record in truth.find("p"):
        assert (record.status, record.result) == (Status.DONE, result_of(record.task_id))
        assert events[record.task_id, "done"] == 1
    claims = sum(count for (_, event), count in events.items() if event == "claimed")
    assert claims == len(tokens), "whatever was claimed came to the worker"
    return proxy.cuts


def test_i14_connections_cut_around_commit_lose_nothing_and_do_nothing_twice(proxied):
    assert turn_with_cuts(proxied, 15, seed=3) >= 20


@pytest.mark.crash
def test_i14_five_hundred_connections_cut_around_commit(proxied):
    assert turn_with_cuts(proxied, sized(320, 64), seed=4) >= sized(500, 90)


@pytest.mark.parametrize("cut", CUTS)
def test_what_is_changed_by_hand_is_changed_once(proxied, cut):
    proxy, store, truth = proxied
    store.migrate()
    proxy.arm(cut)
    ids = store.put("p", [NewTask.of({"x": number}) for number in range(3)]).ids
    for words in (b"", COMMIT):
        proxy.arm(cut, words)
        assert store.amend("p", None, Amendment(status=Status.CANCELLED)) == [*ids]
        assert {row.event for row in truth.read_history("p")[-3:]} == {"amended"}
        proxy.arm(cut, words)
        assert store.amend("p", parse({"_id": {"$in": [*ids]}}), Amendment(status=Status.WAITING)) == [*ids]
    assert len(truth.read_history("p")) == 3 + 4 * 3
    proxy.arm(cut, COMMIT)
    assert store.pause("p") is True
    proxy.arm(cut, COMMIT)
    assert store.resume("p") is True
    proxy.arm(cut, COMMIT)
    assert store.delete("p", None) == 3
    assert proxy.cuts >= 8


def test_a_blind_retry_is_noticed(proxied, monkeypatch):
    """The mutant of the above: whoever only asks again is refused what it did."""
    proxy, store, _ = proxied
    monkeypatch.setattr(Turns, "_find_lost", lambda *_: [])
    store.put("p", [NewTask.of({"x": 1})])
    (lease,) = store.claim(request())
    proxy.arm("answered", COMMIT if store._connections.is_pooled() else b"what came of it")
    assert len(store.settle([Outcome.done(lease, result=result_of("1"))]).refused) == 1


# -- a server of one's own ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def own_server():
    """A durable server that may be crashed."""
    folder = Path(tempfile.mkdtemp(prefix="rollwright-pg-own-"))
    server = postgres_server.PostgresServer(folder)
    server.start()
    yield server
    postgres_session.close_sessions()
    server.remove()


def work_while_crashing(server, *, tasks, crashes):
    """Four workers turn through a pool; the one by whom the next share of it is done crashes the server at once."""
    url = postgres_server.new_database(server.url("postgres"))
    store = PostgresStore(url, patience=60.0)
    ids = store.put("p", [NewTask.of({"x": number}, max_attempts=1000) for number in range(tasks)]).ids
    acknowledged, claimed, failures, down = [], [], [], []
    shares = [crash * tasks // (crashes + 1) for crash in range(1, crashes + 1)]
    over = threading.Event()
    progress = threading.Condition()
    connected = threading.Barrier(5)

    def work(owner):
        mine = PostgresStore(url, patience=60.0)
        try:
            held = mine.claim(request(owner))
            connected.wait()
            while held or not over.is_set():
                claimed.extend((lease.task_id, lease.token) for lease in held)
                settlement = mine.settle([Outcome.done(lease, result="1") for lease in held], claim=request(owner))
                with progress:
                    acknowledged.extend(settlement.statuses)
                    if shares and len(acknowledged) >= shares[0]:
                        server.stop(mode="immediate")
                        down.append(shares.pop(0))
                    progress.notify_all()
                held = settlement.leases
        except Exception as error:  # noqa: BLE001 - told below
            with progress:
                failures.append(error)
                progress.notify_all()
        finally:
            mine.close()

    workers = [threading.Thread(target=work, args=(f"w{number}",)) for number in range(4)]
    for worker in workers:
        worker.start()

    def wait_for(condition):
        with progress:
            assert progress.wait_for(lambda: failures or condition(), 120), store.count("p")

    connected.wait()
    for _ in range(crashes):
        wait_for(lambda: down)
        down.clear()
        server.start()  # by this thread: the server ends with the one that started it
    wait_for(lambda: len(acknowledged) >= tasks)
    over.set()
    for worker in workers:
        worker.join()
    assert failures == []
    assert sorted(acknowledged, key=int) == [*ids], "what was acknowledged is there, once"
    assert len(set(claimed)) == len(claimed), "no token was given twice, whatever the crash forgot"
    events = collections.Counter((row.task_id, row.event) for row in store.read_history("p"))
    assert all(events[task_id, "done"] == 1 for task_id in ids)
    store.close()


def test_i15_a_server_that_crashes_twice_loses_nothing(own_server):
    work_while_crashing(own_server, tasks=200, crashes=2)


@pytest.mark.crash
def test_i15_a_server_that_crashes_twenty_times_loses_nothing(own_server):
    work_while_crashing(own_server, tasks=sized(4000, 1000), crashes=sized(20, 5))


def test_a_server_that_stays_away_is_told_after_a_while(own_server):
    url = postgres_server.new_database(own_server.url("postgres"))
    store = PostgresStore(url, patience=0.3)
    store.put("p", [NewTask.of({"x": 1})])
    own_server.stop(mode="immediate")
    with pytest.raises(StoreUnavailableError):
        store.put("p", [NewTask.of({"x": 2})])
    own_server.start()
    assert store.put("p", [NewTask.of({"x": 2})]).created == 1
    store.close()


def test_a_claim_is_durable_before_it_is_given(own_server, monkeypatch):
    """A claim the crash forgets would give its token to somebody else too: so it waits for the disk."""
    url = postgres_server.new_database(own_server.url("postgres"))
    store = PostgresStore(url, patience=60.0)
    store.put("p", [NewTask.of({"x": number}) for number in range(5)])
    leases = store.claim(request(limit=5))
    own_server.stop(mode="immediate")
    own_server.start()
    assert {record.token for record in store.find("p")} == {1}
    assert store.settle([Outcome.done(lease) for lease in leases]).refused == ()
    store.close()
    assert "off" not in postgres_link._SETTINGS["synchronous_commit"]


# -- frozen workers ----------------------------------------------------------------------------------------------------

ZOMBIE = """
import os, signal, sys
from rollwright.pool.store import ClaimRequest, Outcome
from rollwright.pool.stores.postgres.store import PostgresStore
store = PostgresStore(sys.argv[1])
(lease,) = store.claim(ClaimRequest(pool="p", owner="zombie", lease=0.3))
print("claimed", flush=True)
os.kill(os.getpid(), signal.SIGSTOP)
kind = sys.argv[2]
if kind == "renew":
    print("refused" if store.renew("zombie", lease=60.0) == {} else "accepted")
else:
    outcome = {
        "done": lambda: Outcome.done(lease, result='"stale"'),
        "part_done": lambda: Outcome.part_done(lease, result='"stale"'),
        "failed": lambda: Outcome.failed(lease, error="stale"),
        "final": lambda: Outcome.failed(lease, error="stale", retry=False),
        "released": lambda: Outcome.released(lease),
        "cancelled": lambda: Outcome.cancelled(lease),
    }[kind.removesuffix("+claim")]()
    claim = ClaimRequest(pool="p", owner="zombie", lease=60.0) if kind.endswith("+claim") else None
    print("refused" if len(store.settle([outcome], claim=claim).refused) == 1 else "accepted")
"""


@pytest.mark.crash
@pytest.mark.parametrize(
    "kind", ["done", "done+claim", "part_done", "failed", "final", "released", "released+claim", "cancelled", "renew"]
)
def test_i3_a_worker_frozen_past_its_lease_changes_nothing(postgres_url, kind):
    store = PostgresStore(postgres_url)
    (task_id,) = store.put("p", [NewTask.of({"x": 1}, max_attempts=9)]).ids
    command = [sys.executable, "-c", ZOMBIE, postgres_url, kind]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as zombie:
        assert zombie.stdout.readline() == "claimed\n"
        end = real_time.monotonic() + 30
        while not (held := store.claim(request("w2"))):
            assert real_time.monotonic() < end
        before = store.get("p", [task_id])[0]
        zombie.send_signal(signal.SIGCONT)
        assert zombie.stdout.readline() == "refused\n"
    assert store.get("p", [task_id])[0] == before
    store.settle([Outcome.done(held[0], result="2")]).check()
    assert store.get("p", [task_id])[0].result == "2"
    store.close()
