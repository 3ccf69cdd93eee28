"""``rollwright compare work``: what a comparison starts in the environment of each model; not for people."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import typer

from rollwright.cli import INTERRUPTED
from rollwright.core.library_threads import limit_libraries
from rollwright.errors import CompareError

__all__ = ["work"]

_STDIN, _STDOUT, _STDERR = 0, 1, 2


def work(
    name: Annotated[str, typer.Argument(help="The comparison.")],
    model: Annotated[str, typer.Argument(help="The model.")],
    *,
    environment: Annotated[str, typer.Option("--environment", help="Of this interpreter.")],
    jobs: Annotated[int, typer.Option("--jobs", min=1, help="Tasks that train at the same time.")] = 1,
    no_network: Annotated[bool, typer.Option("--no-network", help="Leave the network.")] = False,
) -> int:
    """Train one model of a comparison in this environment, for the process that started this one.

    It ends when its standard input does; on standard output are messages, a line each.
    """
    # 1. Leave the network while there is one thread. 2. Give the real standard output to messages alone, before
    # anything else can print. 3. End with the process that started this one.
    limit_libraries()
    from rollwright.core.sandbox import leave_network  # noqa: PLC0415 - keeps --help light

    if no_network and not leave_network():
        raise CompareError("this system does not let a process leave the network", hint="leave out --no-network")
    channel = os.dup(_STDOUT)
    os.dup2(_STDERR, _STDOUT)
    _end_with_stdin()
    from rollwright.app.compare.model_worker import train_model  # noqa: PLC0415 - only now may libraries be imported

    finished = train_model(name, model, environment=environment, jobs=jobs, tell=_make_teller(channel))
    return 0 if finished else INTERRUPTED


def _make_teller(channel: int) -> Callable[[Mapping[str, Any]], None]:
    guard = threading.Lock()

    def tell(message: Mapping[str, Any]) -> None:
        line = json.dumps(message).encode() + b"\n"
        with guard:
            while line:
                line = line[os.write(channel, line) :]

    return tell


def _end_with_stdin() -> None:
    """End this process when its standard input ends: nobody waits for it any more."""
    from rollwright.core.posix import kill_when_closed  # noqa: PLC0415 - keeps --help light

    kill_when_closed(_STDIN)

    def watch() -> None:
        while os.read(_STDIN, 1024):
            pass
        os._exit(1)

    threading.Thread(target=watch, name="lifeline", daemon=True).start()
