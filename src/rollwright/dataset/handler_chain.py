"""Running a chain of processors over sessions of a panel."""

from __future__ import annotations

from collections.abc import Sequence

from rollwright.dataset.processors import DropnaLabel, Processor
from rollwright.errors import UnknownSettingError
from rollwright.features.panel import Panel, StorePanel
from rollwright.features.table import Table

__all__ = ["check_key", "cut", "learns", "processed"]


def processed(chain: Sequence[Processor], panel: Panel, places: range) -> Table:
    """Return what the processors make of the rows of ``panel.dates[places]``.

    The rows that a `DropnaLabel` at the head of the chain leaves lie ready in the feature store, features as a view.
    """
    table = _labelled(chain, panel, places) or panel.table(places.start, places.stop)
    for processor in chain:
        table = processor.transform(table)
    return table


def _labelled(chain: Sequence[Processor], panel: Panel, places: range) -> Table | None:
    first = chain[0] if chain else None
    if type(first) is not DropnaLabel or first.fields_group != "label" or not isinstance(panel, StorePanel):
        return None
    return panel.table_with_labels(places.start, places.stop)


def cut(whole: Table, panel: Panel, places: range) -> Table:
    """Return the rows of ``panel.dates[places]`` out of a table that was made of all sessions."""
    if not places:
        return whole.take(slice(0, 0))
    return whole.take(whole.rows.select_range(panel.dates[places.start], panel.dates[places.stop - 1]))


def check_key(data_key: str) -> None:
    """Raise when there is no such data key."""
    if data_key not in ("raw", "infer", "learn"):
        raise UnknownSettingError(data_key, ("raw", "infer", "learn"), where="the data keys")


def learns(processor: Processor) -> bool:
    """Tell whether a processor has something to learn."""
    return processor.fit_range() is not None or type(processor).fit_table is Processor.fit_table
