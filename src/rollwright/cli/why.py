"""``why``: from a score of the signal back to members, model, window, data and code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rollwright.cli.console import AsJson, clean_stdout, print_json, print_text
from rollwright.cli.text import print_table

if TYPE_CHECKING:
    from rollwright.app.why import MemberScore, Place, ScoreExplanation, SignalShare

__all__ = ["why"]

_CODE_FILES = 3


def why(
    date: Annotated[str, typer.Argument(help="A session that was predicted, as 2020-06-30.")],
    instrument: Annotated[str, typer.Argument(help="An instrument.")],
    campaign: Annotated[
        str | None,
        typer.Option("--campaign", "-c", help="The campaign; the one that ran last if not given.", show_default=False),
    ] = None,
    most: Annotated[int, typer.Option("--features", min=0, help="The most features to show; 0 for all.")] = 10,
    as_json: AsJson = False,
) -> None:
    """Say why an instrument had its score on a day: members, model, window, data, code, and what each feature moved."""
    from rollwright.app.why import explain_score  # noqa: PLC0415 - keeps --help light

    with clean_stdout():
        found = explain_score(date, instrument, name=campaign)
    if as_json:
        print_json(found.to_json())
        return
    _show(found, most)


def _show(found: ScoreExplanation, most: int) -> None:
    print_text(f"{found.instrument} on {found.date}, campaign {found.name}")
    if found.signal is not None:
        print_text(f"signal  {_describe_place(found.signal)}")
    print_text(f"label   {'not known yet' if found.label is None else f'{found.label:.6g}'}")
    if any(member.share is not None for member in found.members):
        print()
        _show_shares(found.members)
    elif found.uncombined is not None:
        print_text(f"parts   not known: {found.uncombined}")
    for member in found.members:
        print()
        _show_member(member, most, is_one=len(found.members) == 1)


def _show_shares(members: Sequence[MemberScore]) -> None:
    """Print what each member added to the signal; nothing beside one that takes no part in it."""
    rows = [[member.variant, f"{member.place.score:.6g}", *_describe_share(member.share)] for member in members]
    head = ["member", "score", "weight", "averaged as", "part of the signal"]
    print_table(head, rows, right=head[1:])


def _describe_share(share: SignalShare | None) -> list[str]:
    return ["", "", ""] if share is None else [f"{share.weight:.3f}", f"{share.scaled:.6g}", f"{share.part:+.6g}"]


def _show_member(member: MemberScore, most: int, *, is_one: bool) -> None:
    head = "" if is_one else f"{member.variant}: "
    print_text(f"{head}window {member.window}: {_describe_place(member.place)}")
    spans = ", ".join(f"{role} {start} to {end}" for role, (start, end) in member.segments.items())
    print_text(f"  learnt   {spans}")
    taken = f", whose model is that of run {member.fit_from}" if member.fit_from else ""
    print_text(f"  model    {member.model.get('class', 'unknown')}, run {member.recorder}{taken}")
    print_text(f"           sha256 {member.model.get('sha256')}, seed {member.model.get('seed')}")
    print_text(f"  data     generation {member.data['generation']} of {member.data['provider_uri']}")
    print_text(f"  code     {_describe_code(member.code, member.versions)}")
    if member.changed:
        print_text(f"  changed  {member.changed}")
    if member.unexplained:
        print_text(f"  note     {member.unexplained}")
    if not member.features:
        return
    shown = member.features if most == 0 else member.features[:most]
    told = member.base is not None
    rows = [
        [one.name, "missing" if one.value is None else f"{one.value:.6g}"]
        + ([f"{one.moved:+.6g}"] if one.moved is not None else [])
        for one in shown
    ]
    print_table(
        ["feature", "value", *(["moved the score by"] if told else [])], rows, right=["value", "moved the score by"]
    )
    if told:
        rest = sum(one.moved or 0.0 for one in member.features[len(shown) :])
        others = f", {len(member.features) - len(shown)} more features {rest:+.6g}" if rest else ""
        print_text(f"without any feature {member.base:.6g}{others}")
    elif len(shown) < len(member.features):
        print_text(f"{len(member.features) - len(shown)} more features: --features 0")


def _describe_place(place: Place) -> str:
    return f"score {place.score:.6g}, rank {place.rank} of {place.of}"


def _describe_code(code: Mapping[str, Any], versions: Mapping[str, Any]) -> str:
    files = sorted(code.get("files") or {})
    own = f"; your own: {', '.join(files[:_CODE_FILES])}" if files else ""
    more = f" and {len(files) - _CODE_FILES} more" if len(files) > _CODE_FILES else ""
    return ", ".join(f"{name} {version}" for name, version in versions.items()) + own + more
