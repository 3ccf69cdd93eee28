"""Every statement the SQLite store runs, by name."""

from __future__ import annotations

from typing import Final

__all__ = ["MIGRATIONS", "SCHEMA_VERSION"]

_V1: Final = (
    """CREATE TABLE task(
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    pool TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    status TEXT NOT NULL,
    origin TEXT,
    priority INTEGER NOT NULL,
    token INTEGER NOT NULL DEFAULT 0,
    attempts INTEGER NOT NULL DEFAULT 0,
    max_attempts INTEGER NOT NULL,
    owner TEXT,
    process TEXT,
    lease_until REAL,
    run_at REAL,
    created REAL NOT NULL,
    started REAL,
    ended REAL,
    definition TEXT NOT NULL,
    result TEXT,
    validity TEXT,
    error TEXT)""",
    "CREATE UNIQUE INDEX task_identity ON task(pool, fingerprint)",
    # Only tasks that can be claimed are in these two: a million finished ones do not slow a claim down.
    "CREATE INDEX task_waiting ON task(pool, priority DESC, id) WHERE status = 'waiting' AND run_at IS NULL",
    "CREATE INDEX task_part_done ON task(pool, priority DESC, id) WHERE status = 'part_done' AND run_at IS NULL",
    "CREATE INDEX task_delayed ON task(run_at) WHERE run_at IS NOT NULL",
    "CREATE INDEX task_running ON task(lease_until) WHERE status = 'running'",
    """CREATE TABLE history(
    seq INTEGER PRIMARY KEY,
    task INTEGER NOT NULL,
    pool TEXT NOT NULL,
    at REAL NOT NULL,
    event TEXT NOT NULL,
    status TEXT NOT NULL,
    token INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    owner TEXT,
    detail TEXT)""",
    "CREATE INDEX history_task ON history(task)",
    # How many tasks each state has, kept by triggers: counting a million rows would take a second.
    "CREATE TABLE tally(pool TEXT, status TEXT, tasks INTEGER NOT NULL, PRIMARY KEY(pool, status)) WITHOUT ROWID",
    """CREATE TRIGGER task_counted AFTER INSERT ON task BEGIN
    INSERT INTO tally VALUES(NEW.pool, NEW.status, 1)
        ON CONFLICT(pool, status) DO UPDATE SET tasks = tasks + 1;
    END""",
    """CREATE TRIGGER task_moved AFTER UPDATE OF status ON task WHEN OLD.status <> NEW.status BEGIN
    UPDATE tally SET tasks = tasks - 1 WHERE pool = OLD.pool AND status = OLD.status;
    INSERT INTO tally VALUES(NEW.pool, NEW.status, 1)
        ON CONFLICT(pool, status) DO UPDATE SET tasks = tasks + 1;
    END""",
    """CREATE TRIGGER task_removed AFTER DELETE ON task BEGIN
    UPDATE tally SET tasks = tasks - 1 WHERE pool = OLD.pool AND status = OLD.status;
    END""",
)

_V2: Final = ("CREATE TABLE pause(pool TEXT PRIMARY KEY, at REAL NOT NULL, reason TEXT) WITHOUT ROWID",)

MIGRATIONS: Final[tuple[tuple[str, ...], ...]] = (_V1, _V2)
"""The statements that lead from each schema version to the next; the first from an empty file."""

SCHEMA_VERSION: Final = len(MIGRATIONS)

INSERT: Final = """INSERT INTO task(pool, fingerprint, status, priority, max_attempts, run_at, created, definition)
    VALUES(?, ?, 'waiting', ?, ?, ?, ?, ?) ON CONFLICT(pool, fingerprint) DO NOTHING"""

LAST_ID: Final = "SELECT COALESCE(MAX(id), 0) FROM task"

HISTORY_OF_NEW: Final = """INSERT INTO history(task, pool, at, event, status, token, attempt)
    SELECT id, pool, created, 'created', 'waiting', 0, 0 FROM task WHERE id > ?"""

IDS_OF: Final = """SELECT fingerprint, id FROM task
    WHERE pool = ? AND fingerprint IN (SELECT value FROM json_each(?))"""

PROMOTE: Final = "UPDATE task SET run_at = NULL WHERE run_at <= ?"

ANY_EXPIRED: Final = "SELECT 1 FROM task WHERE status = 'running' AND lease_until < ? LIMIT 1"

# `{where}` is what `sqlite_query.where` makes of a query: text of ours with bound parameters.
CLAIM: Final = """UPDATE task SET status = 'running', origin = '{status}', token = token + 1, attempts = attempts + 1,
    owner = ?, process = ?, lease_until = ?, started = ?
    WHERE id IN (SELECT id FROM task WHERE status = '{status}' AND run_at IS NULL AND pool = ?{where}
        AND NOT EXISTS(SELECT 1 FROM pause WHERE pause.pool = ?)
        ORDER BY priority DESC, id LIMIT ?)
    RETURNING id, token, attempts, max_attempts, definition, priority, result"""

RENEW: Final = "UPDATE task SET lease_until = ? WHERE status = 'running' AND owner = ? RETURNING id, token"

