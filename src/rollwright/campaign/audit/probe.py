"""A probe: one window, one session of its test segment, and the part of the market around it.

The sessions of a probe, for a window with train, valid and test:

1. Those that the features look back on, and the last of train, whose ends meet the first of valid.
2. The last of valid, whose ends meet the first of test.
3. Those around the probe date, and after it those that are changed.
4. The last of every range that a processor learns from, where it is another one.

What lies between is left out: whether something reads the future shows on any past.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from rollwright.calendar.trading import TradingCalendar, to_session
from rollwright.campaign.audit.changed_market import AS_IT_IS, ChangedMarket, MarketChange, MarketExcerpt
from rollwright.campaign.audit.configuration import AuditedWindow
from rollwright.campaign.audit.observation import Observation, Part, PartName, observe
from rollwright.campaign.audit.row_change import permute_rows
from rollwright.config.context import current_settings, using
from rollwright.dataset.contract import FitRange
from rollwright.dataset.feature_reach import FeatureReach
from rollwright.dataset.handler import DataHandler
from rollwright.errors import LookAheadError
from rollwright.expression.engine import evaluate
from rollwright.expression.planner import compile_plan
from rollwright.features.store.feature_store import FeatureStore
from rollwright.market.source import DataSource

__all__ = ["EVERY_PART", "LATER_PARTS", "Probe", "ProbePlan", "choose_rows"]

FIT_ROWS: Final = 24
"""Sessions of a fit range, and of train, that are enough to learn from."""
EDGE_ROWS: Final = 8
"""Sessions at the ends of a segment."""
AHEAD_ROWS: Final = 40
"""Sessions after the probe date that are changed."""
LATER_PARTS: Final[frozenset[PartName]] = frozenset(("raw", "infer", "test"))
"""What is compared after the probe date."""
EVERY_PART: Final[frozenset[PartName]] = LATER_PARTS | {"train", "valid"}
LOOKBACK: Final = 130
"""Sessions of history where nothing tells how far is looked back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbePlan:
    """Where a probe looks, as positions of the market's calendar.

    Attributes
    ----------
    window : AuditedWindow
    date : int
        The last session that stays as it is.
    segments : mapping of str to (int, int)
        First and last position of each role.
    fit_ranges : tuple of FitRange
    lookback : int
        Sessions of history that the features need.
    span : int
        Sessions of future that the label reads.
    refused : tuple of FeatureReach
        Features whose expressions read later sessions.
    """

    window: AuditedWindow
    date: int
    segments: Mapping[str, tuple[int, int]]
    fit_ranges: tuple[FitRange, ...]
    lookback: int
    span: int
    refused: tuple[FeatureReach, ...]


