"""``qrun``: Qlib's words for `rollwright run`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rollwright.cli.campaign import Provider, show_single_run
from rollwright.cli.console import AsJson, clean_stdout
from rollwright.errors import ConfigError

__all__ = ["qrun"]


def qrun(
    config: Annotated[str | None, typer.Argument(help="A workflow's YAML.", metavar="CONFIG")] = None,
    experiment_name: Annotated[
        str | None, typer.Argument(help="Unless the file gives itself a name.  [default: workflow]")
    ] = None,
    uri_folder: Annotated[
        str | None,
        typer.Argument(help="Folder of the runs, unless the file has an exp_manager; the project's if not given."),
    ] = None,
    *,
    config_path: Annotated[
        str | None, typer.Option("--config_path", "--config-path", help="The same as CONFIG.")
    ] = None,
    named_experiment: Annotated[
        str | None, typer.Option("--experiment_name", "--experiment-name", help="The same as EXPERIMENT_NAME.")
    ] = None,
    named_folder: Annotated[
        str | None, typer.Option("--uri_folder", "--uri-folder", help="The same as URI_FOLDER.")
    ] = None,
    provider_uri: Provider = None,
    as_json: AsJson = False,
) -> int:
    """Train a workflow's task once, as Qlib's qrun does; the same as `rollwright run`."""
    from rollwright.app.single_run import open_workflow, train_once  # noqa: PLC0415 - keeps --help light

    file = _choose("config_path", config, config_path)
    if file is None:
        raise typer.BadParameter("a workflow's YAML is missing", param_hint="CONFIG")
    name = _choose("experiment_name", experiment_name, named_experiment)
    folder = _choose("uri_folder", uri_folder, named_folder)
    with clean_stdout():
        campaign = open_workflow(Path(file), experiment_name=name, uri_folder=folder, provider_uri=provider_uri)
        done = train_once(campaign)
    show_single_run(done, campaign.settings, as_json=as_json)
    return 0


def _choose(name: str, by_place: str | None, by_name: str | None) -> str | None:
    """Return what was given, by its place or by its name as Qlib's command line takes it; both are too many."""
    if by_place is not None and by_name is not None:
        raise ConfigError(
            f"`{name}` is given twice: `{by_place}` by its place, and `{by_name}` by its name", hint="leave one out"
        )
    return by_place if by_name is None else by_name
