"""Files that are whole or absent."""

from __future__ import annotations

import pytest

from rollwright.core.atomic import write_atomically, write_text


def test_a_file_appears_whole_with_its_folders(tmp_path):
    path = tmp_path / "a" / "b.txt"
    write_text(path, "内容")
    assert path.read_text(encoding="utf-8") == "内容"
    assert [item.name for item in path.parent.iterdir()] == ["b.txt"]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "folder" / "b.txt"
    write_text(path, "old")

    def fail(partial):
        partial.write_text("half")
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        write_atomically(path, fail)
    assert path.read_text() == "old"
    assert [item.name for item in path.parent.iterdir()] == ["b.txt"]


def test_the_writer_sees_a_name_beside_the_target(tmp_path):
    seen = []
    write_atomically(tmp_path / "c.bin", lambda partial: (seen.append(partial), partial.write_bytes(b"x")))
    assert seen[0].parent == tmp_path
    assert seen[0].name != "c.bin"
