"""I17: artifacts are whole or absent, and what is read is what was written."""

import json
import os
import stat
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollwright.core import atomic
from rollwright.core.locks import probe_lock
from rollwright.errors import ArtifactNotFoundError, ArtifactStorageError, CorruptArtifactError, RecordError
from rollwright.tracking import artifacts
from rollwright.tracking.artifacts import ArtifactWrite, LocalArtifactStore, check_artifact_name
from rollwright.tracking.r import R


def item(name, text, *, kind="json", suffix=".json"):
    return ArtifactWrite(name=name, kind=kind, suffix=suffix, fill=lambda path: path.write_text(text))


def text_of(store, name):
    with store.open_reader(name) as handle:
        return handle.read().decode()


def everything_in(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def store(tmp_path):
    return LocalArtifactStore(tmp_path / "1" / "run")


def test_what_is_written_is_listed_and_read(store):
    refs = store.write([item("a.pkl", "A"), item("deep/b.pkl", "B"), item("raw.txt", "C", kind="file", suffix="")])
    assert [ref.file for ref in refs] == ["a.json", "deep/b.json", "raw.txt"]
    assert [ref.name for ref in store.list()] == ["a.pkl", "deep/b.pkl", "raw.txt"]
    assert [ref.name for ref in store.list("deep")] == ["deep/b.pkl"]
    assert [text_of(store, ref.name) for ref in store.list()] == ["A", "B", "C"]
    assert everything_in(store.folder) == [
        "artifacts.json", "artifacts.lock", "artifacts/a.json", "artifacts/deep/b.json", "artifacts/raw.txt"
    ]  # fmt: skip


def test_an_empty_run_has_nothing_and_makes_nothing(store):
    assert store.list() == []
    with pytest.raises(ArtifactNotFoundError, match="none at all"):
        store.local_path("a")
    assert not store.folder.exists()


def test_an_absent_artifact_is_named_with_the_nearest(store):
    store.write([item("pred.pkl", "A")])
    with pytest.raises(ArtifactNotFoundError, match=r"did you mean 'pred.pkl'"):
        store.local_path("pred.pk")


def test_names_that_would_share_a_file_do_not(store):
    store.write([item("a.pkl", "1"), item("a", "2"), item("a.json", "3")])
    assert [text_of(store, name) for name in ("a.pkl", "a", "a.json")] == ["1", "2", "3"]


def test_a_new_version_replaces_the_old_one_and_leaves_no_litter(store):
    for text in ("1", "2", "2", "3"):
        store.write([item("a.pkl", text)])
        assert text_of(store, "a.pkl") == text
        assert len(everything_in(store.files)) == 1


def test_deleting_removes_the_entry_and_the_file(store):
    store.write([item("a", "1"), item("b", "2")])
    store.delete("a")
    assert [ref.name for ref in store.list()] == ["b"]
    assert everything_in(store.files) == ["b.json"]
    with pytest.raises(ArtifactNotFoundError, match="has no artifact 'a'"):
        store.delete("a")


def test_an_artifact_is_removed_under_the_lock_that_writers_take(store, monkeypatch):
    store.write([item("a", "1"), item("b", "2")])
    replace = LocalArtifactStore._replace_manifest
    held = []

    def watched(self, entries):
        held.append(probe_lock(store.folder / "artifacts.lock"))
        return replace(self, entries)

    monkeypatch.setattr(LocalArtifactStore, "_replace_manifest", watched)
    store.delete("a")
    store.write([item("c", "3")])
    assert held == [True, True]
    assert probe_lock(store.folder / "artifacts.lock") is False


def test_every_flipped_bit_is_detected(store):
    store.write([item("a.pkl", "a small artifact")])
    path = store.files / "a.json"
    whole = path.read_bytes()
    for place in range(len(whole) * 8):
        broken = bytearray(whole)
        broken[place // 8] ^= 1 << place % 8
        path.write_bytes(broken)
        with pytest.raises(CorruptArtifactError, match="SHA-256"):
            store.local_path("a.pkl")
    path.write_bytes(whole)
    assert text_of(store, "a.pkl") == "a small artifact"


def test_every_other_length_is_detected(store):
    store.write([item("a.pkl", "a small artifact")])
    path = store.files / "a.json"
    whole = path.read_bytes()
    for broken in (*(whole[:length] for length in range(len(whole))), whole + b"x"):
        path.write_bytes(broken)
        with pytest.raises(CorruptArtifactError, match="bytes"):
            store.open_reader("a.pkl")
    path.unlink()
    with pytest.raises(CorruptArtifactError, match="gone"):
        store.open_reader("a.pkl")


def test_a_manifest_with_any_bit_flipped_gives_a_typed_error_or_the_same_entries(store):
    store.write([item("a.pkl", "text")])
    before = store.list()
    path = store.folder / "artifacts.json"
    whole = path.read_bytes()
    harmless = 0
    with path.open("r+b", buffering=0) as file:
        for place in range(len(whole) * 8):
            file.seek(place // 8)
            file.write(bytes([whole[place // 8] ^ 1 << place % 8]))
            try:
                assert store.list() == before
                harmless += 1  # white space, or the word `seal` itself
            except CorruptArtifactError:
                pass
            file.seek(place // 8)
            file.write(whole[place // 8 : place // 8 + 1])
        assert harmless < 8 * (whole.count(b" ") + whole.count(b"\n") + len("seal"))
        for length in reversed(range(len(whole) - 1)):
            file.truncate(length)
            with pytest.raises(CorruptArtifactError, match=r"the manifest .* is not"):
                store.list()


def test_a_manifest_from_before_there_was_a_seal_is_followed(store):
    store.write([item("a.pkl", "text")])
    path = store.folder / "artifacts.json"
    document = json.loads(path.read_text())
    del document["seal"]
    path.write_text(json.dumps(document))
    assert text_of(store, "a.pkl") == "text"
    store.write([item("b.pkl", "more")])
    assert "seal" in json.loads(path.read_text())


@pytest.mark.parametrize(
    "text",
    [
        "", "null", "[]", "{}", '{"format": 2, "artifacts": []}', '{"format": 1, "artifacts": [1]}',
        '{"format": 1, "artifacts": [{"name": "a"}]}', "[" * 100_000,
        '{"format": 1, "artifacts": [{"name": "a", "file": "../../x", "kind": "json", "sha256": "%s", "length": 1}]}'
        % ("0" * 64),
        '{"format": 1, "artifacts": [{"name": "a", "file": "/etc/x", "kind": "json", "sha256": "%s", "length": 1}]}'
        % ("0" * 64),
        '{"format": 1, "artifacts": [{"name": "a", "file": "a", "kind": "json", "sha256": "x", "length": 1}]}',
        '{"format": 1, "artifacts": [{"name": "a", "file": 1, "kind": "json", "sha256": "x", "length": 1}]}',
    ],
)  # fmt: skip
def test_a_manifest_that_is_none_is_corrupt(store, text):
    store.write([item("a", "1")])
    (store.folder / "artifacts.json").write_text(text)
    with pytest.raises(
        CorruptArtifactError, match=r"the manifest .* (is not readable|holds entries this version cannot follow)"
    ):
        store.list()


@pytest.mark.parametrize(
    "name",
    [
        "", ".", "..", "../x", "a/../b", "/etc/passwd", "a//b", "a/", "a\x00b", "a\\b", "a\nb", "x" * 300, "C:/x",
        "\ud800", "a/./b", ".tmp-0123", 3, None,
    ],
)  # fmt: skip
def test_a_name_that_leads_elsewhere_is_refused(store, name, tmp_path):
    with pytest.raises(RecordError, match="no path below"):
        store.write([item(name, "x")])
    with pytest.raises(RecordError, match="no path below"):
        store.local_path(name)
    assert everything_in(tmp_path) == []


@given(st.text())
def test_a_name_that_is_taken_stays_below(name):
    root = Path("/run/artifacts")
    try:
        check_artifact_name(name)
    except RecordError:
        return
    assert Path(os.path.normpath(root / name)).is_relative_to(root)
    assert Path(os.path.normpath(root / name)) != root


def test_a_link_out_of_the_folder_is_not_followed(store, tmp_path):
    (tmp_path / "outside").mkdir()
    store.write([item("a", "1")])
    (store.files / "deep").symlink_to(tmp_path / "outside")
    with pytest.raises(CorruptArtifactError, match="leads out"):
        store.write([item("deep/x", "1")])
    assert everything_in(tmp_path / "outside") == []
    (tmp_path / "outside/secret").write_text("1")
    (store.files / "a.json").unlink()
    (store.files / "a.json").symlink_to(tmp_path / "outside/secret")
    with pytest.raises(CorruptArtifactError, match="gone"):
        store.open_reader("a")


class Killed(BaseException):
    """Stands for the process ending here: nothing after it runs, not even handlers for errors."""


POINTS = ["fill", "fsync file", "rename file", "fsync folder", "fsync manifest", "rename manifest", "discard"]


def killed_at(monkeypatch, point):
    """Make the store die at one point of a write."""
    fsync, replace = os.fsync, Path.replace
    seen = []

    def dying_fsync(handle):
        seen.append("folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file")
        files = seen.count("file")
        at = "fsync folder" if seen[-1] == "folder" else {1: "fsync file", 2: "fsync manifest"}[files]
        if point == at and files:
            raise Killed(point)
        fsync(handle)

    def dying_replace(self, target):
        if point == ("rename manifest" if Path(target).name == "artifacts.json" else "rename file"):
            raise Killed(point)
        return replace(self, target)

    def dying_discard(self, files):
        if point == "discard":
            raise Killed(point)

    monkeypatch.setattr(os, "fsync", dying_fsync)
    monkeypatch.setattr(Path, "replace", dying_replace)
    monkeypatch.setattr(LocalArtifactStore, "_discard", dying_discard)
    # A process that is killed removes nothing either.
    monkeypatch.setattr(atomic, "draft_of", partial(_kept, atomic.draft_of))


class _kept:
    """A temporary file that stays when its writer is killed."""

    def __init__(self, original, path):
        self.draft = path.with_name(f".tmp-{len(list(path.parent.iterdir()))}")

    def __enter__(self):
        return self.draft

    def __exit__(self, *args):
        return None


@pytest.mark.parametrize("existing", [False, True])
@pytest.mark.parametrize("point", POINTS)
def test_a_write_killed_at_any_point_leaves_the_old_or_the_new(store, point, existing):
    before = {}
    if existing:
        store.write([item("a.pkl", "old"), item("b.pkl", "kept")])
        before = {"a.pkl": "old", "b.pkl": "kept"}

    def fill(path):
        path.write_text("ne")
        if point == "fill":
            raise Killed(point)
        path.write_text("new")

    with pytest.MonkeyPatch.context() as patch:
        killed_at(patch, point)
        with pytest.raises(Killed):
            store.write([ArtifactWrite(name="a.pkl", kind="json", suffix=".json", fill=fill)])
    after = LocalArtifactStore(store.folder)
    found = {ref.name: text_of(after, ref.name) for ref in after.list()}
    assert found in (before, {**before, "a.pkl": "new"})
    assert (found.get("a.pkl") == "new") == (point == "discard")
    after.write([item("a.pkl", "newer")])
    assert text_of(after, "a.pkl") == "newer"
    assert not list(store.folder.rglob(".tmp-*"))
    assert {ref.name for ref in after.list()} == {*before, "a.pkl"}


@pytest.mark.parametrize("broken", ["os.fsync", "pathlib.Path.replace"])
def test_m19_a_write_that_fails_leaves_no_temporary_file(store, monkeypatch, broken):
    store.write([item("a.pkl", "old")])
    listed = everything_in(store.folder)

    def full(*args):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(broken, full)
        with pytest.raises(ArtifactStorageError, match=r"cannot store 'b.pkl' in .*No space") as caught:
            store.write([item("b.pkl", "new")])
    assert caught.value.exit_code == 3
    assert everything_in(store.folder) == listed
    assert [ref.name for ref in store.list()] == ["a.pkl"]


def test_several_objects_are_there_together_or_not_at_all(store):
    def fail(path):
        raise ValueError("the second cannot be written")

    store.write([item("b", "0")])
    with pytest.raises(ValueError, match="second"):
        store.write([item("a", "1"), ArtifactWrite(name="b", kind="json", suffix=".json", fill=fail)])
    assert {ref.name: text_of(store, ref.name) for ref in store.list()} == {"b": "0"}
    assert everything_in(store.files) == ["b.json"]


def test_a_folder_that_refuses_is_a_matter_of_the_environment(store, monkeypatch):
    store.write([item("a", "1")])

    def refused(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refused)
    for ask in (lambda: store.local_path("a"), store.list, lambda: store.delete("a")):
        with pytest.raises(ArtifactStorageError, match="Permission denied"):
            ask()


def test_a_file_to_copy_that_is_gone_says_so_itself(store, tmp_path):
    lost = ArtifactWrite(name="x", kind="file", suffix="", fill=lambda path: (tmp_path / "none").read_bytes())
    with pytest.raises(FileNotFoundError, match="none"):
        store.write([lost])
    assert store.list() == []


def test_the_manifest_says_what_an_outsider_needs(store):
    store.write([item("pred.pkl", "text")])
    document = json.loads((store.folder / "artifacts.json").read_text())
    assert document == {
        "format": 1,
        "artifacts": [
            {
                "name": "pred.pkl",
                "file": "pred.json",
                "kind": "json",
                "sha256": "982d9e3eb996f559e633f4d194def3761d909f5a3b647d1a851fead67c32c9d1",
                "length": 4,
            }
        ],
        "seal": "34e23629671a1de680a243885d1bcdf54dd9c8c6379dba86a05240053964b20c",
    }


class TestDeferred:
    """A run that is being recorded flushes nothing, and everything once before it ends."""

    @pytest.fixture
    def flushed(self, monkeypatch):
        told = []
        monkeypatch.setattr(atomic, "sync_file", lambda path: told.append(("file", Path(path).name)))
        monkeypatch.setattr(atomic, "sync_folder", lambda path: told.append(("folder", Path(path).name)))
        monkeypatch.setattr(artifacts, "sync_folder", lambda path: told.append(("folder", Path(path).name)))
        return told

    @pytest.mark.parametrize("whole", [True, False])
    def test_everything_is_flushed_once_when_it_is_asked_for(self, tmp_path, flushed, monkeypatch, whole):
        asked = []
        monkeypatch.setattr(atomic, "sync_filesystem", lambda folder: (asked.append(folder), whole)[1])
        store = LocalArtifactStore(tmp_path / "root" / "1" / "run", root=tmp_path / "root")
        store.defer()
        for name in ("a", "sub/b", "a"):
            store.write([ArtifactWrite(name=name, kind="file", suffix="", fill=lambda path: path.write_bytes(b"x"))])
        assert (flushed, asked) == ([], [])
        assert text_of(store, "sub/b") == "x"
        store.sync()
        store.sync()
        assert asked == [tmp_path / "root" / "1" / "run"]
        files = {name for kind, name in flushed if kind == "file"}
        folders = [name for kind, name in flushed if kind == "folder"]
        if whole:
            assert flushed == []
        else:
            assert files >= {"b", "artifacts.json"}
            assert folders == ["sub", "artifacts", "run", "1", "root"]
        store.write([ArtifactWrite(name="c", kind="file", suffix="", fill=lambda path: path.write_bytes(b"x"))])
        assert flushed.count(("folder", "run")) >= 1  # from now on each write is flushed

    def test_what_another_recording_left_is_never_replaced_by_what_is_not_flushed(self, tmp_path, flushed):
        item = ArtifactWrite(name="a", kind="file", suffix="", fill=lambda path: path.write_bytes(b"x"))
        LocalArtifactStore(tmp_path / "run").write([item])
        flushed.clear()
        again = LocalArtifactStore(tmp_path / "run")
        again.defer()
        again.write([item])
        assert ("folder", "run") in flushed

    def test_a_disk_that_refuses_at_the_end_fails_the_run(self, memory_project, name, monkeypatch):
        def refuse(*_, **__):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(artifacts, "sync_tree", refuse)
        with pytest.raises(ArtifactStorageError, match="No space left"), R.start(experiment_name=name) as recorder:
            R.save_objects(a=1)
        assert recorder.status == "FAILED"
        assert R.get_recorder(recorder_id=recorder.id, experiment_name=name).status == "FAILED"
