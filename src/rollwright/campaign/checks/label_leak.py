"""Whether the labels that a single run learns from know prices of what it is tested on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from rollwright.calendar.purge import purge_days
from rollwright.calendar.trading import TradingCalendar
from rollwright.config.construct import init_instance_by_config, translate_module
from rollwright.config.placeholders import fill_paths
from rollwright.dataset.contract import check_dataset
from rollwright.errors import CalendarRangeError

__all__ = ["horizon_notes"]

PAIRS: Final = (("train", "valid"), ("train", "test"), ("valid", "test"))


def horizon_notes(task: Mapping[str, Any], calendar: TradingCalendar) -> list[str]:
    """Return one sentence for each segment whose last labels read prices of a later one, with the days that do.

    Nothing is changed: `run` trains on what the file says, and ``rollwright roll`` purges. Only rollwright's own
    datasets and handlers are asked, whose label tells without reading any data.
    """
    config = fill_paths(task)["dataset"]
    if not (_is_ours(config) and _is_ours(config.get("kwargs", {}).get("handler"))):
        return []
    dataset = check_dataset(init_instance_by_config(config, slot="dataset"))
    span = dataset.label_lookahead
    return list(_notes(dataset.segments, span, calendar)) if span else []


def _is_ours(config: object) -> bool:
    module = config.get("module_path") if isinstance(config, Mapping) else None
    return isinstance(module, str) and all(name.startswith("rollwright.") for name in translate_module(module))


def _notes(segments: Mapping[str, Any], span: int, calendar: TradingCalendar) -> Iterator[str]:
    wanted = purge_days(span)
    for one, other in PAIRS:
        if one not in segments or other not in segments:
            continue
        end, start = segments[one][1], segments[other][0]
        if end is None or start is None:
            continue
        try:
            last, first = calendar.at_or_before(end), calendar.at_or_after(start)
        except CalendarRangeError:
            continue  # told by the dataset, with the range there is
        if last < first < last + wanted:
            days = last + wanted - first
            clean = f"; end it on {calendar[first - wanted]:%Y-%m-%d}" if first >= wanted else ""
            yield (
                f"the labels of the last {days} session(s) of `{one}` read prices of `{other}`: "
                f"the label looks {span} sessions ahead{clean}, or walk with `rollwright roll`, which purges"
            )
