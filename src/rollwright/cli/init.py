"""``rollwright init``: a first campaign's file, after a few questions or from flags."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, cast

import typer

from rollwright.cli.console import print_text, stderr
from rollwright.cli.questions import ask_for
from rollwright.errors import ConfigError

__all__ = ["init_campaign"]


def init_campaign(
    target: Annotated[Path, typer.Argument(help="The file to write, or its folder.")] = Path("campaign.yaml"),
    market: Annotated[Path | None, typer.Option("--market", help="Folder of market data.")] = None,
    universe: Annotated[str | None, typer.Option("--universe", help="Instruments under study.")] = None,
    model: Annotated[str, typer.Option("--model", help="lightgbm, linear, xgboost or catboost.")] = "lightgbm",
    horizon: Annotated[int, typer.Option("--horizon", min=1, help="Sessions ahead to predict.")] = 1,
    step: Annotated[int | None, typer.Option("--step", min=1, help="Sessions a window moves.")] = None,
    region: Annotated[
        str | None, typer.Option("--region", help="Whose terms of trade the back-test follows: cn, us or tw.")
    ] = None,
    lang: Annotated[str, typer.Option("--lang", help="Language of comments and report: en or zh.")] = "en",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing.")] = False,
) -> int:
    """Write a commented campaign file that rolls as it stands."""
    from rollwright.app.campaign_template import (  # noqa: PLC0415 - keeps --help light
        LANGUAGES,
        MODELS,
        REGIONS,
        Language,
        NewCampaign,
        find_market,
        write_campaign,
    )

    if lang not in LANGUAGES:
        raise ConfigError(f"there are no comments in language `{lang}`", hint=f"known: {', '.join(LANGUAGES)}")
    file = target if target.suffix in (".yaml", ".yml") else target / "campaign.yaml"
    if file.exists():
        raise ConfigError(f"{file} is there already, and is left as it is", hint="name another file")
    found = find_market(market, file.parent)
    usual = "all" if "all" in found.universes or not found.universes else found.universes[0]
    if not yes and sys.stdin.isatty():
        stderr.print(f"market data {found.path}: {found.sessions[0]} to {found.sessions[-1]}")
        universe = universe or _ask_one_of("universe", usual, found.universes)
        region = region or _ask_one_of("region", found.region, REGIONS)
        model = _ask_one_of("model", model, [*MODELS])
        horizon = ask_for("sessions ahead to predict", default=horizon, option="--horizon", read=_read_horizon)
    asked = NewCampaign(
        universe=universe or usual,
        model=model,
        horizon=horizon,
        step=step,
        region=region or found.region,
        lang=cast("Language", lang),
    )
    write_campaign(file, asked, found)
    print_text(f"{file}")
    stderr.print(f"roll it: rollwright roll {file}")
    return 0


def _ask_one_of(what: str, usual: str, known: Sequence[str]) -> str:
    def choose(answer: str) -> str:
        if answer not in known:
            raise ConfigError(f"there is no {what} `{answer}`", hint=f"known: {', '.join(known)}")
        return answer

    return ask_for(f"{what} ({', '.join(known)})", default=usual, option=f"--{what}", read=choose)


def _read_horizon(answer: str) -> int:
    if not (answer.isascii() and answer.isdigit() and int(answer) > 0):
        raise ConfigError(f"`{answer}` is not a number of sessions", hint="1 or more")
    return int(answer)
