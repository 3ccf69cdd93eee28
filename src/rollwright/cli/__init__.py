"""The command line: thin, and nothing heavy is imported before a command needs it."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["main", "qrun"]

INTERRUPTED = 130
MISSING = 3
COLLECT_AFTER = 50_000
"""New objects after which Python looks for cycles: with its own 700, that is a sixth of what imports cost."""


def main() -> None:
    """Run the command line and exit with its code.

    Python looks through all its objects for cycles as it ends, twice, which takes half as long as importing them:
    frozen, they are left to the system, which takes the memory back at once.
    """
    _run(is_qrun=False)


def qrun() -> None:
    """Run Qlib's command line for one workflow (``qrun CONFIG [EXPERIMENT_NAME] [URI_FOLDER]``) and exit."""
    _run(is_qrun=True)


def _run(*, is_qrun: bool) -> None:
    gc.set_threshold(COLLECT_AFTER)
    with _end_at_interrupt():
        from rollwright.cli.root import run, run_qrun  # noqa: PLC0415 - `import rollwright.cli` stays free of typer
        from rollwright.core.streams import flush_streams, make_streams_tolerant  # noqa: PLC0415

    make_streams_tolerant()
    code = (run_qrun if is_qrun else run)(sys.argv[1:])
    if (problem := flush_streams()) is not None and code == 0:
        sys.stderr.write(f"the output could not be written: {problem}\n")
        code = MISSING
    gc.freeze()
    sys.exit(code)


@contextmanager
def _end_at_interrupt() -> Iterator[None]:
    """Let Ctrl-C end the process at once while modules are imported: there is nothing yet to leave in order.

    An exception would not do: what is being imported may take it for an import that failed. A signal that the process
    was started to ignore stays ignored.
    """
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, lambda *_: os._exit(INTERRUPTED))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
