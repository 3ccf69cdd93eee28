"""``rollwright pit violations``: columns that show a reported value before it was announced."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rollwright.cli.campaign import LEAKS, Overrides, Provider
from rollwright.cli.console import AsJson, clean_stdout, print_json, print_text, stderr
from rollwright.core.text import count_noun

if TYPE_CHECKING:
    from rollwright.app.pit_violations import Violation, ViolationReport

__all__ = ["violations_command"]


def violations_command(
    what: Annotated[
        str | None,
        typer.Argument(
            help="A campaign's YAML, or its name, whose features and labels are looked at too.", metavar="[FILE|NAME]"
        ),
    ] = None,
    overrides: Overrides = None,
    expression: Annotated[
        list[str] | None, typer.Option("--expression", "-e", help="Look at this expression too. May be repeated.")
    ] = None,
    columns: Annotated[
        Path | None, typer.Option(help="A CSV or Parquet file of yours with datetime, instrument and columns.")
    ] = None,
    field: Annotated[
        list[str] | None, typer.Option(help="Compare with this field by period alone. May be repeated.")
    ] = None,
    provider_uri: Provider = None,
    as_json: AsJson = False,
) -> int:
    """Find daily columns, features and labels that show a reported value before it was announced.

    Writes nothing. Exit code 0: none was found; 4: one was.
    """
    from rollwright.app.audit import find_audited  # noqa: PLC0415 - keeps --help light
    from rollwright.app.pit_violations import find_violations  # noqa: PLC0415 - as above
    from rollwright.config.context import current_settings, using  # noqa: PLC0415 - as above

    with clean_stdout():
        campaign, settings = None, current_settings()
        if what is not None:
            campaign = find_audited(what, overrides=overrides or (), provider_uri=provider_uri)
        elif provider_uri is not None:
            settings = settings.with_values({"data.provider_uri": provider_uri}, origin="command line")
        with using(settings):
            report = find_violations(campaign, expressions=expression or (), table=columns, fields=field or ())
    if as_json:
        print_json(report.to_json(), ok=report.ok)
    else:
        _show(report)
    return 0 if report.ok else LEAKS


def _show(report: ViolationReport) -> None:
    for violation in report.violations:
        _show_violation(violation)
    for column, field in report.clean:
        print_text(f"{column} shows $${field}, and nothing of it before its announcement")
    looked = (
        f"{count_noun(len(report.columns), 'column')} compared with {count_noun(len(report.fields), 'field')} by period"
    )
    if report.ok:
        print_text(f"{looked}: none shows a value before it was announced")
        if not report.columns:
            stderr.print(
                "hint: name what to look at: a campaign's file, --expression, or --columns with a table of yours"
            )
    else:
        print_text(f"{looked}: {count_noun(len(report.violations), 'violation')}")
        stderr.print(
            "hint: read the field itself, which is known from its announcement on: P($$FIELD) in place of the column"
        )


def _show_violation(violation: Violation) -> None:
    unit = f"{violation.unit:.6g}"
    scale = "" if unit == "1" else f" times {unit}"
    print_text(
        f"{violation.origin} {violation.column}: {violation.early} of {violation.checked} values of "
        f"$${violation.field}{scale} stood there before they were announced, {violation.days:.0f} days in the middle "
        f"(by chance: {violation.by_chance})"
    )
    for row in violation.evidence:
        print_text(
            f"  {row.instrument}  {row.session}  {row.value:.10g} of {row.period}, announced on {row.announced}, "
            f"{row.days} days later"
        )
    if violation.readers:
        print_text(f"  read by: {', '.join(violation.readers)}")
