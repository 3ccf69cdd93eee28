"""Artifacts at an address: complete or absent there too, verified when they are read, with bounded patience."""

from __future__ import annotations

import json
import logging
import os
import threading
import uuid

import pytest

pytest.importorskip("s3fs", reason='pip install "rollwright[s3]"')

import s3_server
from rollwright.config.settings import load_settings
from rollwright.core.clock import SystemClock
from rollwright.errors import (
    ArtifactNotFoundError,
    ArtifactStorageError,
    ConfigError,
    CorruptArtifactError,
)
from rollwright.tracking import remote_files
from rollwright.tracking.artifacts import ArtifactWrite, LocalArtifactStore
from rollwright.tracking.remote_artifacts import RemoteArtifactStore
from rollwright.tracking.remote_files import RemoteFiles


def item(name, text, *, kind="json", suffix=".json"):
    return ArtifactWrite(name=name, kind=kind, suffix=suffix, fill=lambda path: path.write_text(text))


def text_of(store, name):
    with store.open_reader(name) as handle:
        return handle.read().decode()


@pytest.fixture(scope="module")
def server():
    with s3_server.running() as found:
        yield found


@pytest.fixture
def s3(server, monkeypatch):
    """Return the server, empty, with the environment that a client finds it by."""
    server.objects.clear()
    server.buckets = {s3_server.BUCKET}
    server.fault = None
    server.requests.clear()
    for name, value in server.environment().items():
        monkeypatch.setenv(name, value)
    return server


class PatientClock(SystemClock):
    """A clock on which sleeping costs nothing but is counted."""

    def __init__(self):
        self.slept = 0.0

    def monotonic(self):
        return self.slept

    def sleep(self, seconds):
        self.slept += seconds


OPENED: dict[object, object] = {}


def open_once(scheme):
    """Return the file system of a scheme: opening one of S3 costs a second of many tests."""
    key = (scheme, os.getpid(), os.environ.get("AWS_ENDPOINT_URL"))
    if key not in OPENED:
        OPENED[key] = remote_files._open_store(scheme)
    return OPENED[key]


def remote_at(address, patience=60.0, *, anew=False):
    return RemoteFiles(address, patience=patience, clock=PatientClock(), open_store=None if anew else open_once)


@pytest.fixture(params=["folder", "memory", "s3"])
def machines(request, tmp_path):
    """Return a function that opens one run's artifacts as a machine of its own does."""
    if request.param == "folder":
        return lambda _name: LocalArtifactStore(tmp_path / "shared" / "1" / "run")
    if request.param == "memory":
        address = f"memory://{uuid.uuid4().hex}/runs"
    else:
        request.getfixturevalue("s3")
        address = "s3://house/runs"
    remote_at(address).mark()
    return lambda name: RemoteArtifactStore(remote_at(address), "1/run", tmp_path / name / "1" / "run", marked=True)


