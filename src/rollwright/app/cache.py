"""List and prune the feature store."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Literal, TypeAlias

from rollwright.config.context import current_settings
from rollwright.config.settings import Settings
from rollwright.core.clock import Clock, SystemClock
from rollwright.core.locks import probe_lock
from rollwright.errors import ConfigError, DataError, RollwrightError
from rollwright.features.generations import generation_of
from rollwright.features.store.file import Header
from rollwright.features.store.size import StoreEntry, entries, remove
from rollwright.market.current import open_market

__all__ = ["CacheFile", "CacheListing", "Pruning", "list_cache", "plan_pruning", "prune_cache"]

_logger: Final = logging.getLogger("rollwright.app")
GIGABYTE: Final = 1_000_000_000

State = Literal["current", "stale", "unknown", "left over"]
_Read: TypeAlias = tuple[str, tuple[str, ...]]
"""A frequency, and the fields by period that are read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheFile:
    """One data file of the feature store.

    Attributes
    ----------
    path : str
        Relative to the store's folder.
    freq, universe : str
        ``series`` is every instrument.
    expression : str
        The first of its columns, as a hint to what they are.
    columns, rows, size : int
        `size` in bytes.
    last_used : str
        When it was last opened, in UTC; empty for what a crash left over.
    state : str
        ``current``: computed from the market data of the current context as they are now; ``stale``: from others, or
        from an earlier state of them; ``unknown``: no market data are set; ``left over``: a build that did not end.
    in_use : bool
        Whether some process has it open.
    """

    path: str
    freq: str
    universe: str
    expression: str
    columns: int
    rows: int
    size: int
    last_used: str
    state: State
    in_use: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheListing:
    """What the feature store holds, the longest unused first; `size` in bytes."""

    root: Path
    files: tuple[CacheFile, ...]
    size: int
    limit: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruning:
    """Result of pruning: files removed or to be removed, their bytes, and files kept because they are open."""

    root: Path
    files: tuple[CacheFile, ...]
    size: int
    in_use: tuple[CacheFile, ...]


def list_cache(settings: Settings | None = None) -> CacheListing:
    """Return what the feature store of `settings` (the current ones if not given) holds."""
    present = current_settings() if settings is None else settings
    root = present.resolve(present.store.path)
    found = entries(root)
    generations = _generations({(entry.freq, entry.periods) for entry in found}, present)
    limit = present.store.max_size
    return CacheListing(
        root=root,
        files=tuple(_describe_entry(entry, root, generations) for entry in found),
        size=sum(entry.size for entry in found),
        limit=None if limit is None else int(limit * GIGABYTE),
    )


def plan_pruning(
    *,
    older_than: float | None = None,
    max_size: float | None = None,
    stale: bool = False,
    settings: Settings | None = None,
    clock: Clock | None = None,
) -> Pruning:
    """Return what `prune_cache` would remove; nothing is changed.

    Parameters
    ----------
    older_than : float, optional
        Days: what was last opened before goes.
    max_size : float, optional
        GB: of what is left, the longest unused goes until no more is taken. ``store.max_size`` when nothing else is
        asked for.
    stale : bool
        What was not computed from the market data of the current context as they are now goes.

    Raises
    ------
    ConfigError
        When nothing says what is to go, or a number is negative.
    DataNotFoundError
        For `stale`, when no market data are set.
    """
    present = current_settings() if settings is None else settings
    listing = list_cache(present)
    if max_size is None and older_than is None and not stale:
        max_size = present.store.max_size
        if max_size is None:
            raise ConfigError("nothing says what is to go", hint="give --stale, --older-than DAYS or --max-size GB")
    for name, value in (("older_than", older_than), ("max_size", max_size)):
        if value is not None and not 0 <= value < float("inf"):
            raise ConfigError(f"{name} is {value}", hint="give a number from 0 on")
    if stale:
        open_market(present)  # without market data nothing can be told stale
    before = "" if older_than is None else _iso((clock or SystemClock()).now() - timedelta(days=older_than))
    chosen = [
        file
        for file in listing.files
        if (stale and file.state == "stale") or file.state == "left over" or file.last_used < before
    ]
    if max_size is not None:
        left = listing.size - sum(file.size for file in chosen if not file.in_use)
        for file in listing.files:
            if left <= max_size * GIGABYTE:
                break
            if file not in chosen:
                chosen.append(file)
                left -= 0 if file.in_use else file.size
    going = tuple(file for file in chosen if not file.in_use)
    return Pruning(
        root=listing.root,
        files=going,
        size=sum(file.size for file in going),
        in_use=tuple(file for file in chosen if file.in_use),
    )


def prune_cache(plan: Pruning) -> Pruning:
    """Remove the files of `plan` and return what was removed; files opened in the meantime are kept.

    What is asked for again is computed again: no result is lost.
    """
    wanted = {file.path: file for file in plan.files}
    present = [entry for entry in entries(plan.root) if _relative(entry.path, plan.root) in wanted]
    gone = {_relative(entry.path, plan.root) for entry in remove(present)}
    there = [_relative(entry.path, plan.root) for entry in present]
    files = tuple(file for path, file in wanted.items() if path in gone)
    stayed = tuple(wanted[path] for path in there if path not in gone)
    _logger.info("cache.pruned root=%s files=%d", plan.root, len(files))
    return Pruning(root=plan.root, files=files, size=sum(file.size for file in files), in_use=(*plan.in_use, *stayed))


def _generations(read: Iterable[_Read], settings: Settings) -> dict[_Read, str | None]:
    """Return the present generation of each frequency and fields by period that files were computed from."""
    found: dict[_Read, str | None] = {}
    for freq, periods in read:
        try:
            source = open_market(settings.with_values({"data.freq": freq}, origin="argument"))
            found[freq, periods] = generation_of(source, periods)
        except DataError:  # no market data, none of that frequency, or none by period
            found[freq, periods] = None
    return found


def _describe_entry(entry: StoreEntry, root: Path, generations: Mapping[_Read, str | None]) -> CacheFile:
    path = _relative(entry.path, root)
    state: State = "left over"
    if entry.headers:
        known = generations.get((entry.freq, entry.periods))
        state = "unknown" if known is None else "current" if known in entry.generations else "stale"
    return CacheFile(
        path=path,
        freq=entry.freq,
        universe=Path(path).parts[2],
        expression=_first_expression(entry),
        columns=entry.columns,
        rows=entry.rows,
        size=entry.size,
        last_used=_iso(datetime.fromtimestamp(entry.used, UTC)) if entry.headers else "",
        state=state,
        in_use=probe_lock(entry.path) is True,
    )


def _first_expression(entry: StoreEntry) -> str:
    try:
        return Header.read(entry.headers[-1]).expressions[0] if entry.headers else ""
    except (FileNotFoundError, RollwrightError):  # it went while we looked
        return ""


def _relative(path: Path, root: Path) -> str:
    return Path(os.path.relpath(path, root)).as_posix()


def _iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
