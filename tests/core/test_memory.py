"""The memory guard: the system's own numbers, and no opinion where there are none."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from rollwright.core.memory import MemoryGuard, memory_share, process_memory

MEMINFO = "MemTotal:       16000 kB\nMemFree:          900 kB\nMemAvailable:    4000 kB\nHugePages_Total:  0\n"


@pytest.fixture
def system(tmp_path: Path):
    proc, cgroup = tmp_path / "proc", tmp_path / "cgroup"
    proc.mkdir()
    cgroup.mkdir()
    (proc / "meminfo").write_text(MEMINFO)
    return proc, cgroup


def limited(cgroup: Path, *, limit: str, used: int, cached: int = 0) -> None:
    (cgroup / "memory.max").write_text(f"{limit}\n")
    (cgroup / "memory.current").write_text(f"{used}\n")
    (cgroup / "memory.stat").write_text(f"anon 1\ninactive_file {cached}\n")


def test_what_a_new_process_could_have_is_free(system) -> None:
    proc, cgroup = system
    assert memory_share(proc=proc, cgroup=cgroup) == pytest.approx(0.75)


@pytest.mark.parametrize(
    ("limit", "used", "cached", "share"),
    [
        ("1000", 950, 0, 0.95),
        ("1000", 950, 500, 0.75),
        ("1000", 100, 0, 0.75),
        ("max", 950, 0, 0.75),
        ("x", 9, 0, 0.75),
    ],
)
def test_a_containers_own_limit_counts_when_it_is_nearer(system, limit, used, cached, share) -> None:
    proc, cgroup = system
    limited(cgroup, limit=limit, used=used, cached=cached)
    assert memory_share(proc=proc, cgroup=cgroup) == pytest.approx(share)


def test_a_system_that_does_not_tell_has_no_share(tmp_path: Path) -> None:
    assert memory_share(proc=tmp_path, cgroup=tmp_path) is None
    (tmp_path / "meminfo").write_text("MemTotal: lots\n")
    assert memory_share(proc=tmp_path, cgroup=tmp_path) is None


@pytest.mark.parametrize(("limit", "admitted"), [(None, True), (0.74, False), (0.75, True), (1.0, True)])
def test_the_guard_holds_the_limit(system, limit, admitted) -> None:
    proc, cgroup = system
    assert MemoryGuard(limit, proc=proc, cgroup=cgroup).admits() is admitted


def test_the_guard_looks_anew_each_time(system) -> None:
    proc, cgroup = system
    guard = MemoryGuard(0.9, proc=proc, cgroup=cgroup)
    assert guard.admits()
    (proc / "meminfo").write_text(MEMINFO.replace("4000", "1000"))
    assert not guard.admits()
    (proc / "meminfo").unlink()
    assert guard.admits()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_this_machine_tells() -> None:
    assert 0 < memory_share() < 1


def test_a_process_is_counted_by_what_it_takes_for_itself(tmp_path):
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "status").write_text(
        "Name:\tpython\nVmRSS:\t 900 kB\nRssAnon:\t 100 kB\nRssFile:\t 799 kB\nRssShmem:\t 1 kB\nVmSwap:\t 2 kB\n"
    )
    assert process_memory(7, proc=tmp_path) == 103 * 1024
    assert process_memory(8, proc=tmp_path) is None


def test_where_the_kernel_has_no_such_files_a_process_is_asked_for_otherwise(tmp_path):
    nowhere = tmp_path / "proc"
    assert process_memory(os.getpid(), proc=nowhere) > 1_000_000
    assert process_memory(2**22 + 1, proc=nowhere) is None
