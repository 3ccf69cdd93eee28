"""``rollwright compare run``: train the models of a folder or a file, and compare them."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rollwright.cli.campaign import Overrides, Provider
from rollwright.cli.console import AsJson, clean_stdout, print_json, print_text, stderr
from rollwright.cli.quantities import parse_duration, parse_memory
from rollwright.cli.roll_options import default_jobs
from rollwright.core.library_threads import limit_libraries
from rollwright.core.text import count_noun

if TYPE_CHECKING:
    from rollwright.compare.environment import EnvironmentStore
    from rollwright.config.settings import Settings

__all__ = ["open_store", "run"]


def run(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER|FILE",
            help="A folder with a folder for each model (a workflow's YAML and a requirements.txt), or a YAML of "
            "`models: [{name, workflow, requirements}]`.",
        ),
    ],
    overrides: Overrides = None,
    *,
    name: Annotated[
        str | None,
        typer.Option("--name", help="Of the comparison; that of the folder or file if not given.", show_default=False),
    ] = None,
    models: Annotated[
        list[str] | None,
        typer.Option("--models", help="Only these, with commas between; may be given again.", show_default=False),
    ] = None,
    exclude: Annotated[bool, typer.Option("--exclude", help="All models but those of --models.")] = False,
    times: Annotated[int, typer.Option("--times", min=1, help="Runs of each model, each with a seed of its own.")] = 1,
    dataset: Annotated[
        str | None,
        typer.Option(
            "--dataset", help="Only this one: Alpha158, Alpha360; all that are there if not given.", show_default=False
        ),
    ] = None,
    universe: Annotated[str, typer.Option("--universe", help="Only workflows of this one: csi300.")] = "",
    jobs: Annotated[
        int | None,
        typer.Option("--jobs", "-j", min=1, help="Tasks trained at the same time; half the cores if not given."),
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option(
            "--timeout",
            parser=parse_duration,
            metavar="TIME",
            help="What a task may take: 90s, 30m, 2h.",
            show_default=False,
        ),
    ] = None,
    memory: Annotated[
        float | None,
        typer.Option(
            "--memory",
            parser=parse_memory,
            metavar="SIZE",
            help="Memory a task may take: 8G, 512M.",
            show_default=False,
        ),
    ] = None,
    keep_env: Annotated[
        bool,
        typer.Option("--keep-env/--remove-env", help="Keep the environments for the next time, or remove them."),
    ] = True,
    this_environment: Annotated[
        bool,
        typer.Option(
            "--this-environment", help="Train all models with the packages of this environment; nothing is installed."
        ),
    ] = False,
    baseline: Annotated[
        str | None,
        typer.Option("--baseline", help="A model that the table compares the others with.", show_default=False),
    ] = None,
    no_network: Annotated[bool, typer.Option("--no-network", help="Tasks have no network (Linux).")] = False,
    provider_uri: Provider = None,
    as_json: AsJson = False,
) -> int:
    """Train models in environments of their own, several times, and compare them.

    One that fails is a row with its cause. Killed and given again, it goes on where it stopped and ends with the same
    table. Exit code 1 when a run failed, 3 when no model got an environment.
    """  # fmt: skip
    limit_libraries()  # before anything could import one
    from rollwright.app.compare.run import run_comparison  # noqa: PLC0415 - keeps --help light
    from rollwright.app.compare.table import write_results  # noqa: PLC0415 - keeps --help light
    from rollwright.cli.compare.progress import ComparisonProgress  # noqa: PLC0415 - keeps --help light
    from rollwright.compare.json_values import write_number  # noqa: PLC0415 - keeps --help light
    from rollwright.compare.table_text import table_to_markdown  # noqa: PLC0415 - keeps --help light
    from rollwright.config.settings import load_settings  # noqa: PLC0415 - keeps --help light

    settings = load_settings()
    named = [one.strip() for text in models or () for one in text.split(",") if one.strip()]
    with clean_stdout(), open_store(settings, here=this_environment) as environments, ComparisonProgress() as progress:
        result = run_comparison(
            path,
            environments=environments,
            name=name,
            models=named,
            exclude=exclude,
            dataset=dataset,
            universe=universe,
            times=times,
            overrides=overrides or (),
            provider_uri=provider_uri,
            jobs=jobs or default_jobs(),
            timeout=timeout,
            memory=memory,
            network=not no_network,
            baseline=baseline,
            on_progress=progress,
        )
    if not keep_env and not this_environment:
        _remove(result.environments, settings)
    origin = None if result.basis is None else result.basis.to_json()
    table = write_results(result.folder, result.name, result.evaluations, baseline=baseline, origin=origin)
    if as_json:
        runs = [
            {
                **one.key._asdict(),
                "status": one.status,
                "cause": one.cause,
                "metrics": {key: write_number(value) for key, value in one.metrics.items()},
                "digest": one.digest,
                "cost": None if one.cost is None else asdict(one.cost),
            }
            for one in result.evaluations
        ]
        print_json({"name": result.name, "folder": str(result.folder), "runs": runs}, ok=not result.failed)
        return result.exit_code
    for model in dict.fromkeys(one.key.model for one in result.failed):
        stderr.print(f"what {model} said: rollwright compare logs {shlex.quote(result.name)} {shlex.quote(model)}")
    print_text(table_to_markdown(table))
    print_text(f"{result.name}: {count_noun(len(result.evaluations) - len(result.failed), 'run')} done")
    print_text(f"results  {result.folder}")
    return result.exit_code


@contextmanager
def open_store(settings: Settings, *, here: bool) -> Iterator[EnvironmentStore]:
    """Yield where the environments of the models come from; none of them may be removed meanwhile."""
    if here:
        from rollwright.compare.this_environment import ThisEnvironment  # noqa: PLC0415 - keeps --help light

        yield ThisEnvironment()
        return
    from rollwright.app.compare.environments import open_environments  # noqa: PLC0415 - keeps --help light

    with open_environments(settings) as environments:
        yield environments


def _remove(keys: Sequence[str], settings: Settings) -> None:
    """Remove the environments that were used, but for those that somebody else uses now."""
    from rollwright.app.compare.environments import plan_removal, remove_environments  # noqa: PLC0415 - keeps --help light

    if not keys:
        return
    removed = remove_environments(plan_removal(keys, settings=settings), settings)
    stayed = f"; {len(removed.in_use)} are used by others and stay" if removed.in_use else ""
    stderr.print(f"{count_noun(len(removed.environments), 'environment')} removed{stayed}")
