"""``rollwright audit``: find what is learnt or predicted from the future, and prove it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from rollwright.cli.campaign import LEAKS, Overrides, Provider
from rollwright.cli.console import AsJson, clean_stdout, print_json, print_text, print_wrapped, stderr
from rollwright.core.text import count_noun

if TYPE_CHECKING:
    from rollwright.campaign.audit.findings import AuditFinding, AuditReport, Power

__all__ = ["audit", "show_audit"]

SHOWN = 10


def audit(
    what: Annotated[
        str | None,
        typer.Argument(help="A campaign's YAML, or its name; the one that ran last if not given.", metavar="FILE|NAME"),
    ] = None,
    overrides: Overrides = None,
    dates: Annotated[int, typer.Option("--dates", min=1, help="Probe dates, spread over the windows.")] = 3,
    names: Annotated[int, typer.Option("--names", min=3, help="Instruments looked at around each date.")] = 24,
    provider_uri: Provider = None,
    as_json: AsJson = False,
) -> int:
    """Recompute what models read while the future is another one, and tell what moved, with its proof.

    Trains nothing and writes nothing. Exit code 0: no leak was found that the file does not declare; 4: one was.
    """
    from rollwright.app.audit import audit_campaign, find_audited  # noqa: PLC0415 - keeps --help light

    with clean_stdout():
        campaign = find_audited(what, overrides=overrides or (), provider_uri=provider_uri)
        report = audit_campaign(campaign, dates=dates, names=names)
    if as_json:
        print_json(report.to_json(), ok=report.ok)
    else:
        show_audit(report)
    return 0 if report.ok else LEAKS


def show_audit(report: AuditReport) -> None:
    """Print what leaks with its proof, and what would have been seen."""
    shown: dict[tuple[str, str], int] = {}
    for finding in report.findings:
        key = (finding.severity, finding.kind)
        shown[key] = shown.get(key, 0) + 1
        if shown[key] <= SHOWN:
            _show_finding(finding)
    for (severity, kind), count in shown.items():
        if count > SHOWN:
            print_text(f"{severity:8} {kind:12} and {count - SHOWN} more: --json has them all")
    _show_power(report.power)
    leaks = len(report.leaks)
    if leaks:
        print_text(f"{report.name}: {count_noun(leaks, 'leak')}")
        stderr.print(
            "hint: mend them, or declare what is meant, and it stands beside every number: `allow_leak: {kind: why}`"
        )
    else:
        print_text(f"{report.name}: no leak was found; what was not looked at is in docs/audit.md")


def _show_finding(finding: AuditFinding) -> None:
    from rollwright.campaign.audit.finding_text import join_names  # noqa: PLC0415 - keeps --help light

    lines = [finding.message]
    if finding.proof is not None:
        lines.append(f"proof: {finding.proof.text}")
    if finding.members:
        lines.append(f"members: {join_names(finding.members)}")
    if finding.reason is not None:
        lines.append(f"declared: {finding.reason}")
    else:
        lines.append(f"hint: {finding.hint}")
    print_wrapped(f"{finding.severity:8} {finding.kind:12} ", lines[0])
    for line in lines[1:]:
        print_wrapped(f"{'':8} {'':12} ", line)


def _show_power(power: Power) -> None:
    """Print what would have been seen, which is what a verdict without a finding is worth."""
    dates = ", ".join(sorted({probe.date for probe in power.probes}))
    ahead = min((probe.ahead for probe in power.probes), default=0)
    rows = sum(probe.rows for probe in power.probes)
    names = max((probe.names for probe in power.probes), default=0)
    print_text(
        f"looked at {count_noun(power.features, 'feature')} and {count_noun(power.labels, 'label')} of up to "
        f"{count_noun(names, 'instrument')} up to {dates}: {rows:,} rows, computed {power.recomputed} times"
    )
    print_text(f"changed  {', '.join(power.changes)}, in {count_noun(ahead, 'session')} or more after each date")
    if power.blind:
        print_text(f"blind    {count_noun(len(power.blind), 'feature')} did not answer to any change of the market, ")
        print_text(f"{'':8} so nothing is known of them: {', '.join(power.blind[:SHOWN])}")
    if power.empty:
        print_text(f"empty    {count_noun(len(power.empty), 'feature')} had no value: {', '.join(power.empty[:SHOWN])}")
    for line in power.unseen:
        print_wrapped("unseen   ", line)
