"""The shipped suite over MongoDB's wire, and what is this store's own: documents, indexes, URLs, lost answers."""

from __future__ import annotations

import importlib.util
import json
import os
import secrets

import pymongo
import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from rollwright.core.clock import SystemClock
from rollwright.errors import ConfigError, MissingExtraError, PoolError, SchemaVersionError, StoreUnavailableError
from rollwright.pool.query import parse
from rollwright.pool.states import Status
from rollwright.pool.store import Amendment, ClaimRequest, NewTask, Outcome
from rollwright.pool.stores.mongo import writes as mongo_changes
from rollwright.pool.stores.mongo.connection import MongoConnection, ServerClock
from rollwright.pool.stores.mongo.history import MongoHistory
from rollwright.pool.stores.mongo.store import MongoStore
from rollwright.pool.urls import store_from_url
from rollwright.testing.pool import StoreUnderTest, TaskStoreConformance
from rollwright.testing.pool_admin import AdminConformance
from rollwright.testing.pool_attempts import AttemptsConformance
from rollwright.testing.pool_machine import PoolMachine

FERRET = os.environ.get("ROLLWRIGHT_TEST_FERRETDB_URL")  # read before a test empties the environment


class FakeTime:
    def __init__(self):
        self.now = 1_000_000_000.0

    def __call__(self):
        return self.now

    def advance(self, seconds):
        self.now += seconds


class TestMongoStore(TaskStoreConformance):
    @pytest.fixture
    def pool(self, mongo_url, monkeypatch):
        time = FakeTime()
        store = MongoStore(mongo_url, clock=time)

        def before_replacing(function):
            def each(selection, make):
                def make_late(document):
                    change = make(document)
                    if not interrupted:
                        interrupted.append(document["_id"])
                        function()
                    return change

                return each_task(selection, make_late)

            interrupted, each_task = [], store._each
            monkeypatch.setattr(store, "_each", each)

        yield StoreUnderTest(store=store, advance=time.advance, before_replacing=before_replacing)
        store.close()


class TestMongoStoreOnTheServersClock(AttemptsConformance, AdminConformance):
    """What time decides, by the server itself: where time has to pass, the due times in it are moved back."""

    @pytest.fixture
    def pool(self, mongo_url):
        store = MongoStore(mongo_url)

        def advance(seconds):
            store.database["rollwright_tasks"].update_many({"due": {"$gt": 0}}, {"$inc": {"due": -seconds}})

        yield StoreUnderTest(store=store, advance=advance)
        store.close()


@pytest.mark.slow
class TestFerretDB(TaskStoreConformance):
    """A second implementation of the protocol, for what one client does alone.

    FerretDB 1 finds nothing inside arrays of documents and changes documents in two steps, so the store refuses it;
    here that is switched off, and what rests on either is left out.
    """

    LEFT_OUT = (
        "test_queries_have_one_meaning",
        "test_ids_and_results_can_be_asked_for",
        "test_a_claim_takes_only_what_matches",
        "test_a_failed_stage_goes_on_from_its_result",
        "test_a_running_task_is_not_taken_over",
        "test_a_task_claimed_while_it_is_replaced_never_ends_as_another",
        "test_cancelling_is_final",
        "test_counts_have_every_state",
        "test_reaping_is_limited_to_what_matches",
        "test_removed_tasks_are_gone_and_can_be_put_again",
        "test_many_threads_claim_disjoint_tasks",
        "test_many_threads_put_the_same_tasks_once",
    )

    class Connection(MongoConnection):
        def __init__(self, *arguments, **terms):
            super().__init__(*arguments, **terms)
            self.returned = None

        def _check_server(self, database):
            pass

    @pytest.fixture
    def pool(self, request):
        if not FERRET:
            pytest.skip("not run: no FerretDB (set ROLLWRIGHT_TEST_FERRETDB_URL)")
        if request.node.name.partition("[")[0] in self.LEFT_OUT:
            pytest.skip("not run: FerretDB 1 has no $elemMatch over documents, or no atomic find-and-modify")
        time = FakeTime()
        request.getfixturevalue("monkeypatch").setattr(
            "rollwright.pool.stores.mongo.store.MongoConnection", self.Connection
        )
        store = MongoStore(f"{FERRET.rstrip('/')}/rollwright_test_{secrets.token_hex(6)}", clock=time)
        yield StoreUnderTest(store=store, advance=time.advance)
        store.database.client.drop_database(store.database.name)
        store.close()


