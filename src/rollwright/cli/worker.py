"""``rollwright worker``: train windows of a campaign elsewhere, and install a worker as a service."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from rollwright.cli.console import clean_stdout, print_json, print_text, stderr
from rollwright.cli.pool_options import AsJson, PoolName, Url, Where, make_selection
from rollwright.cli.quantities import parse_memory
from rollwright.cli.roll_options import Jobs, default_jobs
from rollwright.cli.text import format_duration, print_table
from rollwright.core.library_threads import limit_libraries
from rollwright.errors import ConfigError
from rollwright.pool.needs import check_tag

if TYPE_CHECKING:
    from rollwright.pool.worker.task_function import WorkerReport

__all__ = ["worker_app"]

Tags = Annotated[
    list[str] | None,
    typer.Option(
        "--tag",
        help="What this worker has, as gpu, for tasks that need it; may be given again.",
        show_default=False,
    ),
]
GivenMemory = Annotated[
    float | None,
    typer.Option(
        "--memory",
        parser=parse_memory,
        metavar="SIZE",
        help="What it has for one task, as 16G; tasks that need more are left to others.",
        show_default=False,
    ),
]
TrustOption = Annotated[
    list[str] | None,
    typer.Option("--trust", metavar="MODULE", help="A module whose classes tasks may name.", show_default=False),
]
Drain = Annotated[
    float | None,
    typer.Option(
        "--drain",
        metavar="SECONDS",
        min=0.0,
        help="How long it goes on with what it has in hand when it is told to end; worker.drain if not given.",
        show_default=False,
    ),
]
UntilEmpty = Annotated[bool, typer.Option("--until-empty/--keep-waiting", help="Stop when nothing is left to do.")]
Experiment = Annotated[
    str | None,
    typer.Option(
        "--experiment",
        help="NAME is a pool that a trainer fills; the recorders go into this experiment.",
        show_default=False,
    ),
]
Prepared = Annotated[
    bool,
    typer.Option("--prepared", help="NAME is a pool; train what DelayTrainerRM prepared there, in the same recorders."),
]
Campaign = Annotated[str | None, typer.Argument(help="The campaign to help; the one that ran last if not given.")]
Campaigns = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[NAME]...",
        help="The campaign to help, the one that ran last if not given; several share this worker by their weights.",
        show_default=False,
    ),
]
All = Annotated[bool, typer.Option("--all", help="Help all campaigns that were started here.")]


class _Group(TyperGroup):
    """Takes ``rollwright worker NAME`` as ``rollwright worker run NAME``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        help_wanted = bool(args) and args[0] in ctx.help_option_names
        if not help_wanted and (not args or args[0] not in self.commands):
            args = ["run", *args]
        return super().parse_args(ctx, args)


worker_app = typer.Typer(
    cls=_Group,
    help="Train windows of a campaign beside the process that rolls it. "
    "`rollwright worker NAME` is short for `rollwright worker run NAME`.",
)


@worker_app.command("run")
def run_command(
    names: Campaigns = None,
    every: All = False,
    jobs: Jobs = None,
    until_empty: UntilEmpty = True,
    where: Where = None,
    tags: Tags = None,
    memory: GivenMemory = None,
    trusted: TrustOption = None,
    drain: Drain = None,
    experiment: Experiment = None,
    prepared: Prepared = False,
    url: Url = None,
) -> int:
    """Train windows of a campaign beside the process that rolls it. SIGTERM and Ctrl-C give unfinished ones back.

    Told once it goes on for `--drain` seconds with what it has in hand; told again it is gone at once.

    With --experiment or --prepared NAME is any pool, as TrainerRM and DelayTrainerRM fill them.
    """
    limit_libraries()  # before anything could import one
    from rollwright.app.campaign_helper import WorkerOptions, help_campaign, help_campaigns  # noqa: PLC0415 - as below
    from rollwright.cli.progress import tell_event  # noqa: PLC0415 - keeps --help light

    shared: dict[str, Any] = {
        "jobs": jobs or default_jobs(),
        "until_empty": until_empty,
        "query": make_selection(where).query(),
        "options": WorkerOptions(tags=tuple(tags or ()), memory=memory, trusted=tuple(trusted or ()), drain=drain),
        "on_event": tell_event,
    }
    with clean_stdout():
        if experiment is None and not prepared:
            if url is not None:
                raise ConfigError("--url is for a pool of a trainer", hint="a campaign has the store of its settings")
            if every and names:
                raise ConfigError("--all is for no campaign by name", hint="give names, or --all")
            if every or len(names or ()) > 1:
                report = help_campaigns(None if every else names, **shared)
            else:
                report = help_campaign(names[0] if names else None, fork=True, **shared)
        else:
            if every or names is None or len(names) != 1:
                raise ConfigError(
                    "several pools are named" if names else "no pool is named",
                    hint="rollwright worker POOL --experiment NAME",
                )
            (name,) = names
            from rollwright.app.worker import help_pool  # noqa: PLC0415 - keeps --help light

            report = help_pool(name, experiment=experiment, prepared=prepared, url=url, **shared)
    return _tell_report(report)


