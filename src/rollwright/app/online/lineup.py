"""Which strategies are served: added, paused, resumed and removed by people, each with a reason."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from rollwright.app.online.record import open_ledger
from rollwright.core.clock import Clock
from rollwright.errors import ConfigError, LedgerError, nearest
from rollwright.online.ledger import Draft
from rollwright.online.state import Role, ServingState, StrategyStatus

__all__ = ["LineupChange", "StatusAction", "add_strategy", "change_status"]

StatusAction = Literal["pause", "resume", "remove"]
_AFTER: Final[dict[StatusAction, StrategyStatus]] = {"pause": "paused", "resume": "active", "remove": "removed"}


@dataclass(frozen=True, slots=True, kw_only=True)
class LineupChange:
    """What became of a strategy.

    Attributes
    ----------
    serving, strategy : str
    status : str
        What it is now.
    role : str
    entry : int or None
        The entry that says so; None where it was so before, and nothing was done.
    """

    serving: str
    strategy: str
    status: StrategyStatus
    role: Role
    entry: int | None


def check_reason(reason: str | None) -> str:
    """Return the reason of a person's act.

    Raises
    ------
    ConfigError
        When there is none.
    """
    if reason is None or not reason.strip():
        raise ConfigError(
            "no reason is given, and the ledger keeps it for whoever asks later", hint='give one: --reason "…"'
        )
    return reason.strip()


def change_status(
    strategy: str,
    action: StatusAction,
    *,
    reason: str | None,
    name: str | None = None,
    project: Path | None = None,
    clock: Clock | None = None,
) -> LineupChange:
    """Pause, resume or remove a strategy; no data are read.

    Parameters
    ----------
    strategy : str
    action : {"pause", "resume", "remove"}
        A strategy that was removed does not come back; another one may have another name.
    reason : str or None
    name : str, optional
        The serving; may be left out where there is only one.
    project : Path, optional
    clock : Clock, optional

    Raises
    ------
    ConfigError
        Without a reason; for a strategy that is not served.
    LedgerError
        When no champion would be left, or the open session is scored already.
    """
    why = check_reason(reason)
    after = _AFTER[action]
    with open_ledger(name, project=project, clock=clock) as opened:
        _, state = opened.read_head()
        _check_served(opened.name, state, strategy)

        def decide(now: ServingState | None) -> Draft | None:
            if now is None or now.strategies[strategy].status == after:
                return None
            return Draft(kind="strategy", body={"action": action, "strategy": strategy}, reason=why)

        entry = opened.ledger.append(decide)
        return LineupChange(
            serving=opened.name,
            strategy=strategy,
            status=after,
            role=state.strategies[strategy].role,
            entry=None if entry is None else entry.number,
        )


def _check_served(serving: str, state: ServingState, strategy: str) -> None:
    served = [name for name, one in state.strategies.items() if one.status != "removed"]
    if strategy in served:
        return
    if strategy in state.strategies:
        raise LedgerError(
            f"strategy {strategy} was removed from serving {serving}, and does not come back",
            hint="add it again under another name",
        )
    near = nearest(strategy, served)
    raise ConfigError(
        f"no strategy `{strategy}` is served by {serving}",
        hint=f"did you mean `{near}`?" if near else f"served: {', '.join(served)}",
    )


def add_strategy(
    strategy: str,
    *,
    reason: str | None,
    role: Role | None = None,
    name: str | None = None,
    project: Path | None = None,
    clock: Clock | None = None,
) -> LineupChange:
    """Train the first window of a member of the campaign's file, and serve it from the next session on.

    Parameters
    ----------
    strategy : str
        The member's name.
    reason : str or None
    role : {"champion", "challenger", "shadow"}, optional
        What the file says if not given; ``challenger`` where it says nothing.
    name : str, optional
        The serving; may be left out where there is only one.
    project : Path, optional
    clock : Clock, optional

    Raises
    ------
    ConfigError
        Without a reason; for a name that no member has.
    OnlineError
        When it could not be trained.
    LedgerError
        When a strategy of that name was removed, or the open session is scored already.
    """
    from rollwright.app.online.managing import check_member, make_manager, make_members  # noqa: PLC0415 - heavy
    from rollwright.app.online.serving import open_serving  # noqa: PLC0415 - as above

    why = check_reason(reason)
    with open_serving(name, project=project, clock=clock) as serving:
        members = make_members(serving)
        check_member(members, strategy)
        head, state = serving.read_head()
        known = state.strategies.get(strategy)
        if known is not None and known.status == "removed":
            _check_served(serving.name, state, strategy)
        given = role if role is not None else serving.options.find_role(strategy) or "challenger"
        manager = make_manager(serving, members=members, roles={strategy: given})
        manager.add_strategy(members.strategies[strategy], role=given, reason=why)
        after, now = serving.read_head()
        stands = now.strategies[strategy]
        return LineupChange(
            serving=serving.name,
            strategy=strategy,
            status=stands.status,
            role=stands.role,
            entry=None if known is not None or after.number == head.number else after.number,
        )
