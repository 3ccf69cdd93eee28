"""Delivered files: each published signal as a file of one session in a folder, for whoever trades."""

from __future__ import annotations

import csv
import io
import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rollwright.app.online.serving import OpenServing
from rollwright.core.atomic import write_text
from rollwright.core.bounded_read import SMALL, read_text
from rollwright.online.entry import LedgerEntry
from rollwright.online.ledger import ServingLedger
from rollwright.online.signal_store import Signals
from rollwright.online.state import SignalReference

__all__ = ["DeliveredSignal", "Delivery", "deliver_published"]

_logger: Final = logging.getLogger("rollwright.app")
_PAGE: Final = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveredSignal:
    """The files of one session.

    Attributes
    ----------
    session : str
    table : Path
        ``instrument,score``, a line for each.
    note : Path
        JSON: which entry of which serving published it. It is written last, so the table is whole when it is there.
    is_new : bool
        Whether they were written just now.
    """

    session: str
    table: Path
    note: Path
    is_new: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """Delivers the published signals of a serving into a folder.

    Attributes
    ----------
    folder : Path
    ledger : ServingLedger
    signals : Signals

    Guarantees: a file is there whole or not at all, only after the entry that published it, and with its rows; what is
    there is never changed.
    """

    folder: Path
    ledger: ServingLedger
    signals: Signals

    def deliver_missing(self) -> list[DeliveredSignal]:
        """Deliver the latest published sessions whose files are not there, back to the first whose files are.

        Returns
        -------
        list of DeliveredSignal
            In order of the sessions; the last one also where nothing was missing.
        """
        missing: list[LedgerEntry] = []
        made: list[DeliveredSignal] = []
        for entry in self._list_published():
            if (there := self._find(entry)) is not None:
                made.append(there)
                break
            missing.append(entry)
        return made + [self._deliver(entry) for entry in reversed(missing)]

    def _list_published(self) -> Iterator[LedgerEntry]:
        """Yield the entries that published a signal, the latest first."""
        head = self.ledger.read_head()
        stop = 1 if head is None else head.number + 1
        while stop > 1:
            start = max(1, stop - _PAGE)
            page = list(self.ledger.list_entries(start, stop))
            yield from (entry for entry in reversed(page) if entry.kind == "publish")
            stop = start

    def _find(self, entry: LedgerEntry) -> DeliveredSignal | None:
        table, note = self._paths(entry)
        if not table.is_file() or not note.is_file():
            return None
        if read_text(note, limit=SMALL) != _write_note(entry, table):
            _logger.warning("delivery.differs serving=%s session=%s path=%s", entry.serving, entry.session, note)
        return DeliveredSignal(session=str(entry.session), table=table, note=note, is_new=False)

    def _deliver(self, entry: LedgerEntry) -> DeliveredSignal:
        table, note = self._paths(entry)
        scores = self.signals.load(SignalReference.from_json(entry.body.get("signal")))
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["instrument", "score"])
        writer.writerows(zip(scores.index, map(repr, scores.to_numpy().tolist()), strict=True))
        write_text(table, text.getvalue())
        write_text(note, _write_note(entry, table))
        _logger.info("delivery.written serving=%s session=%s rows=%d", entry.serving, entry.session, len(scores))
        return DeliveredSignal(session=str(entry.session), table=table, note=note, is_new=True)

    def _paths(self, entry: LedgerEntry) -> tuple[Path, Path]:
        stem = str(entry.session).replace(":", "-")
        return self.folder / f"{stem}.csv", self.folder / f"{stem}.json"


def deliver_published(serving: OpenServing) -> list[DeliveredSignal]:
    """Deliver what was published and is not delivered yet, where the file names a folder; return what was written."""
    if serving.options.publish.folder is None:
        return []
    folder = serving.campaign.document.path.resolve().parent / serving.options.publish.folder
    delivery = Delivery(folder=folder, ledger=serving.ledger, signals=serving.signals)
    return [one for one in delivery.deliver_missing() if one.is_new]


def _write_note(entry: LedgerEntry, table: Path) -> str:
    reference = SignalReference.from_json(entry.body.get("signal"))
    about = {
        "serving": entry.serving,
        "session": entry.session,
        "file": table.name,
        "rows": reference.rows,
        "signal_sha256": reference.sha256,
        "entry": entry.number,
        "digest": entry.digest,
        "published_at": entry.at,
        "override": entry.body.get("override") is True,
    }
    return json.dumps(about, indent=1, ensure_ascii=False) + "\n"
