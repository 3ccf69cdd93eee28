"""The members of a campaign as the strategies of its serving, and their combination as its signal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pandas as pd

from rollwright.calendar.trading import SessionLike
from rollwright.campaign.combination import Combination, plan_combination
from rollwright.campaign.config import CampaignConfig
from rollwright.campaign.members import ONLY_VARIANT
from rollwright.campaign.online_section import OnlineSection
from rollwright.campaign.plan import MemberTemplate, make_templates
from rollwright.campaign.yaml.document import YamlDocument
from rollwright.collect.ensemble import AverageEnsemble, MeanEnsemble, RankEnsemble
from rollwright.errors import ConfigError, OnlineError, nearest
from rollwright.market.source import DataSource
from rollwright.online.state import Role
from rollwright.online.strategy import RollingStrategy
from rollwright.tasks.definition import Task, segments_of, set_segments
from rollwright.tasks.rolling import RollingGen
from rollwright.tracking.recorder import Recorder

__all__ = ["CombinedSignal", "ServedMembers", "ServedStrategy", "make_served_members"]

_TEST: Final = "test"


class ServedStrategy(RollingStrategy):
    """Rolls one member of a campaign, and trains of several windows that have begun only the last.

    The others would serve no session any more.
    """

    def first_tasks(self, *, cur_time: SessionLike | None = None, until: SessionLike | None = None) -> list[Task]:
        """Return the task of the last window that has begun; see `RollingStrategy.first_tasks`."""
        return super().first_tasks(cur_time=cur_time, until=until)[-1:]

    def prepare_tasks(
        self,
        cur_time: SessionLike | None,
        *,
        online_models: Sequence[Recorder] | None = None,
        until: SessionLike | None = None,
        **kwargs: Any,
    ) -> list[Task]:
        """Return the task of the last window that has begun since; see `RollingStrategy.prepare_tasks`."""
        return super().prepare_tasks(cur_time, online_models=online_models, until=until, **kwargs)[-1:]


@dataclass(frozen=True, slots=True, kw_only=True)
class CombinedSignal:
    """Makes one signal of the scores of champions, as the campaign combines its members.

    Scores of one champion are its signal as they are, unless the campaign combines just that one. The combination
    looks at one session at a time, so that a session's signal is the one that the batch gives it.

    Attributes
    ----------
    combination : Combination or None
        None where the campaign makes no signal of several.
    """

    combination: Combination | None

    def __call__(self, scores: Mapping[Any, pd.Series]) -> pd.Series:
        """Return the signal.

        Raises
        ------
        OnlineError
            When there are several champions, and the campaign combines none.
        CoverageError
            When a champion lacks a row that another has, and the campaign does not skip such rows.
        """
        named = {key[0] if isinstance(key, tuple) else str(key): one for key, one in scores.items()}
        combination = self.combination
        if len(named) == 1 and (combination is None or {*named} != {*combination.members}):
            return next(iter(named.values()))
        if combination is None:
            raise OnlineError(
                f"{', '.join(named)} are champions, and the campaign makes no signal of several",
                hint="say how in its file: `combine: average`; or let one be the champion",
            )
        order = [
            *(name for name in combination.members if name in named),
            *(n for n in named if n not in combination.members),
        ]
        return self._make_ensemble(combination)({name: named[name] for name in order})

    def _make_ensemble(self, combination: Combination) -> MeanEnsemble:
        if combination.method == "rank_mean":
            return RankEnsemble(missing=combination.missing)
        return AverageEnsemble(missing=combination.missing)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedMembers:
    """The members of a campaign as they are served.

    Attributes
    ----------
    strategies : mapping of str to ServedStrategy
        By name, in the order of the file.
    roles : mapping of str to Role
        Those that the section ``online`` gives; members that have none are not served.
    signal : CombinedSignal
    """

    strategies: Mapping[str, ServedStrategy]
    roles: Mapping[str, Role]
    signal: CombinedSignal

    def choose(self, names: Sequence[str]) -> list[ServedStrategy]:
        """Return the strategies of these names, in the order of the file; unknown ones are left out."""
        return [one for name, one in self.strategies.items() if name in names]


def make_served_members(
    config: CampaignConfig,
    *,
    serving: str,
    campaign: str,
    document: YamlDocument,
    source: DataSource,
    records: Sequence[Mapping[str, Any]] = (),
) -> ServedMembers:
    """Return the members of a campaign as strategies.

    Their windows are those of the campaign, go on after the last test session of the file, and are known by the same
    identity of what is learnt: the same data give the same model.

    Parameters
    ----------
    config : CampaignConfig
    serving, campaign : str
        Their names. The only member of a campaign without ``vary`` is called like the campaign.
    document : YamlDocument
        The campaign's file, which errors name.
    source : DataSource
    records : sequence of mapping
        What is made of each window when it is trained; nothing where sessions are predicted one by one.

    Raises
    ------
    ConfigError
        When the file cannot be served: it does not roll, sees the market as of a day, weighs members by their IC, or
        gives roles that cannot be.
    """
    if config.as_of is not None:
        raise ConfigError(
            f"{document.locate(('as_of',))}: the market is seen as it was on {config.as_of}, and no day comes after it",
            hint="serve it without `as_of`; sessions of the past are shown by `rollwright online simulate`",
        )
    locate = document.locate
    templates = make_templates(config, calendar=source.calendar(), locate=locate)
    combination = plan_combination(config.combine, templates, locate=locate) if config.vary is not None else None
    if combination is not None and combination.method == "ic_weighted":
        raise ConfigError(
            f"{locate(('combine',))}: `ic_weighted` weighs members by their IC on all earlier sessions of the walk, "
            "whose scores and labels a serving does not have at hand",
            hint="serve it with `combine: average` or `rank_mean`",
        )
    names = [_name(template, campaign) for template in templates]
    roles = _give_roles(config.online or OnlineSection(), names, config, combination, document)
    return ServedMembers(
        strategies={
            name: _make_strategy(template, config, name=name, serving=serving, records=records)
            for name, template in zip(names, templates, strict=True)
        },
        roles=roles,
        signal=CombinedSignal(combination=combination),
    )


def _name(template: MemberTemplate, campaign: str) -> str:
    return campaign if template.name == ONLY_VARIANT else template.name


def _make_strategy(
    template: MemberTemplate,
    config: CampaignConfig,
    *,
    name: str,
    serving: str,
    records: Sequence[Mapping[str, Any]],
) -> ServedStrategy:
    assert config.rolling is not None  # noqa: S101 - `make_templates` refuses it
    task: Task = {**template.task, "record": [dict(record) for record in records]}
    segments = segments_of(task, test_key=_TEST)
    set_segments(task, {**segments, _TEST: (segments[_TEST][0], None)})
    generator = RollingGen(step=config.rolling.step, rtype=config.rolling.rtype, trunc_days=template.trunc_days)
    return ServedStrategy(name, task, generator, experiment=f"{serving}-{name.replace('=', '-')}")


def _give_roles(
    options: OnlineSection,
    names: Sequence[str],
    config: CampaignConfig,
    combination: Combination | None,
    document: YamlDocument,
) -> dict[str, Role]:
    given: dict[str, Role] = {}
    sections: tuple[tuple[str, Role, Sequence[str]], ...] = (
        ("champions", "champion", options.champions or ()),
        ("challengers", "challenger", options.challengers),
        ("shadows", "shadow", options.shadows),
    )
    for key, role, members in sections:
        for place, name in enumerate(members):
            if name not in names:
                near = nearest(name, names)
                raise ConfigError(
                    f"{document.locate(('online', key, place))}: the campaign has no member `{name}`",
                    hint=f"did you mean `{near}`?" if near else f"its members are {', '.join(names)}",
                )
            given[name] = role
    if options.champions is None:
        several = [name for name in (names if combination is None else combination.members) if name not in given]
        given = {**dict.fromkeys(several, "champion"), **given}
    champions = [name for name, role in given.items() if role == "champion"]
    if not champions:
        raise ConfigError(
            f"{document.locate(('online',))}: no member is left to be a champion, so nothing would be published",
            hint="name one: `online: {champions: [" + names[0] + "]}`",
        )
    if len(champions) > 1 and combination is None:
        raise ConfigError(
            f"{document.locate(('combine',) if config.combine is not None else ('vary',))}: {len(champions)} champions "
            "would be published as one signal, and the campaign combines none",
            hint=f"name one, as `online: {{champions: [{champions[0]}]}}`, or say how, as `combine: average`",
        )
    return {name: given[name] for name in names if name in given}
