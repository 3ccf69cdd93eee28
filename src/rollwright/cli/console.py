"""What the command line prints: data to stdout, messages to stderr."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from typing import TYPE_CHECKING, Annotated

import typer

from rollwright.core.masking import mask_secrets
from rollwright.core.text import escape_lines, escape_text
from rollwright.errors import RollwrightError

if TYPE_CHECKING:
    from rich.console import Console

__all__ = [
    "AsJson",
    "ErrorConsole",
    "clean_stdout",
    "print_json",
    "print_text",
    "print_wrapped",
    "progress_bar",
    "stderr",
]

LONGEST = 16_000
_NARROWEST = 20
"""Characters of one message that are shown; what is longer loses its middle."""

AsJson = Annotated[bool, typer.Option("--json", help="Machine-readable result on stdout.")]


class ErrorConsole:
    """Messages on stderr; rich is imported when the first one is printed."""

    def __init__(self) -> None:
        self._console: Console | None = None

    @property
    def console(self) -> Console:
        """The console on stderr."""
        if self._console is None or self._console.file is not sys.stderr:
            from rich.console import Console  # noqa: PLC0415 - a command that says nothing does not pay for it

            self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        return self._console

    def print(self, text: str = "", *, style: str | None = None) -> None:
        """Print one message; markup in it is not interpreted, and what would move the cursor is escaped."""
        self.console.print(escape_lines(text, longest=LONGEST), style=style, markup=False)

    def print_error(self, error: RollwrightError) -> None:
        """Print what happened, and what to do."""
        self.print_problem(type(error).__name__, error.message, error.hint)

    def print_problem(self, kind: str, message: str, hint: str | None) -> None:
        """Print what happened, of which kind it is, and what to do."""
        self.print(f"{kind}: {mask_secrets(message)}", style="red")
        if hint:
            self.print(f"hint: {mask_secrets(hint)}", style="yellow")


stderr = ErrorConsole()


def print_json(data: object, *, ok: bool = True) -> None:
    """Print the answer for programs; what is no ASCII is escaped, so that nothing in it can steer a terminal."""
    print(json.dumps({"ok": ok, "data": data}, indent=1, ensure_ascii=True, default=str))


def print_text(text: str) -> None:
    """Print lines for people; what would move the cursor or turn text around is escaped."""
    print(escape_lines(text))


def print_wrapped(lead: str, text: str) -> None:
    """Print one finding for people: after `lead`, and on a terminal in lines that are as wide and begin beneath it.

    Anywhere else it stays one line, which programs search.
    """
    shown = escape_text(text)
    if not sys.stdout.isatty():
        print(f"{lead}{shown}")
        return
    from rich.cells import cell_len  # noqa: PLC0415 - as rich itself
    from rich.console import Console  # noqa: PLC0415 - a command that prints no finding does not pay for it
    from rich.text import Text  # noqa: PLC0415 - as rich itself

    console = Console()
    indent = cell_len(lead)
    lines = Text(shown).wrap(console, max(console.width - indent, _NARROWEST))
    for place, line in enumerate(lines):
        print(f"{' ' * indent if place else lead}{line.plain.rstrip()}")


@contextmanager
def clean_stdout() -> Iterator[None]:
    """Send to stderr what is written to stdout inside, whoever writes it.

    A user's own model prints, and so do libraries below Python and processes started inside; standard output is data,
    and stays so.
    """
    with suppress(OSError, ValueError, AttributeError):  # it may be closed, or none at all
        sys.stdout.flush()
    try:
        kept = os.dup(1)
        os.dup2(2, 1)
    except OSError:  # somebody closed one of them: there is nothing to keep clean
        yield
        return
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


@contextmanager
def progress_bar(title: str) -> Iterator[Callable[[int, int], None] | None]:
    """Show on standard error how much of a total is done, while a person is watching."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console  # noqa: PLC0415 - help stays light
    from rich.progress import Progress  # noqa: PLC0415 - help stays light

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
