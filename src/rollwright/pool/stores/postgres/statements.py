"""Every statement the PostgreSQL store runs, by name; values are bound, by name too.

The hot ones are one statement each, so that they take one round trip and are one transaction: `turn` ends attempts,
takes the next tasks and writes the history of both.
"""

# ruff: noqa: S608 - put together from texts of this file; every value is bound
from __future__ import annotations

from functools import lru_cache
from typing import Final, Literal

from rollwright.pool.stores.postgres import schema

__all__ = ["turn"]

NOW: Final = "COALESCE(%(now)s::double precision, extract(epoch FROM statement_timestamp())::double precision)"

# -- the turn ------------------------------------------------------------------------------------------------------

# One outcome stands in the statement itself, several come as arrays.
_ONE: Final = {
    "task": "%(task)s::bigint",
    "token": "%(token)s::bigint",
    "kind": "%(kind)s::text",
    "result": "%(result)s::text",
    "validity": "%(validity)s::text",
    "error": "%(error)s::text",
    "retry": "%(retry)s::boolean",
    "delay": "%(delay)s::double precision",
    "source": "",
}
_MANY: Final = {name: f"outcome.{name}" for name in _ONE} | {
    "source": """FROM unnest(%(task)b::bigint[], %(token)b::bigint[], %(kind)b::text[], %(result)s::text[],
        %(validity)s::text[], %(error)s::text[], %(retry)b::boolean[], %(delay)b::double precision[])
        AS outcome(task, token, kind, result, validity, error, retry, delay)"""
}

# Something to be freed or promoted first? Then the statement does nothing, and a transaction of several does it all.
# The least of each is read from its index; whether there is one below would be looked for in the whole table where the
# server believes that many are.
_HELD_UP: Final = f"""held_up AS MATERIALIZED (SELECT
    COALESCE((SELECT min(lease_until) FROM task WHERE status = 'running' AND pool = %(pool)s) < {NOW}, false)
    OR COALESCE((SELECT min(run_at) FROM task WHERE run_at IS NOT NULL AND pool = %(pool)s) <= {NOW}, false) AS due)"""

# Written so that the way to the task is its id, never the list of all that are running.
FENCE: Final = "task.id = {task} AND task.token = {token} AND task.status || '' = 'running'"

_AGAIN: Final = "{kind} = 'failed' AND {retry} AND task.attempts < task.max_attempts"

_ENDED: Final = f"""ended AS (UPDATE task SET
    status = CASE WHEN {{kind}} = 'released' OR {_AGAIN} THEN task.origin ELSE {{kind}} END,
    result = CASE WHEN {{kind}} IN ('done', 'part_done') THEN {{result}} ELSE task.result END,
    validity = CASE WHEN {{kind}} IN ('done', 'part_done') THEN {{validity}} ELSE task.validity END,
    error = CASE WHEN {{kind}} IN ('done', 'part_done') THEN NULL
        WHEN {{kind}} = 'failed' THEN {{error}} ELSE task.error END,
    attempts = CASE {{kind}} WHEN 'part_done' THEN 0 WHEN 'released' THEN task.attempts - 1 ELSE task.attempts END,
    ended = CASE WHEN {{kind}} NOT IN ('part_done', 'released') AND NOT ({_AGAIN}) THEN {NOW} END,
    run_at = CASE WHEN {_AGAIN} AND {{delay}} > 0 THEN {NOW} + {{delay}} END,
    lease_until = NULL
    {{source}} WHERE {{gate}}{{fence}}
    RETURNING task.id, task.pool, task.status, task.token, task.attempts, task.owner, {{error}} AS detail,
        CASE WHEN {{kind}} = 'failed' AND task.status <> 'failed' THEN 'retry' ELSE {{kind}} END AS event)"""

_READY: Final = """{gate}status = '{status}' AND run_at IS NULL AND pool = %(pool)s AND needs = {needs}{where}
    AND NOT EXISTS(SELECT FROM pool WHERE pool.name = %(pool)s AND (paused_since IS NOT NULL{unknown}))"""

# Of one text of needs.
PICKED: Final = f"""picked AS MATERIALIZED (SELECT id FROM task
    WHERE {_READY.replace("{needs}", "%(needs)s::text")}
    ORDER BY priority DESC, id LIMIT {{limit}} FOR UPDATE SKIP LOCKED)"""

