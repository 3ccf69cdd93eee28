"""Open a serving: the campaign's file, its market, and the ledger."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rollwright.app.online.record import ServingRecord, find_serving, open_ledger_store, read_begun
from rollwright.app.open_campaign import OpenCampaign, open_campaign
from rollwright.campaign.online_section import OnlineSection
from rollwright.config.context import Context, using
from rollwright.config.settings import Settings
from rollwright.core.clock import Clock
from rollwright.market.current import current_market
from rollwright.market.source import DataSource
from rollwright.online.entry import LedgerEntry
from rollwright.online.ledger import ServingLedger
from rollwright.online.signal_store import Signals, SignalStore
from rollwright.online.state import ServingState

__all__ = ["OpenServing", "open_record", "open_serving"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenServing:
    """A serving with the campaign whose members it serves.

    Attributes
    ----------
    record : ServingRecord
    campaign : OpenCampaign
    ledger : ServingLedger
    signals : Signals
    """

    record: ServingRecord
    campaign: OpenCampaign
    ledger: ServingLedger
    signals: Signals

    @property
    def name(self) -> str:
        """Of the serving."""
        return self.record.name

    @property
    def context(self) -> Context:
        """What its work runs in."""
        return self.campaign.context

    @property
    def settings(self) -> Settings:
        """The settings of its context."""
        return self.campaign.settings

    @property
    def options(self) -> OnlineSection:
        """The section ``online`` of the campaign's file."""
        return self.campaign.config.online or OnlineSection()

    @property
    def market(self) -> DataSource:
        """The market as it is in the context."""
        return current_market()

    def read_head(self) -> tuple[LedgerEntry, ServingState]:
        """Return the last entry of the ledger, and how the serving stands after it.

        Raises
        ------
        LedgerError
            When there is no entry.
        """
        return read_begun(self.ledger, self.record)


@contextmanager
def open_serving(
    name: str | None = None, *, project: Path | None = None, clock: Clock | None = None
) -> Iterator[OpenServing]:
    """Open a serving that was begun in this project, for the block, which runs in the campaign's context.

    The campaign's file is read anew, and so are the market data: what arrived since the last call is there.

    Parameters
    ----------
    name : str, optional
        May be left out where there is only one.
    project : Path, optional
        Where the search for the project folder starts; the working directory if not given.
    clock : Clock, optional
        Stamps what is appended.

    Raises
    ------
    ConfigError, CorruptFileError
        As `find_serving`; and with every problem of the campaign's file.
    LedgerError
        When the ledger's database is gone.
    """
    record, own = find_serving(name, project=project)
    with open_record(record, own, clock=clock) as serving:
        yield serving


@contextmanager
def open_record(
    record: ServingRecord, own: Settings, *, clock: Clock | None = None, create: bool = False
) -> Iterator[OpenServing]:
    """Open what a record names, for the block, which runs in the campaign's context.

    Parameters
    ----------
    record : ServingRecord
    own : Settings
        Those of the project.
    clock : Clock, optional
    create : bool
        Whether the ledger's database is made where it is not there.

    Raises
    ------
    ConfigError, CorruptFileError, LedgerError
        As `open_serving`.
    """
    campaign = open_campaign(
        own.root / record.file,
        overrides=record.overrides,
        provider_uri=record.provider_uri,
        project=own.root,
    )
    with using(campaign.context), open_ledger_store(record.name, campaign.settings, create=create) as store:
        yield OpenServing(
            record=record,
            campaign=campaign,
            ledger=ServingLedger(record.name, store, clock=clock),
            signals=SignalStore(record.name),
        )
