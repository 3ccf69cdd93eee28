"""The command line: thin, and nothing heavy is imported before a command needs it."""

from __future__ import annotations

import sys

__all__ = ["main"]

MISSING = 3


def main() -> None:
    """Run the command line and exit with its code."""
    from rollwright.cli.root import run  # noqa: PLC0415 - `import rollwright.cli` stays free of typer
    from rollwright.core.streams import flush_streams, make_streams_tolerant  # noqa: PLC0415

    make_streams_tolerant()
    code = run(sys.argv[1:])
    if (problem := flush_streams()) is not None and code == 0:
        sys.stderr.write(f"the output could not be written: {problem}\n")
        code = MISSING
    sys.exit(code)