# Of several. 1. ``heads``: the first of all, as many as are wanted, locked by nobody. 2. ``parts``: how many of them
# have which needs. 3. ``picked``: as many of each, those that another worker has locked left out.
PICKED_OF_SOME: Final = f"""heads AS MATERIALIZED (SELECT wanted.needs, head.id, head.priority
    FROM unnest(%(needs)s::text[]) AS wanted(needs) CROSS JOIN LATERAL (SELECT id, priority FROM task
        WHERE {_READY.replace("{needs}", "wanted.needs")} ORDER BY priority DESC, id LIMIT {{limit}}) AS head
    ORDER BY head.priority DESC, head.id LIMIT {{limit}}),
    parts AS MATERIALIZED (SELECT needs AS text, count(*) AS tasks FROM heads GROUP BY needs),
    picked AS MATERIALIZED (SELECT one.id FROM parts CROSS JOIN LATERAL (SELECT id FROM task
        WHERE {_READY.replace("{needs}", "parts.text")}
        ORDER BY priority DESC, id LIMIT parts.tasks FOR UPDATE SKIP LOCKED) AS one)"""

_UNKNOWN: Final = " OR max_running IS NOT NULL OR needs <> %(known)s::text[]"

# Here and below, the tasks that are changed are named by a list of ids, which is always read by the key; joined to what
# was chosen, the server may read the key from its beginning, or the whole table, when it expects many of them.
_TAKEN: Final = f"""taken AS (UPDATE task SET status = 'running', origin = '{{status}}', token = token + 1,
    attempts = attempts + 1, owner = %(owner)s, process = %(process)s::bigint, claim = %(claim)s::bigint,
    lease_until = {NOW} + %(lease)s::double precision, started = {NOW}
    WHERE task.id = ANY(ARRAY(SELECT id FROM picked))
    RETURNING task.id, task.pool, task.status, task.token, task.attempts, task.owner, NULL::text AS detail,
        'claimed' AS event, task.max_attempts, task.definition, task.priority, task.result,
        encode(task.fingerprint, 'hex') AS fingerprint)"""

_LOGGED: Final = """logged AS (INSERT INTO history(task, pool, at, event, status, token, attempt, owner, detail)
    {changed})"""

_CHANGED: Final = f"SELECT id, pool, {NOW}, event, status, token, attempts, owner, detail FROM"

DUE: Final = "due"
"""The event of the row that says that a gated turn did nothing."""

RULE: Final = "rule"
"""The event of the row that says that nothing was taken, since the pool has a cap or needs that were not known."""

SHORT: Final = "short"
"""The event of the row that says that others had locked tasks of some needs: each has to be asked for."""

Outcomes = Literal["none", "one", "many"]
Needed = Literal["one", "some"]


