"""``rollwright data`` imports, makes, describes and checks market data; ``rollwright import`` converts other files."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rollwright.cli.console import AsJson, print_json, progress_bar, stderr
from rollwright.cli.import_options import (
    Encoding,
    OneSymbol,
    Source,
    SymbolColumn,
    SymbolDigits,
    Symbols,
    Timezone,
)

if TYPE_CHECKING:
    from rollwright.market.ingest.check import CheckReport, Finding

__all__ = ["data_app", "import_app", "print_findings"]

data_app = typer.Typer(no_args_is_help=True, help="Import, make, describe and check market data.")
import_app = typer.Typer(help="Convert what other programs wrote into safe files.", no_args_is_help=True)

_Folder = Annotated[
    Path | None,
    typer.Argument(metavar="[DIR]", help="Data folder; that of the settings if not given.", show_default=False),
]
_Freq = Annotated[str, typer.Option(help="Frequency of the data: day, 1min, 5min …")]


@data_app.command("import")
def import_command(
    source: Source,
    out: Annotated[Path, typer.Option(help="Data folder to make or to extend.")],
    preset: Annotated[
        str | None, typer.Option(help="Whose files they are: yahoo, tushare, akshare, baostock, wind or joinquant.")
    ] = None,
    symbol_column: SymbolColumn = None,
    date_column: Annotated[str | None, typer.Option(help="Column of the sessions.")] = None,
    time_column: Annotated[str | None, typer.Option(help="Column of the time of day, beside that of the date.")] = None,
    columns: Annotated[
        list[str] | None,
        typer.Option("--map", metavar="NAME=FIELD", help="Make a field of the column NAME. May be repeated."),
    ] = None,
    drop: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Leave the column NAME out. May be repeated.")
    ] = None,
    symbol: OneSymbol = None,
    symbols: Symbols = None,
    symbol_digits: SymbolDigits = None,
    date_form: Annotated[
        str, typer.Option(help="dmy or mdy for dates as 04/01/2010; epoch-s, -ms, -us or -ns for counts since 1970.")
    ] = "ymd",
    timezone: Timezone = None,
    encoding: Encoding = None,
    wide: Annotated[
        str | None, typer.Option(metavar="FIELD", help="Read a table with a column for each instrument or date.")
    ] = None,
    adjust: Annotated[
        bool | None, typer.Option("--adjust/--no-adjust", help="Adjust raw prices by the factor or Adj Close.")
    ] = None,
    universe: Annotated[str, typer.Option(help="Universe that the instruments join.")] = "all",
    freq: _Freq = "day",
    revise: Annotated[bool, typer.Option("--revise", help="Replace values that differ.")] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace all there is of the source's instruments, as after a split.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Import CSV or Parquet files into a data folder; all of it or nothing."""
    from rollwright.app.data import describe_use, import_market  # noqa: PLC0415 - help stays light

    with progress_bar("writing instruments") as tick:
        report = import_market(
            source,
            out,
            freq=freq,
            universe=universe,
            symbol_column=symbol_column,
            date_column=date_column,
            time_column=time_column,
            symbol=symbol,
            symbols=symbols,
            symbol_digits=symbol_digits,
            timezone=timezone,
            date_form=date_form,
            columns=_read_map(columns or []),
            drop=drop or [],
            encoding=encoding,
            preset=preset,
            wide=wide,
            adjust=adjust,
            revise=revise,
            replace=replace,
            progress=tick,
        )
    if as_json:
        print_json(asdict(report))
        return
    print(f"{report.path}: {report.kind}")
    print(f"rows         {report.rows:,} of {report.instruments:,} instruments, {report.first} to {report.last}")
    print(f"fields       {', '.join(report.fields)}")
    if report.missing:
        print(f"missing      {', '.join(report.missing)} (they read as NaN)")
    if report.kind not in {"create", "none"}:
        print(f"added        {report.added_instruments} instruments, {report.added_sessions} sessions")
        print(f"changed      {report.changed_cells} values, from {report.first_changed or '-'} on")
    print(f"generation   {report.generation}")
    _say(f"look at it with `rollwright data check {report.path}`")
    _say(describe_use(report.path, freq=freq))


def _read_map(pairs: list[str]) -> dict[str, str]:
    columns: dict[str, str] = {}
    for pair in pairs:
        name, sign, target = pair.rpartition("=")
        if not sign or not name.strip() or not target.strip():
            raise typer.BadParameter(f"{pair!r} is not NAME=FIELD", param_hint="--map")
        if name in columns:
            raise typer.BadParameter(f"the column {name!r} is mapped twice", param_hint="--map")
        columns[name] = target
    return columns


