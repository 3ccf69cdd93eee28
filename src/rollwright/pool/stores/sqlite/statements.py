"""Every statement the SQLite store runs, by name."""

# ruff: noqa: S608 - put together from texts of this file; every value is bound

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

_ROOM: Final = 320
_ROOM_OF_RESULT: Final = 240

_V3: Final = (
    # A turn rewrites two rows of `task`: without the definitions, which never change, both lie on one page.
    "CREATE TABLE document(task INTEGER PRIMARY KEY, definition TEXT NOT NULL)",
    "INSERT INTO document SELECT id, definition FROM task ORDER BY id",
    "DROP TRIGGER task_counted",
    "DROP TRIGGER task_moved",
    "DROP TRIGGER task_removed",
    "ALTER TABLE task DROP COLUMN definition",
    # Bytes that give way to what a claim and a result write, so that a full page need not be divided for them.
    "ALTER TABLE task ADD COLUMN room BLOB",
    # Open tasks alone: a million finished ones do not slow a claim down. Those that run stand right before those that
    # wait, which have no lease, so that a claim moves a task within one page.
    "DROP INDEX task_waiting",
    "DROP INDEX task_part_done",
    "DROP INDEX task_running",
    """CREATE INDEX task_open ON task(pool, status, lease_until, priority DESC, id)
    WHERE ended IS NULL AND run_at IS NULL""",
    "CREATE INDEX task_failed ON task(pool, status) WHERE status IN ('failed', 'cancelled')",
    # How many tasks a pool has in all; those that are done are what the small indexes do not hold.
    "CREATE TABLE size(pool TEXT PRIMARY KEY, tasks INTEGER NOT NULL) WITHOUT ROWID",
    "INSERT INTO size SELECT pool, SUM(tasks) FROM tally GROUP BY pool",
    "DROP TABLE tally",
    # A change's number is its task's, shifted, and how many came before it: no index needs to find a task's history.
    # That a task was created stands in the task itself, unless it was moved here or is gone.
    "ALTER TABLE history RENAME TO history_2",
    """CREATE TABLE history(
    seq INTEGER PRIMARY KEY,
    pool TEXT NOT NULL,
    at REAL NOT NULL,
    event TEXT NOT NULL,
    status TEXT NOT NULL,
    token INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    owner TEXT,
    detail TEXT)""",
    """INSERT INTO history
    SELECT (task << 24) + ROW_NUMBER() OVER (PARTITION BY task ORDER BY seq) - 1 AS number, pool, at, event, status,
        token, attempt, owner, detail FROM history_2 ORDER BY number""",
    "DROP TABLE history_2",
)

_V4: Final = (
    # Leases end, and delayed tasks are due, by the seconds since the machine started (`boot` says which start), which
    # nobody can set. Under its new name a column is found by no process of an earlier version that is still at work.
    "ALTER TABLE task RENAME COLUMN lease_until TO lease_ends",
    "DROP INDEX task_delayed",
    "ALTER TABLE task ADD COLUMN due REAL",
    "ALTER TABLE task ADD COLUMN delay REAL",
    "UPDATE task SET due = 0, delay = run_at - created WHERE run_at IS NOT NULL",
    "CREATE INDEX task_delayed ON task(due) WHERE due IS NOT NULL",
    "CREATE TABLE boot(id TEXT NOT NULL)",
    "INSERT INTO boot VALUES('')",
)

_V5: Final = (
    # What a task asks of its worker. A claim walks over the tasks of one text of needs alone, so that those which a
    # worker may not take cost it nothing.
    "ALTER TABLE task ADD COLUMN needs TEXT NOT NULL DEFAULT ''",
    "DROP INDEX task_open",
    """CREATE INDEX task_open ON task(pool, status, lease_ends, needs, priority DESC, id)
    WHERE ended IS NULL AND run_at IS NULL""",
    # What a claim must know of a pool in one row: whether it is paused, its cap, and the different needs its tasks have
    # or had, a line each. A process of an earlier version finds no `pause` and takes nothing that it must not.
    """CREATE TABLE rule(
    pool TEXT PRIMARY KEY,
    paused_at REAL,
    reason TEXT,
    weight REAL NOT NULL DEFAULT 1,
    max_running INTEGER,
    needs TEXT NOT NULL DEFAULT '') WITHOUT ROWID""",
    "INSERT INTO rule(pool, paused_at, reason) SELECT pool, at, reason FROM pause",
    "DROP TABLE pause",
)

