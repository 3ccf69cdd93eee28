"""MLflow's embedded database is whole or absent whenever its maker is killed, and one that is half made is mended."""

import json
import logging
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from rollwright.core.atomic import DRAFT_MARK
from rollwright.errors import TrackingUnavailableError
from rollwright.tracking.stores.mlflow import database, store
from rollwright.tracking.stores.mlflow.database import ensure_database
from rollwright.tracking.stores.mlflow.store import MlflowStore

HEAD = "the newest"

# One process has MLflow and forks a child for each kill, and one for each look at what is left.
KILLED = '''\
import json, os, signal, sqlite3, sys
from pathlib import Path
import sqlalchemy
from rollwright.tracking.stores.mlflow import importing
from rollwright.tracking.stores.mlflow import store as adapter
from rollwright.tracking.stores.mlflow.database import make_tables
from rollwright.tracking.stores.mlflow.store import MlflowStore

folder, where, points = Path(sys.argv[1]), sys.argv[2], [float(point) for point in sys.argv[3].split(",")]
importing.load_mlflow(databases=True)


def in_child(act):
    child = os.fork()
    if child == 0:
        try:
            act()
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def store_of(root):
    return MlflowStore(f"sqlite:///{root}/mlflow.db", artifacts=root / "artifacts")


def make(root, *, killed_at=None, count_to=None):
    """Make the database, by the store or (`where` is place) where it belongs, as MLflow would."""
    seen = [0]

    def count(*_):
        seen[0] += 1
        if seen[0] == killed_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def act():
        sqlalchemy.event.listen(sqlalchemy.Engine, "before_cursor_execute", count)
        with importing.quiet_mlflow():
            if where == "place":
                make_tables(root / "mlflow.db")
            else:
                store_of(root).experiments()
        if count_to is not None:
            count_to.write_text(str(seen[0]))
        os._exit(0)

    return in_child(act)


def use(root):
    def act():
        store = store_of(root)
        experiment = store.create_experiment("e")
        with sqlite3.connect(root / "mlflow.db") as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        os._exit(0 if store.experiments(name="e") == [experiment] else 3)

    return in_child(act)


total = folder / "total"
(folder / "first").mkdir()
assert make(folder / "first", count_to=total) == 0
outcomes = {}
for point in points:
    root = folder / str(point)
    root.mkdir()
    assert make(root, killed_at=max(1, int(point * int(total.read_text())))) == -signal.SIGKILL
    left = sorted(path.name for path in root.iterdir())
    outcomes[point] = [left, use(root), sorted(path.name for path in root.iterdir() if path.is_file())]
print(json.dumps(outcomes))
'''


def kill_makers(folder: Path, where: str, points: list[float]) -> dict[float, tuple[list[str], int, list[str]]]:
    """Return for each point what was left, how the next use went, and what files are there then."""
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", KILLED, folder, where, ",".join(map(str, points))],
        capture_output=True, text=True, timeout=900, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return {float(point): tuple(found) for point, found in json.loads(done.stdout.splitlines()[-1]).items()}


def test_a_maker_that_is_killed_leaves_a_project_that_works(tmp_path):
    left, used, files = kill_makers(tmp_path / "p", "store", [0.5])[0.5]
    assert "mlflow.db" not in left
    assert [name for name in left if name.startswith(DRAFT_MARK)]
    assert (used, files) == (0, ["mlflow.db", "mlflow.db.lock"])


@pytest.mark.crash
def test_ten_makers_killed_at_ten_points_leave_ten_projects_that_work(tmp_path):
    points = [0.001, 0.02, 0.1, 0.25, 0.4, 0.55, 0.7, 0.85, 0.97, 0.999]
    outcomes = kill_makers(tmp_path / "p", "store", points)
    assert {point: used for point, (_, used, _) in outcomes.items()} == dict.fromkeys(points, 0)
    assert all(files == ["mlflow.db", "mlflow.db.lock"] for _, _, files in outcomes.values())


@pytest.mark.crash
def test_ten_databases_that_mlflow_left_half_made_are_set_aside_and_made_anew(tmp_path):
    points = [0.001, 0.02, 0.1, 0.25, 0.4, 0.55, 0.7, 0.85, 0.97, 0.999]
    outcomes = kill_makers(tmp_path / "p", "place", points)
    assert {point: used for point, (_, used, _) in outcomes.items()} == dict.fromkeys(points, 0)
    aside = [name for _, _, files in outcomes.values() for name in files if ".half-made-" in name]
    assert len(aside) == 10


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder: the test's own holds what the fixtures of all tests need."""
    (tmp_path / "p").mkdir()
    return tmp_path / "p"


