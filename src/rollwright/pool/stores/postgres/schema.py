"""The schema of a PostgreSQL pool, version by version."""

from __future__ import annotations

from typing import Final

__all__ = ["MIGRATIONS", "SCHEMA_VERSION"]

# Moments are seconds since 1970 UTC by the server's clock, so that queries compare them as on every other store.
# Text is compared byte by byte, which in UTF-8 is the order of code points, whatever language the database speaks.
_V1: Final = (
    "CREATE TABLE version(version integer NOT NULL)",
    "INSERT INTO version VALUES(0)",
    "CREATE SEQUENCE task_id",
    """CREATE TABLE task(
    id bigint PRIMARY KEY,
    pool text COLLATE "C" NOT NULL,
    fingerprint bytea NOT NULL,
    status text COLLATE "C" NOT NULL,
    origin text COLLATE "C",
    priority bigint NOT NULL,
    token bigint NOT NULL DEFAULT 0,
    attempts integer NOT NULL DEFAULT 0,
    max_attempts integer NOT NULL,
    owner text COLLATE "C",
    process bigint,
    claim bigint,
    lease_until double precision,
    run_at double precision,
    created double precision NOT NULL,
    started double precision,
    ended double precision,
    definition text COLLATE "C" NOT NULL,
    result text COLLATE "C",
    validity text COLLATE "C",
    error text COLLATE "C")
    WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.05)""",
    "CREATE UNIQUE INDEX task_identity ON task(pool, fingerprint)",
    # For counting; a task comes into it once, when it has ended.
    """CREATE INDEX task_ended ON task(pool, status) WHERE status IN ('done', 'failed', 'cancelled')""",
    # Only tasks that can be claimed are in these two: a million finished ones do not slow a claim down.
    "CREATE INDEX task_waiting ON task(pool, priority DESC, id) WHERE status = 'waiting' AND run_at IS NULL",
    "CREATE INDEX task_part_done ON task(pool, priority DESC, id) WHERE status = 'part_done' AND run_at IS NULL",
    "CREATE INDEX task_delayed ON task(pool, run_at) WHERE run_at IS NOT NULL",
    "CREATE INDEX task_running ON task(pool, lease_until) WHERE status = 'running'",
    """CREATE TABLE history(
    seq bigint GENERATED ALWAYS AS IDENTITY,
    task bigint NOT NULL,
    pool text COLLATE "C" NOT NULL,
    at double precision NOT NULL,
    event text COLLATE "C" NOT NULL,
    status text COLLATE "C" NOT NULL,
    token bigint NOT NULL,
    attempt integer NOT NULL,
    owner text COLLATE "C",
    detail text COLLATE "C")""",
    "CREATE INDEX history_task ON history(task)",
    """CREATE TABLE pool(
    name text COLLATE "C" PRIMARY KEY,
    used boolean NOT NULL DEFAULT false,
    paused_at double precision,
    reason text COLLATE "C")""",
    # Changes by hand leave their number here: when the connection breaks at COMMIT, it tells whether they were kept.
    "CREATE TABLE receipt(number bigint PRIMARY KEY, at double precision NOT NULL)",
)

MIGRATIONS: Final[tuple[tuple[str, ...], ...]] = (_V1,)
"""The statements that lead from each schema version to the next; the first from an empty schema."""

SCHEMA_VERSION: Final = len(MIGRATIONS)
