"""``rollwright pool metrics``: how pools stand, as Prometheus reads it."""

from __future__ import annotations

import typer

from rollwright.cli.pool_options import Url

__all__ = ["metrics_app"]

metrics_app = typer.Typer()


@metrics_app.command("metrics")
def metrics_command(url: Url = None) -> None:
    """Print how all pools stand in the text format of Prometheus, for its collector of text files.

    `rollwright online serve` answers the same at /metrics.
    """
    from rollwright.app.metrics import PoolMetrics  # noqa: PLC0415 - keeps --help light
    from rollwright.config.context import current_settings  # noqa: PLC0415 - as above

    print(PoolMetrics(current_settings(), url=url).read(), end="")
