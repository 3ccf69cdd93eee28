"""What was recorded is read whole, and what is wrong with it is told; nothing is changed by looking."""

from __future__ import annotations

import json
import shutil
import sqlite3
import uuid
from contextlib import closing
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rollwright.app.verify import Verification, verify
from rollwright.cli.root import run
from rollwright.codecs.registry import codecs
from rollwright.config.context import install
from rollwright.config.settings import load_settings
from rollwright.errors import ConfigError, RecorderNotFoundError
from rollwright.pool.manager import TaskManager
from rollwright.pool.stores.sqlite.check import sqlite_problems
from rollwright.pool.stores.sqlite.store import SqliteStore
from rollwright.signing.keys import Keyring
from rollwright.tracking.artifacts import ArtifactWrite
from rollwright.tracking.r import R
from rollwright.tracking.recorder import Recorder

INDEX = pd.MultiIndex.from_product(
    [pd.date_range("2020-01-01", periods=3, unit="us"), ["SH600000", "SZ000001"]], names=["datetime", "instrument"]
)


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "rollwright.toml").write_text(f'[tracking]\nuri = "memory:{uuid.uuid4().hex}"\n')
    monkeypatch.chdir(folder)
    install(load_settings(start=folder, environ={}))
    return folder


@pytest.fixture
def recorder(project) -> Recorder:
    with R.start(experiment_name="exp"):
        found = R.get_recorder()
        found.save_objects(**{"pred.pkl": pd.DataFrame({"score": np.arange(6.0)}, INDEX), "facts": {"a": 1}})
        found.save_objects(**{"deep/values.npy": np.arange(4, dtype=np.float32)})
        (project / "note.txt").write_text("as it came")
        found.log_artifact(project / "note.txt")
    return found


def found_in(report: Verification) -> list[tuple[str, str, str]]:
    return [(item.severity, item.kind, Path(item.where).name) for item in report.findings]


def files_of(recorder: Recorder) -> Path:
    return Path(recorder.get_local_dir()) / "artifacts"


def test_a_whole_project_is_whole(recorder):
    report = verify()
    assert report.ok
    assert report.findings == []
    assert (report.runs, report.artifacts) == (1, 4)
    assert report.size == sum(path.stat().st_size for path in files_of(recorder).rglob("*") if path.is_file())


def test_looking_changes_nothing(recorder, project):
    (files_of(recorder) / ".tmp-0123").write_bytes(b"half")

    def state():
        return {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in sorted(project.rglob("*"))}

    before = state()
    verify()
    assert state() == before


def test_a_flipped_bit_a_cut_file_and_a_lost_one_are_errors_with_their_run(recorder):
    folder = files_of(recorder)
    spoiled = bytearray((folder / "pred.parquet").read_bytes())
    spoiled[40] ^= 1
    (folder / "pred.parquet").write_bytes(spoiled)
    (folder / "facts.json").write_bytes((folder / "facts.json").read_bytes()[:-1])
    (folder / "deep" / "values.npy").unlink()
    report = verify()
    assert not report.ok
    assert found_in(report) == [
        ("error", "missing", "values.npy"),
        ("error", "corrupt", "facts.json"),
        ("error", "corrupt", "pred.parquet"),
    ]
    assert all("exp" in item.run and recorder.id[:12] in item.run for item in report.findings)
    assert "SHA-256" in report.findings[2].message
    assert not Path(report.findings[0].where).is_absolute()


@pytest.mark.parametrize("text", ["", "{}", "[1, 2", '{"format": 9, "artifacts": []}'])
def test_a_damaged_manifest_is_an_error(recorder, text):
    (files_of(recorder).parent / "artifacts.json").write_text(text)
    assert found_in(verify()) == [("error", "manifest", "artifacts.json")]


def test_a_finished_run_without_its_manifest_is_an_error_and_its_files_are_told(recorder):
    (files_of(recorder).parent / "artifacts.json").unlink()
    found = found_in(verify())
    assert found[0] == ("error", "manifest", "artifacts.json")
    assert {item[:2] for item in found[1:]} == {("warning", "orphan")}
    assert len(found) == 5


def test_unknown_files_and_drafts_cost_room_and_lose_nothing(recorder, project):
    (files_of(recorder) / "stranger.bin").write_bytes(b"x")
    (files_of(recorder) / "deep" / ".tmp-0123456789abcdef").write_bytes(b"half")
    (project / "results").mkdir()
    (project / "results" / ".tmp-00").write_bytes(b"half")
    report = verify()
    assert report.ok
    assert sorted(found_in(report)) == [
        ("warning", "left over", ".tmp-00"),
        ("warning", "left over", ".tmp-0123456789abcdef"),
        ("warning", "orphan", "stranger.bin"),
    ]


def test_the_drafts_of_a_run_that_works_are_not_told(project):
    with R.start(experiment_name="exp"):
        recorder = R.get_recorder()
        recorder.save_objects(a=1)
        (files_of(recorder) / ".tmp-00").write_bytes(b"half")
        assert found_in(verify()) == []


def test_right_bytes_that_make_no_object_are_an_error(recorder):
    store = recorder.location.files_of(recorder.experiment_id, recorder.id)

    def junk(path: Path) -> None:
        path.write_bytes(b"no such thing")

    kinds = {"parquet": ".parquet", "npy": ".npy", "json": ".json", "dataset": ".json"}
    store.write([
        ArtifactWrite(name=f"bad-{place}", kind=kind, suffix=suffix, fill=junk)
        for place, (kind, suffix) in enumerate(kinds.items())
    ])  # fmt: skip
    report = verify()
    assert {item[:2] for item in found_in(report)} == {("error", "undecodable")}
    assert len(report.findings) == len(kinds)


