"""What every `TrackingStore` promises, as tests: subclass `TrackingStoreContract` and give it a ``store`` fixture."""

# ruff: noqa: D102 - the name of a test is its sentence
from __future__ import annotations

import math
import threading
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest

from rollwright.errors import ExperimentNotFoundError, RecorderNotFoundError, RecordError
from rollwright.tracking.store import ExperimentRecord, MetricPoint, RunRecord, TrackingStore

__all__ = ["TrackingStoreContract"]

NOON: Final = datetime(2020, 1, 2, 12, tzinfo=UTC)


def _fresh() -> str:
    return f"exp-{uuid.uuid4().hex[:12]}"


def _run(store: TrackingStore, experiment: ExperimentRecord, *, name: str = "r", minutes: int = 0) -> RunRecord:
    return store.create_run(
        experiment.id, name=name, status="RUNNING", start=NOON + timedelta(minutes=minutes), tags={"made": "here"}
    )


class TrackingStoreContract:
    """Tests over one adapter; a subclass provides ``store``, which may be shared: every name used is a new one."""

    @pytest.fixture
    def experiment(self, store: TrackingStore) -> ExperimentRecord:
        """Return a new experiment."""
        return store.create_experiment(_fresh())

    def test_creating_twice_gives_one_experiment(self, store: TrackingStore) -> None:
        name = _fresh()
        first, second = store.create_experiment(name), store.create_experiment(name)
        assert first == second
        assert store.experiments(name=name) == [first]
        assert store.experiments(experiment_id=first.id) == [first]

    def test_many_threads_create_one_experiment(self, store: TrackingStore) -> None:
        name = _fresh()
        found: list[str] = []
        gate = threading.Barrier(4)

        def create() -> None:
            gate.wait()
            found.append(store.create_experiment(name).id)

        _in_threads(create, 4)
        assert len(found) == 4
        assert len(set(found)) == 1

    def test_asking_creates_nothing(self, store: TrackingStore) -> None:
        name = _fresh()
        assert store.experiments(name=name) == []
        assert store.experiments(experiment_id="987654321") == []
        assert name not in {record.name for record in store.experiments()}

    def test_every_experiment_is_listed(self, store: TrackingStore) -> None:
        made = [store.create_experiment(_fresh()) for _ in range(3)]
        listed = store.experiments()
        assert [record for record in listed if record in made] == made

    def test_the_default_experiment_is_there(self, store: TrackingStore) -> None:
        assert [record.id for record in store.experiments(name="Default")] == ["0"]

    def test_the_name_of_a_deleted_experiment_is_free_and_the_new_one_is_empty(self, store: TrackingStore) -> None:
        name = _fresh()
        old = store.create_experiment(name)
        run = _run(store, old)
        store.delete_experiment(old.id)
        assert store.experiments(name=name) == []
        assert store.experiments(experiment_id=old.id) == []
        new = store.create_experiment(name)
        assert new.id != old.id
        assert new.name == name
        assert store.search_runs([new.id], view="all") == []
        assert store.get_run(run.id).deleted

    def test_what_is_not_there_is_an_error(self, store: TrackingStore) -> None:
        with pytest.raises(ExperimentNotFoundError):
            store.delete_experiment("987654321")
        with pytest.raises(ExperimentNotFoundError):
            store.create_run("987654321", name="r", status="RUNNING", start=NOON, tags={})
        absent: list[Callable[[str], object]] = [
            store.get_run,
            store.delete_run,
            lambda run: store.update_run(run, status="FINISHED"),
            lambda run: store.log_batch(run, params={"a": "1"}),
            lambda run: store.delete_tags(run, ["a"]),
        ]
        for ask in absent:
            with pytest.raises(RecorderNotFoundError):
                ask("0" * 32)

    def test_a_run_is_read_as_it_was_made(self, store: TrackingStore, experiment: ExperimentRecord) -> None:
        made = store.create_run(
            experiment.id, name="näme x", status="SCHEDULED", start=NOON + timedelta(milliseconds=7), tags={"a": "1"}
        )
        read = store.get_run(made.id)
        assert (read.name, read.status, read.experiment_id) == ("näme x", "SCHEDULED", experiment.id)
        assert made.status == "SCHEDULED"
        assert read.start == NOON + timedelta(milliseconds=7)
        assert read.start.tzinfo is not None
        assert read.end is None
        assert read.tags["a"] == "1"
        assert not read.deleted

    def test_a_run_changes_only_what_is_given(self, store: TrackingStore, experiment: ExperimentRecord) -> None:
        run = _run(store, experiment)
        store.update_run(run.id, status="FINISHED", end=NOON + timedelta(hours=1))
        store.update_run(run.id, name="other")
        read = store.get_run(run.id)
        assert (read.status, read.end, read.name) == ("FINISHED", NOON + timedelta(hours=1), "other")
        store.update_run(run.id, status="RUNNING")
        again = store.get_run(run.id)
        assert (again.status, again.end) == ("RUNNING", None)

    def test_a_batch_that_ends_the_run_is_there_when_it_has_ended(
        self, store: TrackingStore, experiment: ExperimentRecord
    ) -> None:
        run = _run(store, experiment)
        end = NOON + timedelta(hours=1)
        store.log_batch(run.id, params={"a": "1"}, tags={"b": "2"}, status="FINISHED", end=end)
        read = store.get_run(run.id)
        assert (read.status, read.end, read.params, read.tags["b"]) == ("FINISHED", end, {"a": "1"}, "2")
        store.log_batch(run.id, status="RUNNING")
        again = store.get_run(run.id)
        assert (again.status, again.end, again.params) == ("RUNNING", None, {"a": "1"})

    def test_a_batch_that_is_refused_does_not_end_the_run(
        self, store: TrackingStore, experiment: ExperimentRecord
    ) -> None:
        run = _run(store, experiment)
        with pytest.raises(RecordError):
            store.log_batch(run.id, params={"../a": "1"}, status="FINISHED", end=NOON)
        assert store.get_run(run.id).status == "RUNNING"

    def test_a_batch_of_any_size_is_kept(self, store: TrackingStore, experiment: ExperimentRecord) -> None:
        run = _run(store, experiment)
        params = {f"p.{place}": str(place) * 3 for place in range(250)}
        tags = {f"t/{place}": "" for place in range(250)}
        metrics = [MetricPoint(key=f"m{place % 7}", value=place / 7, step=place, at=NOON) for place in range(1100)]
        store.log_batch(run.id, params=params, metrics=metrics, tags=tags)
        read = store.get_run(run.id)
        assert read.params == params
        assert tags.items() <= read.tags.items()
        assert read.metrics == {f"m{place % 7}": place / 7 for place in range(1093, 1100)}

    def test_the_value_of_a_metric_is_that_of_the_greatest_step_and_time(
        self, store: TrackingStore, experiment: ExperimentRecord
    ) -> None:
        run = _run(store, experiment)
        late = NOON + timedelta(minutes=1)
        points = [(3, NOON, 0.3), (5, NOON, 0.5), (5, late, 0.6), (4, late, 0.4)]
        store.log_batch(
            run.id, metrics=[MetricPoint(key="ic", value=value, step=step, at=at) for step, at, value in points]
        )
        store.log_batch(run.id, metrics=[MetricPoint(key="ic", value=0.1, step=1, at=late)])
        assert store.get_run(run.id).metrics == {"ic": 0.6}

    def test_nan_is_kept(self, store: TrackingStore, experiment: ExperimentRecord) -> None:
        run = _run(store, experiment)
        store.log_batch(run.id, metrics=[MetricPoint(key="ic", value=math.nan, step=0, at=NOON)])
        assert math.isnan(store.get_run(run.id).metrics["ic"])

    def test_writing_again_changes_nothing(self, store: TrackingStore, experiment: ExperimentRecord) -> None:
        run = _run(store, experiment)
        point = MetricPoint(key="ic", value=0.25, step=2, at=NOON)
        for _ in range(2):
            store.log_batch(run.id, params={"a": "1"}, metrics=[point], tags={"b": "2"})
        read = store.get_run(run.id)
        assert (read.params, read.metrics, read.tags["b"]) == ({"a": "1"}, {"ic": 0.25}, "2")

    def test_a_tag_is_replaced_and_removed(self, store: TrackingStore, experiment: ExperimentRecord) -> None:
        run = _run(store, experiment)
        store.log_batch(run.id, tags={"a": "1", "b": "1"})
        store.log_batch(run.id, tags={"a": "2"})
        store.delete_tags(run.id, ["b", "never-there"])
        tags = store.get_run(run.id).tags
        assert tags["a"] == "2"
        assert "b" not in tags

    def test_a_parameter_never_changes_and_its_batch_is_refused_whole(
        self, store: TrackingStore, experiment: ExperimentRecord
    ) -> None:
        run = _run(store, experiment)
        store.log_batch(run.id, params={"a": "1"})
        with pytest.raises(RecordError):
            store.log_batch(
                run.id,
                params={"a": "2", "b": "3"},
                metrics=[MetricPoint(key="ic", value=1.0, step=0, at=NOON)],
                tags={"new": "1"},
            )
        read = store.get_run(run.id)
        assert read.params == {"a": "1"}
        assert read.metrics == {}
        assert "new" not in read.tags

    def test_what_does_not_fit_is_refused_and_never_cut(
        self, store: TrackingStore, experiment: ExperimentRecord
    ) -> None:
        run = _run(store, experiment)
        traits = store.traits
        refused: list[dict[str, dict[str, str]]] = [
            {"params": {"a": "x" * (traits.max_param + 1)}},
            {"tags": {"a": "x" * (traits.max_tag + 1)}},
            {"params": {"$a": "1"}},
            {"params": {"a//b": "1"}},
            {"params": {"../a": "1"}},
            {"tags": {"": "1"}},
            {"tags": {"x" * 251: "1"}},
        ]
        for batch in refused:
            with pytest.raises(RecordError):
                store.log_batch(run.id, params=batch.get("params"), tags=batch.get("tags"))
        for key, value in (("in%c", 1.0), ("inf", math.inf)):
            with pytest.raises(RecordError):
                store.log_batch(run.id, metrics=[MetricPoint(key=key, value=value, step=0, at=NOON)])
        read = store.get_run(run.id)
        assert (read.params, read.metrics) == ({}, {})
        store.log_batch(run.id, params={"a": "x" * traits.max_param}, tags={"a": "x" * traits.max_tag})
        assert len(store.get_run(run.id).params["a"]) == traits.max_param

    def test_runs_come_newest_first_and_by_filter(self, store: TrackingStore, experiment: ExperimentRecord) -> None:
        runs = [_run(store, experiment, name=f"run {place}", minutes=place) for place in range(4)]
        for place, run in enumerate(runs):
            metric = MetricPoint(key="ic", value=place / 10, step=0, at=NOON)
            store.log_batch(run.id, params={"fold": str(place % 2)}, metrics=[metric], tags={"a b": str(place)})
        store.update_run(runs[3].id, status="FAILED")

        def found(where: str = "", limit: int | None = None, order_by: tuple[str, ...] = ()) -> list[str]:
            return [run.name for run in store.search_runs([experiment.id], where=where, limit=limit, order_by=order_by)]

        assert found() == ["run 3", "run 2", "run 1", "run 0"]
        assert found(limit=2) == ["run 3", "run 2"]
        assert found("params.fold = '1'") == ["run 3", "run 1"]
        assert found("metrics.ic >= 0.1 and params.fold != '1'") == ["run 2"]
        assert found("attributes.status = 'FAILED'") == ["run 3"]
        assert found("attributes.run_name = 'run 1'") == ["run 1"]
        assert found("tags.`a b` = '0'") == ["run 0"]
        assert found("metrics.other > 0") == []
        assert found(order_by=("metrics.ic ASC",)) == ["run 0", "run 1", "run 2", "run 3"]
        assert found(order_by=("params.fold DESC",)) == ["run 3", "run 1", "run 2", "run 0"]
        assert store.search_runs([]) == []

    def test_runs_whose_metric_is_not_a_number_come_last_in_its_order(
        self, store: TrackingStore, experiment: ExperimentRecord
    ) -> None:
        values = [0.2, math.nan, -0.3, None, 0.1, math.nan, 0.4]
        for place, value in enumerate(values):
            run = _run(store, experiment, name=str(value), minutes=place)
            if value is not None:
                store.log_batch(run.id, metrics=[MetricPoint(key="ic", value=value, step=0, at=NOON)])
        for way, first in (("ASC", ["-0.3", "0.1", "0.2", "0.4"]), ("DESC", ["0.4", "0.2", "0.1", "-0.3"])):
            found = [run.name for run in store.search_runs([experiment.id], order_by=[f"metrics.ic {way}"])]
            assert found[:4] == first
            assert sorted(found[4:]) == ["None", "nan", "nan"]

    def test_a_filter_that_makes_no_sense_is_an_error(self, store: TrackingStore, experiment: ExperimentRecord) -> None:
        for where in ("rubbish", "params.a = ", "metrics.ic > 'x'", "metrics.ic > 1e", "attributes.nothing = '1'"):
            with pytest.raises(RecordError):
                store.search_runs([experiment.id], where=where)

    def test_a_deleted_run_is_found_only_when_asked_for(
        self, store: TrackingStore, experiment: ExperimentRecord
    ) -> None:
        kept, dropped = _run(store, experiment), _run(store, experiment, minutes=1)
        store.delete_run(dropped.id)
        assert [run.id for run in store.search_runs([experiment.id])] == [kept.id]
        assert [run.id for run in store.search_runs([experiment.id], view="deleted")] == [dropped.id]
        assert len(store.search_runs([experiment.id], view="all")) == 2
        assert store.get_run(dropped.id).deleted
        with pytest.raises(RecordError):
            store.log_batch(dropped.id, params={"a": "1"})

    def test_fetching_the_files_of_a_run_that_has_none_changes_nothing(
        self, store: TrackingStore, experiment: ExperimentRecord
    ) -> None:
        run = _run(store, experiment)
        before = store.get_run(run.id)
        assert store.fetch_files(run) in (True, False)
        assert store.get_run(run.id) == before

    def test_it_works_again_after_being_closed(self, store: TrackingStore, experiment: ExperimentRecord) -> None:
        store.close()
        assert store.experiments(experiment_id=experiment.id) == [experiment]


def _in_threads(work: Callable[[], None], count: int) -> None:
    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