@pytest.mark.slow
def test_ferretdb_1_is_refused_because_it_answers_wrongly():
    if not FERRET:
        pytest.skip("not run: no FerretDB (set ROLLWRIGHT_TEST_FERRETDB_URL)")
    with pytest.raises(StoreUnavailableError, match="FerretDB"):
        MongoStore(FERRET).list_pools()


def machine(server):
    class MongoMachine(PoolMachine):
        @staticmethod
        def open_store(clock):
            return MongoStore(f"{server}/rollwright_test_{secrets.token_hex(6)}", clock=clock)

        def teardown(self):
            self.store.database.client.drop_database(self.store.database.name)
            super().teardown()

    return MongoMachine


def test_commands_in_any_order_agree_with_the_model(mongo_server):
    run_state_machine_as_test(machine(mongo_server), settings=settings(max_examples=20, stateful_step_count=30))


@pytest.mark.slow
def test_many_commands_in_any_order_agree_with_the_model(mongo_server):
    run_state_machine_as_test(machine(mongo_server), settings=settings(max_examples=300, stateful_step_count=60))


# -- documents -------------------------------------------------------------------------------------------------------


@pytest.fixture
def store(mongo_url):
    store = MongoStore(mongo_url)
    yield store
    store.close()


def take(store, *, lease=60.0, owner="w", **claim_request):
    return store.claim(ClaimRequest(pool="p", owner=owner, lease=lease, **claim_request))


HOSTILE = {
    "a.b": 1,
    "$set": {"$where": "1"},
    "": {"": 2},
    "__proto__": 3,
    "_id": 4,
    "$$NOW": [{"$gt": ""}],
    "0": "digits",
    "status": "done",
    "deep": {"x.y": {"z": 5}, "x": {"y": {"z": 6}}},
    "text": "\x7fdeleted:p",
}


def test_any_key_is_legal_and_none_becomes_the_name_of_a_field(store):
    (task_id,) = store.put("p", [NewTask.of(HOSTILE)]).ids
    store.settle([Outcome.done(take(store)[0], result=json.dumps(HOSTILE))]).check()
    assert store.get("p", [task_id])[0].definition == HOSTILE
    assert json.loads(store.get("p", [task_id])[0].result) == HOSTILE
    names = set()

    def collect(value):
        for key, item in value.items() if isinstance(value, dict) else ():
            names.add(key)
            collect(item)
        for item in value if isinstance(value, list) else ():
            collect(item)

    collect(store.database["rollwright_tasks"].find_one({"_id": int(task_id)}))
    assert names.isdisjoint(set(HOSTILE) - {"_id", "status"})
    assert {"x.y", "x", "z"}.isdisjoint(names)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"def.__proto__": 3}, 1),
        ({"def._id": 4}, 1),
        ({"def.status": "done"}, 1),
        ({"def.$set.$where": "1"}, 1),
        ({"def.$$NOW.0.$gt": ""}, 1),
        ({"def.$$NOW.00.$gt": ""}, 1),
        ({"def.deep.x.y.z": 6}, 1),
        ({"def.deep.x.y.z": 5}, 0),
        ({"def.a.b": 1}, 0),
        ({"def.0": "digits"}, 0),
        ({"status": "waiting"}, 1),
    ],
)
def test_keys_of_any_kind_can_be_asked_for_as_far_as_the_language_goes(store, query, found):
    store.put("p", [NewTask.of(HOSTILE)])
    assert len([*store.find("p", parse(query))]) == found


def test_a_pool_is_no_collection(store):
    names = ["system.x", "$cmd", "a\u00a0b", "rollwright_tasks", "admin"]
    for name in names:
        store.put(name, [NewTask.of({"x": 1})])
    collections = {"rollwright_history", "rollwright_meta", "rollwright_pools", "rollwright_tasks"}
    assert set(store.database.list_collection_names()) <= collections
    assert store.list_pools() == sorted(names)


def test_a_definition_that_mongodb_cannot_hold_is_refused_with_a_hint(store):
    with pytest.raises(PoolError, match="16 MiB") as caught:
        store.put("p", [NewTask.of({"a long name for a list of numbers": [0] * 450_000})])
    assert "file" in caught.value.hint
    assert store.count("p")[Status.WAITING] == 0


def test_the_log_in_a_document_stays_short_and_nothing_of_it_is_lost(store):
    (task_id,) = store.put("p", [NewTask.of({"x": 1})]).ids
    for _ in range(20):
        store.settle([Outcome.released(take(store)[0])]).check()
    assert len(store.database["rollwright_tasks"].find_one({"_id": int(task_id)})["log"]) <= 13
    rows = store.read_history("p")
    assert [row.event for row in rows] == ["created", *["claimed", "released"] * 20]
    assert [row.token for row in rows[1:]] == [number for number in range(1, 21) for _ in range(2)]
    assert store.read_history("p", [task_id]) == rows