def test_the_codec_of_an_installed_package_is_not_run_to_look(recorder, monkeypatch):
    def refuse(_kind):
        pytest.fail("its code was asked for")

    store = recorder.location.files_of(recorder.experiment_id, recorder.id)
    store.write([ArtifactWrite(name="crow", kind="bird", suffix=".bird", fill=lambda path: path.write_bytes(b"caw"))])
    for_kind = type(codecs).for_kind
    monkeypatch.setattr(
        type(codecs), "for_kind", lambda self, kind: refuse(kind) if kind == "bird" else for_kind(self, kind)
    )
    report = verify()
    assert report.ok
    assert found_in(report) == [("warning", "not opened", "crow.bird")]
    assert "bird" in report.findings[0].message


def test_an_envelope_is_looked_at_and_not_opened_and_one_signed_by_nobody_known_here_is_no_loss(project):
    with R.start(experiment_name="exp"):
        R.save_objects(**{"third.pkl": Fraction(1, 3)})
    assert verify().findings == []
    Keyring().path.unlink()
    report = verify()
    assert report.ok
    assert found_in(report) == [("warning", "not opened", "third.sealed")]


def test_one_experiment_or_one_run_is_looked_at_alone(recorder):
    with R.start(experiment_name="other"):
        R.save_objects(a=1)
        other = R.get_recorder()
    (files_of(other) / "a.json").unlink()
    assert verify("exp").ok
    assert verify(recorder.id[:8]).runs == 1
    assert not verify("other").ok
    assert not verify().ok
    with pytest.raises(RecorderNotFoundError, match="exq"):
        verify("exq")


def test_a_folder_that_is_no_project_is_refused_and_an_empty_project_is_whole(tmp_path):
    with pytest.raises(ConfigError, match="nothing was recorded"):
        verify(project=tmp_path)
    (tmp_path / ".rollwright").mkdir()
    report = verify(project=tmp_path)
    assert report.ok
    assert report.runs == 0
    assert not list((tmp_path / ".rollwright").iterdir())


def test_the_files_of_an_embedded_pool_and_tracking_store_are_checked(project):
    settings = load_settings(start=project, environ={})
    path = Path(settings.resolve_url(settings.pool.url).removeprefix("sqlite:///"))
    path.parent.mkdir(parents=True, exist_ok=True)
    store = SqliteStore(str(path))
    manager = TaskManager("p", store=store)
    manager.create_task([{"x": number, "padding": "y" * 500} for number in range(200)])
    store.close()
    report = verify()
    assert report.ok
    assert report.databases == 1
    whole = path.read_bytes()
    middle = 4096 * (len(whole) // 8192)
    path.write_bytes(whole[:middle] + bytes(4096) + whole[middle + 4096 :])
    assert ("error", "database", path.name) in found_in(verify())


def test_a_tracking_store_that_is_none_is_told_before_anything_opens_it(tmp_path):
    (tmp_path / "rollwright.toml").write_text('[tracking]\nuri = "sqlite:///runs.db"\n')
    (tmp_path / "runs.db").write_bytes(b"this was a database once" * 500)
    report = verify(project=tmp_path)
    assert found_in(report) == [("error", "database", "runs.db")]
    assert (tmp_path / "runs.db").read_bytes().startswith(b"this was")


def test_a_database_that_a_killed_writer_left_with_its_journal_is_whole(tmp_path):
    made, left = tmp_path / "made.db", tmp_path / ".rollwright" / "mlflow.db"
    left.parent.mkdir()
    with closing(sqlite3.connect(made, isolation_level=None)) as writer:
        writer.execute("CREATE TABLE numbers (x TEXT)")
        writer.executemany("INSERT INTO numbers VALUES (?)", [("a" * 900,)] * 500)
        writer.execute("PRAGMA cache_size = 1")
        writer.execute("BEGIN")
        writer.execute("UPDATE numbers SET x = upper(x)")  # more than the cache holds: half of it is in the file
        shutil.copy(made, left)
        shutil.copy(f"{made}-journal", f"{left}-journal")
    before = {path.name: path.read_bytes() for path in left.parent.iterdir()}
    assert sqlite_problems(left) == []
    assert {path.name: path.read_bytes() for path in left.parent.iterdir()} == before
    damaged = before["mlflow.db"][:4096] + bytes(40960) + before["mlflow.db"][4096 + 40960 :]
    left.write_bytes(damaged)
    Path(f"{left}-journal").unlink()
    assert sqlite_problems(left) != []


def test_runs_that_are_recorded_at_another_place_are_told(tmp_path):
    folder = tmp_path / ".rollwright" / "artifacts" / "1" / "abc"
    folder.mkdir(parents=True)
    (folder / "artifacts.json").write_text("{}")
    report = verify(project=tmp_path)
    assert found_in(report) == [("warning", "orphan", "abc")]
    assert "mlflow.db knows no such run" in report.findings[0].message


def test_the_command_tells_people_and_programs_and_ends_with_4_when_something_is_lost(recorder, capsys):
    assert run(["verify"]) == 0
    assert "1 run, 4 artifacts" in capsys.readouterr().out
    (files_of(recorder) / "note.txt").write_text("as it went")
    assert run(["verify"]) == 4
    captured = capsys.readouterr()
    assert "note.txt" in captured.out
    assert "1 error, 0 warnings" in captured.out
    assert "hint:" in captured.err
    assert run(["verify", "exp", "--json"]) == 4
    document = json.loads(capsys.readouterr().out)
    assert document["ok"] is False
    (finding,) = document["data"]["findings"]
    assert (finding["severity"], finding["kind"]) == ("error", "corrupt")
    assert run(["verify", "nobody"]) == 2
