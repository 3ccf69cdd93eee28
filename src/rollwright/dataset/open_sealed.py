"""The data of a handler as far as the context lets them be seen, whatever its loader gives."""

from __future__ import annotations

from typing import Any

from rollwright.calendar.holdout import Holdout
from rollwright.dataset.loader import DataLoader
from rollwright.features.panel import FramePanel, Panel, StorePanel
from rollwright.features.sealing import seal_table
from rollwright.features.store.feature_store import FeatureStore
from rollwright.features.table import Table
from rollwright.market.generations import name_generation
from rollwright.market.seal import find_holdout
from rollwright.market.source import DataSource
from rollwright.market.view import find_last_seen, view

__all__ = ["open_sealed", "refuse_sealed", "refuse_sealed_rows", "seal_cast"]


def open_sealed(
    loader: DataLoader,
    instruments: Any,
    start_time: Any,
    end_time: Any,
    *,
    source: DataSource | None,
    store: FeatureStore | None,
) -> Panel:
    """Return the panel of `loader` in a closed range, before the sealed holdout and as of the moment that is set.

    A market that is given is seen so. What a loader brings from elsewhere, as from a file, is cut: later rows are gone,
    and labels that read later sessions are NaN.

    Raises
    ------
    HoldoutSealedError
        When the range names a session of the holdout; an end that is open is cut before it.
    """
    holdout, end = find_holdout(), find_last_seen()
    if holdout is not None:
        holdout.refuse_range(start_time, end_time)
    if end is None:
        return loader.panel(instruments, start_time, end_time, source=source, store=store)
    seen = None if source is None else view(source)
    panel = loader.panel(instruments, start_time, end_time, source=seen, store=store)
    dates = panel.dates
    if not len(dates) or dates[-1] <= end:
        return panel
    table = seal_table(panel.table(0, len(dates)), end, label_lookahead=panel.label_lookahead)
    is_sealed = holdout is not None and end == holdout.eve
    generation = name_generation("sealed" if is_sealed else "as-of", end, panel.generation)
    return FramePanel(table.to_frame(), generation=generation, label_lookahead=panel.label_lookahead)


def seal_cast(table: Table, loader: DataLoader) -> Table:
    """Return a table that a handler was cast with as far as it is seen, as the panel of its `loader` is."""
    return seal_table(table, find_last_seen(), label_lookahead=loader.find_label_lookahead())


def refuse_sealed(panel: Panel, start: Any, end: Any) -> Panel:
    """Return `panel`, unless the closed range names a session of the sealed holdout; None is open.

    Raises
    ------
    HoldoutSealedError
        For such a range, and for a panel that was opened before the sealing.
    """
    holdout = _find_seal(panel)
    if holdout is not None:
        holdout.refuse_range(start, end)
    return panel


def refuse_sealed_rows(panel: Panel, selector: Any, level: str | int | None) -> None:
    """Refuse a selector of rows that names a session of the sealed holdout.

    Raises
    ------
    HoldoutSealedError
        As `refuse_sealed`.
    """
    holdout = _find_seal(panel)
    if holdout is not None and level not in ("instrument", 1):
        holdout.refuse_selector(selector)


def _find_seal(panel: Panel) -> Holdout | None:
    holdout = find_holdout()
    if holdout is None:
        return None
    is_stale = isinstance(panel, StorePanel) and panel.calendar.holdout != holdout
    if is_stale or (len(panel.dates) and panel.dates[-1] >= holdout.start):
        raise holdout.error("what this handler opened before the sealing")
    return holdout
