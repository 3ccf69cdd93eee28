"""Standard streams that end no program, in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

SAY = """
import sys
from rollwright.core.streams import flush_streams, make_streams_tolerant
make_streams_tolerant()
print({text!r})
sys.stderr.write({text!r} + chr(10))
problem = flush_streams()
sys.exit(7 if problem is None else 3)
"""
TEXT = "0.08 ± 0.02, 研究 \U0001f40d caf\udce9"


def say(text=TEXT, *, encoding="utf-8", **how):
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0", "PYTHONUNBUFFERED": ""}
    return subprocess.run(
        [sys.executable, "-c", SAY.format(text=text)], env=environment, timeout=60, check=False, **how
    )


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "gbk", "utf-8"])
def test_what_an_encoding_lacks_is_written_as_an_escape(encoding):
    done = say(encoding=encoding, capture_output=True)
    assert done.returncode == 7
    assert done.stdout.decode(encoding).startswith("0.08 ")
    assert rb"caf\udce9" in done.stdout
    assert done.stdout.splitlines() == done.stderr.splitlines()


@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_a_reader_who_has_seen_enough_ends_nothing(name):
    reading, writing = os.pipe()
    os.close(reading)
    other = "stderr" if name == "stdout" else "stdout"
    done = say("line\n" * 10_000, **{name: writing, other: subprocess.PIPE})
    os.close(writing)
    assert done.returncode == 7
    assert b"Traceback" not in (done.stdout or b"") + (done.stderr or b"")


@pytest.mark.skipif(os.name != "posix", reason="not run: descriptors are closed by a POSIX shell")
@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&- <&-"])
def test_a_closed_stream_ends_nothing_and_no_file_takes_its_place(closed, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from rollwright.core.streams import flush_streams, make_streams_tolerant\n"
        "make_streams_tolerant()\n"
        "mine = open('mine.txt', 'w')\n"
        "print('said', flush=True)\n"
        "assert mine.fileno() > 2 and flush_streams() is None\n"
        "open('end.txt', 'w').write('reached')\n"
    )
    command = f'exec "$0" script.py {closed}'
    subprocess.run(["/bin/sh", "-c", command, sys.executable], cwd=tmp_path, timeout=60, check=True)
    assert (tmp_path / "end.txt").read_text() == "reached"
    assert (tmp_path / "mine.txt").read_text() == ""


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="not run: no /dev/full")
def test_a_full_disk_is_still_an_error():
    with open("/dev/full", "wb") as full:
        done = say(stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 3
    assert b"Traceback" not in done.stderr