@pytest.mark.parametrize("moved_out", [False, True])
def test_history_half_moved_out_is_read_once(store, moved_out, monkeypatch):
    (task_id,) = store.put("p", [NewTask.of({"x": 1})]).ids
    store.settle([Outcome.released(take(store)[0])]).check()
    before = store.read_history("p")
    document = store.database["rollwright_tasks"].find_one({"_id": int(task_id)})
    store._history.drain([document])  # by one client
    if moved_out:
        store._history.drain([document])  # and by another that had read the same
        store.database["rollwright_tasks"].update_one({"_id": int(task_id)}, {"$set": {"log": document["log"]}})
    assert store.read_history("p") == before


def test_a_client_killed_while_it_removed_leaves_no_trace_but_history(store, monkeypatch):
    store.put("p", [NewTask.of({"x": 1})])
    monkeypatch.setattr(MongoHistory, "sweep", lambda self, pool: None)
    assert store.delete("p", None) == 1
    assert [*store.find("p")] == []
    assert sum(store.count("p").values()) == 0
    assert [row.event for row in store.read_history("p")] == ["created", "deleted"]
    store.put("p", [NewTask.of({"x": 1})])
    monkeypatch.undo()
    store.migrate()
    assert store.database["rollwright_tasks"].count_documents({}) == 1
    assert [row.event for row in store.read_history("p")] == ["created", "deleted", "created"]


def test_ids_grow_with_age_whichever_client_puts(mongo_url):
    stores = [MongoStore(mongo_url) for _ in range(3)]
    ids = [int(stores[number % 3].put("p", [NewTask.of({"x": number})]).ids[0]) for number in range(12)]
    assert ids == sorted(set(ids))
    leases = stores[0].claim(ClaimRequest(pool="p", owner="w", lease=60, limit=12))
    assert [lease.definition["x"] for lease in leases] == [*range(12)]
    for store in stores:
        store.close()


def test_claims_count_on_indexes_and_finished_tasks_are_not_in_them(store):
    store.put("p", [NewTask.of({"x": 1})])
    indexes = store.database["rollwright_tasks"].index_information()
    assert indexes["identity"]["unique"]
    keys = [("pool", 1), ("status", 1), ("needs", 1), ("priority", -1), ("_id", 1)]
    assert indexes["open"]["key"] == keys
    assert dict(indexes["open"]["partialFilterExpression"]) == {"ready": True}
    assert dict(indexes["due"]["partialFilterExpression"]) == {"due": {"$exists": True}}
    store.settle([Outcome.done(take(store)[0])]).check()
    document = store.database["rollwright_tasks"].find_one()
    assert "ready" not in document
    assert "due" not in document


def test_writes_wait_for_a_majority_and_its_journal(store):
    concern = store.database.write_concern
    assert concern.document == {"w": "majority", "j": True}
    assert store.database.read_concern.level == "majority"
    assert store.database.read_preference == pymongo.ReadPreference.PRIMARY


def test_no_update_sets_and_unsets_the_same_field(store):
    """MongoDB refuses such an update; not every server of its protocol does."""
    store.put("p", [NewTask.of({"x": 1})])
    lease = take(store)[0]
    document = store.database["rollwright_tasks"].find_one()
    updates = [mongo_changes.reaped(document, 1.0), mongo_changes.buried(document, 1.0)]
    for kind in ("done", "part_done", "failed", "released", "cancelled"):
        for retry, delay, result in ((True, 5.0, "1"), (True, 0.0, None), (False, 0.0, "2")):
            outcome = Outcome(
                task_id=lease.task_id, token=1, kind=kind, retry=retry, delay=delay, result=result, error="e"
            )
            updates.append(mongo_changes.ended(document, outcome, 1.0))
    for status in (None, Status.WAITING, Status.PART_DONE, Status.FAILED, Status.CANCELLED):
        amendment = Amendment(status=status, priority=1, error="e")
        updates.append(mongo_changes.amended(document, amendment, 1.0))
        replacing = Amendment(status=status, priority=1, replacement=NewTask.of({"x": 2}), error="e")
        updates.append(mongo_changes.amended({**document, "status": "waiting"}, replacing, 1.0))
    for change in updates:
        paths = [name for part in change.update.values() for name in part]
        assert len(paths) == len(set(paths)), change.update


