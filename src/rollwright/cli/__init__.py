"""The command line: thin, and nothing heavy is imported before a command needs it."""

from __future__ import annotations

import gc
import sys

__all__ = ["main"]

MISSING = 3
COLLECT_AFTER = 50_000
"""New objects after which Python looks for cycles: with its own 700, that is a sixth of what imports cost."""


def main() -> None:
    """Run the command line and exit with its code.

    Python looks through all its objects for cycles as it ends, twice, which takes half as long as importing them:
    frozen, they are left to the system, which takes the memory back at once.
    """
    gc.set_threshold(COLLECT_AFTER)
    from rollwright.cli.root import run  # noqa: PLC0415 - `import rollwright.cli` stays free of typer
    from rollwright.core.streams import flush_streams, make_streams_tolerant  # noqa: PLC0415

    make_streams_tolerant()
    code = run(sys.argv[1:])
    if (problem := flush_streams()) is not None and code == 0:
        sys.stderr.write(f"the output could not be written: {problem}\n")
        code = MISSING
    gc.freeze()
    sys.exit(code)