def choose_rows(plan: ProbePlan, calendar: TradingCalendar) -> NDArray[np.int64]:
    """Return the calendar positions of a probe, see the module."""
    known = calendar.known
    wanted = [range(plan.date - EDGE_ROWS // 2, plan.date + AHEAD_ROWS + 1)]
    ends = [plan.segments[role] for role in ("train", "valid", "test") if role in plan.segments]
    for number, (first, last) in enumerate(ends):
        rows = FIT_ROWS if number == 0 and len(ends) > 1 else EDGE_ROWS
        following = ends[number + 1] if number + 1 < len(ends) else None
        if following is None:
            wanted.append(range(first, min(first + EDGE_ROWS // 2, last + 1)))
        else:  # with the gap between them
            wanted.append(
                range(max(first, last - rows + 1), max(last + 1, min(following[0] + EDGE_ROWS, following[1])))
            )
    for learnt in plan.fit_ranges:
        spot = calendar.known_part().positions(learnt.start, learnt.end) if learnt.named else range(0)
        wanted.append(spot[-FIT_ROWS:])
    places = sorted({place for part in wanted for place in part if 0 <= place < known})
    history = range(max(0, places[0] - plan.lookback), places[0])
    return np.array([*history, *places], dtype=np.int64)


@dataclass(slots=True, kw_only=True)
class Probe:
    """Looks at one window through changed markets.

    Attributes
    ----------
    plan : ProbePlan
    excerpt : MarketExcerpt
    store : FeatureStore
        Where features are computed, in a folder of the audit's; nothing of the project's own is touched.
    on_run : callable
        Called whenever the data are computed.
    """

    plan: ProbePlan
    excerpt: MarketExcerpt
    store: FeatureStore
    on_run: Callable[[], None]
    _seen: dict[MarketChange, tuple[frozenset[PartName], Observation]] = field(default_factory=dict)
    _refused: dict[MarketChange, Part] = field(default_factory=dict)

    @classmethod
    def open(
        cls,
        plan: ProbePlan,
        source: DataSource,
        *,
        instruments: Sequence[str],
        named: AbstractSet[str],
        folder: Path,
        on_run: Callable[[], None],
    ) -> Probe:
        """Return a probe over the part of `source` that its plan asks for."""
        rows = choose_rows(plan, source.calendar())
        excerpt = MarketExcerpt(source, rows, instruments, named)
        return cls(plan=plan, excerpt=excerpt, store=FeatureStore(folder, replace=True), on_run=on_run)

    @property
    def calendar(self) -> TradingCalendar:
        """The sessions of the excerpt."""
        return self.excerpt.calendar

    @property
    def next_row(self) -> int:
        """The row after the probe date: the first that is changed."""
        return self.excerpt.row_of(self.plan.date) + 1

    def first_row(self, role: str) -> int | None:
        """Return the row with which a segment begins; None without one."""
        return self.excerpt.row_of(self.plan.segments[role][0]) if role in self.plan.segments else None

    @property
    def segments(self) -> dict[str, tuple[Any, Any]]:
        """The segments of the window, cut to the sessions of the excerpt."""
        found = {}
        first, last = self.calendar.first, self.calendar.last
        for role, (start, end) in self.plan.window.segments.items():
            begin = first if start is None else max(to_session(start), first)
            stop = last if end is None else min(to_session(end), last)
            if begin <= stop and len(self.calendar.positions(begin, stop)):
                found[role] = (begin, stop)
        return found

    def look(self, change: MarketChange = AS_IT_IS, *, parts: frozenset[PartName] = LATER_PARTS) -> Observation:
        """Return what the dataset gives after a change of the market, `parts` at least; computed once."""
        return self._look_once(change, parts, lambda wanted: self._observe(change, wanted))

    def look_permuted(self, row: int, columns: NDArray[np.bool_], *, parts: frozenset[PartName]) -> Observation:
        """Return what the dataset gives when some of its raw columns are in another order from a row on.

        With the end of the calendar as the row nothing is, for the others to be compared with; computed once.
        """
        length = len(self.calendar)
        alter = permute_rows(self.look()["raw"], row, self.calendar, columns)
        if row < length:
            return self._observe(AS_IT_IS, parts, alter)
        as_given = MarketChange(kind="order", start=length, stop=length)
        return self._look_once(as_given, parts, lambda wanted: self._observe(AS_IT_IS, wanted, alter))

    def _look_once(
        self,
        change: MarketChange,
        parts: frozenset[PartName],
        observe_parts: Callable[[frozenset[PartName]], Observation],
    ) -> Observation:
        known, seen = self._seen.get(change, (frozenset[PartName](), None))
        if seen is None or not parts <= known:
            seen = observe_parts(parts | known)
            self._seen[change] = parts | known, seen
        return seen

    def look_refused(self, change: MarketChange = AS_IT_IS) -> Part:
        """Return the values that the refused features would have, had they been let through."""
        if change not in self._refused:
            market = ChangedMarket(self.excerpt, change)
            reaches = self.plan.refused
            plan = compile_plan([one.expression for one in reaches], allow_lookahead=True)
            names, length = market.instruments(), len(self.calendar)
            values = np.full((len(reaches), length, len(names)), np.nan)
            with self._within(market):
                for tile in evaluate(plan, market, instruments=names, start=0, stop=length):
                    values[:, tile.rows, tile.columns] = tile.values
            self.on_run()
            self._refused[change] = Part(
                columns=tuple((one.group, one.name) for one in reaches),
                is_label=np.zeros(len(reaches), np.bool_),
                rows=np.repeat(np.arange(length, dtype=np.int64), len(names)),
                codes=np.tile(np.array(names, dtype=object), length),
                values=values.reshape(len(reaches), -1).T,
            )
        return self._refused[change]

    def find_refused(self, reaches: Iterable[FeatureReach]) -> list[FeatureReach]:
        """Return the features that are refused while they are computed: whose operators were seen to look ahead."""
        market = ChangedMarket(self.excerpt, AS_IT_IS)
        found = []
        for one in reaches:
            if one.is_label or one.refusal is not None or not one.own_code:
                continue
            try:
                with self._within(market):
                    every = evaluate(
                        compile_plan([one.expression]),
                        market,
                        instruments=market.instruments(),
                        start=0,
                        stop=len(self.calendar),
                    )
                    for _ in every:
                        pass
            except LookAheadError:
                found.append(one)
        return found

    def _observe(
        self, change: MarketChange, parts: frozenset[PartName], alter: Callable[[DataHandler], None] | None = None
    ) -> Observation:
        market = ChangedMarket(self.excerpt, change)
        with self._within(market):
            found = observe(
                self.plan.window.definition,
                market,
                store=self.store,
                segments=self.segments,
                parts=parts,
                refused=self.plan.refused,
                alter=alter,
            )
        self.on_run()
        return found

    def _within(self, market: ChangedMarket) -> Any:
        """Return a context in which code that asks for the current market, or its features, is given this one."""
        settings = current_settings().with_values({"store.path": str(self.store.root)}, origin="audit")
        return using(settings, market=market)
