"""How far into the market data a task reads, so that what comes later does not make its result stale.

A result stands while everything it was made from stands. Market data grow every day; a window that ended years ago read
none of it. So beside the generation of the data its result notes up to which session it read, look-ahead of the label
included, and which rows there were up to there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pandas as pd

from rollwright.config.construct import init_instance_by_config
from rollwright.config.placeholders import fill_paths
from rollwright.core.canonical import canonical_json, sha256_hex
from rollwright.dataset.handler import DataHandler
from rollwright.errors import RollwrightError
from rollwright.features.panel import Panel, StorePanel
from rollwright.features.table import RowLabels, Table
from rollwright.market.current import current_market

__all__ = ["Reading", "WatchedPanel", "watched"]

READS_BEYOND: Final = "reads_beyond_dataset"


class WatchedPanel:
    """A panel over the feature store that remembers up to which session it was read.

    Parameters
    ----------
    panel : StorePanel
    """

    def __init__(self, panel: StorePanel) -> None:
        self.panel = panel
        self.stop = 0

    @property
    def dates(self) -> pd.DatetimeIndex:
        """Every session that is covered."""
        return self.panel.dates

    @property
    def limits(self) -> tuple[pd.Timestamp, pd.Timestamp] | None:
        """The first and last session of the calendar."""
        return self.panel.limits

    @property
    def generation(self) -> str:
        """Identity of the data behind it."""
        return self.panel.generation

    @property
    def label_lookahead(self) -> int:
        """Sessions of future that the labels read."""
        return self.panel.label_lookahead

    def columns(self) -> tuple[tuple[str | None, str], ...]:
        """Return (group, name) of every column."""
        return self.panel.columns()

    def table(self, low: int, high: int) -> Table:
        """Return the rows of ``dates[low:high]``, and note the last of them."""
        self._note(low, high)
        return self.panel.table(low, high)

    def rows(self, low: int, high: int) -> RowLabels:
        """Return the labels of those rows, and note the last of them."""
        self._note(low, high)
        return self.panel.rows(low, high)

    def _note(self, low: int, high: int) -> None:
        if high > low:
            self.stop = max(self.stop, self.panel.sessions.start + high)


def watched(dataset: Any) -> WatchedPanel | None:
    """Watch what is read of `dataset` from now on; None when it is not read from the feature store alone.

    Such a dataset (frames, files, instrument processors, several frequencies, a class of the user's own) cannot tell
    by sessions what it was made from: any change of its generation makes the result stale.
    """
    handler = getattr(dataset, "handler", None)
    if not isinstance(handler, DataHandler) or not isinstance(handler.panel, StorePanel):
        return None
    made: list[WatchedPanel] = []

    def around(panel: Panel) -> Panel:
        if not isinstance(panel, StorePanel):
            return panel
        made.append(WatchedPanel(panel))
        return made[0]

    handler.watch(around)
    return made[0] if made else None


class Reading:
    """Whether results stand on market data that grew; keeps what several windows of a campaign share.

    Guarantees: a result is called good only when every series, every session and every member of its universe is, up
    to the last session it read, what it was. Not guaranteed: what a model, a reweighter or a record of the user's own
    reads beside the dataset; one that does says so with the class attribute ``reads_beyond_dataset = True``.
    """

    def __init__(self) -> None:
        self._panels: dict[str, StorePanel | None] = {}

    @staticmethod
    def told(dataset: Any, watch: WatchedPanel | None, *others: object) -> dict[str, Any] | None:
        """Return what a result notes of its reading, as JSON; None when only the generation can tell.

        Parameters
        ----------
        dataset : object
            The watched one.
        watch : WatchedPanel or None
        *others : object
            The model, the reweighter and the records, which may say that they read beyond the dataset.
        """
        if watch is None or dataset.handler.panel is not watch:  # opened anew meanwhile, unseen
            return None
        if any(getattr(other, READS_BEYOND, False) for other in (dataset, *others)):
            return None
        stop = watch.stop + watch.label_lookahead
        return _described(watch.panel, stop) if watch.stop else None

    def why_stale(self, definition: Mapping[str, Any], recorded: Mapping[str, Any]) -> str | None:
        """Return why a result of `definition` does not stand on the current market; None when it does.

        Parameters
        ----------
        definition : mapping
        recorded : mapping
            The validity noted with the result: ``data``, and ``reads`` as `told` gave it.
        """
        reads = recorded.get("reads")
        if not isinstance(reads, Mapping):
            return "the market data changed"
        try:
            source = current_market(str(reads["freq"]))
            unchanged = source.unchanged_before(str(recorded["data"]))
            if reads["stop"] > unchanged and unchanged < source.calendar().known:
                return _change(source.calendar().to_index(), unchanged)
            panel = self._panel(definition)
        except (RollwrightError, KeyError, TypeError) as error:
            return f"the market data changed, and what it read cannot be told: {error}"
        if panel is None or _described(panel, reads["stop"]) != reads:
            return f"the universe or the calendar changed before {reads['until']}, up to where it reads"
        return None

    def _panel(self, definition: Mapping[str, Any]) -> StorePanel | None:
        """Return the rows that the task's dataset has now; windows of one handler share them."""
        config = fill_paths(definition)["dataset"]
        shared = (config.get("kwargs") or {}).get("handler") if isinstance(config, Mapping) else None
        key = canonical_json(config if shared is None else shared)
        if key not in self._panels:
            handler = getattr(init_instance_by_config(config, slot="dataset"), "handler", None)
            panel = handler.panel if isinstance(handler, DataHandler) else None
            self._panels[key] = panel if isinstance(panel, StorePanel) else None
        return self._panels[key]


def _described(panel: StorePanel, stop: int) -> dict[str, Any]:
    """Return what `panel` is before the calendar position `stop`, which may lie beyond what is known."""
    days = panel.calendar.values[: min(stop, panel.calendar.known)]
    layout = panel.layout
    lines = [
        f"{layout.instruments[number]}\t{first}\t{min(last, stop)}\n"
        for number, first, last in layout.spans.tolist()
        if first < stop
    ]
    return {
        "freq": panel.calendar.freq,
        "stop": int(stop),
        "until": str(np.datetime_as_string(days[-1], unit="s")).removesuffix("T00:00:00"),
        "calendar": sha256_hex(np.ascontiguousarray(days.astype("datetime64[s]")).tobytes()),
        "rows": sha256_hex("".join(sorted(lines)).encode()),
    }


def _change(days: pd.DatetimeIndex, unchanged: int) -> str:
    if unchanged == 0:
        return "the market data changed, and since when cannot be told"
    return f"the market data changed from {days[unchanged]:%Y-%m-%d} on, and it reads up to there or later"