class TestConformance:
    def test_what_one_machine_writes_another_lists_and_reads(self, machines):
        refs = machines("a").write([
            item("a.pkl", "A"), item("deep/b.pkl", "B"), item("raw.txt", "C", kind="file", suffix="")
        ])  # fmt: skip
        there = machines("b")
        assert [ref.name for ref in there.list()] == [ref.name for ref in refs] == ["a.pkl", "deep/b.pkl", "raw.txt"]
        assert [ref.name for ref in there.list("deep")] == ["deep/b.pkl"]
        assert [text_of(there, ref.name) for ref in there.list()] == ["A", "B", "C"]
        assert there.verify_all(["a.pkl", "raw.txt"])
        assert not there.unlisted()

    def test_an_empty_run_has_nothing_and_makes_nothing(self, machines):
        store = machines("a")
        assert store.list() == []
        with pytest.raises(ArtifactNotFoundError, match="none at all"):
            store.local_path("a")
        assert not store.folder.exists()

    def test_a_new_version_is_seen_by_who_read_the_old_one_and_leaves_no_litter(self, machines):
        writer, reader = machines("a"), machines("b")
        for text in ("1", "2", "2", "3"):
            writer.write([item("a.pkl", text)])
            assert text_of(reader, "a.pkl") == text
            assert not reader.unlisted()

    def test_names_that_would_share_a_file_do_not(self, machines):
        machines("a").write([item("a.pkl", "1"), item("a", "2"), item("a.json", "3")])
        assert [text_of(machines("b"), name) for name in ("a.pkl", "a", "a.json")] == ["1", "2", "3"]

    def test_an_artifact_may_be_empty(self, machines):
        machines("a").write([item("a", "", kind="file", suffix="")])
        assert text_of(machines("b"), "a") == ""

    def test_deleting_removes_the_entry_and_the_file_on_a_machine_that_never_read_it(self, machines):
        machines("a").write([item("a", "1"), item("b", "2")])
        machines("b").delete("a")
        assert [ref.name for ref in machines("a").list()] == ["b"]
        assert not machines("a").unlisted()
        with pytest.raises(ArtifactNotFoundError, match="has no artifact 'a'"):
            machines("b").delete("a")

    def test_writers_on_two_machines_add_to_the_same_run(self, machines):
        machines("a").write([item("a", "1")])
        machines("b").write([item("b", "2")])
        machines("a").write([item("c", "3")])
        assert [text_of(machines("d"), ref.name) for ref in machines("d").list()] == ["1", "2", "3"]

    def test_the_later_value_of_two_machines_stands_whole(self, machines):
        machines("a").write([item("a", "of a")])
        machines("b").write([item("a", "of b")])
        assert text_of(machines("a"), "a") == text_of(machines("b"), "a") == "of b"


@pytest.fixture
def run(s3, tmp_path):
    """Return a function that opens the run as a machine does, with an address in S3."""
    remote_at("s3://house/runs").mark()

    def open_run(name, patience=60.0, *, anew=False):
        remote = remote_at("s3://house/runs", patience, anew=anew)
        return RemoteArtifactStore(remote, "1/run", tmp_path / name / "1" / "run", marked=True)

    return open_run


def key_of(s3, end):
    (found,) = [key for key in s3.objects if key.endswith(end)]
    return found


class TestDamage:
    @pytest.mark.parametrize("change", ["flipped", "shorter", "longer", "empty", "gone"])
    def test_an_object_that_is_not_what_was_written_is_never_given(self, s3, run, change):
        run("a").write([item("a.pkl", "x" * 100)])
        key = next(key for key in s3.objects if "/artifacts/" in key)
        data = s3.objects[key]
        changed = {
            "flipped": bytes([data[0] ^ 1]) + data[1:], "shorter": data[:50], "longer": data + b"y", "empty": b"",
        }  # fmt: skip
        if change == "gone":
            del s3.objects[key]
        else:
            s3.objects[key] = changed[change]
        there = run("b")
        with pytest.raises(CorruptArtifactError, match=r"artifact .a\.pkl") as caught:
            there.local_path("a.pkl")
        assert caught.value.gone is (change == "gone")
        assert not any(path.is_file() for path in (there.files).rglob("*"))
        with pytest.raises(CorruptArtifactError):
            run("a").verify(run("a").list()[0])  # although this machine has a sound copy
        if change != "flipped":
            with pytest.raises(CorruptArtifactError):
                run("a").verify_all(["a.pkl"])

    def test_a_damaged_copy_is_fetched_again(self, s3, run):
        run("a").write([item("a.pkl", "whole")])
        path, _ = run("b").local_path("a.pkl")
        path.write_text("wrong")
        assert text_of(run("b"), "a.pkl") == "whole"

    def test_copies_may_be_removed_at_any_time(self, s3, run):
        store = run("a")
        store.write([item("a.pkl", "whole")])
        for path in store.folder.rglob("*"):
            if path.is_file():
                path.unlink()
        assert text_of(store, "a.pkl") == "whole"

    @pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 1, "artifacts": [], "seal": "0"}', "\udcff"])
    def test_a_damaged_manifest_is_told_and_no_empty_run(self, s3, run, text):
        run("a").write([item("a.pkl", "A")])
        s3.objects[key_of(s3, "artifacts.json")] = text.encode("utf-8", "surrogateescape")
        with pytest.raises(CorruptArtifactError):
            run("b").list()

    def test_a_manifest_never_leads_out_of_the_folder(self, s3, run, tmp_path):
        run("a").write([item("a.pkl", "A")])
        key = key_of(s3, "artifacts.json")
        s3.objects[key] = s3.objects[key].replace(b'"a.pkl"', b'"../../../a"')
        with pytest.raises(CorruptArtifactError):
            run("b").list()
        assert not (tmp_path / "b" / "a").exists()


