"""What the PostgreSQL store knows of a whole pool: its cap, and the needs of its tasks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from rollwright.pool.needs import check_needs
from rollwright.pool.stores.postgres import statements as sql
from rollwright.pool.stores.postgres.connection import Connection, Connections, run

__all__ = ["NO_RULE", "KnownNeeds", "Rule", "locked_rule", "rule_of_row"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What a claim has to keep to in a pool.

    Attributes
    ----------
    needs : tuple of str
        The texts of all needs that tasks of the pool have or had, in the server's order.
    max_running : int or None
    """

    needs: tuple[str, ...] = ()
    max_running: int | None = None


NO_RULE: Final = Rule()
"""Of a pool whose tasks never needed anything, without a cap."""


def rule_of_row(row: tuple[Any, ...]) -> Rule:
    """Return the rule in a turn's row of the event `statements.RULE`."""
    return Rule(needs=tuple(row[7].split("\n")) if row[7] else (), max_running=row[4])


def locked_rule(connection: Connection, pool: str) -> Rule:
    """Return the rule of a pool; where it has a cap, nobody else claims tasks of it before the transaction ends."""
    rows = run(connection, sql.READ_RULE, {"pool": pool})
    if rows and rows[0][0] is not None:
        rows = run(connection, sql.LOCK_RULE, {"pool": pool})
    return Rule(needs=tuple(rows[0][1]), max_running=rows[0][0]) if rows else NO_RULE


class KnownNeeds:
    """Notes the needs of tasks before the tasks are put, in a transaction of its own, once each."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._known: dict[str, frozenset[str]] = {}

    def note(self, pool: str, texts: Iterable[str]) -> None:
        """Let claims look for tasks with these needs.

        Raises
        ------
        ConfigError
            When the different needs of the pool would be too many.
        """
        added = {*texts} - {""}
        if added <= self._known.get(pool, frozenset()):
            return
        rows = self._connections.read(lambda connection: run(connection, sql.READ_RULE, {"pool": pool}))
        known = {*rows[0][1]} if rows else set()
        check_needs(pool, known, added)
        if not added <= known:
            values = {"pool": pool, "needs": sorted(added)}
            self._connections.read(lambda connection: run(connection, sql.KNOW_NEEDS, values))
        self._known[pool] = frozenset(known | added)

    def forget(self) -> None:
        """Look again: another server may answer now."""
        self._known.clear()