# -- time ------------------------------------------------------------------------------------------------------------


def test_the_servers_clock_is_never_run_ahead_of_and_is_asked_again():
    steady, server, asked = [100.0], [5000.0], []

    def ask():
        asked.append(steady[0])
        told = server[0]
        steady[0] += 0.5  # the answer takes its time
        server[0] += 0.5
        return told

    clock = ServerClock(ask, steady=lambda: steady[0])
    assert clock() == 5000.0 <= server[0]
    steady[0] += 10.0
    server[0] += 10.0
    assert clock() == 5010.0
    steady[0] += 10.0
    server[0] += 3610.0  # somebody set the server's clock
    assert clock() == pytest.approx(8620.5, abs=1.0)
    clock.forget()
    clock()
    assert len(asked) == 3


def test_a_wrong_clock_of_this_machine_changes_nothing(store, monkeypatch):
    server = store.database.client.admin.command("serverStatus")["localTime"].timestamp()
    monkeypatch.setattr(SystemClock, "now", lambda self: pytest.fail("nobody asks this machine what time it is"))
    store.put("p", [NewTask.of({"x": 1})])
    lease = take(store)[0]
    record = store.get("p", [lease.task_id])[0]
    assert abs(record.created - server) < 5
    assert abs(record.lease_until - 60 - record.started) < 1e-3


# -- opening ---------------------------------------------------------------------------------------------------------


def test_a_later_schema_is_refused(mongo_url):
    store = MongoStore(mongo_url)
    store.migrate()
    store.database["rollwright_meta"].update_one({"_id": "schema"}, {"$set": {"version": 99}})
    store.close()
    for call in (store.migrate, lambda: store.put("p", [NewTask.of({})]), lambda: [*store.find("p")]):
        with pytest.raises(SchemaVersionError, match="99"):
            call()
        store.close()


@pytest.mark.parametrize(
    "url",
    [
        "mongodb://me:s3cret@host:notaport/db",
        "mongodb://me:s3cret@@host/db",
        "mongodb://me:s3/cret@host/db",
        "mongodb://me:s3cret@host/db?w=x&authMechanism=NONSENSE",
        "mongodb://",
        "mongodb://me:s3cret@host/a b$",
    ],
)
def test_a_url_the_driver_does_not_understand_is_an_error_without_its_password(url):
    store = store_from_url(url)
    with pytest.raises(ConfigError) as caught:
        store.list_pools()
    seen = [str(caught.value), repr(store)]
    if not caught.value.__suppress_context__:
        seen.append(str(caught.value.__cause__))
    assert not [text for text in seen if "s3cret" in text or "s3/cret" in text]


def test_an_unreachable_server_is_named_without_its_password(caplog):
    store = MongoStore("mongodb://me:s3cret@127.0.0.1:1/db", timeout=0.2)
    with caplog.at_level("DEBUG", logger="rollwright"), pytest.raises(StoreUnavailableError) as caught:
        store.list_pools()
    assert caught.value.exit_code == 3
    assert "127.0.0.1:1" in str(caught.value)
    assert not [text for text in (str(caught.value), str(caught.value.__cause__), caplog.text) if "s3cret" in text]
    store.close()


@pytest.mark.parametrize(("host", "may_return"), [("127.0.0.1:1", True), ("no-such-host.invalid", False)])
def test_only_an_address_that_can_be_found_is_waited_for(host, may_return, unknown_hosts):
    store = MongoStore(f"mongodb://{host}/db", timeout=0.2)
    with pytest.raises(StoreUnavailableError, match=host.partition(":")[0]) as caught:
        store.list_pools()
    assert caught.value.may_return is may_return
    store.close()


def test_without_the_driver_the_install_line_is_told(monkeypatch):
    real = importlib.import_module

    def absent(name, *args):
        if name.partition(".")[0] == "pymongo":
            raise ModuleNotFoundError(f"No module named {name!r}", name="pymongo")
        return real(name, *args)

    monkeypatch.setattr(importlib, "import_module", absent)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match="pymongo") as caught:
        store_from_url("mongodb://host/db")
    assert "rollwright[mongodb]" in caught.value.hint


def test_a_forked_child_opens_a_connection_of_its_own(store):
    (task_id,) = store.put("p", [NewTask.of({"x": 1})]).ids
    before = store.database.client
    store._db._pid = -1  # what a child finds: a client of another process
    assert [record.task_id for record in store.find("p")] == [task_id]
    assert store.database.client is not before
    before.close()
