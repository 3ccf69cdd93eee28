"""Audit a plan: what its configuration says, and what moves when the future of its data is another one.

1. List what the configuration says without reading data (`configuration`).
2. Of each dataset that the windows have, choose probe dates: evenly spread over the windows, and over their test
   segments.
3. Around each date, recompute what models read on changed markets, and compare (`probe`, `checks`).
4. Find the proof of whatever moved, and count what would have been seen.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from rollwright.calendar.trading import TradingCalendar
from rollwright.campaign.audit.changed_market import MarketChange
from rollwright.campaign.audit.checks import (
    BASE_SHARE,
    FUTURES,
    Hit,
    check_base,
    check_blind,
    check_future,
    check_segments,
    check_start,
    find_answers,
    find_proof,
)
from rollwright.campaign.audit.configuration import AuditedWindow, audit_plan, list_windows, members_of
from rollwright.campaign.audit.finding_text import describe_hit, describe_universe, join_names
from rollwright.campaign.audit.findings import AuditFinding, AuditReport, Power, ProbePower, sort_findings
from rollwright.campaign.audit.hindsight import judge_universe
from rollwright.campaign.audit.observation import PartName
from rollwright.campaign.audit.probe import EVERY_PART, LATER_PARTS, LOOKBACK, Probe, ProbePlan
from rollwright.campaign.plan import CampaignPlan, SinglePlan
from rollwright.core.canonical import sha256_hex
from rollwright.dataset.dataset import Dataset, DatasetH, build_dataset
from rollwright.dataset.feature_reach import FeatureReach
from rollwright.errors import ConfigError, LookAheadError, SegmentError
from rollwright.features.universe import universe_of
from rollwright.market.source import DataSource

__all__ = ["DATES", "NAMES", "audit"]

DATES: Final = 3
NAMES: Final = 24
MOST_LOOKBACK: Final = 520


def audit(
    plan: CampaignPlan | SinglePlan,
    source: DataSource,
    *,
    name: str,
    allowed: Mapping[str, str],
    dates: int = DATES,
    names: int = NAMES,
) -> AuditReport:
    """Return what leaks in a campaign, with proofs, and what would have been seen.

    Nothing is trained, and nothing of the project is written: features are computed in a temporary folder.

    Parameters
    ----------
    plan : CampaignPlan or SinglePlan
        Made with ``keep_leaks=True``.
    source : DataSource
        The market as it is.
    name : str
        Of the campaign.
    allowed : mapping
        The reason for each kind of leak that the file declares.
    dates : int
        Probe dates for each dataset that the windows have.
    names : int
        Instruments that are looked at around each.

    Raises
    ------
    ConfigError
        For fewer than one date, or three names.
    SegmentError
        When no test segment has a session whose future is known.
    """
    if dates < 1 or names < MIN_NAMES:
        raise ConfigError(
            f"{dates} probe dates with {names} instruments show nothing",
            hint=f"take one date and {MIN_NAMES} instruments at least",
        )
    calendar = source.calendar()
    found = _Findings(allowed=allowed)
    found.of_configuration = list(audit_plan(plan, calendar, allowed=allowed))
    with tempfile.TemporaryDirectory(prefix="rollwright-audit-") as folder:
        for windows in _by_dataset(list_windows(plan)):
            _audit_dataset(windows, source, found, Path(folder), dates=dates, names=names)
    return AuditReport(name=name, findings=sort_findings(found.all()), power=found.power())


MIN_NAMES: Final = 3


@dataclass(slots=True, kw_only=True)
class _Findings:
    """What was found so far; a column is told once for each kind and expression, with all members that have it."""

    allowed: Mapping[str, str]
    of_configuration: list[AuditFinding] = field(default_factory=list)
    members: tuple[str, ...] = ()
    moved: dict[tuple[str, str, str], AuditFinding] = field(default_factory=dict)
    notes: list[AuditFinding] = field(default_factory=list)
    probes: list[ProbePower] = field(default_factory=list)
    changes: dict[str, None] = field(default_factory=dict)
    responded: dict[str, bool] = field(default_factory=dict)
    has_value: dict[str, bool] = field(default_factory=dict)
    labels: set[str] = field(default_factory=set)
    unseen: dict[str, None] = field(default_factory=dict)
    recomputed: int = 0

    def count_run(self) -> None:
        self.recomputed += 1

    def add(self, probe: Probe, hits: Iterator[Hit], reaches: Sequence[FeatureReach]) -> None:
        texts = {one.name: one.expression for one in reaches}
        for hit in hits:
            text = texts.get(hit.name, "")
            key = (hit.kind, hit.name, text)
            told = (("feature", hit.name, text), ("processors", hit.name, text)) if hit.kind == "members" else ()
            known = next((other for other in (key, *told) if other in self.moved), None)
            if known is not None:
                self.moved[known] = self.moved[known].touching(self.members)
                continue
            message, hint = describe_hit(hit, reaches)
            self.moved[key] = self.judge(
                AuditFinding(
                    kind=hit.kind,
                    severity="leak",
                    message=message,
                    hint=hint,
                    window=probe.plan.window.name,
                    columns=(hit.name,),
                    proof=find_proof(probe, hit),
                    members=self.members,
                )
            )

    def note(self, finding: AuditFinding) -> None:
        """Add a finding about a whole dataset; the same one of another is that of its members, too."""
        for number, other in enumerate(self.notes):
            if (other.kind, other.severity, other.message) == (finding.kind, finding.severity, finding.message):
                self.notes[number] = other.touching(self.members)
                return
        self.notes.append(finding.touching(self.members))

    def judge(self, finding: AuditFinding) -> AuditFinding:
        reason = self.allowed.get(finding.kind)
        return finding if reason is None else replace(finding, severity="declared", reason=reason)

    def all(self) -> list[AuditFinding]:
        """Return every finding; what the configuration says has the proof that was found for it."""
        moved, stated = dict(self.moved), []
        for finding in self.of_configuration:
            proofs = [key for key, other in moved.items() if _proves(other, finding)]
            if proofs:
                columns = tuple(
                    dict.fromkeys((*finding.columns, *(name for key in proofs for name in moved[key].columns)))
                )
                finding = replace(finding, proof=moved[proofs[0]].proof, columns=columns)  # noqa: PLW2901 - with its proof
                for key in proofs:
                    del moved[key]
            stated.append(finding)
        return [*stated, *moved.values(), *self.notes]

    def power(self) -> Power:
        features = [name for name in self.responded if name not in self.labels]
        return Power(
            probes=tuple(self.probes),
            changes=tuple(self.changes),
            features=len(features),
            labels=len(self.labels),
            blind=tuple(name for name in features if not self.responded[name] and self.has_value[name]),
            empty=tuple(name for name in features if not self.has_value[name]),
            unseen=tuple(self.unseen),
            recomputed=self.recomputed,
        )


def _proves(moved: AuditFinding, stated: AuditFinding) -> bool:
    if moved.kind != stated.kind or (stated.members and not set(moved.members) & set(stated.members)):
        return False
    return stated.kind != "feature" or moved.columns[0] in stated.columns


def _by_dataset(windows: Sequence[AuditedWindow]) -> list[list[AuditedWindow]]:
    """Return the windows whose datasets differ in nothing but their dates together."""
    found: dict[str, list[AuditedWindow]] = {}
    for window in windows:
        found.setdefault(sha256_hex(repr(_without_dates(window.definition["dataset"])).encode()), []).append(window)
    return list(found.values())


def _without_dates(value: Any) -> Any:
    if isinstance(value, Mapping):
        times = ("segments", "start_time", "end_time", "fit_start_time", "fit_end_time")
        return {key: _without_dates(item) for key, item in value.items() if key not in times}
    if isinstance(value, list | tuple):
        return [_without_dates(item) for item in value]
    return value


def _audit_dataset(
    windows: Sequence[AuditedWindow], source: DataSource, found: _Findings, folder: Path, *, dates: int, names: int
) -> None:
    calendar = source.calendar()
    chosen = _choose_dates(windows, calendar, dates)
    if not chosen:
        raise SegmentError(
            start=None, end=None, reason="no test segment has a session after which anything is known to change"
        )
    found.members = members_of(windows)
    dataset = build_dataset(windows[0].definition["dataset"])
    reaches = dataset.feature_reaches() if isinstance(dataset, Dataset) else ()
    if not isinstance(dataset, Dataset) or (type(dataset).over is Dataset.over):
        found.unseen.setdefault(
            f"{type(dataset).__name__} has no method `over`: it was built anew in a context with each market, and what "
            "it reads elsewhere stayed as it is"
        )
    for number, (window, date) in enumerate(chosen):
        is_last = number == len(chosen) - 1
        parts = EVERY_PART if is_last else LATER_PARTS
        probe = _open_probe(window, date, source, found, folder / str(number), names, parts, reaches)
        found.add(probe, check_future(probe), reaches)
        found.add(probe, check_blind(probe), reaches)
        _count(probe, found)
        if is_last:  # what is one rule for all windows, and was read for each from the file
            found.add(probe, check_segments(probe), reaches)
            found.add(probe, _judge_base(probe, found), reaches)
            _note_start(probe, found)
            _judge_universe(probe, source, found)


def _choose_dates(
    windows: Sequence[AuditedWindow], calendar: TradingCalendar, dates: int
) -> list[tuple[AuditedWindow, int]]:
    """Return windows, evenly spread, each with a position within its test segment, earlier ones earlier in theirs."""
    last = calendar.known - 2
    spans = []
    for window in windows:
        start, end = window.segments.get("test", (None, None))
        spot = calendar.known_part().positions(start, end)
        if len(spot) and spot[0] <= last:
            spans.append((window, range(spot[0], min(spot[-1], last) + 1)))
    if not spans:
        return []
    made: dict[int, AuditedWindow] = {}
    for number in range(dates):
        window, spot = spans[round(number * (len(spans) - 1) / max(1, dates - 1))]
        made.setdefault(spot[(len(spot) - 1) * (number + 1) // (dates + 1)], window)
    return [(window, date) for date, window in sorted(made.items())]


def _open_probe(
    window: AuditedWindow,
    date: int,
    source: DataSource,
    found: _Findings,
    folder: Path,
    names: int,
    parts: frozenset[PartName],
    reaches: Sequence[FeatureReach],
) -> Probe:
    """Return a probe whose features have values.

    1. Ask the dataset what it learns from, and the reaches how far it looks back. 2. Choose instruments. 3. Compute;
    where an operator of the user's own is refused, leave its columns aside; where columns are empty, take more history.
    """
    dataset = build_dataset(window.definition["dataset"])
    calendar = source.calendar()
    backs = [one.lookback for one in reaches if not one.is_label]
    known = [back for back in backs if back is not None]
    lookback = min(MOST_LOOKBACK, max(known, default=0))
    if not backs or len(known) < len(backs):
        lookback = max(lookback, LOOKBACK)
    reach = dataset.label_reach
    segments = {}
    for role, (start, end) in window.segments.items():
        spot = calendar.known_part().positions(start, end)
        if len(spot):
            segments[role] = (spot[0], spot[-1])
    plan = ProbePlan(
        window=window,
        date=date,
        segments=segments,
        fit_ranges=dataset.fit_ranges(),
        lookback=lookback + 1,
        span=0 if reach is None else reach.span,
        refused=tuple(one for one in reaches if one.refusal is not None),
    )
    named = {word for one in reaches for word in one.words}.intersection(source.instruments())
    instruments = _choose_names(dataset, source, date, names, named)

    def open_with(changed: ProbePlan, place: str) -> Probe:
        return Probe.open(
            changed, source, instruments=instruments, named=named, folder=folder / place, on_run=found.count_run
        )

    probe = open_with(plan, "a")
    try:
        probe.look(parts=parts)
    except LookAheadError:
        plan = replace(plan, refused=(*plan.refused, *probe.find_refused(reaches)))
        probe = open_with(plan, "b")
        probe.look(parts=parts)
    if plan.lookback < MOST_LOOKBACK and len(known) < len(backs) + (not backs) and _has_empty(probe):
        probe = open_with(replace(plan, lookback=MOST_LOOKBACK), "c")
    return probe


def _has_empty(probe: Probe) -> bool:
    part = probe.look().get("raw")
    return part is not None and bool(np.isnan(part.before(probe.next_row).values).all(axis=0).any())


def _choose_names(dataset: Any, source: DataSource, date: int, names: int, named: set[str]) -> list[str]:
    """Return instruments, evenly spread over those listed around the date, members of the universe first.

    Those that an expression names are among them, and one that is listed after the date, where there is one.
    """
    codes = source.instruments()
    bounds = source.bounds(codes)
    listed = (bounds[:, 0] <= date) & (bounds[:, 1] > date)
    later = (bounds[:, 0] > date) & (bounds[:, 0] <= date + names)
    member = np.ones(len(codes), np.bool_)
    if isinstance(dataset, DatasetH):
        universe = universe_of(dataset.handler.instruments, source)
        if universe is not None:
            member = np.array([code in universe.lifetimes for code in codes], np.bool_)
    first, rest = _spread(np.flatnonzero(listed & member), names), _spread(np.flatnonzero(listed & ~member), names)
    chosen = [codes[number] for number in (*first, *rest)][:names]
    chosen += [codes[number] for number in np.flatnonzero(later)[:1]]
    return sorted({*chosen, *named})


def _spread(places: NDArray[np.intp], count: int) -> list[int]:
    if len(places) <= count:
        return [int(place) for place in places]
    return [int(places[number]) for number in np.linspace(0, len(places) - 1, count).round().astype(int)]


def _count(probe: Probe, found: _Findings) -> None:
    """Note what this probe could see: rows, names, and which columns answer to a change of the market at all."""
    base, row = probe.look(), probe.next_row
    noise = probe.look(MarketChange(kind="noise", start=row, stop=len(probe.calendar)))
    part = base.get("raw") or base.get("test")
    other = noise.get("raw") or noise.get("test")
    rows, codes = 0, 0
    if part is not None and other is not None:
        rows, codes = int((part.rows < row).sum()), len(set(part.codes[part.rows < row].tolist()))
        answers = find_answers(part, other)
        for column, (_, name) in enumerate(part.columns):
            found.responded[name] = found.responded.get(name, False) or bool(answers[column])
            has_value = not bool(np.isnan(part.values[part.rows < row, column]).all())
            found.has_value[name] = found.has_value.get(name, False) or has_value
            if part.is_label[column]:
                found.labels.add(name)
    for one in probe.plan.refused:
        found.responded[one.name] = found.has_value[one.name] = True
    for kind in (*FUTURES, "order"):
        found.changes.setdefault(kind)
    found.probes.append(
        ProbePower(
            window=probe.plan.window.name,
            date=f"{probe.calendar[row - 1]:%Y-%m-%d}",
            names=codes,
            rows=rows,
            ahead=len(probe.calendar) - row,
            history=row,
            is_whole=int(probe.excerpt.rows[0]) == 0,
        )
    )


def _judge_base(probe: Probe, found: _Findings) -> Iterator[Hit]:
    """Yield the features that depend on the price base; those that move a little are noted together."""
    found.changes.setdefault("base")
    small: dict[str, Hit] = {}
    for hit in check_base(probe):
        if hit.share > BASE_SHARE:
            yield hit
        else:
            small.setdefault(hit.name, hit)
    if small:
        worst = max(small.values(), key=lambda hit: hit.share)
        found.note(
            AuditFinding(
                kind="adjustment",
                severity="note",
                message=f"{len(small)} feature(s) move a little when prices are adjusted to another base, at most "
                f"{worst.share:.1%} of the values of one ({worst.name}) by more than a hundredth of their size: "
                f"{join_names(small)}",
                hint="guards such as `+1e-12` and `Log($volume+1)` do that; nothing to do",
                window=probe.plan.window.name,
                columns=tuple(small),
            )
        )


def _note_start(probe: Probe, found: _Findings) -> None:
    found.changes.setdefault("start")
    hits = list(check_start(probe))
    if hits:
        size = max(hit.size for hit in hits)
        found.note(
            AuditFinding(
                kind="warm-up",
                severity="note",
                message=f"{len(hits)} feature(s) depend on where the history begins, by at most {size:.2g} of their "
                f"size: {join_names(hit.name for hit in hits)}",
                hint="no leak; but serve them from the same first session, or their values differ from those learnt on",
                window=probe.plan.window.name,
                columns=tuple(hit.name for hit in hits),
                proof=find_proof(probe, hits[0]),
            )
        )


def _judge_universe(probe: Probe, source: DataSource, found: _Findings) -> None:
    dataset = build_dataset(probe.plan.window.definition["dataset"])
    if not isinstance(dataset, DatasetH):
        found.unseen.setdefault("whose instruments the dataset has: it is no DatasetH")
        return
    judged = judge_universe(dataset.handler.instruments, source, probe.plan.date)
    finding = describe_universe(judged, dataset.handler.instruments, probe.plan.window.name, source, probe.plan.date)
    if finding is not None:
        found.note(found.judge(finding) if finding.severity == "leak" else finding)
