"""The outbox by itself, over a store in memory: its pause, its journals, what arrives late."""

import socket
from datetime import UTC, datetime, timedelta

import pytest

from rollwright.errors import RecordError, TrackingUnavailableError
from rollwright.tracking.outbox.store import PAUSE, OutboxStore
from rollwright.tracking.outbox.syncing import sync_outbox
from rollwright.tracking.store import MetricPoint
from rollwright.tracking.stores.memory import MemoryTrackingStore
from rollwright.tracking.stores.opening import open_tracking

NOON = datetime(2020, 1, 2, 12, tzinfo=UTC)


def test_a_creation_that_arrives_when_everybody_had_given_it_up_is_removed(tmp_path):
    class Late(MemoryTrackingStore):
        """Executes a creation, and a second time when nobody looks any more."""

        waiting = None

        def create_run(self, experiment_id, **about):
            if Late.waiting is None:
                Late.waiting = (experiment_id, about)
                raise TrackingUnavailableError("timed out")
            return super().create_run(experiment_id, **about)

        def search_runs(self, *args, **about):
            found = super().search_runs(*args, **about)
            if Late.waiting and not found:
                experiment_id, run = Late.waiting
                Late.waiting = ()
                super().create_run(experiment_id, **run)
            return found

    inner = Late()
    box = OutboxStore(inner, folder=tmp_path / "box", artifacts=tmp_path, uri="u")
    run = box.create_run("0", name="r", status="RUNNING", start=NOON, tags={})
    box.update_run(run.id, status="FINISHED", end=NOON)
    box.retry_now()
    assert box.get_run(run.id).status == "FINISHED"
    assert [found.status for found in inner.search_runs(["0"])] == ["FINISHED"]


class TestThePause:
    @pytest.fixture
    def clock(self):
        class Clock:
            moment = NOON

            def now(self):
                return self.moment

        return Clock()

    def test_a_server_that_did_not_answer_is_left_in_peace_by_all_processes(self, tmp_path, clock):
        class Away(MemoryTrackingStore):
            asked = 0

            def create_experiment(self, name):
                Away.asked += 1
                raise TrackingUnavailableError("nobody there")

        boxes = [
            OutboxStore(Away(), folder=tmp_path / "box", artifacts=tmp_path, uri="u", clock=clock) for _ in range(2)
        ]
        ids = {box.create_experiment("e").id for box in boxes for _ in range(3)}
        assert len(ids) == 1
        assert Away.asked == 1
        clock.moment += PAUSE + timedelta(seconds=1)
        boxes[1].create_experiment("e")
        assert Away.asked == 2
        boxes[0].retry_now()
        boxes[0].create_experiment("e")
        assert Away.asked == 3
        clock.moment -= timedelta(days=1)  # the clock was set back: a mark of the future holds nobody up
        boxes[0].create_experiment("e")
        assert Away.asked == 4


def test_it_is_cut_at_every_byte_and_read_as_far_as_it_goes(tmp_path):
    inner = MemoryTrackingStore()
    box = OutboxStore(inner, folder=tmp_path / "box", artifacts=tmp_path, uri="u")
    run = box.create_run("0", name="r", status="RUNNING", start=NOON, tags={})
    for place in range(3):
        box.log_batch(
            run.id, params={f"p{place}": "v"}, metrics=[MetricPoint(key="m", value=place, step=place, at=NOON)]
        )
    path = box.folder / "runs" / f"{run.id}.jsonl"
    body = path.read_bytes()
    for size in range(len(body)):
        path.write_bytes(body[:size])
        fresh = OutboxStore(inner, folder=tmp_path / "box", artifacts=tmp_path, uri="u")
        journal = fresh.find_journal(run.id)
        if journal is not None:
            assert len(journal.operations) <= 4
            assert set(journal.view().params) <= {"p0", "p1", "p2"}


def test_a_database_server_that_is_away_is_noticed_at_once(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    uri = f"postgresql://me:x@127.0.0.1:{port}/db"
    box = open_tracking(uri, artifacts=tmp_path / "artifacts", outbox=tmp_path / "outbox")
    experiment = box.create_experiment("e")
    run = box.create_run(experiment.id, name="r", status="RUNNING", start=NOON, tags={})
    box.log_batch(run.id, params={"a": "1"})
    box.update_run(run.id, status="FINISHED", end=NOON)
    assert box.get_run(run.id).params == {"a": "1"}
    assert box.get_run(run.id).status == "FINISHED"


def test_a_run_the_server_will_not_have_holds_up_no_other_and_stays_here(tmp_path):
    class Choosy(MemoryTrackingStore):
        away = True

        def create_run(self, experiment_id, **about):
            if Choosy.away:
                raise TrackingUnavailableError("nobody there")
            if about["name"] == "bad":
                raise RecordError("no such name")
            return super().create_run(experiment_id, **about)

    inner = Choosy()
    box = OutboxStore(inner, folder=tmp_path / "box", artifacts=tmp_path, uri="u")
    runs = [
        box.create_run("0", name=name, status="RUNNING", start=NOON + timedelta(seconds=place), tags={})
        for place, name in enumerate(["bad", "good"])
    ]
    box.update_run(runs[0].id, status="FINISHED", end=NOON)
    Choosy.away = False
    report = sync_outbox(box)
    assert [run.name for run in inner.search_runs(["0"])] == ["good"]
    assert [run.name for run in report.waiting] == ["bad"]
    assert report.away is None
    assert "no such name" in report.refused[0]
    assert box.get_run(runs[0].id).status == "FINISHED"
    assert [run.name for run in box.search_runs(["0"])] == ["good"]
    with pytest.raises(RecordError, match="no such name"):
        box.create_run("0", name="bad", status="RUNNING", start=NOON, tags={})
    assert len(box.journals()) == 2
