"""I17 at an address: writers that are killed while they upload leave a whole set, the old one or the new one."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys

import pytest

pytest.importorskip("s3fs", reason='pip install "rollwright[s3]"')

import s3_server
from crash_size import sized
from rollwright.tracking.remote_artifacts import RemoteArtifactStore
from rollwright.tracking.remote_files import RemoteFiles

pytestmark = pytest.mark.crash

NAMES = ("model", "pred.pkl", "label.pkl")
WRITE = """
import sys
from pathlib import Path
from rollwright.tracking.artifacts import ArtifactWrite
from rollwright.tracking.remote_artifacts import RemoteArtifactStore
from rollwright.tracking.remote_files import RemoteFiles

store = RemoteArtifactStore(RemoteFiles("s3://house/runs", patience=20), "1/run", Path(sys.argv[1]), marked=True)
number = int(sys.argv[2])
while True:
    number += 1
    store.write([
        ArtifactWrite(
            name=name, kind="file", suffix="",
            fill=lambda path, name=name: path.write_bytes(f"{name} {number} ".encode() * 5000),
        )
        for name in ("model", "pred.pkl", "label.pkl")
    ])
    print(number, flush=True)
"""


def test_a_killed_writer_leaves_the_old_set_or_the_new_one(tmp_path, monkeypatch):
    draw = random.Random(11)
    with s3_server.running() as server:
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        remote = RemoteFiles("s3://house/runs", patience=20)
        remote.mark()
        reader = RemoteArtifactStore(remote, "1/run", tmp_path / "reader", marked=True)
        told = 0
        for round_ in range(sized(30, 4)):
            host = tmp_path / f"host{round_ % 2}"  # two machines in turn, each with copies of what it wrote before
            writer = subprocess.Popen(
                [sys.executable, "-c", WRITE, str(host), str(told)], stdout=subprocess.PIPE, text=True
            )
            assert writer.stdout is not None
            told = int(writer.stdout.readline())
            before = server.requests["PUT"]
            wanted = before + draw.randrange(0, 12)
            while server.requests["PUT"] < wanted and writer.poll() is None:
                told = int(writer.stdout.readline())
            os.kill(writer.pid, signal.SIGKILL)
            rest = writer.communicate()[0].split()
            told = int(rest[-1]) if rest else told
            sets = set()
            for name in NAMES:
                with reader.open_reader(name) as file:
                    kind, number, *_ = file.read().split()
                assert kind.decode() == name
                sets.add(int(number))
            (found,) = sets  # of one write, all of it
            assert found in (told, told + 1)  # what was acknowledged is there
            told = found