def texts(store):
    return [text_of(store, name) for name in ("x", "y")]


class TestWholeOrAbsent:
    @pytest.mark.parametrize("status", [500, "cut"])
    @pytest.mark.parametrize("step", range(4))
    def test_a_set_that_ends_at_any_request_is_not_taken_for_whole(self, s3, run, step, status):
        run("a").write([item("x", "old x"), item("y", "old y")])
        writes = iter(range(100))
        s3.fault = lambda method, _: status if method != "GET" and next(writes) >= step else None
        if step < 3:  # two files, and the manifest
            with pytest.raises(ArtifactStorageError):
                run("a", patience=0).write([item("x", "new x"), item("y", "new y")])
        else:  # it is stored, and the former files are not removed
            run("a", patience=0).write([item("x", "new x"), item("y", "new y")])
        s3.fault = None
        assert texts(run("b")) == (["old x", "old y"] if step < 3 else ["new x", "new y"])
        assert len(run("b").unlisted()) == (step if step < 3 else 2)
        run("a").write([item("x", "new x"), item("y", "new y")])
        assert texts(run("b")) == ["new x", "new y"]

    def test_a_worker_that_lost_its_task_damages_nothing_of_its_successor(self, s3, run):
        successor = run("b")

        def overtake(method, _):
            if method == "PUT":  # the first file of the stale worker is on its way
                s3.fault = lambda later, path: 500 if later == "PUT" and path.endswith("artifacts.json") else None
                held, s3.fault = s3.fault, None
                successor.write([item("x", "of the successor")])
                s3.fault = held

        s3.fault = overtake
        with pytest.raises(ArtifactStorageError):  # killed before its manifest, as it were
            run("a", patience=0).write([item("x", "of the stale one")])
        s3.fault = None
        assert text_of(run("c"), "x") == "of the successor"

    def test_a_request_that_fails_some_times_is_repeated(self, s3, run):
        refusals = iter([503, "cut", 500])
        s3.fault = lambda *_: next(refusals, None)
        run("a").write([item("x", "1")])
        refusals = iter([503, "cut", 500])
        assert text_of(run("b"), "x") == "1"

    @pytest.mark.parametrize("method", ["GET", "PUT"])
    def test_a_store_that_says_nothing_holds_nobody_for_ever(self, s3, run, method):
        s3.fault = lambda asked, _: "hang" if asked == method else None
        try:
            with pytest.raises(ArtifactStorageError, match="did not answer"):
                run("a", patience=0).write([item("x", "1")])
        finally:
            s3.released.set()
            s3.released = threading.Event()

    def test_patience_ends_with_the_address_and_the_setting_in_the_error(self, s3, run):
        s3.fault = lambda *_: 503
        with pytest.raises(ArtifactStorageError, match=r"s3://house/runs/1/run.*did not answer for 5\d s") as caught:
            run("a").list()
        assert "tracking.artifacts_patience" in caught.value.hint
        assert caught.value.is_away


class TestAway:
    def test_wrong_credentials_are_told_at_once_and_never_shown(self, s3, run, monkeypatch, caplog):
        caplog.set_level(logging.DEBUG, logger="rollwright")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAWRONG00000000000")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong-but-secret")
        store = run("a", anew=True)
        with pytest.raises(ArtifactStorageError, match="refused to these credentials") as caught:
            store.list()
        assert "AWS_ACCESS_KEY_ID" in caught.value.hint
        assert store._remote._clock.slept == 0
        assert "wrong-but-secret" not in f"{caught.value}{caplog.text}"

    def test_no_credentials_are_told_at_once(self, s3, run, monkeypatch):
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.delenv(name)
        with pytest.raises(ArtifactStorageError, match="or there are none"):
            run("a", anew=True).list()

    def test_a_bucket_that_is_not_there_is_no_run_without_artifacts(self, s3, run):
        run("a").write([item("a.pkl", "A")])
        s3.buckets.clear()
        with pytest.raises(ArtifactStorageError, match="not even their mark"):
            run("b").list()
        with pytest.raises(ArtifactStorageError):
            run("b").write([item("a.pkl", "A")])

    def test_an_address_without_the_mark_is_another_one(self, s3, run):
        run("a").write([item("a.pkl", "A")])
        s3.objects.clear()
        with pytest.raises(ArtifactStorageError, match="holds no files of runs"):
            run("a").local_path("a.pkl")

    def test_nothing_is_there_where_nobody_listens(self, s3, run, monkeypatch):
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        with pytest.raises(ArtifactStorageError, match="did not answer"):
            run("a", patience=0, anew=True).list()


