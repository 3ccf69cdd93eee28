"""Bundles with real processes: joins at the same time, and joins that are killed while they unpack."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time

import pytest

from crash_size import sized
from rollwright.app.bundle.container import FMT, Bundle, BundleIndex, pack
from rollwright.signing.envelope import seal

JOIN = """\
import sys
from pathlib import Path
from rollwright.app.bundle.joining import join_bundle
print("ready", flush=True)
sys.stdin.readline()
print(join_bundle(sys.argv[1], data=Path(sys.argv[2])).folder)
"""


@pytest.fixture
def large(tmp_path, monkeypatch):
    """Return a bundle of many files, an empty market, and the environment of a host."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "here"))
    files = {f"code{number % 7}/module{number}.py": f"N = {number}\n".encode() * 200 for number in range(400)}
    files["small.yaml"] = b"a: 1\n"
    index = BundleIndex(
        name="small", file="small.yaml", sha256="0", overrides=(), origin="o1", serial=1, environment=(),
        generation="g", data={}, holds_data=False,
    )  # fmt: skip
    path = tmp_path / "large.bundle"
    path.write_bytes(seal(pack(Bundle(index=index, files=files)), fmt=FMT, name="small"))
    (tmp_path / "market").mkdir()
    return path, tmp_path / "market", files


def start_join(path, market):
    process = subprocess.Popen(
        [sys.executable, "-c", JOIN, str(path), str(market)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=market.parent,
    )  # fmt: skip
    assert process.stdout.readline() == "ready\n"
    return process


def is_whole(folder, files):
    held = {path.relative_to(folder).as_posix() for path in folder.rglob("*.*") if path.is_file()}
    held = {name for name in held if not name.startswith(".rollwright/")}
    return held == set(files) and all((folder / name).read_bytes() == data for name, data in files.items())


@pytest.mark.crash
def test_joins_at_the_same_time_end_in_one_whole_folder(large):
    path, market, files = large
    processes = [start_join(path, market) for _ in range(sized(8, 4))]
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    found = {process.communicate(timeout=120)[0].strip() for process in processes}
    assert all(process.returncode == 0 for process in processes)
    (folder,) = found
    assert is_whole(market.parent.joinpath(folder), files)
    assert not [*market.parent.joinpath(folder).parent.glob(".joining-*")]


@pytest.mark.crash
def test_a_join_that_is_killed_leaves_nothing_that_is_taken_for_whole(large):
    path, market, files = large
    draw = random.Random(7)
    base = market.parent / "here" / "rollwright" / "bundles" / "small"
    killed = 0
    for _ in range(sized(40, 6)):
        process = start_join(path, market)
        process.stdin.write("\n")
        process.stdin.flush()
        deadline = time.monotonic() + 30
        wanted = draw.randrange(1, 400)
        while process.poll() is None and time.monotonic() < deadline:
            drafts = [*base.glob(".joining-*")]
            if drafts and sum(len(names) for _, _, names in os.walk(drafts[0])) >= wanted:
                os.kill(process.pid, signal.SIGKILL)
                killed += 1
                break
        process.communicate(timeout=60)
        for folder in base.glob("[0-9a-f]*"):
            if folder.is_dir():
                assert is_whole(folder, files)
        if process.returncode == 0:  # it was faster than we looked
            (folder,) = (found for found in base.iterdir() if found.is_dir() and len(found.name) == 32)
            folder.rename(folder.with_name(".joining-old"))
    assert killed
    process = start_join(path, market)
    out, err = process.communicate("\n", timeout=60)
    assert process.returncode == 0, err
    assert is_whole(market.parent / out.strip(), files)
    assert not [*base.glob(".joining-*")]
