"""Plan a campaign: from its configuration to its windows, without training anything."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from rollwright.calendar.purge import purge_days
from rollwright.calendar.trading import Session, TradingCalendar
from rollwright.campaign.config import CampaignConfig
from rollwright.campaign.leaks import Leak, find_leaks, give_reasons, refuse_leaks
from rollwright.campaign.yaml.document import KeyPath
from rollwright.config.construct import init_instance_by_config
from rollwright.config.placeholders import fill_paths
from rollwright.dataset.contract import TaskDataset, check_dataset
from rollwright.errors import ConfigError
from rollwright.expression.label_reach import LabelReach
from rollwright.tasks.generate import task_generator
from rollwright.tasks.purge import SegmentCut, purge_task
from rollwright.tasks.rolling import RollingGen
from rollwright.tasks.spec import TaskSpec

__all__ = ["ONLY_VARIANT", "CampaignPlan", "SinglePlan", "Window", "WindowKey", "make_plan", "plan_once"]

DEFAULT_RECORDS: Final = ("SignalRecord", "SigAnaRecord")
"""What each window of a task without ``record`` makes: its predictions and labels, and their IC."""
ONLY_VARIANT: Final = "main"
"""The variant of a campaign that trains one model for one horizon."""


class WindowKey(NamedTuple):
    """What identifies a window within its campaign; keys sort by variant, then by time.

    Attributes
    ----------
    variant : str
        Which model and horizon, `ONLY_VARIANT` where the campaign has just one.
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
class CampaignPlan:
    """Every window of a campaign: variant by variant, each in order of time.

    Attributes
    ----------
    name : str
        Of the campaign, its pool and its experiment.
    windows : tuple of Window
        No key occurs twice.
    trunc_days : int
        Sessions that train and valid end before test begins.
    label : LabelReach or None
        Which sessions the label reads, and the return it is; None when the dataset cannot tell.
    cuts : tuple of SegmentCut
        What the template's segments were shortened by, so that no label of one reads prices of the next.
    leaks : tuple of Leak
        The leaks that the configuration asks for, each with the reason it declares.
    """

    name: str
    windows: tuple[Window, ...]
    trunc_days: int
    label: LabelReach | None
    cuts: tuple[SegmentCut, ...] = ()
    leaks: tuple[Leak, ...] = ()

    @property
    def label_span(self) -> int | None:
        """Sessions of future the label reads; None when the dataset cannot tell."""
        return None if self.label is None else self.label.span

    @property
    def test_range(self) -> tuple[Session, Session]:
        """The first and the last session that any variant predicts."""
        return min(window.test[0] for window in self.windows), max(window.test[1] for window in self.windows)

    @property
    def variants(self) -> Mapping[str, tuple[Window, ...]]:
        """The windows by variant, in the order of the plan."""
        found: dict[str, tuple[Window, ...]] = {}
        for window in self.windows:
            found[window.key.variant] = (*found.get(window.key.variant, ()), window)
        return found


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
        When there is no ``rolling`` section, or no answer to ``trunc_days: auto``.
    SegmentError, CalendarRangeError
        When segments do not fit the calendar.
    """
    if config.rolling is None:
        raise ConfigError(
            "this file has no `rolling` section, so there is nothing to walk",
            hint="add `rolling: {step: 40, rtype: sliding}`, or train it once with `rollwright run`",
        )
    # 1. Ask the dataset how far its label reads. 2. Cut train before valid. 3. Walk. 4. Refuse what still leaks.
    template = config.template()
    if not template["record"]:
        template["record"] = [{"class": name, "kwargs": {}} for name in DEFAULT_RECORDS]
    template = fill_paths(template)
    label = _build_dataset(template).label_reach
    trunc_days = _trunc_days(config, label)
    cuts: list[SegmentCut] = []
    if label is not None and "label" not in config.allow_leak:
        pairs = [("train", "valid")]
        template, cuts = purge_task(template, days=purge_days(label.span), calendar=calendar, pairs=pairs)
    generator = RollingGen(
        step=config.rolling.step,
        rtype=config.rolling.rtype,
        trunc_days=trunc_days,
        calendar=calendar.known_part(),
        clip_last=config.rolling.clip_last,
    )
    tasks = task_generator(template, generator)
    windows = sorted(
        (_window(task, calendar.last_known) for task in tasks), key=lambda window: (window.key.variant, window.test)
    )
    found = find_leaks(
        _build_dataset(windows[0].spec.definition), windows[0].segments, calendar, gap_keys=("rolling", "trunc_days")
    )
    return CampaignPlan(
        name=name,
        windows=tuple(windows),
        trunc_days=trunc_days,
        label=label,
        cuts=tuple(cuts),
        leaks=_judge_leaks(found, config, locate, keep=keep_leaks),
    )


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
    dataset = _build_dataset(task)
    label = dataset.label_reach
    cuts: list[SegmentCut] = []
    if label is not None and "label" not in config.allow_leak:
        purged, cuts = purge_task(fill_paths(task), days=purge_days(label.span), calendar=calendar)
        if cuts:
            task, dataset = purged, _build_dataset(purged)
    found = find_leaks(dataset, dataset.segments, calendar)
    leaks = _judge_leaks(found, config, locate, keep=keep_leaks)
    return SinglePlan(task=task, label=label, cuts=tuple(cuts), leaks=leaks)


def _judge_leaks(
    found: list[Leak], config: CampaignConfig, locate: Callable[[KeyPath], str] | None, *, keep: bool
) -> tuple[Leak, ...]:
    declared = config.declared_leaks()
    return give_reasons(found, declared) if keep else refuse_leaks(found, declared, locate=locate)


def _window(task: Mapping[str, Any], last: Session) -> Window:
    # Without `clip_last` the last window may run past what is known; it predicts up to there.
    segments = {role: (start, end or last) for role, (start, end) in task["dataset"]["kwargs"]["segments"].items()}
    start, end = segments["test"]
    spec = TaskSpec.from_definition(task)
    key = WindowKey(ONLY_VARIANT, f"{start:%Y-%m-%d}..{end:%Y-%m-%d}")
    return Window(key=key, spec=spec, segments=segments)


def _trunc_days(config: CampaignConfig, label: LabelReach | None) -> int:
    rolling = config.rolling
    if rolling is None or rolling.trunc_days != "auto":
        return 0 if rolling is None else int(rolling.trunc_days) + rolling.embargo
    if label is None:
        raise ConfigError(
            "the dataset cannot tell how far its label looks ahead, so `trunc_days: auto` has no answer",
            hint="set `rolling.trunc_days` to the sessions of future the label reads, plus one",
        )
    return purge_days(label.span, embargo=rolling.embargo)