MIGRATIONS: Final[tuple[tuple[str, ...], ...]] = (_V1, _V2, _V3, _V4, _V5)
"""The statements that lead from each schema version to the next; the first from an empty file."""

SCHEMA_VERSION: Final = len(MIGRATIONS)

DEFINITION: Final = "(SELECT definition FROM document WHERE document.task = task.id)"

BOOT: Final = "SELECT id FROM boot"

INSERT: Final = f"""INSERT INTO task(pool, fingerprint, status, priority, max_attempts, run_at, due, delay, created,
    needs, room) VALUES(?, ?, 'waiting', ?, ?, ?, ?, ?, ?, ?, zeroblob({_ROOM}))
    ON CONFLICT(pool, fingerprint) DO NOTHING"""

LAST_ID: Final = "SELECT COALESCE(MAX(id), 0) FROM task"

DOCUMENT: Final = "INSERT INTO document(task, definition) VALUES(?, ?)"

REDEFINE: Final = "UPDATE document SET definition = ? WHERE task IN (SELECT value FROM json_each(?))"

FORGET_DOCUMENTS: Final = "DELETE FROM document WHERE task IN (SELECT value FROM json_each(?))"

GROW: Final = "INSERT INTO size VALUES(?, ?) ON CONFLICT(pool) DO UPDATE SET tasks = tasks + excluded.tasks"

IDS_OF: Final = """SELECT fingerprint, id FROM task
    WHERE pool = ? AND fingerprint IN (SELECT value FROM json_each(?))"""

PROMOTE: Final = "UPDATE task SET run_at = NULL, due = NULL, delay = NULL WHERE due <= ?"

_OPEN: Final = "ended IS NULL AND run_at IS NULL"
_RUNNING: Final = f"pool IN (SELECT pool FROM size) AND status = 'running' AND {_OPEN}"

# What another start of the machine left. 1. Every lease is over: its holder died with the machine. 2. A delayed task
# still waits, by the wall clock, which alone went on meanwhile; whatever it says, never longer than the whole delay.
NEW_BOOT: Final = (
    f"UPDATE task INDEXED BY task_open SET lease_ends = 0 WHERE {_RUNNING}",
    "UPDATE task SET due = :uptime + MIN(MAX(run_at - :now, 0), delay) WHERE due IS NOT NULL",
    "UPDATE boot SET id = :boot",
)

ANY_EXPIRED: Final = f"SELECT 1 FROM task INDEXED BY task_open WHERE {_RUNNING} AND lease_ends < ? LIMIT 1"

# Whether a pool has ended leases, and delays have passed: asking costs less than two changes that find nothing.
CHORES: Final = f"""SELECT EXISTS(SELECT 1 FROM task INDEXED BY task_open
        WHERE pool = ?2 AND status = 'running' AND {_OPEN} AND lease_ends < ?1),
    EXISTS(SELECT 1 FROM task INDEXED BY task_delayed WHERE due <= ?1)"""

RULE: Final = "SELECT needs, paused_at, max_running FROM rule WHERE pool = ?"

RUNNING: Final = f"SELECT COUNT(*) FROM task INDEXED BY task_open WHERE pool = ? AND status = 'running' AND {_OPEN}"

# `{where}` is what `query.where` makes of a query: text of ours with bound parameters.
_READY: Final = f"""SELECT task.id FROM task
        WHERE pool = ? AND status = '{{status}}' AND lease_ends IS NULL AND {_OPEN} AND needs = {{needs}}{{where}}
        ORDER BY priority DESC, id LIMIT ?"""