@worker_app.command("join")
def join_command(
    source: Annotated[str, typer.Argument(metavar="FILE|URL", help="What `rollwright cluster bundle` made.")],
    data: Annotated[
        Path | None, typer.Option("--data", help="The folder of the market data on this host.", show_default=False)
    ] = None,
    jobs: Jobs = None,
    until_empty: UntilEmpty = True,
    where: Where = None,
    tags: Tags = None,
    memory: GivenMemory = None,
    trusted: TrustOption = None,
    drain: Drain = None,
    allow_older: Annotated[
        bool, typer.Option("--allow-older", help="Take a bundle though a later one of its project was here.")
    ] = False,
    only_check: Annotated[bool, typer.Option("--check", help="Verify and unpack it, and start no work.")] = False,
) -> int:
    """Train windows of a campaign of another machine, whose file system this host does not share.

    The bundle is verified by the keys and machines that you trust before anything of it is unpacked, and unpacked into
    a folder of its own; every file of the market data is compared. Then it is `rollwright worker run`. Passwords come
    from the environment.
    """
    limit_libraries()  # before anything could import one
    from rollwright.app.bundle.joining import join_bundle  # noqa: PLC0415 - keeps --help light
    from rollwright.app.campaign_helper import WorkerOptions, help_campaign  # noqa: PLC0415 - keeps --help light
    from rollwright.cli.progress import tell_event  # noqa: PLC0415 - keeps --help light

    joined = join_bundle(source, data=data, allow_older=allow_older)
    stderr.print(f"campaign {joined.name}, signed by {joined.signer}, in {joined.folder}; market data: {joined.market}")
    if only_check:
        return 0
    with clean_stdout():
        report = help_campaign(
            joined.name,
            jobs=jobs or default_jobs(),
            until_empty=until_empty,
            query=make_selection(where).query(),
            options=WorkerOptions(tags=tuple(tags or ()), memory=memory, trusted=tuple(trusted or ()), drain=drain),
            project=joined.folder,
            on_event=tell_event,
            fork=True,
        )
    return _tell_report(report)


def _tell_report(report: WorkerReport) -> int:
    """Say what a worker did, and return the exit code."""
    if not (report.started or report.done or report.failed or report.released or report.interrupted):
        stderr.print("there was nothing to do: no task waits; how it stands: rollwright status, rollwright pool ls")
        return 0
    stderr.print(f"{report.done} done, {report.failed} failed, {report.released} given back in {report.seconds:.1f} s")
    return 1 if report.failed else 0


@worker_app.command("ls")
def list_command(pool: PoolName, url: Url = None, as_json: AsJson = False) -> None:
    """List the workers that hold tasks of a pool."""
    from rollwright.app.pool import list_workers, open_pool  # noqa: PLC0415 - keeps --help light

    with open_pool(pool, url) as manager:
        holders = list_workers(manager)
    if as_json:
        print_json(
            [
                {"owner": holder.owner, "tasks": [*holder.tasks], "since": holder.since, "until": holder.until}
                for holder in holders
            ]
        )
        return
    if not holders:
        print_text("no worker holds a task")
        return
    rows = [
        [
            holder.owner,
            ", ".join(holder.labels),
            format_duration(holder.busy),
            "ended" if holder.left < 0 else format_duration(holder.left),
        ]
        for holder in holders
    ]
    print_table(["worker", "tasks", "for", "lease left"], rows)


@worker_app.command("install")
def install_command(
    name: Campaign = None,
    jobs: Jobs = None,
    where: Where = None,
    tags: Tags = None,
    memory: GivenMemory = None,
    drain: Drain = None,
    kind: Annotated[
        Literal["systemd", "launchd"] | None,
        typer.Option(help="The service manager; this system's if not given.", show_default=False),
    ] = None,
    only_print: Annotated[bool, typer.Option("--print", help="Print the file instead of writing it.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a service of that name.")] = False,
) -> None:
    """Write a systemd unit or launchd agent of this user that keeps a worker waiting for the campaign's windows."""
    from rollwright.app.campaign_record import find_campaign  # noqa: PLC0415 - keeps --help light
    from rollwright.app.service import detect_service_kind, make_service, write_service  # noqa: PLC0415 - keeps --help light
    from rollwright.config.settings import load_settings  # noqa: PLC0415 - keeps --help light

    make_selection(where).query()
    for tag in tags or ():
        check_tag(tag)
    campaign, folder = find_campaign(name)
    arguments = ["worker", "run", campaign, "--keep-waiting", "--jobs", str(jobs or default_jobs())]
    for option, values in (("--where", where), ("--tag", tags)):
        for value in values or ():
            arguments += [option, value]
    if memory is not None:
        arguments += ["--memory", f"{memory:g}G"]
    if drain is not None:
        arguments += ["--drain", f"{drain:.15g}"]
    service = make_service(
        campaign,
        folder=folder,
        arguments=arguments,
        kind=kind or detect_service_kind(),
        drain=drain if drain is not None else load_settings(start=folder).worker.drain,
    )
    if only_print:
        print(service.text, end="")
        return
    changed = write_service(service, force=force)
    print(service.path)
    stderr.print("written; start it with:" if changed else "it was there already; start it with:")
    for command in service.commands:
        stderr.print(f"  {command}")
