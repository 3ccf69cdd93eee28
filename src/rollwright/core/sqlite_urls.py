"""URLs of SQLite files: ``sqlite:///`` and a path, written as it is. The one module that knows their form.

A path may hold any character that the file system takes: ``%41``, ``#`` and ``?`` in it are nothing but characters, in
settings, in messages and in what is stored. SQLAlchemy, and so MLflow, reads the same URL otherwise: it decodes ``%41``
to ``A`` and cuts at ``?``. `sqlalchemy_url` writes the path for them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final
from urllib.parse import quote

__all__ = ["SQLITE", "is_sqlite_url", "sqlalchemy_url", "sqlite_path", "sqlite_url"]

SQLITE: Final = "sqlite:///"
_IN_MEMORY: Final = f"{SQLITE}:memory:"
# With the driver named, MLflow makes no folder: it would take the encoded path for its name.
_WITH_DRIVER: Final = "sqlite+pysqlite:///"
_PLAIN: Final = "/ :@+,=&()!'~$*;[]"
"""What SQLAlchemy reads as it stands, beside letters and digits of all scripts."""


def is_sqlite_url(url: str) -> bool:
    """Tell whether `url` names an SQLite file: not one in memory, and no other store."""
    return url.startswith(SQLITE) and url not in (SQLITE, _IN_MEMORY)


def sqlite_url(path: str | Path) -> str:
    """Return the URL of the SQLite file `path`."""
    return f"{SQLITE}{path}"


def sqlite_path(url: str) -> Path | None:
    """Return the path of the SQLite file that `url` names; None when it names none."""
    return Path(url.removeprefix(SQLITE)) if is_sqlite_url(url) else None


def sqlalchemy_url(url: str) -> str:
    """Return `url` as SQLAlchemy and MLflow must be given it; the same where they read it as we do."""
    path = url.removeprefix(SQLITE)
    if not is_sqlite_url(url) or not {"%", "?", "#"} & {*path}:
        return url
    return f"{_WITH_DRIVER}{quote(path, safe=_PLAIN)}"