# Tasks of the state that wait, highest priority first, then the oldest: of one text of needs, or of several, where as
# many are looked at of each as are wanted of all.
PICK_ONE: Final = _READY.replace("{needs}", "?")
PICK_SOME: Final = f"""SELECT best.id FROM json_each(?) AS wanted CROSS JOIN task AS best
        ON best.id IN ({_READY.replace("{needs}", "wanted.value")})
        ORDER BY best.priority DESC, best.id LIMIT ?"""

# 1. `{picked}` is one of these two; `{among}` is `=` for one task and `IN` for several, for which SQLite makes a table
# and a page cache of its own. 2. They run now, each with a higher token, one attempt more and room for its result.
# 3. What a lease needs of them.
CLAIM: Final = f"""UPDATE task SET status = 'running', origin = '{{status}}', token = token + 1,
    attempts = attempts + 1, owner = ?, process = ?, lease_ends = ?, started = ?, room = zeroblob({_ROOM_OF_RESULT})
    WHERE id {{among}} ({{picked}})
    RETURNING id, token, attempts, max_attempts, {DEFINITION}, priority, result, fingerprint"""

RENEW: Final = f"""UPDATE task INDEXED BY task_open SET lease_ends = ? WHERE {_RUNNING} AND owner = ?
    RETURNING id, token"""

DONE: Final = """UPDATE task SET status = 'done', result = ?, validity = ?, error = NULL, lease_ends = NULL, ended = ?,
    process = NULL, room = NULL
    WHERE id = ? AND token = ? AND status = 'running' RETURNING pool, status, token, attempts, owner"""

PART_DONE: Final = """UPDATE task SET status = 'part_done', result = ?, validity = ?, error = NULL,
    lease_ends = NULL, attempts = 0, room = NULL
    WHERE id = ? AND token = ? AND status = 'running' RETURNING pool, status, token, attempts, owner"""

RETRY: Final = """UPDATE task SET status = origin, error = ?, lease_ends = NULL, run_at = ?, due = ?, delay = ?
    WHERE id = ? AND token = ? AND status = 'running' AND attempts < max_attempts
    RETURNING pool, status, token, attempts, owner"""

FAILED: Final = """UPDATE task SET status = 'failed', error = ?, lease_ends = NULL, ended = ?
    WHERE id = ? AND token = ? AND status = 'running' RETURNING pool, status, token, attempts, owner"""

RELEASED: Final = """UPDATE task SET status = origin, lease_ends = NULL, attempts = attempts - 1
    WHERE id = ? AND token = ? AND status = 'running' RETURNING pool, status, token, attempts, owner"""

CANCELLED: Final = """UPDATE task SET status = 'cancelled', lease_ends = NULL, ended = ?
    WHERE id = ? AND token = ? AND status = 'running' RETURNING pool, status, token, attempts, owner"""

STATE_OF: Final = "SELECT token, status FROM task WHERE id = ?"

RUNNING_PROCESSES: Final = f"""SELECT DISTINCT process FROM task INDEXED BY task_open
    WHERE {_RUNNING} AND process IS NOT NULL"""

REAP: Final = f"""UPDATE task SET status = CASE WHEN attempts < max_attempts THEN origin ELSE 'failed' END,
    ended = CASE WHEN attempts < max_attempts THEN NULL ELSE ? END,
    token = token + 1, lease_ends = NULL,
    error = 'worker ' || owner || ' died or did not renew its lease in time'
    WHERE {_RUNNING} AND (lease_ends < ? OR process IN (SELECT value FROM json_each(?))){{where}}
    RETURNING id, pool, status, token, attempts, owner, error"""

GET: Final = f"""SELECT id, pool, fingerprint, status, priority, token, attempts, max_attempts, {DEFINITION}, created,
    owner, result, validity, error, lease_ends + ?, run_at, started, ended, needs
    FROM task WHERE pool = ? AND id IN (SELECT value FROM json_each(?))"""

