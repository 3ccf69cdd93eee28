"""File locks between processes: who has one, who died with one, and what a system without them gets."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from rollwright.core import posix
from rollwright.core.locks import FileLock, HeldLock, file_lock, probe_lock, share_file_lock, try_file_lock


def in_child(function):
    """Run `function` in a forked child; return what it returned, a small number."""
    child = os.fork()
    if child == 0:
        os._exit(int(function()))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def is_free(path):
    with try_file_lock(path) as free:
        return free


def test_a_lock_keeps_others_out_until_its_block_ends(tmp_path):
    path = tmp_path / "new" / "lock"
    with file_lock(path):
        assert not is_free(path)
        assert in_child(lambda: not is_free(path))
    assert is_free(path)


def test_a_kept_lock_is_taken_again_without_opening_its_file_again(tmp_path):
    path = tmp_path / "lock"
    lock = FileLock(path)
    for _ in range(2):
        with lock.hold():
            assert not is_free(path)
        assert is_free(path)
    before = lock._handle
    with lock.hold():
        assert lock._handle == before
    lock.close()
    lock.close()
    with lock.hold():
        assert not is_free(path)
    lock.close()


def test_a_held_lock_shows_that_its_process_lives(tmp_path):
    path = tmp_path / "folder" / "sign"
    held = HeldLock(path)
    held.write(b"me")
    assert held.is_held
    assert path.read_bytes() == b"me"
    assert probe_lock(path) is True
    with pytest.raises(FileExistsError):
        HeldLock(path)
    held.release()
    held.release()
    assert not held.is_held
    assert probe_lock(path) is None  # its file is gone


def test_a_held_lock_ends_with_its_process(tmp_path):
    path = tmp_path / "sign"
    code = f"import pathlib, rollwright.core.locks as l; held = l.HeldLock(pathlib.Path({str(path)!r})); print(1)"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    assert probe_lock(path) is False


def test_a_forked_child_neither_holds_nor_releases_its_parents_lock(tmp_path):
    first, second = HeldLock(tmp_path / "first"), tmp_path / "second"

    def child():
        own = HeldLock(second)  # most likely under the number of the parent's descriptor
        own_handle = own._handle
        first.release()
        return first.is_held or not (tmp_path / "first").exists() or probe_lock(second) is not True or own_handle < 0

    assert in_child(child) == 0
    first.release()


def test_a_forked_child_that_lives_on_does_not_pass_for_its_dead_parent(tmp_path):
    path = tmp_path / "sign"
    code = f"""
import os, pathlib, sys
from rollwright.core.locks import HeldLock
held = HeldLock(pathlib.Path({str(path)!r}))
reading, writing = os.pipe()
if os.fork() == 0:
    os.write(writing, b"!")
    sys.stdin.read()
    os._exit(0)
os.read(reading, 1)
os._exit(0)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE) as parent:
        parent.wait()
        assert probe_lock(path) is False
        parent.stdin.close()  # ends the child


def test_sharers_do_not_count_where_only_who_excludes_is_asked_for(tmp_path):
    path = tmp_path / "data"
    path.touch()
    handles = [share_file_lock(path), share_file_lock(path)]
    assert probe_lock(path) is True
    assert probe_lock(path, shared=True) is False
    for handle in handles:
        os.close(handle)
    assert probe_lock(path) is False
    with file_lock(path):
        assert probe_lock(path, shared=True) is True


def test_nothing_is_known_of_a_file_that_is_not_there(tmp_path):
    assert probe_lock(tmp_path / "none") is None
    assert not (tmp_path / "none").exists()


def test_without_locks_nobody_is_known_to_hold_a_file(tmp_path, monkeypatch):
    path = tmp_path / "lock"
    path.touch()
    monkeypatch.setattr(posix, "fcntl", None)
    with FileLock(path).hold():
        assert probe_lock(path) is None
    assert share_file_lock(path) is None
    with pytest.raises(OSError, match="no file locks"), file_lock(path):
        pass


def test_a_filesystem_without_locks_is_no_proof_of_a_death(tmp_path, monkeypatch):
    path = tmp_path / "lock"
    path.touch()

    def refuse(*_arguments):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(posix.fcntl, "flock", refuse)
    assert probe_lock(path) is None
    assert share_file_lock(path) is None


def test_where_nothing_forks_or_has_named_pipes_that_is_told(tmp_path, monkeypatch):
    monkeypatch.delattr(os, "register_at_fork")
    monkeypatch.delattr(os, "mkfifo")
    posix.call_in_forked_child(lambda: None)
    with pytest.raises(OSError, match="no named pipes"):
        posix.make_named_pipe(tmp_path / "pipe")
