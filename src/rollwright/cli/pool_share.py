"""``rollwright pool share`` and ``pool demand``: how pools are served beside one another, and what waits for whom."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from rollwright.cli.console import print_json, print_text, stderr
from rollwright.cli.pool_options import AsJson, PoolName, Url
from rollwright.cli.text import format_duration, print_table
from rollwright.core.text import escape_text
from rollwright.errors import ConfigError
from rollwright.pool.needs import Needs

__all__ = ["describe_share", "describe_unserved", "needs_options", "share_app"]

share_app = typer.Typer()

_Weight = Annotated[
    float | None,
    typer.Option("--weight", help="Its part of workers that serve several pools; 1 at first.", show_default=False),
]
_MaxRunning = Annotated[
    int | None,
    typer.Option("--max-running", help="The most of its tasks that run at once.", show_default=False),
]
_NoCap = Annotated[bool, typer.Option("--no-max-running", help="Let as many run as workers take.")]


@share_app.command("share")
def share_command(
    pool: PoolName,
    weight: _Weight = None,
    max_running: _MaxRunning = None,
    no_cap: _NoCap = False,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Show or set the weight of a pool beside others, and the most of its tasks that run at once."""
    from rollwright.app.pool import open_pool  # noqa: PLC0415 - keeps --help light

    if no_cap and max_running is not None:
        raise ConfigError("--max-running and --no-max-running contradict each other", hint="give one of them")
    changes = weight is not None or max_running is not None or no_cap
    with open_pool(pool, url) as manager:
        if changes:
            cap = max_running if no_cap or max_running is not None else ...
            manager.store.set_share(pool, weight=weight, max_running=cap)
        stat = manager.store.stat(pool)
    if as_json:
        print_json({"pool": pool, "weight": stat.weight, "max_running": stat.max_running})
        return
    print_text(f"{escape_text(pool)}: {describe_share(stat.weight, stat.max_running) or 'weight 1, no cap'}")
    if changes:
        stderr.print("workers keep to it from their next task on; what runs is not stopped")


@share_app.command("demand")
def demand_command(
    pools: Annotated[list[str] | None, typer.Argument(help="Only these pools.", show_default=False)] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Show the open work of each pool by what it needs of a worker: what scales workers up and down."""
    from rollwright.app.pool_demand import read_demand  # noqa: PLC0415 - keeps --help light

    demand = read_demand(pools or None, url)
    if as_json:
        rows: list[dict[str, Any]] = [
            {
                "pool": one.pool,
                "needs": one.needs.text,
                "tags": [*one.needs.tags],
                "memory": one.needs.memory,
                "open": one.open,
                "delayed": one.delayed,
                "running": one.running,
                "oldest": None if one.oldest is None else round(one.oldest, 3),
                "paused": one.paused,
                "weight": one.weight,
                "max_running": one.max_running,
            }
            for one in demand
        ]
        print_json(rows)
        return
    if not demand:
        print_text("no pool has open work")
        return
    numbers = ["open", "delayed", "running"]
    table = [
        [
            one.pool,
            one.needs.text or "-",
            one.open,
            one.delayed,
            one.running,
            "" if one.oldest is None else format_duration(one.oldest),
            describe_share(one.weight, one.max_running),
            "paused" if one.paused else "",
        ]
        for one in demand
    ]
    print_table(["pool", "needs", *numbers, "oldest", "share", ""], table, right=[*numbers, "oldest"])


def describe_share(weight: float, max_running: int | None) -> str:
    """Return the share of a pool in a few words; nothing where it has the usual one."""
    parts = [f"weight {weight:g}"] if weight != 1 else []
    parts += [f"at most {max_running} run"] if max_running is not None else []
    return ", ".join(parts)


def needs_options(needs: Needs) -> str:
    """Return the options of a worker that meets `needs`."""
    memory = [f"--memory {needs.memory:g}G"] if needs.memory else []
    return " ".join([*(f"--tag {tag}" for tag in needs.tags), *memory])


def describe_unserved(noun: str, tasks: int, needs: str, options: str, pool: str) -> str:
    """Return the line that says which tasks wait for a worker that has what they need."""
    verb, none = ("need", "none of them runs") if tasks != 1 else ("needs", "it does not run")
    return (
        f"{tasks:,} {noun}{'s' * (tasks != 1)} {verb} {needs}, and {none}: a worker that has it is started by "
        f"rollwright worker run {escape_text(pool)} {options}"
    )
