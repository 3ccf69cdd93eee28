"""Results that are too large for a pool: stored once, found again, verified."""

from __future__ import annotations

import json
import uuid

import numpy as np
import pandas as pd
import pytest

from rollwright.config.context import current_settings, using
from rollwright.config.settings import load_settings
from rollwright.core.references import from_reference, store_large_result
from rollwright.errors import (
    ArtifactNotFoundError,
    ArtifactStorageError,
    CorruptArtifactError,
    TaskFailedError,
    TaskValueError,
    UnsupportedArtifactError,
)
from rollwright.pool.manager import TaskManager
from rollwright.pool.store import encode_result
from rollwright.pool.stores.memory import MemoryStore
from rollwright.pool.worker.worker import run_task


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "work" / ".rollwright" / "artifacts" / "results"


def files(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_a_result_of_more_than_64_kib_becomes_an_artifact_and_comes_back(folder):
    manager = TaskManager("p", store=MemoryStore())
    (task_id,) = manager.create_task([{"x": 1}])
    manager.commit_task_res(manager.fetch_task(), {"text": "é" * 40_000})
    stored = manager.store.get("p", [task_id])[0].result
    assert len(stored) < 300
    assert manager.re_query(task_id)["res"] == {"text": "é" * 40_000}
    assert len(files(folder)) == 1


def test_where_artifacts_have_an_address_another_machine_gets_the_result_from_there(folder, tmp_path):
    pytest.importorskip("fsspec", reason='pip install "rollwright[s3]"')
    address = f"memory://{uuid.uuid4().hex}/desk"
    found = []
    for machine in ("a", "b"):
        settings = load_settings({"tracking.artifacts": address}, start=tmp_path / machine, environ={})
        with using(settings):
            if machine == "a":
                stored = store_large_result({"text": "é" * 40_000})
            found.append(from_reference(stored))
            assert len(files(settings.artifact_folder / "results")) == 1
    assert found == [{"text": "é" * 40_000}] * 2
    third = load_settings({"tracking.artifacts": address}, start=tmp_path / "c", environ={})
    with using(third), pytest.raises(ArtifactNotFoundError):
        from_reference({**stored, "sha256": "0" * 64})
    assert not folder.exists()


def test_just_64_kib_stay_in_the_pool(folder):
    text = "x" * (64 * 1024 - 2)
    assert encode_result(text) == json.dumps(text)
    assert not folder.exists()
    assert '"$reference":"result"' in encode_result(text + "x")


def test_a_frame_an_array_and_a_large_list_come_back_as_they_were():
    frame = pd.DataFrame({"score": [0.5, np.nan]}, index=pd.Index(["a", "b"], name="instrument"))
    manager = TaskManager("p", store=MemoryStore())
    manager.create_task([{"x": place} for place in range(3)])
    results = [frame, np.arange(5.0), [*range(20_000)]]
    run_task(lambda definition: results[definition["x"]], manager)
    found = [task["res"] for task in manager.query()]
    pd.testing.assert_frame_equal(found[0], frame)
    np.testing.assert_array_equal(found[1], results[1])
    assert found[2] == results[2]


def test_a_stage_gets_the_whole_result_of_the_stage_before():
    manager = TaskManager("p", store=MemoryStore())
    manager.create_task([{"x": 1}])
    run_task(lambda definition: ["y" * 70_000], manager, after_status="part_done")
    run_task(lambda res: len(res[0]), manager, before_status="part_done")
    assert next(manager.query())["res"] == 70_000


def test_the_same_result_is_stored_once(folder):
    assert store_large_result(["z" * 70_000]) == store_large_result(["z" * 70_000])
    assert len(files(folder)) == 1


def test_what_no_safe_format_holds_is_refused_with_its_path(folder):
    with pytest.raises(TaskValueError, match=r"\$\.model"):
        encode_result({"model": object()})
    with pytest.raises(UnsupportedArtifactError, match="no safe format"):
        store_large_result(object())
    with pytest.raises(TaskValueError, match="reserved for references"):
        encode_result({"$reference": "result", "pad": "x" * 70_000})
    assert files(folder) == []
    manager = TaskManager("p", store=MemoryStore())
    manager.create_task([{"x": 1}])
    with pytest.raises(TaskFailedError, match="no JSON form"):
        run_task(lambda definition: object(), manager)


def test_a_file_that_is_gone_or_changed_is_named(folder):
    reference = store_large_result(["z" * 70_000])
    (path,) = files(folder)
    good = path.read_bytes()
    for bad in (good[:-1], good.replace(b"z", b"y", 1), b""):
        path.write_bytes(bad)
        with pytest.raises(CorruptArtifactError, match="not the result that was stored"):
            from_reference(reference)
    path.unlink()
    with pytest.raises(ArtifactNotFoundError, match=r"tracking\.artifacts") as caught:
        from_reference(reference)
    assert caught.value.hint


@pytest.mark.parametrize(
    "change",
    [
        {"sha256": "../../../etc/passwd"},
        {"sha256": "A" * 64},
        {"sha256": None},
        {"kind": "nonsense"},
        {"kind": None},
        {"kind": "envelope"},
        {"length": "many"},
        {"length": -1},
    ],
    ids=str,
)
def test_a_reference_that_somebody_made_up_leads_nowhere(change):
    reference = {**store_large_result(["z" * 70_000]), **change}
    with pytest.raises(
        CorruptArtifactError, match=r"which names none|is none of|not the result that was stored|refers to an envelope"
    ):
        from_reference(reference)


def test_a_folder_that_refuses_is_named(folder, unprivileged):
    folder.mkdir(parents=True)
    folder.chmod(0o500)
    with pytest.raises(ArtifactStorageError, match="cannot store a result"):
        store_large_result(["z" * 70_000])


def test_a_file_in_the_way_is_named():
    artifacts = current_settings().resolve(current_settings().tracking.artifacts)
    artifacts.parent.mkdir(parents=True)
    artifacts.write_text("in the way")
    with pytest.raises(ArtifactStorageError, match="cannot store a result"):
        store_large_result(["z" * 70_000])
