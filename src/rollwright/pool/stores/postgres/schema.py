"""The schema of a PostgreSQL pool, version by version."""

from __future__ import annotations

from typing import Final

__all__ = ["DEMAND", "MIGRATIONS", "SCHEMA_VERSION"]

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

# The open work of each pool by needs. `{now}` and `{pools}` are the server's clock and all pools in the view.
# 1. Tasks that may be taken, which are delayed or which run, from the small indexes of each. 2. Together by needs, with
# the oldest that may be taken. 3. With what is said of their pool.
DEMAND: Final = """SELECT pool.name AS pool, counted.needs, counted.open, counted.delayed, counted.running,
        {now} - first.created AS oldest, pool.paused_since IS NOT NULL AS paused, pool.weight, pool.max_running
    FROM pool CROSS JOIN LATERAL (SELECT part.needs, sum(part.open)::bigint AS open,
            sum(part.delayed)::bigint AS delayed, sum(part.running)::bigint AS running, min(part.oldest) AS oldest
        FROM (SELECT needs, count(*) AS open, 0 AS delayed, 0 AS running, min(id) AS oldest FROM task
                WHERE task.pool = pool.name AND status = 'waiting' AND run_at IS NULL GROUP BY needs
            UNION ALL SELECT needs, count(*), 0, 0, min(id) FROM task
                WHERE task.pool = pool.name AND status = 'part_done' AND run_at IS NULL GROUP BY needs
            UNION ALL SELECT needs, count(*) FILTER (WHERE run_at <= {now}), count(*) FILTER (WHERE run_at > {now}), 0,
                min(id) FILTER (WHERE run_at <= {now}) FROM task
                WHERE task.pool = pool.name AND run_at IS NOT NULL GROUP BY needs
            UNION ALL SELECT needs, 0, 0, count(*), NULL FROM task
                WHERE task.pool = pool.name AND status = 'running' GROUP BY needs) AS part
        GROUP BY part.needs) AS counted
    LEFT JOIN task AS first ON first.id = counted.oldest{pools}"""

_V2: Final = (
    # What a task asks of its worker. A claim walks over the tasks of one text of needs alone, so that those which a
    # worker may not take cost it nothing.
    """ALTER TABLE task ADD COLUMN needs text COLLATE "C" NOT NULL DEFAULT ''""",
    "DROP INDEX task_waiting",
    "DROP INDEX task_part_done",
    "CREATE INDEX task_waiting ON task(pool, needs, priority DESC, id) WHERE status = 'waiting' AND run_at IS NULL",
    "CREATE INDEX task_part_done ON task(pool, needs, priority DESC, id) WHERE status = 'part_done' AND run_at IS NULL",
    # The different needs that a pool's tasks have or had, and its share. Under its new name a column is found by no
    # process of an earlier version, which would take what it must not.
    "ALTER TABLE pool RENAME COLUMN paused_at TO paused_since",
    """ALTER TABLE pool ADD COLUMN needs text[] COLLATE "C" NOT NULL DEFAULT '{}'""",
    "ALTER TABLE pool ADD COLUMN weight double precision NOT NULL DEFAULT 1",
    "ALTER TABLE pool ADD COLUMN max_running integer",
    f"""CREATE VIEW pool_demand AS
    {DEMAND.format(now="extract(epoch FROM statement_timestamp())::double precision", pools="")}""",
)

MIGRATIONS: Final[tuple[tuple[str, ...], ...]] = (_V1, _V2)
"""The statements that lead from each schema version to the next; the first from an empty schema."""

SCHEMA_VERSION: Final = len(MIGRATIONS)
