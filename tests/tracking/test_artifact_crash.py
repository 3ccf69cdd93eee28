"""I17 with real processes: killed at every point of a write, out of room, and without rights."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from crash_size import sized
from rollwright.errors import ArtifactStorageError
from rollwright.tracking.artifacts import ArtifactWrite, LocalArtifactStore

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="kills forked processes")

POINTS = [
    "fill",
    "sync file",
    "rename file",
    "sync folder",
    "sync manifest",
    "rename manifest",
    "discard the old file",
]

# A process of its own forks the writers, so that nothing else of the tests is forked with them.
KILLED = '''\
import json, os, random, signal, sys
from pathlib import Path
from rollwright.core import atomic
from rollwright.tracking import artifacts
from rollwright.tracking.artifacts import ArtifactWrite, LocalArtifactStore

root, points, times, seed = Path(sys.argv[1]), sys.argv[2].split(","), int(sys.argv[3]), int(sys.argv[4])
draw = random.Random(seed)
OLD, NEW, KEPT = b"old" * 1000, b"new" * 3000, b"kept"


def write(store, contents):
    store.write([
        ArtifactWrite(name=name, kind="file", suffix="", fill=lambda path, data=data: path.write_bytes(data))
        for name, data in contents.items()
    ])


def dies_at(point, after):
    """Let this process be killed at the point: before it, or right after it."""
    def die(*_):
        os.kill(os.getpid(), signal.SIGKILL)

    def around(name, wanted, owner=atomic):
        whole = getattr(owner, name)

        def deadly(*arguments):
            if not wanted(*arguments):
                return whole(*arguments)
            if not after:
                die()
            whole(*arguments)
            die()

        setattr(owner, name, deadly)

    is_manifest = lambda path: Path(path).parent.name != "artifacts"
    if point == "sync file":
        around("sync_file", lambda path: not is_manifest(path))
    elif point == "rename file":
        around("put", lambda draft, path: path.name != "artifacts.json")
    elif point == "sync folder":
        around("sync_folder", lambda folder: folder.name == "artifacts", artifacts)
    elif point == "sync manifest":
        around("sync_file", is_manifest)
    elif point == "rename manifest":
        around("put", lambda draft, path: path.name == "artifacts.json")
    elif point == "discard the old file":
        around("_discard", lambda store, files: True, LocalArtifactStore)


def half(path):
    path.write_bytes(NEW[: draw.randrange(len(NEW))])
    os.kill(os.getpid(), signal.SIGKILL)


def read(store):
    found = {}
    for ref in store.list():
        with store.open_reader(ref.name) as handle:
            found[ref.name] = handle.read()
    return found


outcomes = {point: {"old": 0, "new": 0} for point in points}
for turn, point in enumerate(points * times):
    folder = root / f"{turn}"
    before = {"a": OLD, "b": KEPT} if draw.random() < 0.7 else {}
    store = LocalArtifactStore(folder)
    write(store, before)
    child = os.fork()
    if child == 0:
        if point == "fill":
            store.write([ArtifactWrite(name="a", kind="file", suffix="", fill=half)])
        else:
            dies_at(point, after=draw.random() < 0.5)
            write(store, {"a": NEW, "c": KEPT})
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, f"{turn} {point}: {status}"
    again = LocalArtifactStore(folder)
    found = read(again)
    after = {**before, "a": NEW, "c": KEPT}
    assert found in (before, after), f"{turn} {point}: {sorted(found)}"
    outcomes[point]["new" if found == after else "old"] += 1
    write(again, {"a": b"newer", "c": b"x"})
    assert read(again) == {**before, "a": b"newer", "c": b"x"}, f"{turn} {point}"
    left = [path.name for path in folder.rglob("*") if path.is_file()]
    assert not [name for name in left if name.startswith(".tmp-")], left
print(json.dumps(outcomes))
'''

LIMITED = """\
import resource, sys
from pathlib import Path
from rollwright.errors import ArtifactStorageError
from rollwright.tracking.artifacts import ArtifactWrite, LocalArtifactStore

folder, limit, count, size = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])


def items(names, data):
    fill = lambda path: path.write_bytes(data)
    return [ArtifactWrite(name=name, kind="file", suffix="", fill=fill) for name in names]


def everything():
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


store = LocalArtifactStore(folder)
store.write(items(["a", "b"], b"old"))
before = everything()
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
try:
    store.write(items(["a", *(f"n{number}" for number in range(count))], b"x" * size))
except ArtifactStorageError as error:
    print(error.exit_code, error)
assert everything() == before, sorted(set(everything()) ^ set(before))
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
store.write(items(["a"], b"there is room again"))
"""


def run(script: str, *arguments: object, timeout: float = 300) -> str:
    done = subprocess.run(
        [sys.executable, "-B", "-c", script, *map(str, arguments)],
        capture_output=True, text=True, timeout=timeout, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def killed(folder: Path, points: list[str], *, times: int) -> dict[str, dict[str, int]]:
    outcomes: dict[str, dict[str, int]] = json.loads(run(KILLED, folder, ",".join(points), times, 20_201_121))
    return outcomes


def test_a_writer_killed_at_any_point_leaves_all_of_a_write_or_nothing(tmp_path):
    outcomes = killed(tmp_path, POINTS, times=3)
    assert {point: sum(found.values()) for point, found in outcomes.items()} == dict.fromkeys(POINTS, 3)


@pytest.mark.crash
@pytest.mark.parametrize("point", POINTS)
def test_fifty_writers_killed_at_each_point_leave_all_of_a_write_or_nothing(tmp_path, point):
    times = sized(50, 15)
    outcomes = killed(tmp_path, [point], times=times)[point]
    if point in POINTS[:5]:
        assert outcomes == {"old": times, "new": 0}
    elif point == "rename manifest":
        assert min(outcomes.values()) > 0  # killed right before it, and right after it
    else:
        assert outcomes == {"old": 0, "new": times}


@pytest.mark.parametrize(
    ("limit", "count", "size"),
    [(1000, 1, 5000), (1000, 3, 1001), (4096, 40, 10)],  # the file, a later file, the manifest
    ids=["the first file", "a later file", "the manifest"],
)
def test_no_room_is_an_error_of_the_environment_and_leaves_all_as_it_was(tmp_path, limit, count, size):
    out = run(LIMITED, tmp_path, limit, count, size)
    assert out.startswith("3 cannot store ")
    assert "File too large" in out
    assert "hint:" in out


ITEM = ArtifactWrite(name="a", kind="file", suffix="", fill=lambda path: path.write_bytes(b"x"))


def test_a_read_only_folder_refuses_and_changes_nothing(tmp_path, unprivileged):
    (tmp_path / "runs").mkdir(mode=0o500)
    with pytest.raises(ArtifactStorageError, match="Permission denied"):
        LocalArtifactStore(tmp_path / "runs" / "run").write([ITEM])
    assert list((tmp_path / "runs").iterdir()) == []


def test_a_folder_that_is_a_file_refuses_and_changes_nothing(tmp_path):
    (tmp_path / "run").write_text("no folder")
    with pytest.raises(ArtifactStorageError, match="cannot store 'a'"):
        LocalArtifactStore(tmp_path / "run").write([ITEM])
    assert (tmp_path / "run").read_text() == "no folder"