class TestLargeFiles:
    def test_a_file_of_several_pieces_comes_whole(self, s3, run, monkeypatch):
        monkeypatch.setattr("rollwright.tracking.remote_files._PIECE", 1000)
        for length in (999, 1000, 1001, 2500, 3000):
            text = "".join(str(number % 10) for number in range(length))
            run("a").write([item("x", text)])
            assert text_of(run(f"b{length}"), "x") == text


class TestStoresWithoutWholeObjects:
    def test_a_file_gets_its_name_when_all_of_it_is_there(self, tmp_path):
        from fsspec.implementations.local import LocalFileSystem  # noqa: PLC0415 - the extra

        seen = []

        class Watched(LocalFileSystem):
            def put_file(self, here, there, **options):
                seen.append(there)
                super().put_file(here, there, **options)

        remote = RemoteFiles(f"sftp://{tmp_path}/far", patience=0, open_store=lambda _: Watched())
        remote._path = lambda _store, key: str(tmp_path / "far" / key)
        source = tmp_path / "source"
        source.write_text("all of it")
        remote.put(source, "deep/x")
        assert ".part-" in seen[0]
        assert [path.name for path in (tmp_path / "far" / "deep").iterdir()] == ["x"]
        assert (tmp_path / "far" / "deep" / "x").read_text() == "all of it"


class TestAddresses:
    @pytest.mark.parametrize(
        ("text", "why"),
        [
            ("s3://key:secret@bucket/x", "login"),
            ("s3://token@bucket/x", "login"),
            ("s3://", "no address"),
            ("s3://bucket/../x", "no address"),
            ("s3://bucket//x", "no address"),
            ("s3://bucket/x?y=1", "no address"),
            ("s3://bucket/a b", "no address"),
            ("simplecache::s3://bucket/x", "no address"),
            ("https://example.com/x", "nothing can be written"),
        ],
    )
    def test_what_is_no_address_of_files_is_refused_when_it_is_set(self, tmp_path, text, why):
        with pytest.raises(ConfigError, match=why) as caught:
            load_settings({"tracking.artifacts": text}, start=tmp_path, environ={})
        assert "secret@" not in str(caught.value)

    def test_a_kind_that_nothing_installed_stores_is_told(self, tmp_path):
        with pytest.raises(ConfigError, match="nothing installed here stores files at nowhere"):
            RemoteFiles("nowhere://x", patience=0).fetch_text("y")

    def test_copies_lie_in_the_project(self, tmp_path):
        settings = load_settings({"tracking.artifacts": "s3://house/x/"}, start=tmp_path, environ={})
        assert settings.artifact_address == "s3://house/x"
        assert settings.artifact_folder.parent == tmp_path / ".rollwright" / "copies"
        plain = load_settings({"tracking.artifacts": "file:///a/b"}, start=tmp_path, environ={})
        assert plain.artifact_address is None
        assert str(plain.artifact_folder) == "/a/b"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="slots are forked")
def test_a_forked_process_has_connections_of_its_own(s3, run):
    store = run("a")
    store.write([item("a", "1")])
    read, write = os.pipe()
    child = os.fork()
    if not child:
        try:
            store.write([item("b", "2")])
            os.write(write, json.dumps([ref.name for ref in store.list()]).encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    os.close(write)
    assert json.loads(os.read(read, 1000)) == ["a", "b"]
    os.close(read)
    assert [ref.name for ref in store.list()] == ["a", "b"]
