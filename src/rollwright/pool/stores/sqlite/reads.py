"""Reading many tasks of a SQLite pool: by which index, and how much at once."""

from __future__ import annotations

import sqlite3
from typing import Any

from rollwright.pool.query import Query, split_ids
from rollwright.pool.stores.sql_query import asks_for_fingerprints, asks_for_ids
from rollwright.pool.stores.sql_reads import IDS_CHUNK, PAGE
from rollwright.pool.stores.sqlite import statements as sql
from rollwright.pool.stores.sqlite.query import narrowed, where

__all__ = ["find_statement", "read_counts"]


def find_statement(connection: sqlite3.Connection, pool: str, query: Query | None) -> tuple[str, list[object]]:
    """Return the statement that reads the next page of the tasks that match, and the values of its condition."""
    condition, values = where(query)
    indexed = narrowed(query)
    by_id = asks_for_ids(query) or (not indexed and not asks_for_fingerprints(query) and _is_large(connection, pool))
    return (sql.FIND_BY_ID if by_id else sql.FIND).format(where=condition + indexed), values


def _is_large(connection: sqlite3.Connection, pool: str) -> bool:
    """Tell whether sorting the pool for each page costs more than reading the whole file once."""
    highest, tasks = connection.execute(sql.HIGHEST, (pool,)).fetchone()
    return (tasks or 0) * ((tasks or 0) // PAGE) > (highest or 0)


def read_counts(connection: sqlite3.Connection, pool: str, query: Query | None) -> list[tuple[Any, ...]]:
    """Return how many tasks match, by state, all of one moment."""
    rows: list[tuple[Any, ...]] = []
    connection.execute("BEGIN")
    try:
        for part in split_ids(query, IDS_CHUNK):
            condition, values = where(part)
            statement = sql.COUNT_BY_ID if asks_for_ids(part) else sql.COUNT
            rows += connection.execute(statement.format(where=condition), (pool, *values)).fetchall()
    finally:
        connection.execute("COMMIT")
    return rows
