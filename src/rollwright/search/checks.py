"""What is wrong with a search, said before anything is trained, and all of it at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from rollwright.campaign.config import CampaignConfig
from rollwright.campaign.plan import CampaignPlan
from rollwright.campaign.search_section import IC_METRICS, PORTFOLIO_METRICS, SearchSection
from rollwright.campaign.yaml.document import KeyPath, YamlDocument
from rollwright.errors import RollwrightError
from rollwright.search.space import find_key_problems, show_value

__all__ = ["find_problems"]

Plan = Callable[[dict[str, Any]], CampaignPlan]


def find_problems(
    section: SearchSection, config: CampaignConfig, document: YamlDocument, *, base: CampaignPlan, plan: Plan
) -> list[str]:
    """Return the problems of a search, each with its place in the file.

    Every choice and both ends of every range are put into the file one by one and read as a campaign; those of the
    dataset and of the walk are planned. Values that only together make no campaign are found by the trial that has
    them, which fails.

    Parameters
    ----------
    section : SearchSection
    config : CampaignConfig
    document : YamlDocument
    base : CampaignPlan
        Of the file as it stands.
    plan : callable
        Returns the plan of some values, and raises what is wrong with them.

    Raises
    ------
    RollwrightError
        Of the environment (exit code 3): it is not known then what is wrong.
    """
    problems = [f"{document.locate(keys)}: {text}" for keys, text in _list_misfits(section, config, base)]
    wrong = find_key_problems(section)
    for key, dimension in section.space.items():
        keys: KeyPath = ("search", "space", key)
        if key in wrong:
            problems.append(f"{document.locate_key(keys)}: `{key}`: {wrong[key]}")
            continue
        place = f"{document.locate(keys)}: `{key}`"
        for value in dimension.list_ends():
            try:
                made = plan({key: value})
            except RollwrightError as error:
                if error.is_away:
                    raise
                hint = f"; {error.hint}" if error.hint else ""
                problems.append(f"{place} as {show_value(value)}: {_join(error.message)}{hint}")
                continue
            if section.metric in IC_METRICS and _list_labels(made) != _list_labels(base):
                problems.append(
                    f"{place} as {show_value(value)}: its label is another than the file's, and {section.metric} of "
                    "two labels is not compared; choose by `information_ratio` of `segment: test`"
                )
    return problems


def _list_misfits(section: SearchSection, config: CampaignConfig, base: CampaignPlan) -> Iterator[tuple[KeyPath, str]]:
    """Yield what of the file does not go with a search, and where it stands."""
    if config.vary is not None:
        yield ("vary",), "a search tries one model at a time, and `vary` makes several: leave one of the two out"
    if config.budget is not None:
        yield ("budget",), "a trial needs all its windows, so a search has no budget: `search.trials` limits it"
    if config.collect.allow_missing:
        yield ("collect", "allow_missing"), "a trial needs all its windows, and this lets some be missing"
    if section.metric in PORTFOLIO_METRICS and config.backtest is None:
        yield ("search", "metric"), f"`{section.metric}` is of a back-test: add a section `backtest`"
    windows = min(len(windows) for windows in base.variants.values())
    if section.prune is not None and section.prune.after >= windows:
        yield (
            ("search", "prune", "after"),
            f"nobody is stopped after window {section.prune.after} of a walk of {windows}",
        )
    if section.segment == "valid" and any("valid" not in window.segments for window in base.windows):
        yield (
            ("search", "segment"),
            "the windows have no segment `valid` to choose by: add one to the dataset, or choose by `segment: test`",
        )


def _list_labels(plan: CampaignPlan) -> set[str]:
    return {member.label_identity for member in plan.members}


def _join(message: str) -> str:
    """Return a message of several lines as one, without the line that counts them."""
    first, *others = message.splitlines()
    return "; ".join(line.strip() for line in others) if others and "problem(s) in" in first else message