@lru_cache(maxsize=256)
def turn(
    outcomes: Outcomes,
    status: str | None,
    where: str,
    *,
    gated: bool,
    needed: Needed = "one",
    checked: bool = True,
    limit: int | None = None,
) -> str:
    """Return the statement that ends attempts and, with `status`, takes tasks from that state.

    1. ``held_up`` (gated only): is there a lease that ended, or a delay that passed, in the pool?
    2. ``ended``: each outcome whose token is the task's (`FENCE`) ends its attempt; the others change nothing.
    3. ``picked``: tasks to take, locked, those that another worker has locked left out; none of a paused pool.
    4. ``taken``: they run now, each with a higher token and one attempt more.
    5. ``logged``: one row of history for each task of 2 and 4.

    `gated`: do nothing, and answer with a row of the event `DUE`, when leases have ended or delays have passed in the
    pool; what a claim must see then is not in this statement's snapshot. `needed`: tasks of one text of needs, or of
    several. `checked`: take nothing, and answer with a row of the event `RULE`, when the pool has a cap, or when the
    needs of its tasks are others than those that were known. `limit`: how many are to be taken, where that stands in
    the statement itself: the server plans a bound one for a tenth of all that wait.

    Its rows are (event, id, token, status, attempts, max_attempts, priority, definition, result,
    fingerprint); of an attempt that ended, the pool stands in the definition's place, and of a `RULE` the needs.
    """
    gate = "NOT (SELECT due FROM held_up) AND " if gated else ""
    parts = [_HELD_UP] if gated else []
    changed, answers = [], []
    if outcomes != "none":
        names = _ONE if outcomes == "one" else _MANY
        parts.append(_ENDED.format(**names, gate=gate, fence=FENCE.format(**names)))
        changed.append(f"{_CHANGED} ended")
        answers.append(
            "SELECT event, id, token, status, attempts, NULL::int, NULL::bigint, pool, NULL::text, NULL::text "
            "FROM ended"
        )
    if status is not None:
        picked = PICKED if needed == "one" else PICKED_OF_SOME
        amount = "%(limit)s" if limit is None else str(limit)
        unknown = _UNKNOWN if checked else ""
        parts.append(picked.format(gate=gate, status=status, where=where, unknown=unknown, limit=amount))
        parts.append(_TAKEN.format(status=status))
        changed.append(f"{_CHANGED} taken")
        answers.append(
            "SELECT event, id, token, status, attempts, max_attempts, priority, definition, result, fingerprint "
            "FROM taken"
        )
        if checked:
            answers.append(
                f"SELECT '{RULE}', 0, 0, '', max_running, 0, 0, array_to_string(needs, E'\\n'), '', '' FROM pool "
                f"WHERE pool.name = %(pool)s AND (max_running IS NOT NULL OR needs <> %(known)s::text[])"
            )
        if needed == "some":
            answers.append(
                f"SELECT '{SHORT}', 0, 0, '', 0, 0, 0, '', '', '' "
                "WHERE (SELECT count(*) FROM heads) > (SELECT count(*) FROM picked)"
            )
    parts.append(_LOGGED.format(changed=" UNION ALL ".join(changed)))
    if gated:
        answers.append(f"SELECT '{DUE}', 0, 0, '', 0, 0, 0, '', '', '' FROM held_up WHERE due")
    return f"WITH {', '.join(parts)} {' UNION ALL '.join(answers)}"


# -- in a transaction of several statements ----------------------------------------------------------------------------

# What a claim has to keep to; with a cap the row is locked, so that claims of the pool come one after another.
READ_RULE: Final = "SELECT max_running, needs FROM pool WHERE name = %(pool)s"
LOCK_RULE: Final = f"{READ_RULE} FOR UPDATE"

RUNNING: Final = "SELECT count(*) FROM task WHERE pool = %(pool)s AND status = 'running'"

# Committed before any task has the needs, so that no claim misses them.
KNOW_NEEDS: Final = """INSERT INTO pool(name, needs) VALUES(%(pool)s, %(needs)s::text[])
    ON CONFLICT (name) DO UPDATE SET needs = ARRAY(SELECT DISTINCT unnest(pool.needs || excluded.needs) ORDER BY 1)
    WHERE NOT pool.needs @> excluded.needs"""

PROMOTE: Final = f"""WITH due AS MATERIALIZED (SELECT id FROM task
    WHERE run_at IS NOT NULL AND pool = %(pool)s AND run_at <= {NOW} ORDER BY id FOR UPDATE SKIP LOCKED)
    UPDATE task SET run_at = NULL WHERE id = ANY(ARRAY(SELECT id FROM due))"""

LOGGED: Final = """logged AS (INSERT INTO history(task, pool, at, event, status, token, attempt, owner, detail)
    SELECT id, pool, {now}, '{event}', status, token, attempts, owner, {detail} FROM changed ORDER BY id)"""

# 1. ``gone``: running tasks whose lease ended or whose process is dead, locked. 2. ``changed``: back to where they were
# claimed from, or failed, with a higher token. 3. ``logged``: their history.
REAP: Final = f"""WITH gone AS MATERIALIZED (SELECT id FROM task WHERE status = 'running'
        AND (lease_until < {NOW} OR process = ANY(%(dead)s::bigint[])){{where}}
        ORDER BY id FOR UPDATE SKIP LOCKED),
    changed AS (UPDATE task SET status = CASE WHEN attempts < max_attempts THEN origin ELSE 'failed' END,
        ended = CASE WHEN attempts < max_attempts THEN NULL ELSE {NOW} END,
        token = token + 1, lease_until = NULL,
        error = 'worker ' || owner || ' died or did not renew its lease in time'
        WHERE task.id = ANY(ARRAY(SELECT id FROM gone))
        RETURNING task.id, pool, status, token, attempts, owner, error),
    {LOGGED.format(now=NOW, event="reaped", detail="error")}
    SELECT id, pool, status FROM changed ORDER BY id"""

