"""A task as Qlib shows it: a dictionary in MongoDB's manner."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from rollwright.core.canonical import parse_json
from rollwright.core.references import from_reference
from rollwright.core.stored_text import plain_of, restore
from rollwright.core.text import escape_text
from rollwright.pool.states import Status
from rollwright.pool.stored_definition import parse_definition
from rollwright.pool.types import Lease, TaskRecord

__all__ = ["TaskDocument", "document_of_lease", "document_of_record", "last_hint", "last_line", "read_result"]


def last_line(error: str | None) -> str:
    """Return the line of a traceback that names the exception, or the first line of any other text.

    Where the exception passed through a file of the user's own, the innermost such line stands behind it, with its
    source: that is where to look, however deep in a library it was raised. It is one line, and cut after 1,000
    characters: whoever writes to the database says what is in it.
    """
    lines = [line for line in (error or "").splitlines() if line.strip()]
    frames = [place for place, line in enumerate(lines) if line.startswith('  File "')]
    after = lines[frames[-1] + 1 :] if frames else [line for line in lines if line != "Traceback"]
    said = next((line.strip() for line in after if not line.startswith("  ")), "no error was recorded")
    own = [place for place in frames if _is_own(lines[place])]
    return escape_text(f"{said} ({_describe_frame(lines, own[-1])})" if own else said, longest=_LONGEST_LINE)


def last_hint(error: str | None) -> str | None:
    """Return what the exception at the end of a traceback says to do; None when it says nothing of the kind."""
    lines = [line.strip() for line in (error or "").splitlines() if line.strip()]
    return lines[-1].removeprefix("hint: ") if lines and lines[-1].startswith("hint: ") else None


_LONGEST_LINE: Final = 1000
_FRAME: Final = re.compile(r'  File "(?P<file>[^"]+)", line (?P<line>[0-9]+), in (?P<name>.+)')
_OF_OTHERS: Final = re.compile(
    r"site-packages|dist-packages|/lib/python3|\\lib\\|[/\\]rollwright[/\\]|^<", re.IGNORECASE
)


def _is_own(line: str) -> bool:
    found = _FRAME.fullmatch(line)
    return found is not None and _OF_OTHERS.search(found["file"]) is None


def _describe_frame(lines: list[str], place: int) -> str:
    """Return file, line, function and source line of a frame of a traceback."""
    found = _FRAME.fullmatch(lines[place])
    if found is None:  # pragma: no cover - only frames that match are asked for
        return lines[place].strip()
    source = lines[place + 1].strip() if len(lines) > place + 1 and lines[place + 1].startswith("    ") else ""
    name = re.split(r"[/\\]", found["file"])[-1]
    return f"{name}:{found['line']}, in {found['name']}" + (f": {source}" if source else "")


class TaskDocument(dict[str, Any]):
    """A task as Qlib shows it: ``_id``, ``def`` (and ``filter``, the same), ``status``, ``res``, ``priority``.

    Beside them stand ``validity``, ``error``, ``attempts``, ``owner``, ``created`` and ``ended``. ``res`` is looked up
    when it is first asked for: a reference to something that is gone spoils neither a query nor a fetch.
    """

    __slots__ = ("_pending",)

    def __init__(self, values: Mapping[str, Any], *, pending: bool) -> None:
        super().__init__(values)
        self._pending = pending

    def __getitem__(self, key: str) -> Any:
        if key == "res" and self._pending:
            self["res"] = from_reference(super().__getitem__("res"))
            self._pending = False
        return super().__getitem__(key)

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value of `key`, or `default`."""
        return self[key] if key in self else default  # noqa: SIM401 - `dict.get` would not look `res` up


def document_of_record(record: TaskRecord, *, decode: bool = True) -> TaskDocument:
    """Return a stored task as Qlib shows it.

    Raises
    ------
    DamagedTaskError
        When its definition cannot be read.
    """
    definition, plain = parse_definition(record.canonical, pool=record.pool, task_id=record.task_id)
    values = {
        "_id": record.task_id,
        "def": definition if decode else plain,
        "filter": plain,
        "status": record.status.value,
        "res": _result(record.result, decode=decode),
        "priority": record.priority,
        "validity": parse_json(record.validity) if record.validity is not None else None,
        "error": record.error,
        "attempts": record.attempts,
        "owner": record.owner,
        "created": record.created,
        "ended": record.ended,
    }
    return TaskDocument(values, pending=decode)


def document_of_lease(lease: Lease) -> TaskDocument:
    """Return a claimed task as Qlib shows it, with the token that ends it.

    Raises
    ------
    DamagedTaskError
        When its definition cannot be read.
    """
    definition, plain = parse_definition(lease.canonical, pool=lease.pool, task_id=lease.task_id)
    values = {
        "_id": lease.task_id,
        "def": definition,
        "filter": plain,
        "status": Status.RUNNING.value,
        "res": _result(lease.result, decode=True),
        "priority": lease.priority,
        "attempts": lease.attempt,
        "owner": lease.owner,
        "token": lease.token,
    }
    return TaskDocument(values, pending=True)


def read_result(record: TaskRecord) -> Any:
    """Return the result of a stored task, looked up when it is a reference; None when it has none."""
    return from_reference(_result(record.result, decode=True))


def _result(text: str | None, *, decode: bool) -> Any:
    """Return a stored result; a reference stays one, to be looked up when it is asked for."""
    parsed = parse_json(text) if text is not None else None
    return restore(parsed) if decode else plain_of(parsed)
