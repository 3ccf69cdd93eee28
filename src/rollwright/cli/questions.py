"""Questions on the terminal. No, no answer and Ctrl-C are three things: the first two end with 2, the last with 130."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, TypeVar

import typer

from rollwright.cli.console import stderr
from rollwright.core.text import escape_text
from rollwright.errors import ConfigError

__all__ = ["Yes", "ask", "ask_for", "confirm"]

Answer = TypeVar("Answer")
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def confirm(question: str, *, count: int, yes: bool, act: Callable[[], int], spell: bool = False) -> int:
    """Ask before something is lost; return what `act` changed, or end with 2 when the answer is no.

    With `spell` the number of tasks has to be typed. Nothing is asked, and nothing done, when no task is meant.
    """
    if not count:
        return 0
    if not yes:
        ask(question, spell=count if spell else None)
    return act()


def ask(
    question: str, *, spell: int | None = None, otherwise: str = "nothing was changed; without a question: --yes"
) -> None:
    """Go on when the answer is yes, or, with `spell`, that number; otherwise say `otherwise` and end with 2."""
    try:
        with _own_interrupt():
            if spell is None:
                typer.confirm(escape_text(question), abort=True, err=True)
                return
            text = f"{escape_text(question)} Type {spell} to go on"
            typed = typer.prompt(text, err=True, default="", show_default=False)
    except typer.Abort:
        typed = None
    if typed is None or typed.strip().replace(",", "") != str(spell):
        stderr.print(otherwise)
        raise typer.Exit(2)


def ask_for(what: str, *, default: Answer, option: str, read: Callable[[str], Answer]) -> Answer:
    """Return what is typed, or `default` for an empty line; what `read` refuses is told and asked for again.

    Standard output stays clean: Typer's own prompt writes a space to it.

    Raises
    ------
    ConfigError
        When the input ends before there is an answer.
    """
    while True:
        typer.echo(f"{escape_text(what)} [{escape_text(str(default))}]: ", nl=False, err=True)
        try:
            typed = input().strip()
        except EOFError as error:
            raise ConfigError(
                f"the input ended before it was said which {what}",
                hint=f"give it with {option}, or take the usual: --yes",
            ) from error
        try:
            return read(typed) if typed else default
        except ConfigError as error:
            stderr.print_error(error)


@contextmanager
def _own_interrupt() -> Iterator[None]:
    """Let Ctrl-C be what it is everywhere; Typer makes one error of it and of the end of the input."""
    try:
        yield
    except typer.Abort as error:
        if isinstance(error.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from error
        raise