# What a running task shows of its holder: whether its lease ended, and the number its process holds a lock on.
HELD: Final = f"""SELECT process, bool_or(lease_until < {NOW}) FROM task
    WHERE status = 'running'{{where}} GROUP BY process"""

ALIVE: Final = """SELECT (classid::bigint << 32) | objid::bigint FROM pg_locks
    WHERE locktype = 'advisory' AND objsubid = 1 AND granted
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"""

SERVER_MARKS: Final = 1 << 15
# One of so many numbers that tells this run of this server from another: after a restart, or on the standby that took
# over, it is another one.
SERVER_MARK: Final = f"""SELECT
    mod((extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint, {SERVER_MARKS - 19})::int"""

# A session of this process that the server takes to be there still though its connection is gone: it has our lock.
END_PREDECESSOR: Final = """SELECT pg_terminate_backend(pid, 5000) FROM pg_locks
    WHERE locktype = 'advisory' AND objsubid = 1 AND granted AND pid <> pg_backend_pid()
    AND (classid::bigint << 32) | objid::bigint = %(number)s
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"""

# Losing this in a crash only lets a lease end sooner.
RENEW: Final = f"""WITH lax AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true) AS set),
    held AS MATERIALIZED (SELECT id FROM task, lax WHERE status = 'running' AND owner = %(owner)s
        AND lax.set = 'off' ORDER BY id FOR UPDATE OF task)
    UPDATE task SET lease_until = {NOW} + %(lease)s::double precision
    WHERE task.id = ANY(ARRAY(SELECT id FROM held)) RETURNING task.id, task.token"""

STATE_OF: Final = "SELECT id, token, status FROM task WHERE id = ANY(%(ids)s::bigint[])"

# -- after a connection broke --------------------------------------------------------------------------------------

ACCEPTED: Final = """SELECT event, task, token, status, attempt, NULL, NULL, pool, NULL, NULL FROM history
    WHERE task = ANY(%(ids)s::bigint[]) AND token = ANY(%(tokens)s::bigint[])
    AND event IN ('done', 'part_done', 'retry', 'failed', 'released', 'cancelled')"""

CLAIMED: Final = """SELECT 'claimed', id, token, status, attempts, max_attempts, priority, definition, result,
    encode(fingerprint, 'hex') FROM task WHERE status = 'running' AND pool = %(pool)s AND claim = %(claim)s::bigint"""

RECEIPT: Final = f"""WITH swept AS (DELETE FROM receipt WHERE at < {NOW} - 86400)
    INSERT INTO receipt VALUES(%(number)s, {NOW})"""

HAS_RECEIPT: Final = "SELECT 1 FROM receipt WHERE number = %(number)s"

# -- putting -------------------------------------------------------------------------------------------------------

# 1. ``given``: the tasks. 2. ``known``: those the pool has. 3. ``fresh``: ids for the others, in the order given.
# 4. ``changed``: insert them; who was faster is passed over. 5. ``logged``: their history. 6. ``entered``: the pool's
# name. 7. The ids of both, and a notification when some are new.
# Ids follow the order given; rows are written in the order of their fingerprints, so that two who put the same tasks
# in different orders wait for one another and never for each other.
PUT: Final = f"""WITH given AS MATERIALIZED (SELECT * FROM unnest(%(fingerprint)b::bytea[], %(priority)b::bigint[],
        %(max_attempts)b::int[], %(delay)b::double precision[], %(definition)b::text[], %(needs)b::text[])
        WITH ORDINALITY AS g(fingerprint, priority, max_attempts, delay, definition, needs, place)),
    known AS MATERIALIZED (SELECT task.id, task.fingerprint FROM given
        JOIN task ON task.pool = %(pool)s AND task.fingerprint = given.fingerprint),
    fresh AS MATERIALIZED (SELECT nextval('task_id') AS id, missing.* FROM (SELECT * FROM given
        WHERE NOT EXISTS(SELECT FROM known WHERE known.fingerprint = given.fingerprint) ORDER BY place) AS missing),
    changed AS (INSERT INTO task(id, pool, fingerprint, status, priority, max_attempts, run_at, created, definition,
            needs)
        SELECT fresh.id, %(pool)s, fingerprint, 'waiting', priority, max_attempts,
            CASE WHEN delay > 0 THEN {NOW} + delay END, {NOW}, definition, needs
        FROM fresh ORDER BY fingerprint
        ON CONFLICT (pool, fingerprint) DO NOTHING
        RETURNING id, fingerprint, pool, status, token, attempts, owner),
    {LOGGED.format(now=NOW, event="created", detail="NULL")},
    entered AS (INSERT INTO pool(name, used) SELECT %(pool)s, true
        WHERE NOT EXISTS(SELECT FROM pool WHERE name = %(pool)s AND used)
        ON CONFLICT (name) DO UPDATE SET used = true)
    SELECT fingerprint, id, true AS new FROM changed UNION ALL SELECT fingerprint, id, false FROM known
    UNION ALL SELECT NULL, 0, pg_notify(%(channel)s, %(message)s) IS NULL FROM (SELECT FROM changed LIMIT 1) AS new"""

