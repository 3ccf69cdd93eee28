"""``rollwright pool``: commands that read task pools; those that change them are in `pool_change`."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rollwright.cli.console import print_json, stderr
from rollwright.cli.pool_change import change_app
from rollwright.cli.pool_metrics import metrics_app
from rollwright.cli.pool_options import AsJson, Ids, PoolName, StatusNames, Url, Where, make_selection
from rollwright.cli.pool_share import describe_share, describe_unserved, needs_options, share_app
from rollwright.cli.text import format_duration, format_time, print_table
from rollwright.core.text import escape_lines, escape_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rollwright.pool.states import Status
    from rollwright.pool.store import PoolStat, TaskRecord

__all__ = ["pool_app"]

pool_app = typer.Typer(help="Look into task pools, wait for them, and change them.", no_args_is_help=True)


@pool_app.command("ls")
def list_command(
    empty: Annotated[bool, typer.Option("--empty", help="Also pools whose tasks were all removed.")] = False,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """List the pools and how many tasks each has by state."""
    from rollwright.app.pool import list_pools  # noqa: PLC0415 - keeps --help light
    from rollwright.app.pool_demand import find_unserved, read_demand  # noqa: PLC0415 - as above

    stats = list_pools(url, empty=empty)
    if as_json:
        print_json([_stat_json(stat) for stat in stats])
        return
    if not stats:
        print("no pool has tasks")
        return
    states = [status.value for status in stats[0].counts]
    shares = [describe_share(stat.weight, stat.max_running) for stat in stats]
    rows = [
        [stat.pool, *stat.counts.values(), sum(stat.counts.values()), _pause(stat), *([share] if any(shares) else [])]
        for stat, share in zip(stats, shares, strict=True)
    ]
    head = ["pool", *states, "total", "paused", *(["share"] if any(shares) else [])]
    print_table(head, rows, right=[*states, "total"])
    for one in find_unserved(read_demand(None, url)):
        line = describe_unserved("task", one.tasks, one.needs.text, needs_options(one.needs), one.pool)
        stderr.print(f"{escape_text(one.pool)}: {line}")


@pool_app.command("stat")
def stat_command(
    pool: PoolName,
    where: Where = None,
    status: StatusNames = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Count the tasks of a pool, or of a selection, by state."""
    from rollwright.app.pool import count_selected, open_pool  # noqa: PLC0415 - keeps --help light

    chosen = make_selection(where, status)
    with open_pool(pool, url) as manager:
        stat = manager.store.stat(pool)
        counts = count_selected(manager, chosen) if chosen.query() else stat.counts
    if as_json:
        print_json({**_stat_json(stat), "counts": _counts(counts)})
        return
    for name, tasks in _counts(counts).items():
        print(f"{name:<10} {tasks:>9,}")
    print(f"{'total':<10} {sum(counts.values()):>9,}")
    if stat.paused:
        print(f"paused     {_pause(stat)}")
    if share := describe_share(stat.weight, stat.max_running):
        print(f"share      {share}")


