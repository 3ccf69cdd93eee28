"""``online status``: what is served, by which models, how far it is, and what to do next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rollwright.cli.console import AsJson, print_json, print_text
from rollwright.cli.online.options import ServingName
from rollwright.cli.text import print_table
from rollwright.core.text import escape_text

if TYPE_CHECKING:
    from rollwright.app.online.status import ServingStatus

__all__ = ["describe_position", "status"]

_ORDER: Final = {"champion": 0, "challenger": 1, "shadow": 2}


def status(name: ServingName = None, as_json: AsJson = False) -> None:
    """Show how a serving stands: the last session, the strategies and their models, and what to do next."""
    from rollwright.app.online.status import read_serving_status  # noqa: PLC0415 - keeps --help light

    found = read_serving_status(name)
    if as_json:
        print_json(found.to_json())
        return
    print_text(f"{found.name}: {describe_position(found)}")
    rows = [
        [
            strategy,
            one.role if one.status == "active" else f"{one.role}, {one.status}",
            ", ".join(model.recorder[:8] for model in one.online) or "none yet",
            max((model.serves_from for model in one.online), default=""),
            ", ".join(f"{model.recorder[:8]} from {model.serves_from}" for model in one.next),
        ]
        for strategy, one in sorted(found.strategies.items(), key=lambda item: (_ORDER[item[1].role], item[0]))
    ]
    print_table(["strategy", "role", "model", "online from", "waits"], rows)
    print_text(f"ledger: {found.entry:,} entries, the last at {found.at}, digest {found.digest}")
    print_text(f"next: {found.next_command}")


def describe_position(found: ServingStatus) -> str:
    """Return in one line how far a serving is."""
    state = found.state
    if state.day is not None:
        done = "scored" if state.day.scores is not None else "open"
        return f"session {state.day.session} is {done} and not yet published: the routine goes on with it"
    if state.last is None:
        return f"no session was served yet; the first is {state.begin}"
    last = f"session {state.last.session} was {state.last.outcome} by entry {state.last.entry}"
    if state.last.outcome != "published":
        last += f"; the last published one is {state.published or 'none yet'}"
    return escape_text(last)
