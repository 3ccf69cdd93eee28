"""The command line: thin, and nothing heavy is imported before a command needs it."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line and exit with its code."""
    from rollwright.cli.root import run  # noqa: PLC0415 - `import rollwright.cli` stays free of typer

    sys.exit(run(sys.argv[1:]))