IDS_OF: Final = "SELECT fingerprint, id FROM task WHERE pool = %(pool)s AND fingerprint = ANY(%(fingerprint)b::bytea[])"

RESTORE: Final = """INSERT INTO task(id, pool, fingerprint, status, priority, token, attempts, max_attempts, owner,
    run_at, created, started, ended, definition, result, validity, error, needs)
    VALUES(nextval('task_id'), %(pool)s, %(fingerprint)s, %(status)s, %(priority)s, %(token)s, %(attempts)s,
    %(max_attempts)s, %(owner)s, %(run_at)s, %(created)s, %(started)s, %(ended)s, %(definition)s, %(result)s,
    %(validity)s, %(error)s, %(needs)s) ON CONFLICT (pool, fingerprint) DO NOTHING RETURNING id"""

ENTER: Final = """INSERT INTO pool(name, used) VALUES(%(pool)s, true) ON CONFLICT (name) DO UPDATE SET used = true"""

HISTORY: Final = f"""INSERT INTO history(task, pool, at, event, status, token, attempt, owner, detail)
    VALUES(%(task)s, %(pool)s, COALESCE(%(at)s::double precision, {NOW}), %(event)s, %(status)s, %(token)s,
    %(attempt)s, %(owner)s, %(detail)s)"""

# -- reading --------------------------------------------------------------------------------------------------------

_RECORD: Final = """SELECT id, pool, encode(fingerprint, 'hex'), status, priority, token, attempts, max_attempts,
    definition, created, owner, result, validity, error, lease_until, run_at, started, ended, needs
    FROM task"""

GET: Final = f"{_RECORD} WHERE pool = %(pool)s AND id = ANY(%(ids)s::bigint[])"

FIND: Final = f"{_RECORD} WHERE pool = %(pool)s AND id > %(last)s{{where}} ORDER BY id LIMIT %(page)s"

# Each state has an index of its own, which is all that is read; waiting and part_done have one more for the delayed.
TALLY: Final = " UNION ALL ".join(
    f"SELECT '{status}', count(*) FROM task WHERE pool = %(pool)s AND status = '{status}'{{more}}".format(more=more)
    for status, more in (
        ("waiting", " AND run_at IS NULL"),
        ("waiting", " AND run_at IS NOT NULL"),
        ("part_done", " AND run_at IS NULL"),
        ("part_done", " AND run_at IS NOT NULL"),
        ("running", ""),
        ("done", ""),
        ("failed", ""),
        ("cancelled", ""),
    )
)

COUNT: Final = "SELECT status, COUNT(*) FROM task WHERE pool = %(pool)s{where} GROUP BY status"

STAT: Final = f"""SELECT status, tasks, NULL::double precision, NULL::text, NULL::double precision
    FROM ({TALLY}) AS tally(status, tasks)
    UNION ALL SELECT '', max_running, paused_since, reason, weight FROM pool WHERE name = %(pool)s"""

POOLS: Final = """SELECT name FROM pool
    WHERE used OR paused_since IS NOT NULL OR weight <> 1 OR max_running IS NOT NULL ORDER BY name"""

_OF_THESE: Final = " WHERE %(pools)s::text[] IS NULL OR pool.name = ANY(%(pools)s::text[])"

DEMAND: Final = schema.DEMAND.format(now=NOW, pools=_OF_THESE)

SHARES: Final = """SELECT asked.name, (SELECT count(*) FROM task WHERE task.pool = asked.name AND status = 'running'),
    pool.paused_since IS NOT NULL, coalesce(pool.weight, 1), pool.max_running
    FROM unnest(%(pools)s::text[]) WITH ORDINALITY AS asked(name, place) LEFT JOIN pool ON pool.name = asked.name
    ORDER BY asked.place"""

