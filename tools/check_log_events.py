"""Log events have one dialect, `name key=value`, and `docs/logging.md` lists them all.

A module logs by `_logger`, which is the logger `rollwright.<package>`. The text of an event is a constant: a name of
two parts, such as `recorder.abandoned`, and then fields. A name may end in `%s`; the page spells it `*`.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from finding import ROOT, Finding, python_files, tell

PAGE: Final = ROOT / "docs" / "logging.md"
LEVELS: Final = {"debug": "debug", "info": "info", "warning": "warning", "error": "error", "exception": "error"}
SECTION: Final = re.compile(r"^## `rollwright\.(\w+)`$")
ROW: Final = re.compile(r"^\| `([\w.*]+)` \| ([\w, ]+) \| ([\w`, –]*) \| (.+) \|$")
EVENT: Final = re.compile(r"[a-z]+\.([a-z_]+|%s)( [a-z_]+=[^ =]+)*")


@dataclass(slots=True, kw_only=True)
class Event:
    """An event as the source or the page has it; several calls may log it."""

    path: Path
    line: int
    levels: set[str] = field(default_factory=set)
    fields: set[str] = field(default_factory=set)


Events = dict[tuple[str, str], Event]


def findings() -> Iterator[Finding]:
    """Yield every event that breaks the dialect or is listed wrongly, and every logger of another name."""
    logged: Events = {}
    for path in python_files("src"):
        yield from _read_module(path, logged)
    listed, problems = _read_page()
    yield from problems
    for key in sorted(logged.keys() - listed.keys()):
        event = logged[key]
        text = f"`{key[1]}` is not listed in docs/logging.md, beneath `rollwright.{key[0]}`"
        yield Finding(path=event.path, line=event.line, text=text)
    for key in sorted(listed.keys() - logged.keys()):
        yield Finding(path=PAGE, line=listed[key].line, text=f"no module of `{key[0]}` logs `{key[1]}`")
    for key in sorted(listed.keys() & logged.keys()):
        for what in ("levels", "fields"):
            there, here = getattr(logged[key], what), getattr(listed[key], what)
            if there != here:
                text = f"`{key[1]}` has the {what} {', '.join(sorted(there)) or 'none'}; the page says otherwise"
                yield Finding(path=PAGE, line=listed[key].line, text=text)


def _package(path: Path) -> str:
    return path.relative_to(ROOT / "src" / "rollwright").parts[0].removesuffix(".py")


def _read_module(path: Path, logged: Events) -> Iterator[Finding]:
    package = _package(path)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            yield from _check_logger(path, package, node)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            yield from _read_call(path, package, node, node.func, logged)


def _check_logger(path: Path, package: str, node: ast.Assign | ast.AnnAssign) -> Iterator[Finding]:
    call = node.value
    if not isinstance(call, ast.Call) or ast.unparse(call.func) != "logging.getLogger":
        return
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    if [ast.unparse(target) for target in targets] != ["_logger"] or ast.unparse(
        call.args[0]
    ) != f"'rollwright.{package}'":
        text = f'a module logs by `_logger = logging.getLogger("rollwright.{package}")`'
        yield Finding(path=path, line=node.lineno, text=text)


def _read_call(path: Path, package: str, call: ast.Call, name: ast.Attribute, logged: Events) -> Iterator[Finding]:
    if ast.unparse(name.value) != "_logger" or name.attr not in {*LEVELS, "log"}:
        return
    text = call.args[1 if name.attr == "log" else 0]
    if not isinstance(text, ast.Constant) or not EVENT.fullmatch(str(text.value)):
        yield Finding(path=path, line=call.lineno, text="an event reads `name.part key=value …`, in one constant")
        return
    event, *fields = str(text.value).split(" ")
    known = logged.setdefault((package, event.replace("%s", "*")), Event(path=path, line=call.lineno))
    known.levels |= {"debug", "warning"} if name.attr == "log" else {LEVELS[name.attr]}
    known.fields |= {part.partition("=")[0] for part in fields}


def _read_page() -> tuple[Events, list[Finding]]:
    listed: Events = {}
    problems: list[Finding] = []
    package = ""
    for number, line in enumerate(PAGE.read_text(encoding="utf-8").splitlines(), start=1):
        if section := SECTION.match(line):
            package = section[1]
        elif package and line.startswith("| `"):
            row = ROW.match(line)
            if row is None or (package, row[1]) in listed:
                problems.append(
                    Finding(path=PAGE, line=number, text="no row of event, level, fields and meaning, or twice")
                )
                continue
            levels = {part.strip() for part in row[2].split(",")}
            fields = set(re.findall(r"`(\w+)`", row[3]))
            listed[package, row[1]] = Event(path=PAGE, line=number, levels=levels, fields=fields)
    return listed, problems


if __name__ == "__main__":
    sys.exit(tell("log events", findings()))
