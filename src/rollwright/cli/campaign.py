"""``demo``, ``run``, ``roll`` and ``resume``: the main job."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rollwright.cli import INTERRUPTED
from rollwright.cli.console import AsJson, clean_stdout, print_json, print_text, print_wrapped, stderr
from rollwright.cli.roll_options import Jobs, RollOptions, default_jobs, with_roll_options
from rollwright.cli.text import list_names
from rollwright.core.library_threads import limit_libraries
from rollwright.core.text import count_noun
from rollwright.errors import ConfigError

if TYPE_CHECKING:
    from rich.table import Table

    from rollwright.analysis.health import HealthFinding
    from rollwright.app.finished import FinishedCampaign
    from rollwright.app.open_campaign import OpenCampaign
    from rollwright.app.single_run import SingleRun
    from rollwright.campaign.audit.findings import AuditReport
    from rollwright.campaign.plan import WindowKey
    from rollwright.campaign.run import TrainElsewhere
    from rollwright.campaign.summary import CampaignResult, TrainingCounts
    from rollwright.config.settings import Settings

__all__ = ["demo", "resume", "roll", "run_once", "show_single_run"]

PARTIAL = 5
LEAKS = 4
_COMPARED = ("ic", "icir", "rank_ic", "rank_icir")


def _from_working_directory(uri: str | None) -> str | None:
    """Return a folder that was typed, from where it was typed; what a file says is taken from the project."""
    return uri if uri is None or "://" in uri or uri.startswith("file:") else str(Path(uri).expanduser().absolute())


Provider = Annotated[
    str | None,
    typer.Option(
        "--provider-uri", callback=_from_working_directory, help="Folder of market data, over what the file says."
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(help="key=value over what the file says, e.g. rolling.step=20", metavar="[KEY=VALUE]..."),
]


def demo(
    folder: Annotated[Path, typer.Option("--dir", help="Where the demo lives.")] = Path("rollwright-demo"),
    jobs: Jobs = 2,
    as_json: AsJson = False,
) -> int:
    """Run the main job on a synthetic market: data, windows of three members, one signal, back-test, report, audit.

    Exit code 4 when the audit finds a leak: the demo has none, an edited one may.
    """
    limit_libraries()
    from rollwright.app.data import prepare_demo  # noqa: PLC0415 - keeps --help light
    from rollwright.app.open_campaign import open_campaign  # noqa: PLC0415 - keeps --help light

    file = prepare_demo(folder, tell=stderr.print)
    # `resume` looks in the working directory, where the demo's project is not.
    go_on = f"rollwright demo --dir {shlex.quote(str(folder))}"
    options = RollOptions(jobs=jobs or default_jobs())
    campaign = open_campaign(file, project=folder)
    return _roll(campaign, options, go_on=go_on, as_json=as_json, is_audited=True)


def run_once(
    file: Annotated[Path, typer.Argument(help="A workflow's YAML.")],
    overrides: Overrides = None,
    provider_uri: Provider = None,
    as_json: AsJson = False,
) -> int:
    """Train a file's task once, without rolling (Qlib's qrun)."""
    from rollwright.app.open_campaign import open_campaign  # noqa: PLC0415 - keeps --help light
    from rollwright.app.single_run import train_once  # noqa: PLC0415 - keeps --help light

    with clean_stdout():
        campaign = open_campaign(file, overrides=overrides or (), provider_uri=provider_uri)
        done = train_once(campaign)
    show_single_run(done, campaign.settings, as_json=as_json)
    return 0


def show_single_run(done: SingleRun, settings: Settings, *, as_json: bool) -> None:
    """Print what stands against the numbers of a task that was trained once, the numbers, and where they lie."""
    from rollwright.analysis.health import group_findings  # noqa: PLC0415 - keeps --help light

    if as_json:
        print_json(done.to_json())
        return
    show_health(done.health)
    groups = group_findings(done.health)
    recorder, metrics = done.recorder, done.recorder.list_metrics()
    print_text(f"recorder {recorder.id} of experiment {recorder.experiment_id}: {recorder.status}")
    for name, value in sorted(metrics.items()):
        key = name.lower().replace(" ", "_")  # of `Rank IC`, as findings name it
        marks = "".join(
            f" [{number}]" for number, group in enumerate(groups, 1) if group[0].touches(key, group[0].variant)
        )
        print_text(f"  {name:<12} {value: .4f}{marks}")
    show_tracking(settings)


@with_roll_options
def roll(
    file: Annotated[Path, typer.Argument(help="A campaign's YAML.")],
    *,
    options: RollOptions,
    overrides: Overrides = None,
    provider_uri: Provider = None,
    as_json: AsJson = False,
) -> int:
    """Walk a campaign: train every window, collect, analyse, back-test, report.

    Killed and given again, it goes on where it stopped and ends with the same bytes.
    """
    limit_libraries()  # before anything could import one
    from rollwright.app.finished import find_finished  # noqa: PLC0415 - keeps --help light

    if not (options.detach or options.in_background):
        finished = find_finished(file, overrides=overrides or (), provider_uri=provider_uri)
        if finished is not None:
            return _show_finished(finished, as_json=as_json)
    from rollwright.app.open_campaign import open_campaign  # noqa: PLC0415 - a finished campaign needs none of it

    campaign = open_campaign(file, overrides=overrides or (), provider_uri=provider_uri)
    if options.detach:
        provider = [] if provider_uri is None else ["--provider-uri", provider_uri]
        return _detach(campaign, options, ["roll", str(file), *(overrides or ()), *provider], as_json=as_json)
    return _roll(campaign, options, go_on=f"rollwright resume {campaign.name}", as_json=as_json)


@with_roll_options
def resume(
    name: Annotated[str | None, typer.Argument(help="The campaign; the one that ran last if not given.")] = None,
    *,
    options: RollOptions,
    as_json: AsJson = False,
) -> int:
    """Go on with a campaign that was interrupted."""
    limit_libraries()  # before anything could import one
    from rollwright.app.finished import find_finished_named  # noqa: PLC0415 - keeps --help light

    if not (options.detach or options.in_background):
        finished = find_finished_named(name)
        if finished is not None:
            return _show_finished(finished, as_json=as_json)
    from rollwright.app.open_campaign import reopen_campaign  # noqa: PLC0415 - a finished campaign needs none of it

    campaign = reopen_campaign(name)
    if options.detach:
        return _detach(campaign, options, ["resume", campaign.name], as_json=as_json)
    go_on = " ".join(["rollwright resume", *([name] if name else [])])
    return _roll(campaign, options, go_on=go_on, as_json=as_json)


def _roll(campaign: OpenCampaign, options: RollOptions, *, go_on: str, as_json: bool, is_audited: bool = False) -> int:
    from rollwright.app.campaign import roll_campaign  # noqa: PLC0415 - keeps --help light
    from rollwright.app.detached import hold_detached  # noqa: PLC0415 - keeps --help light
    from rollwright.cli.progress import CampaignProgress  # noqa: PLC0415 - keeps --help light

    campaign = options.apply(campaign)
    elsewhere = _open_elsewhere(campaign, options)
    held = hold_detached(campaign.settings, campaign.name) if options.in_background else nullcontext()
    with held, clean_stdout(), CampaignProgress(campaign.name) as progress:
        result = roll_campaign(
            campaign,
            jobs=options.jobs,
            terms=options.terms,
            accept_stale=options.accept_stale,
            on_progress=progress,
            fork=not options.in_background,  # else a lock is open
            elsewhere=elsewhere,
        )
    if progress.left:
        return _end_partly(campaign.name, progress.left, as_json=as_json)
    audited = _audit(campaign) if is_audited and result is not None else None
    return _end(result, go_on, progress.counts, campaign.settings, as_json=as_json, audited=audited)


def _open_elsewhere(campaign: OpenCampaign, options: RollOptions) -> TrainElsewhere | None:
    """Return what trains the windows in place of this process, where `--on` asks for it."""
    if options.on is None:
        return None
    if options.fail_fast or options.only:
        raise ConfigError(
            "`--on` starts workers, which train every window to its end",
            hint="leave out --fail-fast and --only, or --on",
        )
    from rollwright.app.elsewhere import WorkersElsewhere  # noqa: PLC0415 - keeps --help light

    return WorkersElsewhere(campaign.settings, campaign.name, on=options.on, jobs=options.jobs).train


def _audit(campaign: OpenCampaign) -> AuditReport:
    from rollwright.app.audit import audit_campaign  # noqa: PLC0415 - keeps --help light

    with clean_stdout():
        return audit_campaign(campaign)


def _detach(campaign: OpenCampaign, options: RollOptions, words: list[str], *, as_json: bool) -> int:
    """Start the same in the background; what is wrong with the campaign is said here, before."""
    from rollwright.app.campaign import check_campaign  # noqa: PLC0415 - keeps --help light
    from rollwright.app.detached import find_detached, roll_log, start_detached  # noqa: PLC0415 - keeps --help light

    campaign = options.apply(campaign)
    name = campaign.name
    if running := find_detached(campaign.settings, name):
        raise ConfigError(
            f"{name} is rolled in the background already, by process {running[0].pid}",
            hint=f"watch it: rollwright status {name} --watch; stop it: rollwright cancel {name}",
        )
    check_campaign(campaign, options.terms)
    arguments = [words[0], *options.list_arguments(), "--in-background", "--", *words[1:]]
    pid = start_detached(campaign.settings, name, arguments)
    if as_json:
        print_json({"name": name, "pid": pid, "log": str(roll_log(campaign.settings, name))})
        return 0
    print_text(f"{name} is rolled in the background by process {pid}; it goes on when this terminal is closed")
    print_text(f"  watch it: rollwright status {name} --watch")
    print_text(f"  read on:  rollwright logs {name} --follow")
    print_text(f"  stop it:  rollwright cancel {name}")
    return 0


def _end_partly(name: str, left: Sequence[WindowKey], *, as_json: bool) -> int:
    """Say that windows were left out, so that there are no results."""
    if as_json:
        print_json({"name": name, "left": [str(key) for key in left]})
    else:
        count = count_noun(len(left), "window")
        print_text(
            f"{name}: what was asked for is trained; {count} left out ({list_names([str(key) for key in left])})"
        )
        print_text(f"no results are made of a part; go on with: rollwright resume {name}")
    return 0


def _show_finished(finished: FinishedCampaign, *, as_json: bool) -> int:
    """Tell the results of a campaign that has nothing to do."""
    from rollwright.cli.progress import CampaignProgress  # noqa: PLC0415 - keeps --help light

    progress = CampaignProgress(finished.name)
    progress.show_finished(finished)
    return _end(finished.result, "", finished.counts, finished.settings, as_json=as_json)


def _end(
    result: CampaignResult | None,
    go_on: str,
    counts: TrainingCounts | None,
    settings: Settings,
    *,
    as_json: bool,
    audited: AuditReport | None = None,
) -> int:
    if result is None or counts is None:
        stderr.print(f"stopped; nothing is lost. Go on with: {go_on}")
        return INTERRUPTED
    is_clean = audited is None or audited.ok
    if as_json:
        audit = {} if audited is None else {"audit": audited.to_json()}
        print_json({**result.to_json(), "training": asdict(counts), **audit}, ok=is_clean)
    else:
        if audited is not None:
            from rollwright.cli.audit import show_audit  # noqa: PLC0415 - that module takes options from this one

            show_audit(audited)
        show_result(result)
        show_tracking(settings)
    if result.missing:
        stderr.print(f"partial: the budget left {count_noun(len(result.missing), 'window')} out. Go on with: {go_on}")
        return PARTIAL
    return 0 if is_clean else LEAKS


def show_tracking(settings: Settings) -> None:
    """Print where to see the recorded runs, and how many wait for a server."""
    from rollwright.app.track import list_tracking_notes  # noqa: PLC0415 - keeps --help light

    for line in list_tracking_notes(settings):
        stderr.print(line)


def show_result(result: CampaignResult) -> None:
    """Print what stands against the numbers, the numbers of each variant, how they count, and where the files are."""
    from rich.console import Console  # noqa: PLC0415 - keeps --help light
    from rich.markup import escape  # noqa: PLC0415 - keeps --help light
    from rich.table import Table  # noqa: PLC0415 - keeps --help light

    from rollwright.analysis.metrics import show_metrics  # noqa: PLC0415 - keeps --help light

    show_health(result.health, name_variants=len(result.variants) > 1)
    shown_whole = result.variants if result.combined is None else result.variants[:1]
    for variant in shown_whole:
        name = result.name if len(result.variants) == 1 else f"{result.name}, {variant.variant}"
        counts = [(variant.windows, "window")] if variant.windows else []
        counts += [(variant.days, "day"), (variant.rows, "prediction")]
        print_text(f"{name}: {', '.join(count_noun(*each) for each in counts)}")
        shown = show_metrics(variant.metrics, findings=result.health, variant=variant.variant)
        doubted = any(metric.findings for metric in shown)
        table = Table()
        table.add_column("measure")
        table.add_column("value", justify="right")
        if doubted:
            table.add_column("findings")
        for metric in shown:
            table.add_row(metric.label, metric.text, *([escape(metric.mark)] if doubted else []))
        Console().print(table)
        for label, path in variant.files.items():
            print_text(f"{label:<12} {path}")
    if result.combined is not None:
        Console().print(_list_members(result))
    is_judged = any(metric.key == "ic" for variant in result.variants for metric in variant.metrics)
    for line in result.conventions.describe(with_label=is_judged):
        print(line)
    for note in result.notes:
        stderr.print(f"note: {note}")
    for label, path in result.files.items():
        print_text(f"{label:<12} {path}")


def _list_members(result: CampaignResult) -> Table:
    """Return a line for each member: what it predicts as well, and how much its scores are those of the others."""
    from rich.box import SIMPLE_HEAD  # noqa: PLC0415 - keeps --help light
    from rich.markup import escape  # noqa: PLC0415 - keeps --help light
    from rich.table import Table  # noqa: PLC0415 - keeps --help light

    from rollwright.analysis.metrics import join_marks, show_metrics  # noqa: PLC0415 - keeps --help light

    members = result.variants[1:]
    shown = {one.variant: show_metrics(one.metrics, findings=result.health, variant=one.variant) for one in members}
    labels = {metric.key: metric.label for row in shown.values() for metric in row if metric.key in _COMPARED}
    doubts = {name: join_marks(row) for name, row in shown.items()}
    table = Table(
        box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0)
    )  # lines between the columns would not leave room for the numbers
    table.add_column("member", overflow="fold")
    for label in [*labels.values(), "correlation"]:
        table.add_column(label, justify="right", no_wrap=True)
    if any(doubts.values()):
        table.add_column("findings", max_width=9)
    for name, row in shown.items():
        texts = {metric.key: metric.value for metric in row}
        found = result.combined.correlations.get(name, {}) if result.combined is not None else {}
        others = [value for other, value in found.items() if other != name and value is not None]
        agreement = f"{sum(others) / len(others):+.3f}" if others else ""
        cells = [*(texts.get(key, "") for key in labels), agreement]
        table.add_row(escape(name), *cells, *([escape(doubts[name])] if any(doubts.values()) else []))
    return table


def show_health(findings: tuple[HealthFinding, ...], *, name_variants: bool = False) -> None:
    """Print what has to be known before the numbers are believed, numbered as the table refers to it."""
    from rollwright.analysis.health import group_findings  # noqa: PLC0415 - keeps --help light
    from rollwright.analysis.health_text import count_findings, describe_group  # noqa: PLC0415 - keeps --help light

    if not findings:
        print("health: nothing was found that stands against reading the numbers as they are")
        return
    print(f"health: {count_findings(findings)}; read this before the numbers")
    for number, group in enumerate(group_findings(findings), 1):
        message, hint, variants = describe_group(group, name_variants=name_variants)
        lead = f"  [{number}] "
        print_wrapped(lead, f"{group[0].severity}: {message}")
        for more in (variants, f"hint: {hint}" if hint else ""):
            if more:
                print_wrapped(" " * len(lead), more)
