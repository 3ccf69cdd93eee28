"""``rollwright pit`` imports point-in-time data, shows what was known when, and checks the files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rollwright.cli.console import AsJson, print_json, progress_bar, stderr
from rollwright.cli.data import print_findings
from rollwright.cli.import_options import (
    Encoding,
    OneSymbol,
    Source,
    SymbolColumn,
    SymbolDigits,
    Symbols,
    Timezone,
)
from rollwright.cli.pit_violations import violations_command
from rollwright.cli.text import print_table

if TYPE_CHECKING:
    from rollwright.app.pit import KnownValue
    from rollwright.market.ingest.periods.period_check import PeriodCheck
    from rollwright.market.ingest.periods.period_import import PeriodReport

__all__ = ["pit_app"]

pit_app = typer.Typer(no_args_is_help=True, help="Point-in-time data: values by period, and since when they are known.")

_Folder = Annotated[
    Path | None,
    typer.Argument(metavar="[DIR]", help="Data folder; that of the settings if not given.", show_default=False),
]
_Data = Annotated[
    Path | None, typer.Option("--data", help="Data folder; that of the settings if not given.", show_default=False)
]
_Code = Annotated[str, typer.Argument(metavar="INSTRUMENT", help="Its code, in any spelling.")]
_Field = Annotated[str, typer.Argument(metavar="FIELD", help="Its name, as revenue_q.")]
_Limit = Annotated[int, typer.Option(min=1, help="Most lines that are shown; --json gives all.")]


@pit_app.command("import")
def import_command(
    source: Source,
    out: Annotated[Path, typer.Option(help="Data folder to extend.")],
    kind: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[FIELD=]KIND",
            help="What a field measures, or all of the source: flow-cumulative, flow-discrete or stock. May be "
            "repeated.",
        ),
    ] = None,
    interval: Annotated[
        str | None, typer.Option(help="Of fields whose names do not end with it: quarterly, annual, monthly, dated.")
    ] = None,
    field: Annotated[str | None, typer.Option(help="The one field of all rows.")] = None,
    fields: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN[=FIELD],…",
            help="Of a table with a column for each field: the columns, and what the fields are to be called. May be "
            "repeated.",
        ),
    ] = None,
    date_column: Annotated[str | None, typer.Option(help="Column of the days of announcement.")] = None,
    period_column: Annotated[str | None, typer.Option(help="Column of the periods.")] = None,
    value_column: Annotated[str | None, typer.Option(help="Column of the values.")] = None,
    field_column: Annotated[str | None, typer.Option(help="Column of the fields' names.")] = None,
    symbol_column: SymbolColumn = None,
    symbol: OneSymbol = None,
    symbols: Symbols = None,
    symbol_digits: SymbolDigits = None,
    date_form: Annotated[str, typer.Option(help="dmy or mdy for dates as 04/01/2010.")] = "ymd",
    timezone: Timezone = None,
    encoding: Encoding = None,
    allow_early: Annotated[
        bool, typer.Option("--allow-early", help="Take values known before their period ended, as forecasts.")
    ] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace all there is of the source's fields of its instruments.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and write nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Add and restate values by period, each with the day it became known; all of it or nothing."""
    from rollwright.app.pit import import_periods  # noqa: PLC0415 - help stays light

    with progress_bar("writing files") as tick:
        report = import_periods(
            source,
            out,
            kind=_read_kinds(kind or []),
            interval=interval,
            field=field,
            fields=_read_fields(fields or []),
            date_column=date_column,
            period_column=period_column,
            value_column=value_column,
            field_column=field_column,
            symbol_column=symbol_column,
            symbol=symbol,
            symbols=symbols,
            symbol_digits=symbol_digits,
            timezone=timezone,
            date_form=date_form,
            encoding=encoding,
            allow_early=allow_early,
            replace=replace,
            dry_run=dry_run,
            progress=tick,
        )
    if as_json:
        print_json(asdict(report))
    else:
        _print_report(report)


