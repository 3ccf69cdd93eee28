"""The hostile corpus at every door: no effect, a typed error, in little time and memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rollwright.compat.importing import import_pickle
from rollwright.errors import RollwrightError

CORPUS = Path(__file__).resolve().parent / "corpus.py"
DOORS = ["artifact", "import", "result", "cache", "download", "yaml", "serializable"]
HARMLESS = {("40 JSON of a dataset", "opened"), ("40 JSON of a dataset", "opened as json")}  # read as data, not built
SECONDS = 2.0
MEGABYTES = 256


def run_corpus(folder, *arguments):
    """Run the corpus as a script, at home in `folder`."""
    environment = {**os.environ, "HOME": str(folder), "XDG_DATA_HOME": str(folder / "data")}
    command = [sys.executable, str(CORPUS), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=300)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """Return the folder of the corpus; its process makes it, so that this one never held it."""
    folder = tmp_path_factory.mktemp("hostile")
    done = run_corpus(folder, "build", folder / "files", folder, folder / "marker")
    assert done.returncode == 0, done.stderr
    return folder


def test_there_are_forty_kinds(hostile):
    kinds = {path.name.split()[1] for path in (hostile / "files").glob("*.bin")}
    assert kinds == {f"{kind:02d}" for kind in range(1, 41)}


def test_the_files_are_not_harmless_by_mistake(hostile):
    """Where a pickle is simply loaded, they do what they say: else the tests below would prove nothing."""
    script = (
        "import pickle, sys, os\n"
        "from pathlib import Path\n"
        "did = []\n"
        "for path in sorted(Path(sys.argv[1]).glob('*.bin'))[:20]:\n"
        "    try:\n"
        "        pickle.loads(path.read_bytes())\n"
        "    except Exception:\n"
        "        pass\n"
        "    if os.path.exists(sys.argv[2]):\n"
        "        did.append(path.stem)\n"
        "        os.unlink(sys.argv[2])\n"
        "print(len(did))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(hostile / "files"), str(hostile / "marker")],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert int(done.stdout.split()[-1]) >= 10


@pytest.mark.parametrize("door", DOORS)
def test_every_file_is_refused_at_every_door_without_effect(door, hostile):
    done = run_corpus(hostile, door, hostile / "files", hostile / f"work-{door}", hostile / "marker")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, f"ended at {lines[-1:]}: {done.stderr[-2000:]}"
    rows = [line for line in lines if "told" in line]
    assert len(rows) == len(list((hostile / "files").glob("*.bin"))) >= 90
    wrong = [
        row
        for row in rows
        if (not row["told"].endswith("Error") or row["told"].startswith("NOT"))
        and (row["name"][4:], row["told"]) not in HARMLESS
    ]
    assert wrong == []
    assert [row for row in rows if row["marker"]] == []
    assert [row for row in rows if row["seconds"] > SECONDS] == []
    assert [row for row in rows if row["memory"] > MEGABYTES] == []


@pytest.mark.parametrize("kind", ["01 posix.system", "30 memory by text", "31 hash bomb", "32 laughs", "33 empty"])
def test_the_importers_own_process_says_the_same(kind, hostile, tmp_path):
    (path,) = (hostile / "files").glob(f"* {kind}.bin")
    with pytest.raises(RollwrightError, match=path.name):
        import_pickle(path, tmp_path / "out")
    assert list(tmp_path.glob("out*")) == []
    assert not (hostile / "marker").exists()


def test_a_file_that_never_ends_is_ended(tmp_path):
    (tmp_path / "long.pkl").write_bytes(b"\x80\x04" + b"N0" * 30_000_000 + b"N.")
    with pytest.raises(RollwrightError, match=r"long\.pkl"):
        import_pickle(tmp_path / "long.pkl", seconds=1)
