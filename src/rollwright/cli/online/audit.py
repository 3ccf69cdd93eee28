"""``online history`` and ``online audit``: what was done, what was live and why, and whether all fits."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rollwright.cli.console import AsJson, print_json, print_text, stderr
from rollwright.cli.online.options import REFUSED, ServingName
from rollwright.cli.text import print_table
from rollwright.errors import ConfigError

if TYPE_CHECKING:
    from rollwright.app.online.audit import ServingVerification
    from rollwright.online.audit import LiveSession, LiveStrategy
    from rollwright.online.entry import LedgerEntry

__all__ = ["audit", "history"]

_FEW = 10


def history(
    name: ServingName = None,
    since: Annotated[str | None, typer.Option("--since", help="Leave out what was done before that day.")] = None,
    kind: Annotated[
        list[str] | None, typer.Option("--kind", help="Only entries of that kind; may be given several times.")
    ] = None,
    last: Annotated[int | None, typer.Option("--last", min=1, help="The last so many only.")] = None,
    as_json: AsJson = False,
) -> None:
    """List what was done, in order: when, by whom, why."""
    from rollwright.app.online.audit import read_history  # noqa: PLC0415 - keeps --help light

    day = None if since is None else _read_day(since)
    found = read_history(name, since=day, kinds=kind or (), limit=last)
    if as_json:
        print_json(found.to_json())
        return
    print_table(["entry", "at", "kind", "session", "by", "what and why"], [_row_of(entry) for entry in found.entries])
    print_text(f"{len(found.entries):,} of {found.total:,} entries of {found.serving}")


def audit(
    name: ServingName = None,
    at: Annotated[
        str | None, typer.Option("--at", help="What was live for that session, as 2024-05-17.", metavar="SESSION")
    ] = None,
    time: Annotated[
        str | None,
        typer.Option("--time", help="As the ledger stood then, as 2024-05-17T18:00:00+08:00.", metavar="TIME"),
    ] = None,
    verify: Annotated[bool, typer.Option("--verify", help="Read every entry and name each that does not fit.")] = False,
    signals: Annotated[bool, typer.Option("--signals", help="With --verify: compare the stored scores too.")] = False,
    known: Annotated[
        list[str] | None,
        typer.Option("--known", help="With --verify: a digest noted elsewhere.", metavar="NUMBER:DIGEST"),
    ] = None,
    export: Annotated[
        Path | None, typer.Option("--export", help="Write the ledger there, one entry a line.", metavar="FILE")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Answer what was live for a session and why, verify the ledger, or export it."""
    chosen = [at is not None, verify, export is not None]
    if sum(chosen) != 1:
        raise ConfigError(
            "an audit does one thing: a session, a verification or an export",
            hint="--at 2024-05-17, --verify or --export FILE.jsonl",
        )
    if (known or signals) and not verify:
        raise ConfigError("--known and --signals are of --verify", hint="give --verify")
    if time is not None and at is None:
        raise ConfigError("--time is of --at", hint="give --at 2024-05-17")
    if at is not None:
        _tell_live(at, time, name, as_json=as_json)
    elif export is not None:
        _export(export, name, as_json=as_json)
    else:
        _verify(name, known or [], signals=signals, as_json=as_json)


def _tell_live(session: str, time: str | None, name: str | None, *, as_json: bool) -> None:
    from rollwright.app.online.audit import ask_what_was_live  # noqa: PLC0415 - keeps --help light

    live = ask_what_was_live(session, name, at=None if time is None else _read_time(time))
    if as_json:
        print_json(live.to_json())
        return
    print_text(f"{live.serving}, session {live.session}: {live.outcome}; {live.text}")
    print_text(f"last published: {live.published or 'none yet'}")
    if live.signal is not None:
        print_text(f"signal: {live.signal.rows:,} names, digest {live.signal.sha256}, in {live.signal.artifact}")
    print_table(
        ["strategy", "role", "since", "model", "serves from", "trained", "online since"],
        [row for strategy in live.strategies for row in _rows_of(strategy)],
    )
    for check in live.checks:
        print_text(f"check: {check.text}{' (violated)' if check.violated else ''}")
    print_table(["entry", "at", "kind", "session", "by", "what and why"], [_row_of(entry) for entry in live.entries])
    _tell_reasons(live)


