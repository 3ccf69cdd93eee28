"""``rollwright cluster``: start workers by the engine that you have, look at them, end them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from rollwright.cli.console import AsJson, print_json, print_text, stderr
from rollwright.cli.quantities import parse_duration
from rollwright.cli.text import print_table
from rollwright.core.text import count_noun

if TYPE_CHECKING:
    from rollwright.app.elastic import ElasticTerms, ScalingStep

__all__ = ["On", "cluster_app"]

On = Annotated[
    Literal["local", "slurm", "kubernetes", "ray"] | None,
    typer.Option("--on", help="What starts workers; the setting cluster.launcher if not given.", show_default=False),
]
Campaign = Annotated[str | None, typer.Argument(help="The campaign; the one that ran last if not given.")]

cluster_app = typer.Typer(
    help="Start workers of a campaign by Slurm, Kubernetes or Ray, or on this machine; look at them, and end them.",
    no_args_is_help=True,
)


@cluster_app.command("up")
def up_command(
    name: Campaign = None,
    count: Annotated[int, typer.Option("--count", "-n", min=1, max=10_000, help="How many workers.")] = 1,
    on: On = None,
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, help="Windows that each trains at the same time.")] = 1,
    until_empty: Annotated[
        bool, typer.Option("--until-empty/--keep-waiting", help="End when nothing is left to do.")
    ] = True,
    elastic: Annotated[
        bool, typer.Option("--elastic", help="Go on, and keep as many workers as there is work for.")
    ] = False,
    least: Annotated[int, typer.Option("--min", min=0, max=10_000, help="With --elastic: workers always there.")] = 0,
    most: Annotated[int | None, typer.Option("--max", min=1, max=10_000, help="With --elastic: the most.")] = None,
    every: Annotated[
        float, typer.Option(parser=parse_duration, metavar="TIME", help="With --elastic: between two looks.")
    ] = 15.0,
    once: Annotated[bool, typer.Option("--once", help="With --elastic: look once, as a cron job does.")] = False,
    only_print: Annotated[bool, typer.Option("--print", help="Print what would be submitted; start nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Start workers for a campaign that was started here. Ending one costs no attempt: it gives its windows back.

    What each worker is given (cores, memory, GPUs, time) and more options of sbatch are the settings `cluster.*`. With
    --elastic Ctrl-C ends the command and leaves the workers; `rollwright cluster down NAME` ends them.
    """
    from rollwright.app.cluster import describe_workers, start_workers  # noqa: PLC0415 - keeps --help light
    from rollwright.app.elastic import ElasticTerms  # noqa: PLC0415 - as above

    if elastic:
        if most is None:
            raise typer.BadParameter("--elastic needs --max: the most workers that there may be")
        _scale(
            name, ElasticTerms(least=least, most=most, jobs=jobs, every=every), on=on, until_empty=until_empty,
            once=once, only_print=only_print, as_json=as_json,
        )  # fmt: skip
        return
    if once or most is not None or least:
        raise typer.BadParameter("--min, --max and --once are for --elastic")
    if only_print:
        print(describe_workers(name, count, on=on, jobs=jobs, until_empty=until_empty), end="")
        return
    campaign, ids = start_workers(name, count, on=on, jobs=jobs, until_empty=until_empty)
    if as_json:
        print_json({"name": campaign, "workers": [*ids]})
        return
    print_text(f"{count_noun(len(ids), 'worker')} of {campaign} started: {', '.join(ids)}")
    stderr.print("look at them: rollwright cluster ls; end them: rollwright cluster down")


def _scale(
    name: str | None,
    terms: ElasticTerms,
    *,
    on: str | None,
    until_empty: bool,
    once: bool,
    only_print: bool,
    as_json: bool,
) -> None:
    from rollwright.app.cluster import describe_scaling, scale_workers  # noqa: PLC0415 - keeps --help light

    if only_print:
        print(describe_scaling(name, terms, on=on), end="")
        return

    def tell(step: ScalingStep) -> None:
        if as_json:
            line = {"wanted": step.wanted, "there": step.there, "started": step.start, "ended": len(step.end)}
            print(json.dumps(line), flush=True)
        elif step.start or step.end:
            change = f"{step.start} started" if step.start else f"{len(step.end)} told to end"
            print_text(f"{count_noun(step.there, 'worker')} there, work for {step.wanted}: {change}")

    step = scale_workers(name, terms, on=on, until_empty=until_empty, once=once, tell=tell)
    if step is not None and step.over and not as_json:
        print_text("nothing is left to do")


@cluster_app.command("ls")
def list_command(name: Campaign = None, on: On = None, as_json: AsJson = False) -> None:
    """List the workers that the engine has of this project: of one campaign, or of all."""
    from rollwright.app.cluster import list_launched  # noqa: PLC0415 - keeps --help light

    found = list_launched(name, on=on)
    if as_json:
        keys = ("id", "name", "state", "place", "reason")
        print_json([{key: getattr(one, key) for key in keys} for one in found])
        return
    if not found:
        print_text("no worker is started or waits to be")
        return
    print_table(
        ["worker", "campaign", "state", "machine", "reason"],
        [[one.id, one.name, one.state, one.place, one.reason] for one in found],
    )


@cluster_app.command("bundle")
def bundle_command(
    name: Campaign = None,
    out: Annotated[Path, typer.Option("--out", help="The file to write.")] = Path("campaign.bundle"),
    with_data: Annotated[
        bool, typer.Option("--with-data", help="Put the market data in too, not their digests alone.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Put the project of a campaign that was started here into one signed file, for hosts without its file system.

    It holds code, configurations, settings without secrets, and the digests of the market data. On a host that trusts
    this machine's key (`rollwright key`, `rollwright trust`), `rollwright worker join` takes it.
    """
    from rollwright.app.bundle.making import make_bundle  # noqa: PLC0415 - keeps --help light

    made = make_bundle(name, out, with_data=with_data)
    if as_json:
        print_json({
            "name": made.name, "path": str(made.path), "sha256": made.sha256, "size": made.size,
            "files": [*made.files], "environment": [*made.environment],
        })  # fmt: skip
        return
    print_text(f"{made.path}: campaign {made.name}, {count_noun(len(made.files), 'file')}, {made.size:,} bytes")
    for file in made.files:
        print_text(f"  {file}")
    if made.environment:
        stderr.print(f"left out, to be set in the environment of each host: {', '.join(made.environment)}")
    stderr.print(f"on a host: rollwright worker join {made.path.name} --data DIR")


@cluster_app.command("down")
def down_command(
    name: Annotated[str | None, typer.Argument(help="The campaign.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="The workers of every campaign of this project.")] = False,
    on: On = None,
    as_json: AsJson = False,
) -> None:
    """Tell workers to give their windows back and end."""
    from rollwright.app.cluster import stop_workers  # noqa: PLC0415 - keeps --help light

    if (name is None) is not everything:
        raise typer.BadParameter("name a campaign, or give --all")
    found = stop_workers(name, on=on)
    if as_json:
        print_json([one.id for one in found])
        return
    print_text(f"{count_noun(len(found), 'worker')} told to end" if found else "there is no worker to end")