@pool_app.command("tasks")
def tasks_command(
    pool: PoolName,
    where: Where = None,
    status: StatusNames = None,
    limit: Annotated[int, typer.Option(min=1, help="The most to show.")] = 50,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """List tasks, oldest first."""
    from rollwright.app.pool import describe_task, explain, open_pool, read_tasks  # noqa: PLC0415 - keeps --help light

    with open_pool(pool, url) as manager:
        records, total = read_tasks(manager, make_selection(where, status), limit=limit)
    if as_json:
        print_json({"total": total, "tasks": [_task_json(record) for record in records]})
        return
    rows = [
        [
            record.task_id,
            record.status.value,
            record.priority,
            f"{record.attempts}/{record.max_attempts}",
            describe_task(record),
            escape_text(explain(record), longest=60),
        ]
        for record in records
    ]
    print_table(["id", "status", "priority", "attempts", "task", "error"], rows, right=["id", "priority"])
    if len(records) < total:
        stderr.print(f"{len(records)} of {total:,} tasks; more with --limit")


@pool_app.command("show")
def show_command(
    pool: PoolName,
    task_id: Annotated[str, typer.Argument(help="The task's id.")],
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Show one task whole: definition, result, last traceback, history."""
    from rollwright.app.pool import open_pool, read_task  # noqa: PLC0415 - keeps --help light
    from rollwright.core.stored_text import plain_of  # noqa: PLC0415 - keeps --help light
    from rollwright.pool.stored_definition import UNREADABLE, is_readable  # noqa: PLC0415 - keeps --help light

    with open_pool(pool, url) as manager:
        record, history = read_task(manager, task_id)
    definition = plain_of(json.loads(record.canonical)) if is_readable(record) else None
    if as_json:
        rows = [{**asdict(row), "status": row.status.value} for row in history]
        print_json({**_task_json(record), "definition": definition, "history": rows})
        return
    print(f"task {record.task_id} of pool {escape_text(record.pool)}: {record.status.value}")
    for name, value in _facts(record).items():
        if value not in (None, ""):
            print(f"  {name:<11} {escape_text(value)}")
    if definition is None:
        print(f"{UNREADABLE}; in the database stands:\n{escape_lines(record.canonical)}")
    else:
        print(escape_lines(json.dumps(definition, indent=2, ensure_ascii=False)))
    if record.result is not None:
        print(f"result:\n{escape_lines(json.dumps(plain_of(json.loads(record.result)), ensure_ascii=False))}")
    if record.error:
        print(f"last error:\n{escape_lines(record.error.rstrip())}")
    print("history:")
    print_table(
        ["at", "event", "status", "attempt", "token", "owner"],
        [
            [format_time(row.at), row.event, row.status.value, row.attempt, row.token, row.owner or ""]
            for row in history
        ],
        right=["attempt", "token"],
    )


@pool_app.command("wait")
def wait_command(
    pool: PoolName,
    where: Where = None,
    status: StatusNames = None,
    ids: Ids = None,
    timeout: Annotated[float | None, typer.Option(min=0, help="Seconds to wait at most.", show_default=False)] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Wait until every task is finished. Ends with 1 when some failed, and names them; with 3 when it took too long."""
    from rollwright.app.pool import open_pool  # noqa: PLC0415 - keeps --help light
    from rollwright.cli.pool_live import WaitBar  # noqa: PLC0415 - keeps --help light

    query = make_selection(where, status, ids).query()
    with open_pool(pool, url) as manager, WaitBar(pool) as bar:
        progress = manager.wait(query, timeout, on_progress=bar)
    if as_json:
        print_json({"counts": _counts(progress.counts), "seconds": round(progress.seconds, 3)})
        return
    print(f"{progress.finished:,} tasks finished")


@pool_app.command("watch")
def watch_command(
    pool: PoolName,
    url: Url = None,
    interval: Annotated[float, typer.Option(min=0.01, help="Seconds between two looks.")] = 1.0,
    seconds: Annotated[float | None, typer.Option("--for", min=0, help="Stop after so many seconds.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show how a pool stands, and each change, until Ctrl-C; with --json one object a line."""
    from rollwright.app.pool import open_pool, watch_pool  # noqa: PLC0415 - keeps --help light
    from rollwright.cli.pool_live import show_changes  # noqa: PLC0415 - keeps --help light

    with open_pool(pool, url) as manager:
        changes = watch_pool(manager, interval=interval, seconds=seconds)
        if not as_json:
            show_changes(changes)
            return
        for progress in changes:
            line = {"seconds": round(progress.seconds, 3), "paused": progress.paused, **_counts(progress.counts)}
            print(json.dumps(line), flush=True)


for _app in (change_app, share_app, metrics_app):
    pool_app.registered_commands += _app.registered_commands


def _counts(counts: Mapping[Status, int]) -> dict[str, int]:
    return {status.value: tasks for status, tasks in counts.items()}


def _stat_json(stat: PoolStat) -> dict[str, Any]:
    return {
        "pool": stat.pool,
        "counts": _counts(stat.counts),
        "paused": stat.paused,
        "paused_at": stat.paused_at,
        "reason": stat.reason,
        "weight": stat.weight,
        "max_running": stat.max_running,
    }


def _pause(stat: PoolStat) -> str:
    if stat.paused_at is None:
        return ""
    return f"since {format_time(stat.paused_at)}" + (f": {stat.reason}" if stat.reason else "")


def _task_json(record: TaskRecord) -> dict[str, Any]:
    from rollwright.app.pool import describe_task  # noqa: PLC0415 - keeps --help light
    from rollwright.core.stored_text import plain_of  # noqa: PLC0415 - keeps --help light

    values = asdict(record)
    for name in ("canonical", "result", "validity"):
        del values[name]
    parsed = {
        name: None if text is None else plain_of(json.loads(text))
        for name, text in (("result", record.result), ("validity", record.validity))
    }
    needs = record.needs.text
    return {**values, **parsed, "needs": needs, "status": record.status.value, "label": describe_task(record)}


def _facts(record: TaskRecord) -> dict[str, object]:
    took = record.ended - record.started if record.ended is not None and record.started is not None else None
    return {
        "priority": record.priority,
        "needs": record.needs.text or None,
        "attempts": f"{record.attempts} of {record.max_attempts}",
        "created": format_time(record.created),
        "not before": format_time(record.run_at),
        "started": format_time(record.started),
        "ended": format_time(record.ended),
        "took": format_duration(took) if took is not None else "",
        "owner": record.owner,
        "lease until": format_time(record.lease_until),
        "fingerprint": record.fingerprint,
    }
