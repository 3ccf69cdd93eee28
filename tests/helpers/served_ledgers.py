"""A project whose ledger says that a campaign is served, though nothing was ever trained."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rollwright.app.online.record import ServingRecord, open_ledger, write_serving
from rollwright.config.settings import load_settings
from rollwright.online.ledger import Draft
from rollwright.online.state import OnlineModel, SignalReference, StrategyState
from rollwright.pool.urls import store_from_url

__all__ = ["begin", "make_served", "model", "reference", "served_day"]


def model(number: int, serves_from: str = "2024-01-02") -> OnlineModel:
    """Return a model, known by a number."""
    return OnlineModel(experiment="lgb", recorder=f"{number:032x}", serves_from=serves_from, fit_key="f")


def reference(session: str, name: str = "champion") -> SignalReference:
    """Return a reference to a signal that nobody made."""
    return SignalReference(recorder="0" * 32, artifact=f"{session}/{name}", sha256="a" * 64, rows=3)


def begin(*names: str) -> Draft:
    """Return the draft that begins a serving of these strategies, the first its champion."""
    strategies = {
        name: StrategyState(
            role="champion" if name == names[0] else "challenger", definition="d", online=(model(1),)
        ).to_json()
        for name in names
    }
    return Draft(kind="init", session="2024-01-02", body={"strategies": strategies})


def served_day(session: str, last: str = "publish") -> list[Draft]:
    """Return the drafts that serve one session; `last` is the kind of the one that closes it."""
    signal = reference(session).to_json()
    return [
        Draft(kind="open", session=session, body={"generation": "g", "known": 1}),
        Draft(kind="train", session=session, body={"models": {}}),
        Draft(kind="switch", session=session, body={"models": {}}),
        Draft(kind="score", session=session, body={"scores": {"lgb": signal}, "signal": signal}),
        Draft(kind=last, session=session, body={"signal": signal, "checks": []}),  # type: ignore[arg-type]  # a test's own
    ]


def make_served(file: Path, drafts: Sequence[Draft], *, name: str = "small") -> None:
    """Write the record and the ledger of a serving of the campaign in `file`."""
    settings = load_settings(start=file.parent)
    write_serving(settings, ServingRecord(name=name, file=file.name))
    store = store_from_url(settings.resolve_url(settings.pool.url))
    store.migrate()
    store.close()
    with open_ledger(name, project=file.parent) as opened:
        for draft in drafts:
            opened.ledger.append(lambda _, draft=draft: draft)  # type: ignore[misc]  # a test's own
