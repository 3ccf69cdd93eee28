"""Lengths of time and sizes of memory as people type them."""

from __future__ import annotations

from typing import Annotated

import typer

from rollwright.core.quantities import read_gigabytes, read_seconds
from rollwright.errors import ConfigError

__all__ = ["Duration", "Memory", "parse_duration", "parse_memory"]


def parse_duration(text: str | float) -> float:
    """Return seconds: ``90``, ``90s``, ``30m``, ``2h``, ``1d``."""
    try:
        return read_seconds(text)
    except ConfigError as error:
        raise typer.BadParameter(error.message) from error


def parse_memory(text: str | float) -> float:
    """Return GB: ``8``, ``8G``, ``512M``, ``1.5GiB``."""
    try:
        return read_gigabytes(text)
    except ConfigError as error:
        raise typer.BadParameter(error.message) from error


Duration = Annotated[
    float | None,
    typer.Option(
        "--timeout", parser=parse_duration, metavar="TIME", help="What a window may take: 90s, 30m, 2h.",
        show_default=False,
    ),
]  # fmt: skip
Memory = Annotated[
    float | None,
    typer.Option(
        "--mem-limit", parser=parse_memory, metavar="SIZE", help="Memory a window may take: 8G, 512M.",
        show_default=False,
    ),
]  # fmt: skip