def fill(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE experiments (experiment_id INTEGER, name TEXT)")
        connection.execute("CREATE TABLE runs (run_uuid TEXT)")
        connection.execute("CREATE TABLE workspaces (name TEXT)")
        connection.execute("INSERT INTO workspaces VALUES ('default')")
        connection.execute("CREATE TABLE alembic_version (version_num TEXT)")
        connection.execute("INSERT INTO alembic_version VALUES (?)", (HEAD,))


def ensure(path: Path) -> None:
    ensure_database(path, head=lambda: HEAD, fill=fill)


def change(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_database_that_is_whole_is_left_as_it_is(folder):
    path = folder / "a" / "mlflow.db"
    ensure(path)
    before = path.read_bytes()
    ensure(path)
    assert path.read_bytes() == before
    assert names(path.parent) == ["mlflow.db"]


@pytest.mark.parametrize(
    "statements",
    [
        ("DROP TABLE alembic_version",),
        ("DELETE FROM alembic_version",),
        ("UPDATE alembic_version SET version_num = 'an older one'",),
        ("UPDATE alembic_version SET version_num = 'x'", "INSERT INTO experiments VALUES (0, 'Default')"),
        ("DROP TABLE alembic_version", "DROP TABLE workspaces", "DROP TABLE runs"),
    ],
    ids=["no versions", "no version", "another version", "the default experiment", "few tables"],
)
def test_a_half_made_database_without_records_is_kept_aside_and_made_anew(folder, caplog, statements):
    path = folder / "mlflow.db"
    fill(path)
    change(path, *statements)
    bad = path.read_bytes()
    with caplog.at_level(logging.WARNING, "rollwright.tracking"):
        ensure(path)
    ensure(path)
    (aside,) = [found for found in folder.iterdir() if found != path]
    assert aside.name.startswith("mlflow.db.half-made-")
    assert aside.read_bytes() == bad
    assert f"tracking.remade path={path} aside={aside}" in caplog.text


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO experiments VALUES (1, 'mine')",
        "INSERT INTO runs VALUES ('a run of the default experiment')",
        "INSERT INTO workspaces VALUES ('mine')",
        "CREATE TABLE models AS SELECT 1",
    ],
)
def test_a_database_of_another_version_that_holds_records_is_never_set_aside(folder, statement):
    path = folder / "mlflow.db"
    fill(path)
    change(path, "DELETE FROM alembic_version", statement)
    before = path.read_bytes()
    ensure(path)
    assert names(folder) == ["mlflow.db"]
    assert path.read_bytes() == before


def test_a_database_with_other_tables_is_somebody_elses(folder):
    path = folder / "mlflow.db"
    change(path, "CREATE TABLE prices (x)")
    ensure(path)
    assert names(folder) == ["mlflow.db"]


def test_the_journal_of_a_database_that_is_gone_does_not_harm_the_new_one(folder):
    path = folder / "mlflow.db"
    code = (
        "import os, signal, sqlite3\n"
        f"connection = sqlite3.connect({str(path)!r})\n"
        "connection.execute('PRAGMA cache_size = 1')\n"
        "connection.execute('CREATE TABLE t AS WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n"
        " WHERE x < 20000) SELECT x FROM n')\n"
        "connection.commit()\n"
        "connection.execute('UPDATE t SET x = x + 1')\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=False, timeout=60)
    assert names(folder) == ["mlflow.db", "mlflow.db-journal"]
    path.unlink()
    ensure(path)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchone() == (HEAD,)
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_maker_that_fails_leaves_nothing_and_drafts_of_killed_ones_go(folder):
    path = folder / "mlflow.db"
    (folder / f"{DRAFT_MARK}mlflow.db-1-killed").write_bytes(b"x")
    (folder / f"{DRAFT_MARK}mlflow.db-1-killed-journal").write_bytes(b"x")
    (folder / f"{DRAFT_MARK}another").write_bytes(b"x")

    def fail(draft: Path) -> None:
        fill(draft)
        raise OSError(28, "No space left on device", str(draft))

    with pytest.raises(OSError, match="No space left"):
        ensure_database(path, head=lambda: HEAD, fill=fail)
    assert names(folder) == [f"{DRAFT_MARK}another"]


def test_a_file_that_another_program_put_there_meanwhile_is_not_replaced(folder):
    path = folder / "mlflow.db"

    def slow(draft: Path) -> None:
        fill(draft)
        path.write_bytes(b"of another program")

    ensure_database(path, head=lambda: HEAD, fill=slow)
    assert path.read_bytes() == b"of another program"
    assert names(folder) == ["mlflow.db"]


def test_a_locked_database_is_waited_for_and_then_an_error_of_the_environment(folder, monkeypatch):
    path = folder / "mlflow.db"
    fill(path)
    monkeypatch.setattr(database, "PATIENCE", 0.1)
    with closing(sqlite3.connect(path)) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        with pytest.raises(TrackingUnavailableError, match="database is locked") as caught:
            MlflowStore(f"sqlite:///{path}", artifacts=folder / "artifacts").experiments()
    assert caught.value.exit_code == 3
    assert "another process has it locked" in str(caught.value.hint)
    assert str(path) in caught.value.message
    assert os.path.getsize(path)


@pytest.mark.parametrize("error", [sqlite3.OperationalError("disk is full"), OSError(30, "Read-only file system")])
def test_an_error_about_the_disk_names_the_database_when_it_is_made(folder, monkeypatch, error):
    def fail(_: Path) -> None:
        raise error

    monkeypatch.setattr(store, "make_tables", fail)
    path = folder / "mlflow.db"
    with pytest.raises(TrackingUnavailableError) as caught:
        MlflowStore(f"sqlite:///{path}", artifacts=folder / "artifacts").experiments()
    assert str(path) in caught.value.message
    assert str(error.args[-1]) in caught.value.message
    assert names(folder) == ["mlflow.db.lock"]