def _rows_of(strategy: LiveStrategy) -> list[list[object]]:
    role = strategy.role if strategy.status == "active" else f"{strategy.role}, {strategy.status}"
    since = "" if strategy.role_entry is None else f"entry {strategy.role_entry.number}"
    online = "" if strategy.online_entry is None else f"entry {strategy.online_entry.number}"
    models: list[list[object]] = [
        [
            strategy.name,
            role,
            since,
            one.model.recorder,
            one.model.serves_from,
            "" if one.trained is None else f"entry {one.trained.number}, {one.trained.at[:10]}, {one.trained.by.user}",
            online,
        ]
        for one in strategy.models
    ]
    return models or [[strategy.name, role, since, "none", "", "", online]]


def _tell_reasons(live: LiveSession) -> None:
    told = {entry.number: entry for one in live.strategies for entry in (one.role_entry, one.online_entry) if entry}
    for number, entry in sorted(told.items()):
        if entry.reason:
            print_text(f"entry {number}, {entry.at}, {entry.by.user}: {entry.reason}")


def _row_of(entry: LedgerEntry) -> list[object]:
    return [
        entry.number,
        entry.at[:19],
        entry.kind,
        entry.session or "",
        f"{entry.by.user}@{entry.by.host}",
        _tell(entry),
    ]


def _tell(entry: LedgerEntry) -> str:
    body = entry.body
    told: list[str] = []
    if isinstance(body.get("action"), str):
        told.append(str(body["action"]))
    if isinstance(body.get("strategy"), str):
        told.append(str(body["strategy"]))
    roles, models = body.get("roles"), body.get("models")
    if isinstance(roles, dict):
        told += [f"{name}: {role}" for name, role in roles.items()]
    if isinstance(models, dict) and models:
        told.append(f"models of {', '.join(models)}")
    violations = body.get("violations")
    if isinstance(violations, list) and violations:
        told.append("; ".join(map(str, violations)))
    if body.get("override") is True:
        told.append("override")
    if entry.reason:
        told.append(entry.reason)
    text = ", ".join(told)
    return text if len(text) <= 200 else f"{text[:199]}…"


def _export(file: Path, name: str | None, *, as_json: bool) -> None:
    from rollwright.app.online.audit import export_ledger  # noqa: PLC0415 - keeps --help light

    made = export_ledger(file, name)
    if as_json:
        print_json(made.to_json())
        return
    print_text(f"{made.file}: {made.entries:,} entries, the last one {made.head}")


def _verify(name: str | None, known: list[str], *, signals: bool, as_json: bool) -> None:
    from rollwright.app.online.audit import read_known, verify_serving  # noqa: PLC0415 - keeps --help light

    found = verify_serving(name, known=read_known(known), signals=signals)
    sound = not found.ledger.problems
    if as_json:
        print_json(found.to_json(), ok=sound)
    else:
        _tell_verification(found, signals=signals)
    if not sound:
        raise typer.Exit(REFUSED)


def _tell_verification(found: ServingVerification, *, signals: bool) -> None:
    ledger = found.ledger
    for problem in ledger.problems:
        stderr.print(f"{ledger.serving}: {problem.text}", style="red")
    state = "as they were written" if not ledger.problems else f"{len(ledger.problems)} problems"
    print_text(f"{ledger.serving}: {ledger.entries:,} entries, {state}; the last one is {ledger.head}")
    if signals:
        print_text(f"{ledger.signals:,} signals were compared with their digests")
    for one in found.unreferenced[:_FEW]:
        print_text(f"no entry names {one}: a process was ended before it could; nothing of it was published")
    if len(found.unreferenced) > _FEW:
        print_text(f"and {len(found.unreferenced) - _FEW:,} more that no entry names")


def _read_day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(f"{text[:80]!r} is no day", hint="write it as 2024-05-17") from error


def _read_time(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(f"{text[:80]!r} is no time", hint="write it as 2024-05-17T18:00:00+08:00") from error
