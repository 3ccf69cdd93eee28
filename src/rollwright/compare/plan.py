"""The runs of one model on one dataset, as the windows of a campaign whose members are its seeds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from rollwright.calendar.trading import TradingCalendar
from rollwright.campaign.config import CampaignConfig, ObjectConfig
from rollwright.campaign.plan import (
    DEFAULT_RECORDS,
    ONLY_VARIANT,
    CampaignPlan,
    MemberPlan,
    WindowKey,
    make_plan,
    plan_once,
)
from rollwright.campaign.single_health import close_segments, plan_member
from rollwright.campaign.yaml.document import KeyPath
from rollwright.compare.seeds import with_seed
from rollwright.errors import CompareError

__all__ = ["describe_label", "name_run_variant", "plan_runs"]

_SIGNAL: Final = "SignalRecord"
_TEST: Final = "test"
_USUAL: Final = "Ref($close,-2)/Ref($close,-1)-1"
"""The label that the ready-made feature sets have by default; who writes it out has the same."""
_LONGEST: Final = 2000


def name_run_variant(dataset: str, seed: int) -> str:
    """Return the variant of a run's windows: ``Alpha158/2``."""
    return f"{dataset}/{seed}"


def plan_runs(
    config: CampaignConfig,
    *,
    name: str,
    dataset: str,
    seeds: Sequence[int],
    calendar: TradingCalendar,
    locate: Callable[[KeyPath], str] | None = None,
) -> CampaignPlan:
    """Return the windows of a model's runs on a dataset: one for each run, or its walk where the file rolls.

    Parameters
    ----------
    config : CampaignConfig
        Of the workflow; its seeds are not used. A task without ``record`` gets those of a campaign.
    name : str
        Of the pool and the experiment.
    dataset : str
    seeds : sequence of int
        One run each, a member of the plan named by `name_run_variant`.
    calendar : TradingCalendar
    locate : callable, optional
        Returns file, line and column of a key of the configuration, for errors.

    Raises
    ------
    CompareError
        When the file varies its task, has no test segment, or its records make no signal.
    RollwrightError
        As `make_plan` and `plan_once`.
    """
    if config.vary is not None:
        raise CompareError(
            "a workflow that is compared trains one task, and this one has a section `vary`",
            hint="leave the section out, or make a model of each of its members",
        )
    prepared = _with_records(config)
    members = []
    for seed in seeds:
        seeded = with_seed(prepared, seed)
        if seeded.rolling is None:
            member = _plan_single(seeded, calendar, locate)
        else:
            (member,) = make_plan(seeded, name=name, calendar=calendar, locate=locate).members
        members.append(_rename(member, name_run_variant(dataset, seed)))
    return CampaignPlan(name=name, members=tuple(members))


def _with_records(config: CampaignConfig) -> CampaignConfig:
    records = config.task.record
    if not records:
        records = [ObjectConfig.model_validate(name) for name in DEFAULT_RECORDS]
    if not any(record.class_.rpartition(".")[2] == _SIGNAL for record in records):
        raise CompareError(
            f"the records of the task make no signal: there is no {_SIGNAL} among them",
            hint=f"add `- class: {_SIGNAL}` to `task.record`, or leave `record` out",
        )
    return config.model_copy(update={"task": config.task.model_copy(update={"record": records})})


def _plan_single(
    config: CampaignConfig, calendar: TradingCalendar, locate: Callable[[KeyPath], str] | None
) -> MemberPlan:
    plan = plan_once(config, calendar=calendar, locate=locate)
    segments = close_segments(plan, calendar)
    if _TEST not in segments:
        raise CompareError("the dataset has no segment `test`, so there is nothing to compare", hint="give it one")
    return plan_member(plan, segments, calendar)


def _rename(member: MemberPlan, variant: str) -> MemberPlan:
    assert member.name == ONLY_VARIANT  # noqa: S101 - a file without `vary` has one member
    windows = tuple(replace(one, key=WindowKey(variant, one.key.segment)) for one in member.windows)
    return replace(member, name=variant, windows=windows)


def describe_label(member: MemberPlan) -> str:
    """Return what the label of a run is, so that runs whose labels differ are known: its reach, and its expressions.

    The expression of the ready-made feature sets is left out, which a file may write or not. Labels that other classes
    make are told by their reach alone.
    """
    reach = "a label of unknown reach" if member.label is None else member.label.text
    dataset = member.windows[0].spec.definition["dataset"]
    written = [text for text in _find_expressions(dataset) if "".join(text.split()) != _USUAL]
    return ": ".join([reach, *([", ".join(written)] if written else [])])[:_LONGEST]


def _find_expressions(value: Any, *, inside: bool = False) -> Iterator[str]:
    """Yield the texts of all labels within a dataset's configuration; of a pair with names, the expressions."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _find_expressions(item, inside=inside or key == "label")
    elif isinstance(value, list | tuple):
        is_pair = inside and len(value) == 2 and all(isinstance(one, list | tuple) for one in value)
        for item in value[:1] if is_pair else value:
            yield from _find_expressions(item, inside=inside)
    elif inside and isinstance(value, str):
        yield value
