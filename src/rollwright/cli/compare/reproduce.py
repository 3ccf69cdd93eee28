"""``rollwright compare reproduce``: make a table again, and compare all bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rollwright.cli.campaign import Overrides, Provider
from rollwright.cli.compare.run import open_store
from rollwright.cli.console import AsJson, clean_stdout, print_json, print_text
from rollwright.cli.quantities import parse_duration, parse_memory
from rollwright.cli.roll_options import default_jobs
from rollwright.core.library_threads import limit_libraries
from rollwright.core.text import count_noun
from rollwright.errors import CompareError

__all__ = ["reproduce"]


def reproduce(
    table: Annotated[
        Path, typer.Argument(metavar="TABLE.json", help="A table in the folder of its comparison, or in a copy of it.")
    ],
    overrides: Overrides = None,
    *,
    source: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="FOLDER|FILE",
            help="The models; those of this project's own comparison, as it was given, if not given.",
            show_default=False,
        ),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option("--jobs", "-j", min=1, help="Tasks trained at the same time; half the cores if not given."),
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option(
            "--timeout", parser=parse_duration, metavar="TIME", help="What a task may take.", show_default=False
        ),
    ] = None,
    memory: Annotated[
        float | None,
        typer.Option(
            "--memory", parser=parse_memory, metavar="SIZE", help="Memory a task may take.", show_default=False
        ),
    ] = None,
    this_environment: Annotated[
        bool, typer.Option("--this-environment", help="Train with the packages of this environment, as it was made so.")
    ] = False,
    no_network: Annotated[bool, typer.Option("--no-network", help="Tasks have no network (Linux).")] = False,
    provider_uri: Provider = None,
    as_json: AsJson = False,
) -> int:
    """Train everything that a table was made from anew, with its locks and seeds, and compare all bytes.

    What does not fit is refused before: another version, changed files, other market data. Exit code 4 when the bytes
    are others.
    """
    limit_libraries()  # before anything could import one
    from rollwright.app.compare.reproduce import reproduce_comparison  # noqa: PLC0415 - keeps --help light
    from rollwright.cli.compare.progress import ComparisonProgress  # noqa: PLC0415 - keeps --help light
    from rollwright.config.settings import load_settings  # noqa: PLC0415 - keeps --help light

    if source is None and (overrides or provider_uri or timeout or memory or no_network):
        raise CompareError(
            "without --from the comparison is made again as it was given, so nothing else can be given",
            hint="name the models: --from FOLDER|FILE",
        )
    with (
        clean_stdout(),
        open_store(load_settings(), here=this_environment) as environments,
        ComparisonProgress() as progress,
    ):
        made = reproduce_comparison(
            table,
            environments=environments,
            source=source,
            overrides=overrides or (),
            provider_uri=provider_uri,
            jobs=jobs or default_jobs(),
            timeout=timeout,
            memory=memory,
            network=not no_network,
            on_progress=progress,
        )
    if as_json:
        print_json(made.to_json(), ok=not made.differences)
        return made.exit_code
    for line in made.differences:
        print_text(f"differs: {line}")
    said = "the same bytes" if not made.differences else count_noun(len(made.differences), "difference")
    print_text(f"{made.name}: {count_noun(made.runs, 'run')} made again, {said}")
    print_text(f"results  {made.folder}")
    return made.exit_code