DONE: Final = """UPDATE task SET status = 'done', result = ?, validity = ?, error = NULL, lease_until = NULL, ended = ?
    WHERE id = ? AND token = ? AND status = 'running' RETURNING pool, status, token, attempts, owner"""

PART_DONE: Final = """UPDATE task SET status = 'part_done', result = ?, validity = ?, error = NULL,
    lease_until = NULL, attempts = 0
    WHERE id = ? AND token = ? AND status = 'running' RETURNING pool, status, token, attempts, owner"""

RETRY: Final = """UPDATE task SET status = origin, error = ?, lease_until = NULL, run_at = ?
    WHERE id = ? AND token = ? AND status = 'running' AND attempts < max_attempts
    RETURNING pool, status, token, attempts, owner"""

FAILED: Final = """UPDATE task SET status = 'failed', error = ?, lease_until = NULL, ended = ?
    WHERE id = ? AND token = ? AND status = 'running' RETURNING pool, status, token, attempts, owner"""

RELEASED: Final = """UPDATE task SET status = origin, lease_until = NULL, attempts = attempts - 1
    WHERE id = ? AND token = ? AND status = 'running' RETURNING pool, status, token, attempts, owner"""

CANCELLED: Final = """UPDATE task SET status = 'cancelled', lease_until = NULL, ended = ?
    WHERE id = ? AND token = ? AND status = 'running' RETURNING pool, status, token, attempts, owner"""

STATE_OF: Final = "SELECT token, status FROM task WHERE id = ?"

RUNNING_PROCESSES: Final = "SELECT DISTINCT process FROM task WHERE status = 'running' AND process IS NOT NULL"

REAP: Final = """UPDATE task SET status = CASE WHEN attempts < max_attempts THEN origin ELSE 'failed' END,
    ended = CASE WHEN attempts < max_attempts THEN NULL ELSE ? END,
    token = token + 1, lease_until = NULL,
    error = 'worker ' || owner || ' died or did not renew its lease in time'
    WHERE status = 'running' AND (lease_until < ? OR process IN (SELECT value FROM json_each(?))){where}
    RETURNING id, pool, status, token, attempts, owner, error"""

GET: Final = """SELECT id, pool, fingerprint, status, priority, token, attempts, max_attempts, definition, created,
    owner, result, validity, error, lease_until, run_at, started, ended
    FROM task WHERE pool = ? AND id IN (SELECT value FROM json_each(?))"""

FIND: Final = """SELECT id, pool, fingerprint, status, priority, token, attempts, max_attempts, definition, created,
    owner, result, validity, error, lease_until, run_at, started, ended
    FROM task WHERE pool = ? AND id > ?{where} ORDER BY id LIMIT ?"""

TALLY: Final = "SELECT status, tasks FROM tally WHERE pool = ?"

COUNT: Final = "SELECT status, COUNT(*) FROM task WHERE pool = ?{where} GROUP BY status"

AMEND: Final = """UPDATE task SET status = ?, token = token + (status = 'running'), lease_until = NULL, run_at = NULL,
    ended = ?{more} WHERE pool = ? AND status IN (SELECT value FROM json_each(?)){where}
    RETURNING id, pool, status, token, attempts, owner, error"""

FORGET: Final = ", attempts = 0, result = NULL, validity = NULL, error = NULL"
REOPEN: Final = ", attempts = 0, error = NULL"
EXPLAIN: Final = ", error = COALESCE(?, error)"

PRIORITISE: Final = "UPDATE task SET priority = ? WHERE pool = ?{where} RETURNING id"

RUNNING_MATCH: Final = "SELECT id FROM task WHERE pool = ? AND status = 'running'{where} LIMIT 1"

REPLACE: Final = """UPDATE task SET definition = ?, fingerprint = ? WHERE pool = ?{where}
    RETURNING id, pool, status, token, attempts, owner"""

DELETE: Final = """DELETE FROM task WHERE pool = ? AND (? OR status <> 'running'){where}
    RETURNING id, pool, status, token, attempts, owner"""

HISTORY: Final = """INSERT INTO history(task, pool, at, event, status, token, attempt, owner, detail)
    VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?)"""

POOLS: Final = "SELECT pool FROM tally UNION SELECT pool FROM pause ORDER BY pool"

PAUSE: Final = "INSERT INTO pause(pool, at, reason) VALUES(?, ?, ?) ON CONFLICT(pool) DO NOTHING"

RESUME: Final = "DELETE FROM pause WHERE pool = ?"

PAUSED: Final = "SELECT at, reason FROM pause WHERE pool = ?"

RESTORE: Final = """INSERT INTO task(pool, fingerprint, status, priority, token, attempts, max_attempts, owner, run_at,
    created, started, ended, definition, result, validity, error)
    VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT(pool, fingerprint) DO NOTHING RETURNING id"""

ID_OF: Final = "SELECT id FROM task WHERE pool = ? AND fingerprint = ?"

READ_HISTORY: Final = """SELECT task, at, event, status, token, attempt, owner, detail FROM history
    WHERE pool = ? ORDER BY seq"""

READ_HISTORY_OF: Final = """SELECT task, at, event, status, token, attempt, owner, detail FROM history
    WHERE pool = ? AND task IN (SELECT value FROM json_each(?)) ORDER BY seq"""
