"""A standby of one of the tests' PostgreSQL servers: it follows by streaming and can be made the primary."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from postgres_server import USER, PostgresServer

__all__ = ["PostgresStandby"]


class PostgresStandby(PostgresServer):
    """A copy of a running server, which goes on following it.

    Parameters
    ----------
    folder : Path
    primary : str
        The primary's address, as this standby reaches it.
    port : int
        The primary's.
    settings : mapping, optional
        Lines of ``postgresql.conf`` over the primary's.
    """

    def __init__(self, folder: Path, *, primary: str, port: int, settings: Mapping[str, str] | None = None) -> None:
        self._primary = (primary, port)
        super().__init__(folder, settings=settings)

    def _initialise(self, settings: Mapping[str, str]) -> None:
        self._make_folder()
        host, port = self._primary
        self._run("pg_basebackup", "-h", host, "-p", port, "-U", USER, "-D", self.folder / "data", "-X", "stream",
                  "-c", "fast", "-R", "--no-sync")  # fmt: skip
        self._configure(settings)

    def promote(self) -> None:
        """Make it the primary, and wait until it takes changes."""
        self._run("pg_ctl", "promote", "-w", "-D", self.folder / "data")
