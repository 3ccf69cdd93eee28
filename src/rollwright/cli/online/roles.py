"""``online promote``, ``rollback`` and ``publish``: what a person decides, with the reason why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from rollwright.cli.console import AsJson, print_json, print_text
from rollwright.cli.online.options import Reason
from rollwright.cli.text import print_table
from rollwright.errors import ConfigError

if TYPE_CHECKING:
    from rollwright.app.online.roles import Decision
    from rollwright.online.evidence import Evidence, PairedMean

__all__ = ["promote", "publish", "rollback"]

Serving = Annotated[
    str | None, typer.Option("--serving", help="The serving; needed where there are several.", metavar="NAME")
]
Override = Annotated[bool, typer.Option("--override", help="Do it all the same; needs --reason, and is recorded.")]


def promote(
    strategy: Annotated[str, typer.Argument(help="The challenger.", metavar="STRATEGY")],
    serving: Serving = None,
    override: Override = False,
    reason: Reason = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the evidence only, and change nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make a challenger the champion, when it was better for long enough."""
    from rollwright.app.online.roles import compare_strategy, promote_strategy  # noqa: PLC0415 - keeps --help light

    if dry_run:
        made = compare_strategy(strategy, serving)
    else:
        made = promote_strategy(strategy, serving, override=override, reason=reason or "")
    if as_json:
        print_json(made.to_json())
        return
    if made.evidence is not None:
        _tell_evidence(made.evidence)
    for line in made.lacking:
        print_text(f"lacking: {line}")
    if made.entry is not None:
        print_text(f"{strategy} is the champion of {made.serving} from now on: entry {made.entry.number}")
        print_text(f"back again: rollwright online rollback {made.serving} --reason TEXT")
    elif not made.lacking:
        print_text(f"it is enough: rollwright online promote {strategy}")


def rollback(
    name: Annotated[
        str | None, typer.Argument(help="The serving; needed where there are several.", metavar="[NAME]")
    ] = None,
    models: Annotated[
        str | None,
        typer.Option("--models", help="Put the models of that strategy back, in place of roles.", metavar="STRATEGY"),
    ] = None,
    reason: Reason = None,
    as_json: AsJson = False,
) -> None:
    """Go back to the roles before the last promotion, or to the models before the last switch."""
    from rollwright.app.online.roles import roll_back_serving  # noqa: PLC0415 - keeps --help light

    made = roll_back_serving(name, reason=reason or "", models=models)
    if as_json:
        print_json(made.to_json())
        return
    _tell_rollback(made, models)


def publish(
    name: Annotated[
        str | None, typer.Argument(help="The serving; needed where there are several.", metavar="[NAME]")
    ] = None,
    override: Override = False,
    reason: Reason = None,
    as_json: AsJson = False,
) -> None:
    """Publish the last session after all, whose signal was refused."""
    from rollwright.app.online.roles import publish_refused_signal  # noqa: PLC0415 - keeps --help light

    if not override:
        raise ConfigError(
            "a signal that was refused is published by an override only",
            hint="look at `rollwright online audit`, then give --override --reason TEXT",
        )
    made = publish_refused_signal(name, reason=reason or "")
    if as_json:
        print_json(made.to_json())
        return
    if made.entry is not None:
        print_text(f"session {made.entry.session} of {made.serving} is published after all: entry {made.entry.number}")


def _tell_rollback(made: Decision, models: str | None) -> None:
    entry = made.entry
    if entry is None:
        return
    if models is None:
        roles = entry.body.get("roles")
        given = ", ".join(f"{name}: {role}" for name, role in roles.items()) if isinstance(roles, dict) else ""
        print_text(f"the roles before entry {entry.body.get('of')} are given back: {given}; entry {entry.number}")
    else:
        print_text(
            f"the models of {models} before entry {entry.body.get('of')} are online again, until its next window: "
            f"entry {entry.number}"
        )


def _tell_evidence(evidence: Evidence) -> None:
    print_text(
        f"{evidence.challenger} beside {', '.join(evidence.champions)}: {evidence.days} sessions with a known label"
        + (f", {evidence.first} to {evidence.last}" if evidence.first else "")
    )
    rows = [
        _row_of("rank IC", evidence.rank_ic),
        _row_of(f"return of the top {evidence.topk}", evidence.top_return),
    ]
    head = ["", "champion", "challenger", "difference", f"{evidence.level:.0%} interval"]
    print_table(head, [row for row in rows if row], right=head[1:])


def _row_of(name: str, found: PairedMean | None) -> list[object]:
    if found is None:
        return []
    interval = "too few sessions"
    if found.lower is not None and found.upper is not None:
        interval = f"{found.lower:+.5f} to {found.upper:+.5f}"
    return [name, f"{found.champion:+.5f}", f"{found.challenger:+.5f}", f"{found.difference:+.5f}", interval]
