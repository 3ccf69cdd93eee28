from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from rollwright.core.bounded_read import open_regular, read_rest, read_text, read_whole


def test_a_file_of_just_the_limit_is_read(tmp_path):
    (tmp_path / "x").write_bytes(b"12345")
    assert read_whole(tmp_path / "x", limit=5) == b"12345"
    assert read_whole(tmp_path / "x", limit=6) == b"12345"


def test_a_file_one_byte_longer_is_refused(tmp_path):
    (tmp_path / "x").write_bytes(b"12345")
    with pytest.raises(OSError, match="larger than 4 bytes") as caught:
        read_whole(tmp_path / "x", limit=4)
    assert (caught.value.errno, caught.value.filename) == (errno.EFBIG, str(tmp_path / "x"))


def test_a_file_that_grows_while_it_is_read_is_read_to_its_end_up_to_the_limit(tmp_path, monkeypatch):
    path = tmp_path / "x"
    path.write_bytes(b"12345")
    small = os.stat_result((0o100600, 0, 0, 1, 0, 0, 2, 0, 0, 0))
    monkeypatch.setattr(os, "fstat", lambda _: small)  # the size of a moment ago
    assert read_whole(path, limit=5) == b"12345"
    with pytest.raises(OSError, match="larger than 4 bytes"):
        read_whole(path, limit=4)


def test_the_kernels_files_which_state_no_size_are_read(tmp_path):
    path = Path("/proc/self/status")
    if not path.exists():
        pytest.skip("no /proc here")
    assert b"Name:" in read_whole(path, limit=1 << 16)
    with pytest.raises(OSError, match="larger than 10 bytes"):
        read_whole(path, limit=10)


def test_the_rest_of_a_file_counts_from_where_it_stands(tmp_path):
    (tmp_path / "x").write_bytes(b"12345")
    with open_regular(tmp_path / "x") as file:
        file.seek(3)
        assert read_rest(file, limit=2) == b"45"
    with open_regular(tmp_path / "x") as file:
        file.seek(9)
        assert read_rest(file, limit=2) == b""


def test_a_link_is_followed_unless_it_may_not_be(tmp_path):
    (tmp_path / "x").write_bytes(b"1")
    (tmp_path / "link").symlink_to(tmp_path / "x")
    assert read_whole(tmp_path / "link", limit=1) == b"1"
    with pytest.raises(OSError, match="symbolic links"):
        open_regular(tmp_path / "link", follow=False)


def test_what_is_no_file_is_refused_and_nothing_stays_open(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    before = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(OSError, match="not a regular file"):
            open_regular(path)
    with pytest.raises(IsADirectoryError):
        open_regular(tmp_path)
    with pytest.raises(FileNotFoundError):
        open_regular(tmp_path / "none")
    assert before in (0, len(os.listdir("/proc/self/fd")))


def test_text_has_the_line_ends_that_python_gives(tmp_path):
    (tmp_path / "x").write_bytes("a\r\nb\rc\nü".encode())
    assert read_text(tmp_path / "x", limit=99) == (tmp_path / "x").read_text(encoding="utf-8") == "a\nb\nc\nü"