READ_HISTORY: Final = """SELECT task, at, event, status, token, attempt, owner, detail FROM history
    WHERE pool = %(pool)s ORDER BY seq"""

READ_HISTORY_OF: Final = """SELECT task, at, event, status, token, attempt, owner, detail FROM history
    WHERE task = ANY(%(ids)s::bigint[]) AND pool = %(pool)s ORDER BY seq"""

# -- by hand -------------------------------------------------------------------------------------------------------

_HIT: Final = """hit AS MATERIALIZED (SELECT id, status AS before FROM task
    WHERE pool = %(pool)s{where} ORDER BY id FOR UPDATE)"""

AMEND: Final = f"""WITH {_HIT},
    changed AS (UPDATE task SET status = %(status)s, token = token + (hit.before = 'running')::int, lease_until = NULL,
        run_at = NULL, ended = CASE WHEN %(terminal)s THEN {NOW} END{{more}}
        FROM hit WHERE task.id = hit.id RETURNING task.id, pool, status, token, attempts, owner, error),
    {LOGGED.format(now=NOW, event="amended", detail="error")}
    SELECT id FROM changed"""

FORGET: Final = ", attempts = 0, result = NULL, validity = NULL, error = NULL"
REOPEN: Final = ", attempts = 0, error = NULL"
EXPLAIN: Final = ", error = COALESCE(%(error)s, error)"

ADJUST: Final = f"""WITH {_HIT}
    UPDATE task SET priority = coalesce(%(priority)s::bigint, priority),
        max_attempts = coalesce(%(max_attempts)s::integer, max_attempts),
        needs = coalesce(%(needs)s::text, needs)
    FROM hit WHERE task.id = hit.id RETURNING task.id"""

# Locked as they are now: nobody claims one of them before the transaction ends.
LOCK_MATCH: Final = """SELECT id, status FROM task WHERE pool = %(pool)s{where} ORDER BY id FOR UPDATE"""

REPLACE: Final = f"""WITH {_HIT},
    changed AS (UPDATE task SET definition = %(definition)s, fingerprint = %(fingerprint)s
        FROM hit WHERE task.id = hit.id RETURNING task.id, pool, status, token, attempts, owner),
    {LOGGED.format(now=NOW, event="replaced", detail="NULL")}
    SELECT id FROM changed"""

DELETE: Final = f"""WITH {_HIT},
    changed AS (DELETE FROM task USING hit WHERE task.id = hit.id
        RETURNING task.id, pool, status, token, attempts, owner),
    {LOGGED.format(now=NOW, event="deleted", detail="NULL")}
    SELECT id FROM changed"""

PAUSE: Final = f"""INSERT INTO pool(name, paused_since, reason) VALUES(%(pool)s, {NOW}, %(reason)s)
    ON CONFLICT (name) DO UPDATE SET paused_since = excluded.paused_since, reason = excluded.reason
    WHERE pool.paused_since IS NULL RETURNING 1"""

RESUME: Final = """UPDATE pool SET paused_since = NULL, reason = NULL
    WHERE name = %(pool)s AND paused_since IS NOT NULL RETURNING 1"""

SET_SHARE: Final = """INSERT INTO pool(name, weight, max_running)
    VALUES(%(pool)s, coalesce(%(weight)s::double precision, 1), %(max_running)s::integer)
    ON CONFLICT (name) DO UPDATE SET weight = coalesce(%(weight)s::double precision, pool.weight),
    max_running = CASE WHEN %(capped)s THEN excluded.max_running ELSE pool.max_running END"""

NOTIFY: Final = "SELECT pg_notify(%(channel)s, %(message)s)"

# Asked in the words of the small indexes: whether any task is open must not read those that are not.
NOTIFY_WHEN_EMPTY: Final = """SELECT pg_notify(%(channel)s, %(message)s)
    WHERE NOT EXISTS(SELECT FROM task WHERE pool = %(pool)s AND status = 'waiting' AND run_at IS NULL)
    AND NOT EXISTS(SELECT FROM task WHERE pool = %(pool)s AND status = 'running')
    AND NOT EXISTS(SELECT FROM task WHERE pool = %(pool)s AND status = 'part_done' AND run_at IS NULL)
    AND NOT EXISTS(SELECT FROM task WHERE pool = %(pool)s AND run_at IS NOT NULL)"""
