"""What can be told of a handler's processors before they run: what they learn from, and which columns they ask for."""

from __future__ import annotations

from collections.abc import Iterator

from rollwright.dataset.contract import FitRange
from rollwright.dataset.handler import DataHandler, DataHandlerLP
from rollwright.dataset.handler_tables import learns
from rollwright.dataset.loader import DataLoader, DataLoaderDH, NestedDataLoader
from rollwright.dataset.processor_base import TableProcessor
from rollwright.dataset.processors import Processor

__all__ = ["check_groups", "find_fit_ranges"]


def find_fit_ranges(handler: DataHandler) -> tuple[FitRange, ...]:
    """Return the ranges that the processors of `handler`, and of the handlers inside it, learn from; reads nothing."""
    return tuple(_of_handler(handler))


def _of_handler(handler: DataHandler) -> Iterator[FitRange]:
    if isinstance(handler, DataHandlerLP) and not handler.from_cast:
        for processor in handler.get_all_processors():
            if type(processor).fit is Processor.fit or not learns(processor):
                continue
            span = processor.fit_range()
            # Qlib's processors of a user's own cut the frame they are given by attributes of these names.
            own = vars(processor)
            named = span is not None or "fit_end_time" in own
            start, end = span if span is not None else (own.get("fit_start_time"), own.get("fit_end_time"))
            end = handler.end_time if end is None else end
            yield FitRange(processor=type(processor).__name__, start=start, end=end, named=named)
    yield from _of_loader(handler.data_loader)


def _of_loader(loader: DataLoader) -> Iterator[FitRange]:
    if isinstance(loader, DataLoaderDH):
        for inner in loader.handlers.values():
            yield from _of_handler(inner)
    if isinstance(loader, NestedDataLoader):
        for part in loader.data_loader_l:
            yield from _of_loader(part)


def check_groups(handler: DataHandler) -> None:
    """Refuse a processor of a column group that the handler's data do not have.

    Ready-made processors are asked; behind one of a user's own nobody knows which groups there are.

    Raises
    ------
    UnknownFieldError
        Naming the group, and the nearest there is.
    """
    if not isinstance(handler, DataHandlerLP) or handler.from_cast:
        return
    head = handler.panel.table(0, min(1, len(handler.panel.dates)))
    for processor in handler.get_all_processors():
        if not isinstance(processor, TableProcessor):
            return
        group = vars(processor).get("fields_group")
        if group is not None:
            head.columns(group)
