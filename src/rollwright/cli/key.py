"""``rollwright key`` and ``rollwright trust``: the keys that sign, and the machines and files that are trusted."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from rollwright.cli.console import AsJson, print_json, print_text, stderr
from rollwright.cli.questions import ask

__all__ = ["key_app", "trust_app"]

_UNASKED = "nothing was done: it is done after the answer y only"

key_app = typer.Typer(help="Show, exchange and renew the keys that sign what must be pickled.", no_args_is_help=True)
trust_app = typer.Typer(help="List, add and remove the machines and files you trust.", no_args_is_help=True)


@key_app.command("show")
def show_command(as_json: AsJson = False) -> None:
    """Show which key signs, and the public half of the machine's identity; never the key itself."""
    from rollwright.app.keys import list_keys  # noqa: PLC0415 - keeps --help light

    listing = list_keys()
    if as_json:
        print_json(asdict(listing))
        return
    print_text(f"folder   {listing.folder}")
    if listing.public is not None:
        print_text(f"signs    {listing.public}")
        for key in listing.keys[:1]:
            print_text(f"verifies {key}")
        return
    print_text(f"signs    {listing.keys[0] if listing.keys else 'no key yet: the first use makes one'}")


@key_app.command("list")
def list_command(as_json: AsJson = False) -> None:
    """List the ids of all keys, the newest first; all of them verify, and it signs unless the machine itself does."""
    from rollwright.app.keys import list_keys  # noqa: PLC0415 - keeps --help light

    listing = list_keys()
    if as_json:
        print_json(asdict(listing))
        return
    for place, key in enumerate(listing.keys):
        print_text(f"{key}  {'verifies' if place or listing.public is not None else 'signs'}")


@key_app.command("export")
def export_command(path: Annotated[Path, typer.Argument(metavar="FILE", help="New file to write the key to.")]) -> None:
    """Write the key that signs to a file, to be taken to another machine of yours."""
    from rollwright.app.keys import export_key  # noqa: PLC0415 - keeps --help light

    ask(f"whoever reads {path} can make your machines run code. Write the key?", otherwise=_UNASKED)
    print_text(f"{path}: key {export_key(path)[:16]}")
    stderr.print("carry it over a way you trust, `rollwright key import` it there, and remove the file")


@key_app.command("import")
def import_command(path: Annotated[Path, typer.Argument(metavar="FILE", help="What `key export` wrote.")]) -> None:
    """Take a key from another machine: it signs here too from now on, and the keys that were here still verify."""
    from rollwright.app.keys import import_key  # noqa: PLC0415 - keeps --help light

    ask(f"whoever else has the key in {path} can make this machine run code. Take it?", otherwise=_UNASKED)
    _announce_key(import_key(path))


@key_app.command("rotate")
def rotate_command() -> None:
    """Make a new key, which signs from now on; the older ones verify what they signed, and nothing is rewritten."""
    from rollwright.app.keys import rotate_key  # noqa: PLC0415 - keeps --help light

    _announce_key(rotate_key())


@key_app.command("share")
def share_command() -> None:
    """Give this machine an identity of its own, and print what another machine needs to trust it."""
    from rollwright.app.keys import share_identity  # noqa: PLC0415 - keeps --help light

    print(share_identity())
    stderr.print("this machine signs in its own name from now on; on the other one: rollwright trust add … --name NAME")


def _announce_key(key: str) -> None:
    """Say what the newest key does; where the machine has an identity of its own, that signs."""
    from rollwright.app.keys import list_keys  # noqa: PLC0415 - keeps --help light

    if list_keys().public is None:
        print_text(f"key {key[:16]} signs")
        return
    print_text(f"key {key[:16]} verifies")
    stderr.print("this machine signs in its own name since `rollwright key share`")


@trust_app.command("add")
def trust_command(
    given: Annotated[str, typer.Argument(metavar="KEY|SHA256", help="`ed25519:…` of a machine, or a file's SHA-256.")],
    name: Annotated[str | None, typer.Option(help="What you call it; a machine needs one.", show_default=False)] = None,
) -> None:
    """Trust a machine, or a single file: what it signed, or holds, may run code here as you."""
    from rollwright.app.keys import trust  # noqa: PLC0415 - keeps --help light

    entry = trust(given, name=name)
    print_text(f"{entry.kind} {entry.name} is trusted")


@trust_app.command("list")
def trusted_command(as_json: AsJson = False) -> None:
    """List what is trusted."""
    from rollwright.app.keys import list_trusted  # noqa: PLC0415 - keeps --help light

    rows = list_trusted()
    if as_json:
        print_json([asdict(row) for row in rows])
        return
    for row in rows:
        print_text(f"{row.kind:8} {row.name:20} {row.value}")


@trust_app.command("rm")
def distrust_command(
    given: Annotated[str, typer.Argument(metavar="NAME|KEY|SHA256", help="What is not to be trusted any more.")],
) -> None:
    """Trust it no longer."""
    from rollwright.app.keys import stop_trusting  # noqa: PLC0415 - keeps --help light

    entry = stop_trusting(given)
    print_text(f"{entry.kind} {entry.name} is not trusted any more")