FIND: Final = f"""SELECT id, pool, fingerprint, status, priority, token, attempts, max_attempts, {DEFINITION}, created,
    owner, result, validity, error, lease_ends + ?, run_at, started, ended, needs
    FROM task WHERE pool = ? AND id > ?{{where}} ORDER BY id LIMIT ?"""

# The same in the table's own order: a page begins where the one before ended, whatever else is in the file.
FIND_BY_ID: Final = FIND.replace("WHERE pool", "WHERE +pool")

HIGHEST: Final = "SELECT MAX(id), (SELECT tasks FROM size WHERE pool = ?) FROM task"

# The row without a state is the whole pool.
TALLY: Final = f"""SELECT status, COUNT(*) FROM task INDEXED BY task_open WHERE pool = ?1 AND {_OPEN}
        AND status IN ('waiting', 'running', 'part_done') GROUP BY status
    UNION ALL SELECT status, COUNT(*) FROM task INDEXED BY task_delayed
        WHERE due IS NOT NULL AND pool = ?1 AND status IN ('waiting', 'part_done') GROUP BY status
    UNION ALL SELECT status, COUNT(*) FROM task INDEXED BY task_failed
        WHERE pool = ?1 AND status IN ('failed', 'cancelled') GROUP BY status
    UNION ALL SELECT NULL, tasks FROM size WHERE pool = ?1"""

COUNT: Final = "SELECT status, COUNT(*) FROM task WHERE pool = ?{where} GROUP BY status"
COUNT_BY_ID: Final = COUNT.replace("WHERE pool", "WHERE +pool")

AMEND: Final = """UPDATE task SET status = ?, token = token + (status = 'running'), lease_ends = NULL, run_at = NULL,
    due = NULL, delay = NULL, ended = ?{more} WHERE pool = ? AND status IN (SELECT value FROM json_each(?)){where}
    RETURNING id, pool, status, token, attempts, owner, error"""

FORGET: Final = ", attempts = 0, result = NULL, validity = NULL, error = NULL"
REOPEN: Final = ", attempts = 0, error = NULL"
EXPLAIN: Final = ", error = COALESCE(?, error)"

ADJUST: Final = """UPDATE task SET priority = coalesce(?, priority), max_attempts = coalesce(?, max_attempts),
    needs = coalesce(?, needs) WHERE pool = ?{where} RETURNING id"""

RUNNING_MATCH: Final = "SELECT id FROM task WHERE pool = ? AND status = 'running'{where} LIMIT 1"

REPLACE: Final = """UPDATE task SET fingerprint = ? WHERE pool = ?{where}
    RETURNING id, pool, status, token, attempts, owner"""

DELETE: Final = """DELETE FROM task WHERE pool = ? AND (? OR status <> 'running'){where}
    RETURNING id, pool, status, token, attempts, owner"""

HISTORY: Final = """INSERT INTO history(seq, pool, at, event, status, token, attempt, owner, detail)
    VALUES(COALESCE((SELECT seq FROM history WHERE seq >= ?1 << 24 AND seq < ?1 + 1 << 24 ORDER BY seq DESC LIMIT 1),
        ?1 << 24) + 1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)"""

MOVED_HISTORY: Final = """INSERT INTO history(seq, pool, at, event, status, token, attempt, owner, detail)
    VALUES((?1 << 24) + ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)"""

# Before tasks are removed: who asks for their history must find that they were created.
KEEP_CREATED: Final = """INSERT OR IGNORE INTO history(seq, pool, at, event, status, token, attempt)
    SELECT id << 24, pool, created, 'created', 'waiting', 0, 0 FROM task
    WHERE pool = ? AND (? OR status <> 'running'){where}"""

POOLS: Final = """SELECT pool FROM size UNION
    SELECT pool FROM rule WHERE paused_at IS NOT NULL OR weight <> 1 OR max_running IS NOT NULL ORDER BY pool"""

