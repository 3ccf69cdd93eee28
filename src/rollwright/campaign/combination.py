"""How the campaign's signal is made of the predictions of its members."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from rollwright.campaign.checks.variation import find_combine_problems
from rollwright.campaign.config import CombineConfig
from rollwright.campaign.yaml.document import KeyPath
from rollwright.errors import ConfigError
from rollwright.expression.label_reach import LabelReach

__all__ = ["Combination", "plan_combination"]


class _Labelled(Protocol):
    """What is asked of a member."""

    @property
    def name(self) -> str: ...

    @property
    def label(self) -> LabelReach | None: ...

    @property
    def label_identity(self) -> str: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Combination:
    """How several members become one signal.

    Attributes
    ----------
    method : {"average", "rank_mean", "ic_weighted"}
    members : tuple of str
        Those that take part.
    label : str
        The member whose label the signal is judged by.
    same_label : tuple of str
        Those among `members` that have this label.
    missing : {"error", "skip"}
        What becomes of a row that not all of them score.
    """

    method: Literal["average", "rank_mean", "ic_weighted"]
    members: tuple[str, ...]
    label: str
    same_label: tuple[str, ...]
    missing: Literal["error", "skip"] = "error"


def plan_combination(
    config: CombineConfig | None,
    members: Sequence[_Labelled],
    *,
    locate: Callable[[KeyPath], str] | None = None,
) -> Combination | None:
    """Return how the signal is made; None where each member stands for itself.

    Parameters
    ----------
    config : CombineConfig or None
        Without it, several members are averaged.
    members : sequence
    locate : callable, optional
        Returns file, line and column of a key of the configuration, for errors.

    Raises
    ------
    ConfigError
        When a member that is named is not there, and when labels differ and none is said to be the signal's.
    """
    if config is None and len(members) == 1:
        return None
    given = config or CombineConfig()
    if given.method == "none":
        return None
    names = [member.name for member in members]
    for keys, said in find_combine_problems(given.members, given.label, names):
        raise ConfigError(f"{locate(('combine', *keys))}: {said}" if locate else said)
    chosen = [member for member in members if given.members is None or member.name in given.members]
    labels = {member.label_identity: member for member in reversed(chosen)}
    if given.label is None and len(labels) > 1:
        place = "" if locate is None else f"{locate(('combine',) if config is not None else ('vary',))}: "
        shown = "; ".join(
            f"`{member.name}` has {'its own label' if member.label is None else member.label.text}"
            for member in reversed(labels.values())
        )
        raise ConfigError(
            f"{place}the members predict {len(labels)} different labels: {shown}. By which of them the combined signal "
            "is judged has to be said",
            hint=f"write `combine: {{label: {chosen[0].name}}}`; or `combine: none`, and each member stands for itself",
        )
    label = given.label if given.label is not None else chosen[0].name
    judge = next(member for member in members if member.name == label)
    if given.method == "ic_weighted" and judge.label is None:
        raise ConfigError(
            f"the dataset of `{label}` cannot tell how far its label looks ahead, so no IC is known to be known",
            hint="take `combine: average` or `rank_mean`",
        )
    return Combination(
        method=given.method,
        members=tuple(member.name for member in chosen),
        label=label,
        same_label=tuple(member.name for member in chosen if member.label_identity == judge.label_identity),
        missing=given.missing,
    )