def _read_kinds(words: Sequence[str]) -> dict[str, str]:
    kinds: dict[str, str] = {}
    for word in words:
        field, sign, kind = word.rpartition("=")
        name = field.strip().removeprefix("$$") if sign else "*"
        if not name or not kind.strip():
            raise typer.BadParameter(f"{word!r} is not FIELD=KIND or KIND", param_hint="--kind")
        if name in kinds:
            raise typer.BadParameter(f"the kind of {field or 'all'!r} is given twice", param_hint="--kind")
        kinds[name] = kind
    return kinds


def _read_fields(words: Sequence[str]) -> dict[str, str]:
    fields: dict[str, str] = {}
    for word in (each.strip() for given in words for each in given.split(",")):
        column, sign, name = word.partition("=")
        if not column.strip() or (sign and not name.strip()):
            raise typer.BadParameter(f"{word!r} is not COLUMN or COLUMN=FIELD", param_hint="--fields")
        if column.strip() in fields:
            raise typer.BadParameter(f"the column {column.strip()!r} is given twice", param_hint="--fields")
        fields[column.strip()] = name.strip().removeprefix("$$") or column.strip()
    return fields


def _print_report(report: PeriodReport) -> None:
    done = "nothing new" if report.kind == "none" else "it would change" if report.dry_run else "changed"
    print(f"{report.path}: {done}")
    print(f"rows         {report.rows:,} of {report.instruments:,} instruments, known {report.first} to {report.last}")
    print(f"fields       {', '.join(f'{name} ({kind})' for name, kind in report.fields.items())}")
    print(f"added        {report.added:,} values, {report.repeated:,} were there")
    for name, count in (
        ("restated", report.restated),
        ("corrected", report.corrected),
        ("withdrawn", report.withdrawn),
        ("removed", report.removed),
    ):
        if count:
            print(f"{name:11}  {count:,}")
    if report.first_changed:
        print(f"changed      {report.series:,} fields of instruments, from {report.first_changed} on")
    print(f"generation   {report.generation}")
    if report.dry_run:
        for note in report.notes:
            stderr.print(note)
    if "unknown" in report.fields.values():
        name = next(name for name, kind in report.fields.items() if kind == "unknown")
        stderr.print(
            f"TTM, SQ and LYR need to know what a field measures: `rollwright pit kind {name} flow-cumulative`"
        )


@pit_app.command("get")
def get_command(
    instrument: _Code,
    field: _Field,
    as_of: Annotated[
        str | None, typer.Option("--as-of", help="As it was known at the end of this day.", show_default=False)
    ] = None,
    data: _Data = None,
    as_json: AsJson = False,
) -> None:
    """Show the value of each period that counts, since when, and how often it changed."""
    from rollwright.app.pit import get_values  # noqa: PLC0415 - help stays light

    values = get_values(instrument, field, path=data, as_of=as_of)
    if as_json:
        print_json([asdict(value) for value in values])
    elif not values:
        stderr.print(f"nothing was known of {field} of {instrument}")
    else:
        _print_values(values, ("period", "value", "known", "first_known", "versions"))


@pit_app.command("asof")
def asof_command(
    day: Annotated[str, typer.Argument(metavar="DATE", help="What was known at the end of this day.")],
    instrument: Annotated[
        list[str] | None, typer.Option("--instrument", "-i", help="Only these; may be repeated.", show_default=False)
    ] = None,
    field: Annotated[
        list[str] | None, typer.Option("--field", "-f", help="Only these; may be repeated.", show_default=False)
    ] = None,
    limit: _Limit = 50,
    data: _Data = None,
    as_json: AsJson = False,
) -> None:
    """Show what a back-test could read on a day: of each instrument and field the latest period that was known."""
    from rollwright.app.pit import list_known  # noqa: PLC0415 - help stays light

    values = list_known(day, instruments=instrument or (), fields=field or (), path=data)
    if as_json:
        print_json([asdict(value) for value in values])
    elif not values:
        stderr.print(f"nothing was known on {day}")
    else:
        _print_values(values[:limit], ("instrument", "field", "period", "value", "known", "versions"))
        if len(values) > limit:
            stderr.print(f"and {len(values) - limit:,} more: --limit, --instrument, --field")