PAUSE: Final = """INSERT INTO rule(pool, paused_at, reason) VALUES(?, ?, ?)
    ON CONFLICT(pool) DO UPDATE SET paused_at = excluded.paused_at, reason = excluded.reason WHERE paused_at IS NULL"""

RESUME: Final = "UPDATE rule SET paused_at = NULL, reason = NULL WHERE pool = ? AND paused_at IS NOT NULL"

ALL_RULES: Final = "SELECT pool, paused_at, reason, weight, max_running FROM rule"

SET_NEEDS: Final = """INSERT INTO rule(pool, needs) VALUES(?, ?)
    ON CONFLICT(pool) DO UPDATE SET needs = excluded.needs"""

SET_SHARE: Final = """INSERT INTO rule(pool, weight, max_running) VALUES(?, ?, ?)
    ON CONFLICT(pool) DO UPDATE SET weight = excluded.weight, max_running = excluded.max_running"""

_DEMANDED: Final = "pool IN (SELECT value FROM json_each(?1))"

# By pool, needs and what they are: `open`, `delayed` or `running` tasks, and the oldest of them.
DEMAND: Final = f"""SELECT pool, needs, IIF(status = 'running', 'running', 'open') AS kind, COUNT(*), MIN(id)
    FROM task INDEXED BY task_open WHERE {_DEMANDED} AND {_OPEN} AND status IN ('waiting', 'running', 'part_done')
    GROUP BY pool, status, needs
    UNION ALL SELECT pool, needs, IIF(due <= ?2, 'open', 'delayed') AS kind, COUNT(*), MIN(id)
    FROM task INDEXED BY task_delayed WHERE due IS NOT NULL AND {_DEMANDED} AND status IN ('waiting', 'part_done')
    GROUP BY pool, needs, kind"""

SIZES: Final = "SELECT pool FROM size"

CREATED_AT: Final = "SELECT id, created FROM task WHERE id IN (SELECT value FROM json_each(?))"

RESTORE: Final = """INSERT INTO task(pool, fingerprint, status, priority, token, attempts, max_attempts, owner, run_at,
    due, delay, created, started, ended, result, validity, error, needs)
    VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT(pool, fingerprint) DO NOTHING RETURNING id"""

ID_OF: Final = "SELECT id FROM task WHERE pool = ? AND fingerprint = ?"

_CREATED: Final = """SELECT id << 24, created, 'created', 'waiting', 0, 0, NULL, NULL FROM task
    WHERE pool = ?1 AND NOT EXISTS(SELECT 1 FROM history WHERE history.seq = task.id << 24)"""

# By time, but what happened to one task always in its order, even if the clock was set back.
_OLDEST_FIRST: Final = "MAX(at) OVER (PARTITION BY seq >> 24 ORDER BY seq), seq"

# 1. The changes that were written. 2. The creation of each task that has none written (`_CREATED`). 3. Sorted.
READ_HISTORY: Final = f"""WITH change(seq, at, event, status, token, attempt, owner, detail) AS (
    SELECT seq, at, event, status, token, attempt, owner, detail FROM history WHERE pool = ?1 UNION ALL {_CREATED})
    SELECT seq >> 24, at, event, status, token, attempt, owner, detail FROM change ORDER BY {_OLDEST_FIRST}"""

READ_HISTORY_OF: Final = f"""WITH change(seq, at, event, status, token, attempt, owner, detail) AS (
    SELECT seq, at, event, status, token, attempt, owner, detail
        FROM (SELECT DISTINCT value FROM json_each(?2)) AS wanted CROSS JOIN history
        ON seq >= wanted.value << 24 AND seq < wanted.value + 1 << 24 WHERE pool = ?1
    UNION ALL {_CREATED} AND id IN (SELECT value FROM json_each(?2)))
    SELECT seq >> 24, at, event, status, token, attempt, owner, detail FROM change ORDER BY {_OLDEST_FIRST}"""
