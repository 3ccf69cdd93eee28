"""``rollwright pool``: commands that change a pool. Those that lose something ask first and name how many tasks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rollwright.cli.console import print_json, stderr
from rollwright.cli.pool_options import (
    AsJson,
    Ids,
    PoolName,
    StatusNames,
    Url,
    Where,
    make_selection,
)
from rollwright.cli.questions import Yes, ask, confirm
from rollwright.core.text import escape_text

if TYPE_CHECKING:
    from rollwright.app.pool import Selection
    from rollwright.pool.manager import TaskManager

__all__ = ["change_app"]

change_app = typer.Typer()

_All = Annotated[bool, typer.Option("--all", help="Every task of the pool.")]


@change_app.command("retry")
def retry_command(
    pool: PoolName,
    where: Where = None,
    ids: Ids = None,
    cancelled: Annotated[bool, typer.Option("--cancelled", help="Cancelled tasks too.")] = False,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Let failed tasks be tried again, with new attempts."""
    from rollwright.app.pool import open_pool, retry_tasks  # noqa: PLC0415 - keeps --help light

    with open_pool(pool, url) as manager:
        changed = retry_tasks(manager, make_selection(where, None, ids), cancelled=cancelled)
    _tell(changed, "to be tried again", as_json=as_json)


@change_app.command("cancel")
def cancel_command(
    pool: PoolName,
    where: Where = None,
    status: StatusNames = None,
    ids: Ids = None,
    every: _All = False,
    yes: Yes = False,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Give open tasks up for good; whoever runs one is refused when it commits."""
    chosen = make_selection(where, status, ids, everything=every)
    changed = _change(
        pool,
        url,
        chosen,
        states=("waiting", "running", "part_done"),
        verb="cancel",
        yes=yes,
        act=lambda manager, query: manager.cancel(query),
    )
    _tell(changed, "cancelled", as_json=as_json)


@change_app.command("pause")
def pause_command(
    pool: PoolName,
    reason: Annotated[str | None, typer.Option(help="Why; shown to whoever asks.", show_default=False)] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Let nobody take tasks until `resume`, also after a restart; what runs may end."""
    _switch(pool, url, lambda manager: manager.pause(reason), "paused", as_json=as_json)


@change_app.command("resume")
def resume_command(pool: PoolName, url: Url = None, as_json: AsJson = False) -> None:
    """Let tasks be taken again."""
    _switch(pool, url, lambda manager: manager.resume(), "resumed", as_json=as_json)


@change_app.command("reset")
def reset_command(
    pool: PoolName,
    where: Where = None,
    status: StatusNames = None,
    ids: Ids = None,
    force: Annotated[
        bool, typer.Option("--force", help="Also running tasks whose worker lives; it is refused when it commits.")
    ] = False,
    again: Annotated[
        bool, typer.Option("--again", help="Put the selected tasks back to waiting, whatever became of them.")
    ] = False,
    yes: Yes = False,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Free running tasks whose worker died; with --force all running ones, with --again any task."""
    chosen = make_selection(where, status, ids, everything=not again)
    if again:
        changed = _change(
            pool,
            url,
            chosen,
            states=("running", "part_done", "done", "failed", "cancelled") if force else _ENDED,
            verb="forget result, error and attempts of",
            yes=yes,
            act=lambda manager, query: manager.reset_status(query, "waiting"),
        )
    elif force:
        changed = _change(
            pool,
            url,
            chosen,
            states=("running",),
            verb="take from their workers",
            yes=yes,
            act=lambda manager, query: manager.reset_waiting(query, force=True),
        )
    else:
        changed = _change(
            pool,
            url,
            chosen,
            states=("running",),
            verb="free",
            yes=True,
            act=lambda manager, query: manager.reset_waiting(query),
        )
    _tell(changed, "waiting again", as_json=as_json)


_ENDED = ("part_done", "done", "failed", "cancelled")


@change_app.command("priority")
def priority_command(
    pool: PoolName,
    priority: Annotated[int, typer.Argument(help="Higher goes first; 0 is what tasks have.")],
    where: Where = None,
    status: StatusNames = None,
    ids: Ids = None,
    every: _All = False,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Let tasks go before others, or after them."""
    from rollwright.app.pool import open_pool, prioritise  # noqa: PLC0415 - keeps --help light

    chosen = make_selection(where, status, ids, everything=every)
    chosen.query()
    with open_pool(pool, url) as manager:
        changed = prioritise(manager, chosen, priority)
    _tell(changed, f"of priority {priority} now", as_json=as_json)


@change_app.command("rm")
def remove_command(
    pool: PoolName,
    where: Where = None,
    status: StatusNames = None,
    ids: Ids = None,
    every: _All = False,
    force: Annotated[bool, typer.Option("--force", help="Running tasks too.")] = False,
    yes: Yes = False,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Remove tasks with their results; their history stays."""
    chosen = make_selection(where, status, ids, everything=every)
    changed = _change(
        pool,
        url,
        chosen,
        states=("waiting", "part_done", "done", "failed", "cancelled", *(["running"] if force else [])),
        verb="remove",
        yes=yes,
        spell=True,
        act=lambda manager, query: manager.remove(query, force=force),
    )
    _tell(changed, "removed", as_json=as_json)


@change_app.command("move")
def move_command(
    pool: PoolName,
    to: Annotated[str, typer.Option("--to", help="URL of the store that takes the pool over.")],
    force: Annotated[
        bool, typer.Option("--force", help="Take running tasks from their workers; they begin anew there.")
    ] = False,
    yes: Yes = False,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Move a pool with states, results and history to another store. Interrupted, give the same command again."""
    from rollwright.app.pool import open_pool, open_target  # noqa: PLC0415 - keeps --help light
    from rollwright.app.pool_move import move_pool  # noqa: PLC0415 - keeps --help light
    from rollwright.cli.pool_live import MoveBar  # noqa: PLC0415 - keeps --help light
    from rollwright.core.masking import mask_secrets  # noqa: PLC0415 - keeps --help light

    with open_pool(pool, url) as manager, open_target(to, source=url) as target:
        total = sum(manager.store.stat(pool).counts.values())
        question = f"move {total:,} tasks of pool {pool} to {mask_secrets(to)}, and remove them here?"
        if total and not yes:
            ask(question)
        with MoveBar(pool) as bar:
            report = move_pool(pool, manager.store, target, where=to, force=force, on_progress=bar)
    if as_json:
        print_json(asdict(report))
        return
    print(f"{report.moved:,} tasks moved" + (f", {report.known:,} were there already" if report.known else ""))
    stderr.print(f"workers find it with the setting pool.url = {mask_secrets(to)}")


def _change(
    pool: str,
    url: str | None,
    chosen: Selection,
    *,
    states: tuple[str, ...],
    verb: str,
    yes: bool,
    act: Callable[[TaskManager, dict[str, Any]], int],
    spell: bool = False,
) -> int:
    """Ask about the chosen tasks of `states` and change them."""
    from rollwright.app.pool import count_selected, open_pool  # noqa: PLC0415 - keeps --help light

    query = chosen.query()  # a mistake in it is told before the store is opened
    with open_pool(pool, url) as manager:
        counts = {name.value: tasks for name, tasks in count_selected(manager, chosen).items()}
        meant = {name: counts[name] for name in states if counts[name]}
        listed = ", ".join(f"{tasks:,} {name}" for name, tasks in meant.items())
        count = sum(meant.values())
        question = f"{verb} {count:,} tasks of pool {pool} ({listed})?"
        limited = {"$and": [query, {"status": {"$in": [*states]}}]}
        return confirm(question, count=count, yes=yes, spell=spell, act=lambda: act(manager, limited))


def _switch(pool: str, url: str | None, act: Callable[[TaskManager], bool], done: str, *, as_json: bool) -> None:
    from rollwright.app.pool import open_pool  # noqa: PLC0415 - keeps --help light

    with open_pool(pool, url) as manager:
        changed = act(manager)
    if as_json:
        print_json({"changed": changed})
    else:
        print(f"{escape_text(pool)} is {done}" if changed else f"{escape_text(pool)} was {done} already")


def _tell(changed: int, what: str, *, as_json: bool) -> None:
    if as_json:
        print_json({"changed": changed})
    else:
        print(f"{changed:,} tasks {what}")
