"""The most that a durable turn on PostgreSQL can give: ending one attempt and taking the next, and nothing else.

No history, no checks, no port: one table, one prepared statement, one connection. `pool_postgres.py` measures the pool
beside it, by turns.
"""

from __future__ import annotations

import hashlib
import json
import time

import psycopg

TABLE = """
DROP TABLE IF EXISTS ceiling;
CREATE TABLE ceiling(number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, digest bytea NOT NULL UNIQUE,
    rank int NOT NULL DEFAULT 0, phase smallint NOT NULL DEFAULT 0, fence bigint NOT NULL DEFAULT 0, holder text,
    until timestamptz, body text NOT NULL, answer text) WITH (fillfactor = 70);
CREATE INDEX ceiling_ready ON ceiling(rank DESC, number) WHERE phase = 0;
CREATE INDEX ceiling_held ON ceiling(until) WHERE phase = 1;
"""
TURN = """WITH ended AS (UPDATE ceiling SET phase = 2, answer = %(answer)s, until = NULL
        WHERE number = %(number)s AND fence = %(fence)s AND phase = 1),
    next AS MATERIALIZED (SELECT number FROM ceiling WHERE phase = 0 ORDER BY rank DESC, number LIMIT 1
        FOR UPDATE SKIP LOCKED)
    UPDATE ceiling SET phase = 1, fence = fence + 1, holder = %(holder)s, until = now() + interval '60 s'
    FROM next WHERE ceiling.number = next.number RETURNING ceiling.number, ceiling.fence, ceiling.body"""


def fill(url, definitions):
    """Make the table and put one row for each definition."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(TABLE)
        with connection.cursor().copy("COPY ceiling(digest, body) FROM STDIN") as copy:
            for definition in definitions:
                text = json.dumps(definition)
                copy.write_row((hashlib.sha256(text.encode()).digest(), text))
        connection.execute("ANALYZE ceiling")


def drain(url, holder, answer):
    """Turn until nothing is left; return the seconds and the number of turns."""
    with psycopg.connect(url, autocommit=True) as connection:
        held, turns = (0, 0), 0
        start = time.perf_counter()
        while True:
            values = {"answer": answer, "number": held[0], "fence": held[1], "holder": holder}
            held = connection.execute(TURN, values, prepare=True).fetchone()
            if held is None:
                return time.perf_counter() - start, turns
            turns += 1
