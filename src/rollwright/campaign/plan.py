"""Plan a campaign: from its configuration to its windows, without training anything."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from rollwright.calendar.purge import purge_days
from rollwright.calendar.trading import Session, TradingCalendar
from rollwright.campaign.checks.as_of import refuse_later
from rollwright.campaign.combination import Combination, plan_combination
from rollwright.campaign.config import CampaignConfig, RollingConfig
from rollwright.campaign.leaks import Leak, find_leaks, give_reasons, refuse_leaks
from rollwright.campaign.members import ONLY_VARIANT, VARY, Member, list_members
from rollwright.campaign.pool_section import ShareSection
from rollwright.campaign.shards import count_shards
from rollwright.campaign.yaml.document import KeyPath
from rollwright.config.construct import Trust, init_instance_by_config
from rollwright.config.context import current_settings
from rollwright.config.placeholders import fill_paths
from rollwright.core.canonical import fingerprint
from rollwright.dataset.contract import TaskDataset, check_dataset
from rollwright.errors import ConfigError
from rollwright.expression.label_reach import LabelReach
from rollwright.pool.needs import NO_NEEDS, Needs
from rollwright.tasks.definition import Task
from rollwright.tasks.generate import task_generator
from rollwright.tasks.identity import fit_key, record_keys
from rollwright.tasks.purge import SegmentCut, purge_task
from rollwright.tasks.rolling import RollingGen
from rollwright.tasks.spec import TaskSpec
from rollwright.tasks.universe import name_universe

__all__ = [
    "DEFAULT_RECORDS",
    "ONLY_VARIANT",
    "CampaignPlan",
    "MemberPlan",
    "MemberTemplate",
    "SinglePlan",
    "Window",
    "WindowKey",
    "make_plan",
    "make_templates",
    "plan_once",
]

DEFAULT_RECORDS: Final = ("SignalRecord", "SigAnaRecord")
"""What each window of a task without ``record`` makes: its predictions and labels, and their IC."""


class WindowKey(NamedTuple):
    """What identifies a window within its campaign; keys sort by variant, then by time.

    Attributes
    ----------
    variant : str
        Which member of the campaign, `ONLY_VARIANT` where its file has no ``vary``.
    segment : str
        The test segment, as ``2016-01-04..2016-03-31``.
    """

    variant: str
    segment: str

    def __str__(self) -> str:
        """Return the segment, after the variant and a slash where the campaign has several variants."""
        return self.segment if self.variant == ONLY_VARIANT else f"{self.variant}/{self.segment}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """One step of the walk of one variant.

    Attributes
    ----------
    key : WindowKey
    spec : TaskSpec
    segments : mapping of str to (Session, Session)
    """

    key: WindowKey
    spec: TaskSpec
    segments: Mapping[str, tuple[Session, Session]]

    @property
    def name(self) -> str:
        """What messages call this window."""
        return str(self.key)

    @property
    def test(self) -> tuple[Session, Session]:
        """The closed range of sessions this window predicts."""
        return self.segments["test"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberTemplate:
    """What the windows of one member are made from.

    Attributes
    ----------
    name : str
        The variant of its windows.
    task : dict
        What is rolled, with train cut before valid as far as the label needs.
    trunc_days, label, cuts, universe, label_identity
        As those of `MemberPlan`.
    """

    name: str
    task: Task
    trunc_days: int
    label: LabelReach | None
    cuts: tuple[SegmentCut, ...]
    universe: str | None
    label_identity: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberPlan:
    """The windows of one member, which have their own label, and so their own gap before test.

    Attributes
    ----------
    name : str
        The variant of its windows.
    windows : tuple of Window
        In order of time; no key occurs twice.
    trunc_days : int
        Sessions that train and valid end before test begins.
    label : LabelReach or None
        Which sessions the label reads, and the return it is; None when the dataset cannot tell.
    cuts : tuple of SegmentCut
        What the template's segments were shortened by, so that no label of one reads prices of the next.
    leaks : tuple of Leak
        The leaks that the configuration asks for, each with the reason it declares.
    universe : str or None
        The universe that its handler studies; None when it lists instruments or has none.
    label_identity : str
        The same for members whose labels are the same.
    origins : mapping of tuple to tuple
        For each place of its task that ``vary`` sets, where in the file its value stands.
    needs : Needs
        What its windows need of the worker that trains them; no part of what they are.
    shards : int
        The tasks that its windows are divided into, all together; 0 where they are trained whole.
    """

    name: str
    windows: tuple[Window, ...]
    trunc_days: int
    label: LabelReach | None
    cuts: tuple[SegmentCut, ...] = ()
    leaks: tuple[Leak, ...] = ()
    universe: str | None = None
    label_identity: str = ""
    origins: Mapping[KeyPath, KeyPath] = field(default_factory=dict)
    needs: Needs = NO_NEEDS
    shards: int = 0

    @property
    def label_span(self) -> int | None:
        """Sessions of future the label reads; None when the dataset cannot tell."""
        return None if self.label is None else self.label.span


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignPlan:
    """Every window of a campaign: member by member, each in order of time.

    Attributes
    ----------
    name : str
        Of the campaign and its experiment.
    members : tuple of MemberPlan
        In the order of the file; one, `ONLY_VARIANT`, where it has no ``vary``.
    combination : Combination or None
        How the campaign's signal is made of several members; None where each stands for itself.
    notes : tuple of str
        What of the configuration does not do what it seems to say; see `rollwright.campaign.plan_notes`.
    share : ShareSection or None
        How the campaign is to be served beside others; None where its file says nothing of it.
    """

    name: str
    members: tuple[MemberPlan, ...]
    combination: Combination | None = None
    notes: tuple[str, ...] = ()
    share: ShareSection | None = None

    @property
    def windows(self) -> tuple[Window, ...]:
        """The windows of all members."""
        return tuple(window for member in self.members for window in member.windows)

    @property
    def variants(self) -> Mapping[str, tuple[Window, ...]]:
        """The windows by variant, in the order of the plan."""
        return {member.name: member.windows for member in self.members}

    @property
    def test_range(self) -> tuple[Session, Session]:
        """The first and the last session that any variant predicts."""
        windows = self.windows
        return min(window.test[0] for window in windows), max(window.test[1] for window in windows)

    @property
    def trunc_days(self) -> int:
        """Sessions that train and valid end before test begins: the most of all members."""
        return max(member.trunc_days for member in self.members)

    @property
    def label(self) -> LabelReach | None:
        """What the label reads; None when a dataset cannot tell, or the members differ."""
        first, *others = (member.label for member in self.members)
        return first if all(other == first for other in others) else None

    @property
    def label_span(self) -> int | None:
        """Sessions of future that the labels read: the most of all members; None when a dataset cannot tell."""
        spans = [member.label_span for member in self.members]
        return None if None in spans else max(span for span in spans if span is not None)

    @property
    def universe(self) -> str | None:
        """The universe that is studied; None where it has no name, or the members study several."""
        first, *others = (member.universe for member in self.members)
        return first if all(other == first for other in others) else None

    @property
    def shards(self) -> int:
        """The tasks that the windows are divided into; 0 where they are trained whole."""
        return sum(member.shards for member in self.members)

    @property
    def cuts(self) -> tuple[SegmentCut, ...]:
        """The cuts of all members, each once."""
        return tuple(dict.fromkeys(cut for member in self.members for cut in member.cuts))

    @property
    def leaks(self) -> tuple[Leak, ...]:
        """The leaks of all members, each once."""
        return tuple(dict.fromkeys(leak for member in self.members for leak in member.leaks))

    def find_member(self, name: str) -> MemberPlan:
        """Return the member of a variant."""
        return next(member for member in self.members if member.name == name)


def make_plan(
    config: CampaignConfig,
    *,
    name: str,
    calendar: TradingCalendar,
    locate: Callable[[KeyPath], str] | None = None,
    keep_leaks: bool = False,
) -> CampaignPlan:
    """Return the windows of a campaign.

    Train ends as many sessions before valid as the label needs, in every window, unless the file declares that leak.
    Each member has the gap of its own label.

    Parameters
    ----------
    config : CampaignConfig
        With a ``rolling`` section. A task without ``record`` gets `DEFAULT_RECORDS`.
    name : str
    calendar : TradingCalendar
        Known sessions; future ones are not planned for.
    locate : callable, optional
        Returns file, line and column of a key of the configuration, for errors.
    keep_leaks : bool
        Leave leaks that the file does not declare in the plan, without a reason, instead of refusing them: for those
        who show a plan, and train nothing.

    Raises
    ------
    LookAheadError
        When the configuration leaks and does not declare it.
    ConfigError
        When there is no ``rolling`` section, no answer to ``trunc_days: auto``, members are the same or more windows
        than ``pool.max_generated``, and when their labels differ and none is said to be the signal's.
    SegmentError, CalendarRangeError
        When segments do not fit the calendar.
    """
    planner = _make_planner(config, calendar=calendar, locate=locate, keep_leaks=keep_leaks)
    members: list[MemberPlan] = []
    windows = 0
    most = current_settings().pool.max_generated
    for member in list_members(config, locate=locate):
        members.append(planner.plan(member))
        windows += len(members[-1].windows) + members[-1].shards
        if windows > most:
            named = "windows and shards" if config.shards else "windows"
            raise ConfigError(
                f"the first {len(members):,} members have {windows:,} {named} together, and more than {most:,} are "
                "taken for a mistake",
                hint="vary less, or roll in larger steps; if so many are meant, raise `pool.max_generated`",
            )
    _refuse_same_windows(members, locate)
    combination = plan_combination(config.combine, members, locate=locate) if config.vary is not None else None
    return CampaignPlan(name=name, members=tuple(members), combination=combination, share=config.share)


def make_templates(
    config: CampaignConfig,
    *,
    calendar: TradingCalendar,
    locate: Callable[[KeyPath], str] | None = None,
) -> tuple[MemberTemplate, ...]:
    """Return what each member's windows are made from, as `make_plan` makes them, without a window being made.

    Parameters
    ----------
    config, calendar, locate
        As `make_plan` takes them. Leaks are not looked for.

    Raises
    ------
    ConfigError
        When there is no ``rolling`` section, and no answer to ``trunc_days: auto``.
    SegmentError
        When cutting leaves nothing of a segment.
    """
    planner = _make_planner(config, calendar=calendar, locate=locate, keep_leaks=True)
    return tuple(planner.prepare(member) for member in list_members(config, locate=locate))


def _make_planner(
    config: CampaignConfig,
    *,
    calendar: TradingCalendar,
    locate: Callable[[KeyPath], str] | None,
    keep_leaks: bool,
) -> _Planner:
    if config.rolling is None:
        raise ConfigError(
            "this file has no `rolling` section, so there is nothing to walk",
            hint="add `rolling: {step: 40, rtype: sliding}`, or train it once with `rollwright run`",
        )
    return _Planner(config=config, rolling=config.rolling, calendar=calendar, locate=locate, keep_leaks=keep_leaks)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Planner:
    """Plans one member after another, and builds each dataset that several of them have once."""

    config: CampaignConfig
    rolling: RollingConfig
    calendar: TradingCalendar
    locate: Callable[[KeyPath], str] | None
    keep_leaks: bool
    datasets: dict[str, TaskDataset] = field(default_factory=dict)

    def prepare(self, member: Member) -> MemberTemplate:
        # 1. Ask the dataset how far its label reads. 2. Cut train before valid.
        template = {**member.task}
        if not template.get("record"):
            template["record"] = [{"class": name, "kwargs": {}} for name in DEFAULT_RECORDS]
        template = fill_paths(template)
        refuse_later(template, self.config.as_of)
        label = self.build(template).label_reach
        cuts: list[SegmentCut] = []
        if label is not None and "label" not in self.config.allow_leak:
            pairs = [("train", "valid")]
            template, cuts = purge_task(template, days=purge_days(label.span), calendar=self.calendar, pairs=pairs)
        return MemberTemplate(
            name=member.name,
            task=template,
            trunc_days=_trunc_days(self.rolling, label),
            label=label,
            cuts=tuple(cuts),
            universe=name_universe(member.task),
            label_identity=_identify_label(template, label),
        )

    def plan(self, member: Member) -> MemberPlan:
        # 1. Make the template. 2. Walk. 3. Refuse what still leaks.
        made = self.prepare(member)
        generator = RollingGen(
            step=self.rolling.step,
            rtype=self.rolling.rtype,
            trunc_days=made.trunc_days,
            task_copy_func=dict,  # windows share what they have in common: each is written into a spec, and not changed
            calendar=self.calendar.known_part(),
            clip_last=self.rolling.clip_last,
        )
        last = self.calendar.last_known
        trust = Trust.from_settings(current_settings())
        windows = [_window(task, last, member.name, trust) for task in task_generator(made.task, generator)]
        windows.sort(key=lambda window: window.test)
        dataset = self.build(windows[0].spec.definition)
        found = find_leaks(dataset, windows[0].segments, self.calendar, gap_keys=("rolling", "trunc_days"))
        return MemberPlan(
            name=member.name,
            windows=tuple(windows),
            trunc_days=made.trunc_days,
            label=made.label,
            cuts=made.cuts,
            leaks=_judge_leaks(found, self.config, member, self.locate, keep=self.keep_leaks),
            universe=made.universe,
            label_identity=made.label_identity,
            origins=member.origins,
            needs=member.needs if member.needs is not None else self.config.needs.as_needs(),
            shards=count_shards([window.spec for window in windows], locate=self.locate) if self.config.shards else 0,
        )

    def build(self, task: Mapping[str, Any]) -> TaskDataset:
        """Return the dataset of a task; members that differ in their models only have one."""
        config = fill_paths(task)["dataset"]
        key = fingerprint({"dataset": config}, typed=True)
        if key not in self.datasets:
            self.datasets[key] = _build_dataset(task)
        return self.datasets[key]


def _refuse_same_windows(members: Sequence[MemberPlan], locate: Callable[[KeyPath], str] | None) -> None:
    """Refuse members that only spell one task in two ways, or that score the same and only have other records."""
    place = "" if locate is None else f"{locate((VARY,))}: "
    seen: dict[str, str] = {}
    for member in members:
        for window in member.windows:
            first = seen.setdefault(window.spec.fingerprint, member.name)
            if first != member.name:
                raise ConfigError(
                    f"{place}the members `{first}` and `{member.name}` are the same task, written in two ways, in the "
                    f"window {window.key.segment}",
                    hint="leave out one of them: the mean of a member and itself is that member",
                )
    if len({fingerprint({"record": member.windows[0].spec.definition["record"]}) for member in members}) == 1:
        return
    recorded: dict[str, list[tuple[str, tuple[str, ...]]]] = {}
    for member in members:
        for window in member.windows:
            records = record_keys(window.spec.definition)
            others = recorded.setdefault(fit_key(window.spec.definition), [])
            for name, other in others:
                if all(one == two for one, two in zip(records, other, strict=False)):  # they share a recorder
                    raise ConfigError(
                        f"{place}the members `{name}` and `{member.name}` learn and score the same in the window "
                        f"{window.key.segment}: one only makes more records than the other",
                        hint="leave out one of them, and give the other all the records",
                    )
            others.append((member.name, records))


def _identify_label(task: Mapping[str, Any], label: LabelReach | None) -> str:
    """Return what two tasks have in common whose labels are the same: all that is written as one, and what it reads."""
    written = list(_find_labels(task["dataset"]))
    return fingerprint({"label": written, "reach": None if label is None else label.to_json()}, typed=True)


def _find_labels(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            if key == "label":
                yield item
            else:
                yield from _find_labels(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _find_labels(item)


def _build_dataset(task: Mapping[str, Any]) -> TaskDataset:
    return check_dataset(init_instance_by_config(fill_paths(task)["dataset"], slot="dataset"))


@dataclass(frozen=True, slots=True, kw_only=True)
class SinglePlan:
    """What is trained once, without rolling.

    Attributes
    ----------
    task : dict
        The task, whose segments no label reads across.
    label, cuts, leaks
        As those of `CampaignPlan`.
    """

    task: Mapping[str, Any]
    label: LabelReach | None
    cuts: tuple[SegmentCut, ...]
    leaks: tuple[Leak, ...]


def plan_once(
    config: CampaignConfig,
    *,
    calendar: TradingCalendar,
    locate: Callable[[KeyPath], str] | None = None,
    keep_leaks: bool = False,
) -> SinglePlan:
    """Return the one task of a configuration, its segments cut as far as its label needs.

    Parameters
    ----------
    config, calendar, locate, keep_leaks
        As `make_plan` takes them.

    Raises
    ------
    LookAheadError
        When the configuration leaks and does not declare it.
    SegmentError
        When cutting leaves nothing of a segment.
    """
    task: dict[str, Any] = config.template()
    refuse_later(fill_paths(task), config.as_of)
    dataset = _build_dataset(task)
    label = dataset.label_reach
    cuts: list[SegmentCut] = []
    if label is not None and "label" not in config.allow_leak:
        purged, cuts = purge_task(fill_paths(task), days=purge_days(label.span), calendar=calendar)
        if cuts:
            task, dataset = purged, _build_dataset(purged)
    found = find_leaks(dataset, dataset.segments, calendar)
    only = Member(name=ONLY_VARIANT, task=task)
    leaks = _judge_leaks(found, config, only, locate, keep=keep_leaks)
    return SinglePlan(task=task, label=label, cuts=tuple(cuts), leaks=leaks)


def _judge_leaks(
    found: list[Leak],
    config: CampaignConfig,
    member: Member,
    locate: Callable[[KeyPath], str] | None,
    *,
    keep: bool,
) -> tuple[Leak, ...]:
    declared = config.declared_leaks(member.task)
    if keep:
        return give_reasons(found, declared)
    return refuse_leaks(
        found, declared, locate=None if locate is None else lambda keys: locate(member.find_origin(keys))
    )


def _window(task: Mapping[str, Any], last: Session, variant: str, trust: Trust) -> Window:
    # Without `clip_last` the last window may run past what is known; it predicts up to there.
    segments = {role: (start, end or last) for role, (start, end) in task["dataset"]["kwargs"]["segments"].items()}
    start, end = segments["test"]
    spec = TaskSpec.from_definition(task, trust=trust)
    key = WindowKey(variant, f"{start:%Y-%m-%d}..{end:%Y-%m-%d}")
    return Window(key=key, spec=spec, segments=segments)


def _trunc_days(rolling: RollingConfig, label: LabelReach | None) -> int:
    if rolling.trunc_days != "auto":
        return int(rolling.trunc_days) + rolling.embargo
    if label is None:
        raise ConfigError(
            "the dataset cannot tell how far its label looks ahead, so `trunc_days: auto` has no answer",
            hint="set `rolling.trunc_days` to the sessions of future the label reads, plus one",
        )
    return purge_days(label.span, embargo=rolling.embargo)