@data_app.command("demo")
def demo_command(
    out: Annotated[Path, typer.Option(help="Folder to make.")],
    instruments: Annotated[int, typer.Option(min=20, max=5000)] = 120,
    sessions: Annotated[int, typer.Option(min=80, max=20000)] = 1300,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same bytes.")] = 20150105,
    planted_ic: Annotated[float, typer.Option(min=0.0, max=0.5, help="Strength of the planted signal.")] = 0.08,
    as_json: AsJson = False,
) -> None:
    """Make a synthetic market with a weak signal of known strength planted in it."""
    from rollwright.app.data import make_demo  # noqa: PLC0415 - help stays light

    report = make_demo(out, instruments=instruments, sessions=sessions, seed=seed, planted_ic=planted_ic)
    if as_json:
        print_json(asdict(report))
        return
    print(f"{report.path}: a synthetic market, seed {report.seed}")
    print(f"instruments  {report.instruments}, {report.sessions} sessions, {report.first} to {report.last}")
    print(f"planted IC   {report.planted_ic:.4f}")
    print(f"realised IC  {report.realised_ic:.4f} (standard error {report.realised_se:.4f})")
    print(f"generation   {report.generation}")


@data_app.command("info")
def info_command(
    folder: _Folder = None, freq: Annotated[str | None, typer.Option()] = None, as_json: AsJson = False
) -> None:
    """Describe a data folder: calendar, fields, universes, generation."""
    from rollwright.app.data import describe_market  # noqa: PLC0415 - help stays light

    info = describe_market(folder, freq=freq)
    if as_json:
        print_json(asdict(info))
        return
    print(f"{info.path}")
    future = f", {info.future_sessions} known to come" if info.future_sessions else ""
    print(f"sessions     {info.sessions:,} ({info.freq}), {info.first} to {info.last}{future}")
    print(f"instruments  {info.instruments:,}")
    print(f"fields       {', '.join(info.fields)}")
    if info.missing:
        print(f"missing      {', '.join(info.missing)} (they read as NaN)")
    for universe in info.universes:
        counts = f"{universe.members:,} in all, {universe.members_now:,} on {info.last}"
        print(f"universe     {universe.name}: {counts if universe.damage is None else f'damaged: {universe.damage}'}")
    if info.demo is not None:
        print(f"synthetic    planted IC {info.demo['planted_ic']:.4f}, realised {info.demo['realised_ic']:.4f}")
    print(f"generation   {info.generation}")


@data_app.command("check")
def check_command(
    folder: _Folder = None,
    freq: Annotated[str | None, typer.Option()] = None,
    accept: Annotated[bool, typer.Option("--accept", help="Take over what other tools changed in the folder.")] = False,
    as_json: AsJson = False,
) -> None:
    """Look for gaps, impossible prices, jumps and damaged files, and say where. Exit code 2 when there are errors."""
    from rollwright.app.data import adopt_changes, check_market  # noqa: PLC0415 - help stays light

    if accept:
        if folder is None:
            raise typer.BadParameter("name the folder whose changes are to be accepted", param_hint="DIR")
        _say(f"accepted; generation {adopt_changes(folder).generation}")
    report = check_market(folder, freq=freq)
    if as_json:
        print_json(asdict(report), ok=report.ok)
    else:
        _print_check(report)
    if not report.ok:
        raise typer.Exit(2)


def print_findings(findings: Iterable[Finding]) -> None:
    """Print what a check found, one finding a line."""
    for finding in findings:
        print(f"{finding.severity:7}  {finding.kind:8}  {finding.where}: {finding.message}")


def _print_check(report: CheckReport) -> None:
    print_findings(report.findings)
    errors = sum(finding.severity == "error" for finding in report.findings)
    _say(
        f"{report.instruments:,} instruments, {report.sessions:,} sessions, {report.files:,} series: "
        f"{errors} errors, {len(report.findings) - errors} warnings"
    )


def _say(text: str) -> None:
    print(text, file=sys.stderr)


@import_app.callback()
def _keep_group() -> None:
    """Keep ``pickle`` a sub-command while it is the only one."""


@import_app.command("pickle")
def pickle_command(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="An old pickle, as of Qlib's pred.pkl.")],
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="New file; beside the old one if not given.", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Convert a pickled frame, array or plain value into Parquet, npy or JSON, without running the pickle."""
    from rollwright.compat.importing import import_pickle  # noqa: PLC0415 - keeps --help light

    done = import_pickle(path, out)
    if as_json:
        print_json(asdict(done))
        return
    shape = f" {' x '.join(map(str, done.shape))}" if done.shape else ""
    print(f"{done.path}: {done.type}{shape} as {done.kind}")
    if "network" not in done.limits:
        stderr.print("this system gave the reading process no network of its own; nothing of the pickle was run anyway")
