"""``online serve``: answer over HTTP what is served, read only."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer

from rollwright.cli.console import stderr
from rollwright.core.optional import require_installed

__all__ = ["serve"]

_DEFAULT_PORT = 8801


def serve(
    names: Annotated[
        list[str] | None, typer.Argument(help="Servings; all of the project if none is named.", metavar="[NAME]…")
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on; any but this machine's own needs a token.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=0, max=65_535, help="0 for one that is free.")] = _DEFAULT_PORT,
    token_file: Annotated[
        Path | None,
        typer.Option(help="File with the token that clients show.", show_default="the setting serve.token_file"),
    ] = None,
    allow_name: Annotated[
        list[str] | None, typer.Option(help="Another name that clients ask for it by; may be given again.")
    ] = None,
) -> None:
    """Answer over HTTP: signals, models, roles, history, freshness. It reads only, and changes nothing.

    Ctrl-C or SIGTERM ends it. What it answers is described at /docs.
    """
    for package in ("fastapi", "uvicorn", "httptools"):
        require_installed(package, extra="serve")
    from rollwright.app.metrics import PoolMetrics  # noqa: PLC0415 - keeps --help light
    from rollwright.app.online.serve_project import find_token, open_readers  # noqa: PLC0415 - keeps --help light
    from rollwright.config.settings import load_settings  # noqa: PLC0415 - as above
    from rollwright.web.server import ListenAddress, run_server  # noqa: PLC0415 - an extra

    logging.getLogger("uvicorn").setLevel(logging.ERROR)  # of a request that is none nobody needs to hear
    address = ListenAddress(host=host, port=port, names=tuple(allow_name or ()), token=find_token(token_file))
    address.check()
    with open_readers(names or ()) as readers:
        served = ", ".join(reader.serving for reader in readers)
        run_server(
            readers,
            address,
            tell=lambda url: stderr.print(f"serving {served} at {url}; described at {url}/docs"),
            read_metrics=PoolMetrics(load_settings()).read,
        )
