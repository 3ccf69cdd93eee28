"""The checks of a probe: what moved under a change that it may not know of, each with its proof.

1. Everything after the probe date becomes noise; then missing, or split 2 for 1, by instrument; then others are listed
   and delisted. No row up to the date may come, go or move.
2. Everything from the first test session on becomes noise: train and valid stay. From the first valid session: train.
3. The labels from there on, and after the probe date features that are not the market's, are put in another order.
4. Prices are adjusted to another base: what is a ratio stays; how much the others move is measured.
5. The history begins later: what moves is no leak, but would be another value where there is less history.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from rollwright.campaign.audit.changed_market import ChangeKind, MarketChange
from rollwright.campaign.audit.findings import Proof
from rollwright.campaign.audit.observation import (
    Floats,
    Moved,
    Observation,
    Part,
    PartName,
    align,
    compare,
    find_moved_columns,
)
from rollwright.campaign.audit.probe import EVERY_PART, Probe
from rollwright.campaign.leaks import LeakKind

__all__ = [
    "BASE_SHARE",
    "BASE_SIZE",
    "Hit",
    "check_base",
    "check_future",
    "check_segments",
    "check_start",
    "find_answers",
    "find_proof",
]

BASE_SIZE: Final = 0.01
"""By which share of its size a value has to move with the price base to count as moved."""
BASE_SHARE: Final = 0.05
"""Which share of a feature's values has to move for it to depend on the base."""
START_ROWS: Final = 10
FUTURES: Final[tuple[ChangeKind, ...]] = ("noise", "nan or split", "members")
ROW: Final = "(row)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A column, or the rows, of one part that moved.

    Attributes
    ----------
    kind : str
        As `rollwright.campaign.leaks.LeakKind`, or ``warm-up``.
    part : str
    column : int or None
        None for rows.
    name : str
        Of the column.
    change : MarketChange
    moved : Moved
    before : int
        Rows before this one were compared.
    size, share : float
        By how much the values moved, as a share of their size, and which share of them did, where it was measured.
    """

    kind: LeakKind | Literal["warm-up"]
    part: PartName
    column: int | None
    name: str
    change: MarketChange
    moved: Moved
    before: int
    size: float = 0.0
    share: float = 0.0


def check_future(probe: Probe) -> Iterator[Hit]:
    """Yield what moved up to the probe date when only what came after it changed."""
    base, row = probe.look(), probe.next_row
    for kind in FUTURES:
        change = MarketChange(kind=kind, start=row, stop=len(probe.calendar))
        other = probe.look(change)
        yield from _compare_parts(probe, base, other, change, ("raw", "infer", "test"), row)
        if probe.plan.refused and kind != "members":
            moved = compare(probe.look_refused(), probe.look_refused(change), before=row)
            for column in np.flatnonzero(moved.columns):
                yield _hit("feature", "refused", int(column), change, moved, row)


def check_blind(probe: Probe) -> Iterator[Hit]:
    """Yield what processors make of the future of raw features that no change of the market moves.

    Such columns are read from a file, or are constant: from the probe date on they are put in another order.
    """
    base, row = probe.look(), probe.next_row
    if "raw" not in base:
        return
    noise = MarketChange(kind="noise", start=row, stop=len(probe.calendar))
    blind = ~(base["raw"].is_label | find_answers(base["raw"], probe.look(noise)["raw"]))
    if blind.any():
        yield from _compare_permuted(probe, row, blind, ("infer",), noise)


def find_answers(one: Part, other: Part) -> NDArray[np.bool_]:
    """Return for each column whether it answers to a change of the market: whether any of its values, ever, moved."""
    found = np.zeros(len(one.columns), np.bool_)
    here, there, _, _ = align(one, other)
    found[find_moved_columns(here.values, there.values)] = True
    return found


def check_segments(probe: Probe) -> Iterator[Hit]:
    """Yield what moved in train and valid when what comes after them changed, or was put in another order."""
    base = probe.look(parts=EVERY_PART)
    walls: tuple[tuple[str, tuple[PartName, ...]], ...] = (("test", ("train", "valid")), ("valid", ("train",)))
    for wall, roles in walls:
        row = probe.first_row(wall)
        there = tuple(role for role in roles if role in base)
        if not row or not there or (wall == "valid" and probe.first_row("test") == row):
            continue
        change = MarketChange(kind="noise", start=row, stop=len(probe.calendar))
        yield from _compare_parts(probe, base, probe.look(change, parts=frozenset(there)), change, there, row)
        if "raw" in base and base["raw"].is_label.any():
            yield from _compare_permuted(probe, row, base["raw"].is_label, there, change)


def _compare_permuted(
    probe: Probe,
    row: int,
    columns: NDArray[np.bool_],
    parts: tuple[PartName, ...],
    change: MarketChange,
) -> Iterator[Hit]:
    """Yield what moved before a row when raw columns from it on were put in another order."""
    given, permuted = (
        probe.look_permuted(first, columns, parts=frozenset(parts)) for first in (len(probe.calendar), row)
    )
    permutation = replace(change, kind="order")
    for part in parts:
        yield from _explain(given, permuted, permutation, part, row)


def check_base(probe: Probe) -> Iterator[Hit]:
    """Yield how far the features of instruments that are adjusted to another base moved, where any did."""
    base, change = probe.look(), MarketChange(kind="base")
    other, names = probe.look(change), list(probe.excerpt.rescaled)
    parts: tuple[PartName, ...] = ("raw", "infer")
    for part in parts:
        if part not in base or _is_raw(part, base, other):
            continue
        moved = compare(base[part], other[part], before=probe.next_row)
        own = np.isin(moved.part.codes, names)
        was, now = moved.part.values[own], moved.after[own]
        for column in find_moved_columns(was, now).tolist():
            known = ~np.isnan(was[:, column]) | ~np.isnan(now[:, column])
            if moved.part.is_label[column]:
                continue
            sizes = _shares_of_size(was[known, column], now[known, column])
            yield Hit(
                kind="adjustment", part=part, column=column, name=moved.part.columns[column][1], change=change,
                moved=moved, before=probe.next_row, size=float(np.median(sizes)),
                share=float((sizes > BASE_SIZE).mean()),
            )  # fmt: skip


def check_start(probe: Probe) -> Iterator[Hit]:
    """Yield the raw features whose values at the probe date depend on where the history begins."""
    base, row = probe.look(), probe.next_row
    if "raw" not in base or probe.plan.lookback <= START_ROWS:
        return
    change = MarketChange(kind="start", start=START_ROWS)
    there = probe.look(change, parts=frozenset(("raw",)))["raw"]
    moved = compare(_last(base["raw"], row), _last(there, row), before=row)
    exact = ~(moved.part.values == moved.after) & ~(np.isnan(moved.part.values) & np.isnan(moved.after))
    for column in np.flatnonzero(exact.any(axis=0)):
        if not moved.part.is_label[column]:
            sizes = _shares_of_size(moved.part.values[:, [column]], moved.after[:, [column]])
            found = replace(moved, cells=exact, lost=(), gained=())
            yield Hit(
                kind="warm-up", part="raw", column=int(column), name=moved.part.columns[column][1], change=change,
                moved=found, before=row, size=float(sizes.max(initial=0.0)),
            )  # fmt: skip


def find_proof(probe: Probe, hit: Hit) -> Proof:
    """Return the cell that shows a hit, and the earliest later session whose change alone moves it."""
    calendar = probe.calendar
    if hit.column is None:
        row, code = (hit.moved.lost or hit.moved.gained)[-1]
        before, after = (1.0, float("nan")) if hit.moved.lost else (float("nan"), 1.0)
    else:
        cells = hit.moved.cells[:, hit.column]
        known = cells & ~np.isnan(hit.moved.part.values[:, hit.column]) & ~np.isnan(hit.moved.after[:, hit.column])
        place = int(np.flatnonzero(known if known.any() else cells)[-1])
        row, code = int(hit.moved.part.rows[place]), str(hit.moved.part.codes[place])
        before, after = hit.moved.part.values[place, hit.column], hit.moved.after[place, hit.column]
    alone = _find_earliest(probe, hit, row, code)
    return Proof(
        column=hit.name,
        instrument=code,
        date=f"{calendar[row]:%Y-%m-%d}",
        before=float(before),
        after=float(after),
        change=hit.change.describe(calendar),
        earliest=None if alone is None else f"{calendar[alone]:%Y-%m-%d}",
        distance=None if alone is None else int(probe.excerpt.rows[alone] - probe.excerpt.rows[row]),
    )


def _compare_parts(
    probe: Probe, base: Observation, other: Observation, change: MarketChange, parts: tuple[PartName, ...], row: int
) -> Iterator[Hit]:
    for part in parts:
        if part in base and part in other and not _is_raw(part, base, other):
            yield from _explain(base, other, change, part, row, span=probe.plan.span)


def _is_raw(part: PartName, base: Observation, other: Observation) -> bool:
    """Say whether a part is the raw one under another name on both sides: no processor changed anything."""
    return part != "raw" and base.get(part) is base.get("raw") and other.get(part) is other.get("raw")


def _explain(
    base: Observation,
    other: Observation,
    change: MarketChange,
    part: PartName,
    row: int,
    *,
    span: int = 0,
) -> Iterator[Hit]:
    """Yield the columns and rows of a part that moved, each with what it is that leaks.

    What moved before the processors is the feature's or the label's own; what moved after them only is theirs.
    """
    moved = compare(base[part], other[part], before=row)
    raw = compare(base["raw"], other["raw"], before=row) if "raw" in base and part != "raw" else moved
    of_raw = dict(zip(raw.part.columns, raw.columns.tolist(), strict=True))
    is_learnt = part in ("train", "valid")
    # labels of the last sessions before the change are meant to move, but for those a model learns from
    settled = moved.part.rows < (row if is_learnt else row - span)
    for column in np.flatnonzero(moved.columns).tolist():
        name = moved.part.columns[column]
        cells = moved.cells[:, column]
        is_label = bool(moved.part.is_label[column])
        if is_label:
            cells = cells & settled
            if not cells.any():
                continue
        is_own = part == "raw" or of_raw.get(name, "raw" not in base)
        kind: LeakKind = "feature" if is_own and not is_label else "label" if is_own else "processors"
        if change.kind == "members" and kind != "label":
            kind = "members"
        if change.kind == "order":
            kind = "processors"
        yield _hit(kind, part, column, change, _only(moved, cells, column) if is_label else moved, row)
    if moved.lost or moved.gained:
        by_label = is_learnt and bool((raw.cells & raw.part.is_label).any())
        rows_kind: LeakKind = "label" if by_label else "members" if part == "raw" else "processors"
        if change.kind == "members":
            rows_kind = "members"
        yield Hit(kind=rows_kind, part=part, column=None, name=ROW, change=change, moved=moved, before=row)


def _hit(kind: LeakKind, part: PartName, column: int, change: MarketChange, moved: Moved, row: int) -> Hit:
    name = moved.part.columns[column][1]
    return Hit(kind=kind, part=part, column=column, name=name, change=change, moved=moved, before=row)


def _only(moved: Moved, cells: NDArray[np.bool_], column: int) -> Moved:
    """Return `moved` with the cells of one column replaced."""
    kept = moved.cells.copy()
    kept[:, column] = cells
    return replace(moved, cells=kept)


def _find_earliest(probe: Probe, hit: Hit, row: int, code: str) -> int | None:
    """Return the earliest row whose change alone moves a cell; None when none does, or the change is none of rows.

    1. Try the first row. 2. Otherwise halve the range of rows from the first on that move the cell together, and try
    the last of the shortest.
    """
    start, stop = hit.change.start, hit.change.stop
    if hit.change.kind not in ("noise", "nan or split"):
        return None

    def moves(first: int, last: int) -> bool:
        change = MarketChange(kind=hit.change.kind, start=first, stop=last)
        if hit.part == "refused":
            one, other = probe.look_refused(), probe.look_refused(change)
        else:
            parts = frozenset((hit.part,))
            one, other = probe.look(parts=parts)[hit.part], probe.look(change, parts=parts)[hit.part]
        return _differs(one, other, row, code, hit.column)

    if moves(start, start + 1):
        return start
    low, high = start + 1, stop
    while high - low > 1:
        middle = (low + high) // 2
        if moves(start, middle):
            high = middle
        else:
            low = middle
    return high - 1 if moves(high - 1, high) else None


def _differs(one: Part, other: Part, row: int, code: str, column: int | None) -> bool:
    here = np.flatnonzero((one.rows == row) & (one.codes == code))
    there = np.flatnonzero((other.rows == row) & (other.codes == code))
    if column is None or not len(here) or not len(there):
        return len(here) != len(there)
    before, after = one.values[here[0], column], other.values[there[0], column]
    return bool(before != after and not (np.isnan(before) and np.isnan(after)))


def _last(part: Part, row: int) -> Part:
    return part.take(part.rows == row - 1)


def _shares_of_size(was: Floats, now: Floats) -> NDArray[np.float64]:
    """Return by how much values moved, as a share of their size: 1 where one of them is missing."""
    before, after = was.astype(np.float64), now.astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        size = np.maximum(np.abs(before), np.abs(after))
        found = np.where(before == after, 0.0, np.abs(before - after) / size)
    return np.where(np.isnan(before) & np.isnan(after), 0.0, np.where(np.isfinite(found), found, 1.0))
