"""Commands and queries on market data: import, demonstrate, describe, check, warn."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from rollwright.config.context import current_settings
from rollwright.config.settings import PROJECT_FILE, STATE_DIR, Settings
from rollwright.core.atomic import write_text
from rollwright.errors import CorruptFileError, DataNotFoundError
from rollwright.market.demo import DemoReport, make_demo_market
from rollwright.market.demo_facts import read_demo
from rollwright.market.folder.adopt_changes import adopt_changes
from rollwright.market.folder.layout import BASE_FIELDS, normalize_freq
from rollwright.market.folder.provider import QlibProvider, folder_from_settings, provider_from_settings
from rollwright.market.ingest.check import CheckReport, check_data
from rollwright.market.ingest.importer import import_market
from rollwright.market.seal import find_holdout
from rollwright.market.view import view

__all__ = [
    "DEMO_FILE",
    "DataInfo",
    "UniverseInfo",
    "adopt_changes",
    "check_market",
    "describe_market",
    "describe_use",
    "import_market",
    "make_demo",
    "prepare_demo",
]

DEMO_FILE: Final = "demo.yaml"
DATA_DIR: Final = "data"


@dataclass(frozen=True, slots=True, kw_only=True)
class UniverseInfo:
    """One universe: how many belong to it in all, and on the last session that has data; or why it cannot be read."""

    name: str
    members: int
    members_now: int
    damage: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DataInfo:
    """What a data folder holds at one frequency.

    Attributes
    ----------
    path : Path
    freq, generation : str
    imports : int
        How often rollwright wrote the folder; 0 when other tools made it.
    first, last : str
        Sessions that have data.
    sessions, future_sessions, instruments : int
    fields : tuple of str
    missing : tuple of str
        Base fields that nothing has; they read as NaN.
    universes : tuple of UniverseInfo
    demo : dict or None
        Of a synthetic market, what was planted in it and what came out.
    """

    path: Path
    freq: str
    generation: str
    imports: int
    first: str
    last: str
    sessions: int
    future_sessions: int
    instruments: int
    fields: tuple[str, ...]
    missing: tuple[str, ...]
    universes: tuple[UniverseInfo, ...]
    demo: dict[str, Any] | None


def describe_use(path: Path, *, freq: str = "day", settings: Settings | None = None) -> str:
    """Return how a campaign finds the market data in `path`: that it does, or what to write where."""
    present = current_settings() if settings is None else settings
    file = present.root / PROJECT_FILE
    try:
        named = folder_from_settings(present)
    except DataNotFoundError:
        named = None
    if named == path and normalize_freq(present.data.freq) == normalize_freq(freq):
        return f"campaigns of {present.root} read it (data.provider_uri, from {_origin(present)})"
    short = str(path.relative_to(present.root)) if path.is_relative_to(present.root) else str(path)
    shown = json.dumps(short, ensure_ascii=False)
    also = "" if normalize_freq(freq) == "day" else f', freq = "{normalize_freq(freq)}"'
    now = "it is not set" if named is None else f"it is {named}, from {_origin(present)}"
    return (
        f"campaigns read the market that data.provider_uri names ({now}): write beneath [data] in {file}: "
        f"provider_uri = {shown}{also}; or in a campaign's YAML: qlib_init: {{provider_uri: {shown}}}"
    )


def _origin(settings: Settings) -> str:
    return settings.origins.get("data.provider_uri", "the default")


def make_demo(
    out: Path | str,
    *,
    instruments: int = 120,
    sessions: int = 1300,
    seed: int = 20150105,
    planted_ic: float = 0.08,
) -> DemoReport:
    """Write a synthetic market; see `rollwright.market.demo.make_demo_market`."""
    return make_demo_market(out, instruments=instruments, sessions=sessions, seed=seed, planted_ic=planted_ic)


def describe_market(
    path: Path | str | None = None, *, freq: str | None = None, settings: Settings | None = None
) -> DataInfo:
    """Return what a data folder holds before the sealed holdout; that of the current context when no path is given.

    Raises
    ------
    DataNotFoundError
        When there is none.
    """
    provider = _open_provider(path, freq, settings)
    source = view(provider, settings)
    calendar = source.calendar()
    now = calendar.last_known
    universes = []
    for name in provider.universes():
        try:
            members = source.members(name)
        except CorruptFileError as error:
            universes.append(UniverseInfo(name=name, members=0, members_now=0, damage=error.reason))
            continue
        living = sum(any(start <= now <= end for start, end in spans) for spans in members.values())
        universes.append(UniverseInfo(name=name, members=len(members), members_now=living))
    return DataInfo(
        path=provider.root,
        freq=provider.freq,
        generation=source.generation,
        imports=provider.manifest.counter if provider.manifest is not None else 0,
        first=str(calendar.first).removesuffix(" 00:00:00"),
        last=str(now).removesuffix(" 00:00:00"),
        sessions=calendar.known,
        future_sessions=len(calendar) - calendar.known,
        instruments=len(source.instruments()),
        fields=provider.fields(),
        missing=provider.missing_fields(BASE_FIELDS[:7]),
        universes=tuple(universes),
        demo=read_demo(provider.root),
    )


def check_market(
    path: Path | str | None = None, *, freq: str | None = None, settings: Settings | None = None
) -> CheckReport:
    """Check a data folder for gaps, impossible prices and damage; see `rollwright.market.ingest.check.check_data`.

    Of the sessions of a sealed holdout nothing is told but damage of their files.
    """
    holdout = find_holdout(settings)
    if path is None:
        opened = provider_from_settings(settings)
        return check_data(opened.root, freq=freq or opened.freq, holdout=holdout)
    return check_data(path, freq=freq or "day", holdout=holdout)


def _open_provider(path: Path | str | None, freq: str | None, settings: Settings | None) -> QlibProvider:
    if path is not None:
        return QlibProvider(path, freq=freq or "day")
    if freq is None:
        return provider_from_settings(settings)
    present = current_settings() if settings is None else settings
    return provider_from_settings(present.with_values({"data.freq": freq}, origin="argument"))


def prepare_demo(folder: Path, *, tell: Callable[[str], None]) -> Path:
    """Make the demo's folder where it is missing, and return its campaign's file.

    What is there already stays: an edited ``demo.yaml`` is used as it is, and a market is not made twice.
    """
    (folder / STATE_DIR).mkdir(parents=True, exist_ok=True)
    data = folder / DATA_DIR
    if not data.exists():
        tell(f"making a synthetic market in {data}")
        make_demo_market(data)
    campaign = folder / DEMO_FILE
    if not campaign.exists():
        write_text(campaign, files("rollwright.app").joinpath(DEMO_FILE).read_text(encoding="utf-8"))
    return campaign
