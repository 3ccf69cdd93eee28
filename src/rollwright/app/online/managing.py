"""The manager of a serving, with its strategies, terms and roles as the campaign's file says."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from rollwright.app.online.serving import OpenServing
from rollwright.app.online.strategies import ServedMembers, make_served_members
from rollwright.errors import ConfigError, OnlineError, nearest
from rollwright.online.checks import CheckBounds, build_checks
from rollwright.online.day_result import DayResult
from rollwright.online.manager import OnlineManager
from rollwright.online.state import Role, ServingState
from rollwright.online.terms import ServingTerms
from rollwright.training.trainer import Trainer

__all__ = ["check_member", "make_manager", "make_members", "make_terms"]

_NOT_SERVED: Final = "removed"


def make_terms(serving: OpenServing) -> ServingTerms:
    """Return the terms of a serving, as the section ``online`` of the campaign's file says."""
    options = serving.options
    return ServingTerms(
        catch_up=options.catch_up,
        catch_up_window=options.catch_up_days,
        deadline=options.deadline_time,
        timezone=options.timezone,
        checks=build_checks(CheckBounds(**options.checks.model_dump())),
        max_missing_share=serving.campaign.config.collect.max_missing_share,
        on_training_failure=options.on_training_failure,
    )


def make_members(serving: OpenServing, *, records: Sequence[Mapping[str, Any]] = ()) -> ServedMembers:
    """Return the members of the campaign as strategies; `records` and errors as `make_served_members`."""
    campaign = serving.campaign
    return make_served_members(
        campaign.config,
        serving=serving.name,
        campaign=campaign.name,
        document=campaign.document,
        source=serving.market,
        records=records,
    )


def make_manager(
    serving: OpenServing,
    *,
    trainer: Trainer | None = None,
    on_closed: Callable[[DayResult], None] | None = None,
    members: ServedMembers | None = None,
    begin: str | None = None,
    roles: Mapping[str, Role] | None = None,
) -> OnlineManager:
    """Return the manager of a serving: of what is served, where it has begun, else of what the file gives a role.

    Parameters
    ----------
    serving : OpenServing
    trainer : Trainer, optional
        One after another in this process if not given.
    on_closed : callable, optional
        Told of each session when it is closed.
    members : ServedMembers, optional
        Those of the file if not given.
    begin : str, optional
        The first session of one that has not begun; what the file says if not given.
    roles : mapping of str to Role, optional
        What strategies begin as; what the file says if not given.

    Raises
    ------
    ConfigError
        As `make_served_members`.
    OnlineError
        When a strategy that is served is gone from the file, or is another there.
    """
    members = make_members(serving) if members is None else members
    state = serving.ledger.read_state()
    names = [*members.roles] if state is None else _list_served(serving, state, members)
    return OnlineManager(
        members.choose(names),
        trainer=trainer,
        begin_time=serving.options.begin if begin is None else begin,
        freq=serving.settings.data.freq,
        name=serving.name,
        ledger=serving.ledger,
        terms=make_terms(serving),
        roles=members.roles if roles is None else roles,
        prepare_func=members.signal,
        clock=serving.ledger.clock,
        signals=serving.signals,
        on_closed=on_closed,
    )


def _list_served(serving: OpenServing, state: ServingState, members: ServedMembers) -> list[str]:
    """Return the strategies that are served, when the file has them as they are."""
    served = {name: one for name, one in state.strategies.items() if one.status != _NOT_SERVED}
    for name, stands in served.items():
        strategy = members.strategies.get(name)
        if strategy is None:
            near = nearest(name, [*members.strategies])
            meant = f"did you call it `{near}`? A name stays; " if near is not None else ""
            raise OnlineError(
                f"strategy {name} is served, and {serving.record.file} has no member of that name any more",
                hint=f"{meant}put it back, or end it: rollwright online strategy remove {name} --reason …",
            )
        if strategy.definition != stands.definition:
            raise OnlineError(
                f"strategy {name} is served, and {serving.record.file} has another member under that name: its model, "
                "its data or how it rolls changed",
                hint="put it back, and give the new one another name beside it: it is then added with `rollwright "
                f"online strategy add NAME`, compared, and promoted over {name}",
            )
    return [*served]


def check_member(members: ServedMembers, name: str) -> None:
    """Refuse a name that no member has.

    Raises
    ------
    ConfigError
    """
    if name not in members.strategies:
        near = nearest(name, [*members.strategies])
        raise ConfigError(
            f"the campaign has no member `{name}`",
            hint=f"did you mean `{near}`?" if near else f"its members are {', '.join(members.strategies)}",
        )