def _print_values(values: Sequence[KnownValue], columns: Sequence[str]) -> None:
    rows = [[_show(asdict(value)[name]) for name in columns] for value in values]
    print_table([name.replace("_", " ") for name in columns], rows, right={"period", "value", "versions"})


def _show(cell: object) -> str:
    return "withdrawn" if cell is None else f"{cell:.10g}" if isinstance(cell, float) else str(cell)


@pit_app.command("history")
def history_command(
    instrument: _Code,
    field: _Field,
    period: Annotated[str, typer.Argument(metavar="PERIOD", help="As 201903, 2019Q3 or 2019-09-30.")],
    data: _Data = None,
    as_json: AsJson = False,
) -> None:
    """Show all values that one period ever had."""
    from rollwright.app.pit import list_vintages  # noqa: PLC0415 - help stays light

    vintages = list_vintages(instrument, field, period, path=data)
    if as_json:
        print_json([asdict(vintage) for vintage in vintages])
    elif not vintages:
        stderr.print(f"nothing is known of {field} of {instrument} for {period}")
    else:
        rows = [
            [
                "withdrawn" if item.value is None else f"{item.value:.10g}",
                item.known,
                item.days_after,
                item.replaced or "-",
            ]
            for item in vintages
        ]
        print_table(["value", "known", "days after", "replaced"], rows, right={"value", "days after"})


@pit_app.command("info")
def info_command(folder: _Folder = None, as_json: AsJson = False) -> None:
    """List the fields by period: what they measure, how many instruments, periods and values they have."""
    from rollwright.app.pit import describe_periods  # noqa: PLC0415 - help stays light

    info = describe_periods(folder)
    if as_json:
        print_json(asdict(info))
        return
    print(f"{info.path}")
    if not info.fields:
        stderr.print("it has no fields by period: `rollwright pit import PATH --out DIR`")
        return
    rows = [
        [item.field, item.kind, item.instruments, item.values, item.restated, f"{item.first_period}-{item.last_period}",
         f"{item.first_known} to {item.last_known}"]
        for item in info.fields
    ]  # fmt: skip
    head = ["field", "kind", "instruments", "values", "restated", "periods", "known"]
    print_table(head, rows, right={"instruments", "values", "restated"})


@pit_app.command("kind")
def kind_command(
    field: _Field,
    kind: Annotated[str, typer.Argument(metavar="KIND", help="flow-cumulative, flow-discrete or stock.")],
    change: Annotated[bool, typer.Option("--change", help="Also when another kind is declared.")] = False,
    data: _Data = None,
    as_json: AsJson = False,
) -> None:
    """Declare what a field measures, which TTM, SQ and LYR have to know."""
    from rollwright.app.pit import declare_field  # noqa: PLC0415 - help stays light

    before = declare_field(field, kind, change=change, path=data)
    if as_json:
        print_json({"field": field, "kind": kind, "before": before})
    else:
        print(f"{field}: {kind}{'' if before == 'unknown' else f', before {before}'}")


@pit_app.command("verify")
def verify_command(folder: _Folder = None, as_json: AsJson = False) -> None:
    """Look for damaged files, and for values that nobody can have known on their day."""
    from rollwright.app.pit import check_fields  # noqa: PLC0415 - help stays light

    report = check_fields(folder)
    if as_json:
        print_json(asdict(report), ok=report.ok)
    else:
        _print_check(report)
    if not report.ok:
        raise typer.Exit(2)


def _print_check(report: PeriodCheck) -> None:
    print_findings(report.findings)
    errors = sum(finding.severity == "error" for finding in report.findings)
    stderr.print(
        f"{report.fields:,} fields, {report.files:,} files, {report.records:,} values: {errors} errors, "
        f"{len(report.findings) - errors} warnings"
    )


pit_app.command("violations")(violations_command)
