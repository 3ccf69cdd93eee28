"""Market data in Qlib's provider layout, read as the expressions' `DataSource` and `VintageSource`."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rollwright.calendar.files import read_calendar
from rollwright.calendar.trading import TradingCalendar
from rollwright.config.context import current_settings
from rollwright.config.settings import DEFAULT_FREQ, Settings
from rollwright.core.bounded_read import MEDIUM, read_whole
from rollwright.core.file_uris import read_path
from rollwright.errors import (
    CorruptFileError,
    DataNotFoundError,
    UnknownFieldError,
    UnknownInstrumentError,
    nearest,
)
from rollwright.market.folder.bins import Span, content_digest, read_span
from rollwright.market.folder.field_cache import MEGABYTE, FieldCache
from rollwright.market.folder.file_index import FileIndex, FolderIndex, TableIndex
from rollwright.market.folder.identity import FolderIdentity
from rollwright.market.folder.layout import (
    BASE_FIELDS,
    INSTRUMENTS,
    calendar_path,
    calendar_stems,
    check_field,
    check_universe,
    code_of_folder,
    folder_of_code,
    is_universe,
    normalize_freq,
)
from rollwright.market.folder.manifest import (
    FileEntry,
    Manifest,
    external_generation,
    file_table,
    read_files,
    read_manifest,
    text_stamps,
)
from rollwright.market.folder.periods.period_folder import PeriodFolder
from rollwright.market.folder.recent_sessions import RECENT_SESSIONS, RecentSessions, read_recent_sessions
from rollwright.market.folder.universe import parse_lifetimes, universe_names
from rollwright.market.generations import count_unchanged, read_generation
from rollwright.market.source import FieldKind, Lifetimes, Vintages, check_rows

__all__ = ["QlibProvider", "folder_from_settings", "provider_from_settings"]

_logger: Final = logging.getLogger("rollwright.market")

_HINT: Final = (
    "make a synthetic market with `rollwright data demo --out DIR`, import yours with `rollwright data import`, "
    "and name its folder: `qlib_init: {provider_uri: DIR}` in the campaign's file, `--provider-uri DIR`, "
    "or `provider_uri` beneath `[data]` in rollwright.toml"
)
_TILE: Final = 256  # rows moved at once from series-major to session-major order


class QlibProvider:
    """One frequency of a data folder in Qlib's layout, and its fields by period.

    Implements `rollwright.market.source.DataSource` and `VintageSource`.

    Guarantees: what is returned is what the files hold, or an error; never a value from another version of the folder
    than the one that was opened. Of a folder that rollwright wrote, every file's bytes are checked against the
    manifest when it is first read. Not guaranteed: that a folder of other tools is not changed in place while it is
    read.

    Parameters
    ----------
    path : Path or str
        The folder that holds ``calendars``, ``instruments`` and ``features``.
    freq : str
        ``day``, ``1min``, ``5min`` …, in any of Qlib's spellings.
    cache : FieldCache, optional
        Where series once decoded are kept; none are if not given.
    use_recent_copy : bool
        Whether the last sessions may be read from the copy that an import makes of them (`recent_sessions`). With
        False every value comes from its series, whose bytes are checked.

    Raises
    ------
    DataNotFoundError
        When there is no such folder, or no calendar of that frequency in it.
    CorruptFileError
        When the calendar or the manifest is damaged.
    """

    def __init__(
        self, path: Path | str, *, freq: str = "day", cache: FieldCache | None = None, use_recent_copy: bool = True
    ) -> None:
        self.cache = cache if cache is not None else FieldCache(0)
        self._root = read_path(path).resolve()
        if not self._root.is_dir():
            raise DataNotFoundError(path, "there is no such folder", hint=_HINT)
        self._identity = FolderIdentity(self._root)
        found = calendar_path(self._root, freq)
        if found is None:
            have = calendar_stems(self._root)
            raise DataNotFoundError(
                path, f"it has no calendar of frequency {normalize_freq(freq)} (there: {', '.join(have) or 'none'})",
                hint=_HINT,
            )  # fmt: skip
        self._freq = normalize_freq(freq)
        self._token = found.stem
        self._stamps = text_stamps(self._root)
        self._manifest: Manifest | None = None
        self._files: dict[str, FileEntry] = {}
        try:
            manifest = read_manifest(self._root)
            if manifest is not None:
                self._manifest, table = manifest
                self._files = read_files(self._root, table)
        except CorruptFileError:
            self._identity.check()  # a manifest and a table of two versions are no damage
            raise
        self._calendar = self._read_calendar(found)
        self._periods = PeriodFolder(self._root, self._files if self._manifest is not None else None)
        self._index_cache: FileIndex | None = None
        self._codes_cache: dict[str, str] | None = None
        self._latest_bounds: tuple[tuple[str, ...], NDArray[np.int64]] | None = None
        self._members: dict[str, Lifetimes] = {}
        self._generation_cache: str | None = None
        self._recent_cache: RecentSessions | None = None
        self._recent_read = not use_recent_copy
        self._verified: set[tuple[str, str]] = set()
        self._warned: set[str] = set()

    def __reduce__(self) -> tuple[object, ...]:
        return _reopen, (str(self._root), self._freq, self.cache.limit)

    def __repr__(self) -> str:
        return f"QlibProvider({str(self._root)!r}, freq={self._freq!r})"

    @property
    def root(self) -> Path:
        """The data folder."""
        return self._root

    @property
    def freq(self) -> str:
        """Frequency of the calendar, as ``day`` or ``5min``."""
        return self._freq

    @property
    def manifest(self) -> Manifest | None:
        """The manifest; None for a folder of other tools."""
        return self._manifest

    @property
    def token(self) -> str:
        """How the folder's files spell the frequency."""
        return self._token

    def files(self) -> dict[str, FileEntry]:
        """Return every file of calendars, instruments and features, of all frequencies, with its digest.

        Of a folder of other tools every file is read.
        """
        return dict(self._files) if self._manifest is not None else file_table(self._root)

    @property
    def generation(self) -> str:
        """Identity of the daily data: differs whenever any value, session or lifetime may differ.

        What is known of fields by period has another, `vintage_generation`.
        """
        if self._generation_cache is None:
            if self._manifest is None:
                self._generation_cache = external_generation(self._root)
            else:
                self._generation_cache = self._manifest.series_generation + self._unlisted()
        return self._generation_cache

    def calendar(self) -> TradingCalendar:
        """Return the sessions, future ones included where they are known."""
        return self._calendar

    def instruments(self) -> tuple[str, ...]:
        """Return every instrument that has a series, sorted by code."""
        return tuple(self._codes)

    def universes(self) -> tuple[str, ...]:
        """Return the names of the universes, sorted."""
        return tuple(self._universe_stems())

    def fields(self) -> tuple[str, ...]:
        """Return every field that some instrument has, sorted."""
        return tuple(sorted(self._index.fields()))

    def fields_of(self, code: str) -> tuple[str, ...]:
        """Return the fields that one instrument has, sorted."""
        folder = self._folder(code)
        return tuple(field for field in self.fields() if self._index.has(folder, field))

    def members(self, universe: str) -> Lifetimes:
        """Return who belongs to `universe`, and when; some of them may have no series.

        Raises
        ------
        UnknownInstrumentError
            When there is no such universe; carries the nearest name.
        CorruptFileError
            When its file is damaged.
        """
        name = check_universe(universe)
        if name not in self._members:
            known: dict[str, str] = {}
            for found in self._universe_stems():
                twin = known.setdefault(found.lower(), found)
                if twin != found and found.lower() == name:
                    reason = f"the files `{twin}.txt` and `{found}.txt` differ only in case"
                    raise CorruptFileError(self._root / INSTRUMENTS, reason, hint="remove one of them")
            if name not in known:
                close = nearest(name, known)
                hint = f"did you mean `{close}`?" if close else f"known: {', '.join(sorted(known)) or 'none'}"
                raise UnknownInstrumentError(f"there is no universe `{universe}` in {self._root}", hint=hint)
            path = self._root / INSTRUMENTS / f"{known[name]}.txt"
            self._members[name] = parse_lifetimes(path, self._read_checked(path))
            self._identity.check()
        return self._members[name]

    def spelling(self) -> dict[str, str]:
        """Return the codes that the instruments files name, by the names of their folders.

        A file that is damaged names none: it stops who asks for its universe, and nobody else.
        """
        return {folder_of_code(code): code for name in self.universes() for code in self._spelled(name)}

    def bounds(self, instruments: Sequence[str]) -> NDArray[np.int64]:
        """Return ``[n, 2]``: the calendar positions of each series' first row and one past its last.

        Raises
        ------
        UnknownInstrumentError
            For an instrument without a series; carries the nearest code.
        """
        asked = tuple(instruments)
        if self._latest_bounds is None or self._latest_bounds[0] != asked:
            rows = [self._index.bounds(self._folder(code)) for code in asked]
            self._latest_bounds = asked, np.array(rows, np.int64).reshape(len(rows), 2)
        return self._latest_bounds[1].copy()

    def field_bounds(self, fields: Sequence[str], instruments: Sequence[str]) -> NDArray[np.int64]:
        """Return ``[fields, n, 2]``: the same for each field's own series; ``[0, 0]`` where there is none.

        Raises
        ------
        UnknownInstrumentError
            For an instrument without a series; carries the nearest code.
        """
        names = [check_field(field) for field in fields]
        found = [self._index.spans(self._folder(code)) for code in instruments]
        rows = [[spans.get(name, (0, 0)) for spans in found] for name in names]
        return np.array(rows, np.int64).reshape(len(names), len(found), 2)

    def missing_fields(self, fields: Sequence[str]) -> tuple[str, ...]:
        """Return those of `fields` (without ``$``) that no instrument has."""
        return tuple(field for field in fields if check_field(field) not in self._index.fields())

    def load(self, fields: Sequence[str], instruments: Sequence[str], start: int, stop: int) -> NDArray[np.float32]:
        """Return ``[fields, stop - start, instruments]``, NaN outside each series and for fields it lacks.

        A base field that no instrument has is NaN throughout, with one warning for this provider that names it.

        Parameters
        ----------
        fields : sequence of str
            Names without ``$``.
        instruments : sequence of str
        start, stop : int
            Calendar positions, half open.

        Raises
        ------
        UnknownInstrumentError
            For an instrument without a series.
        UnknownFieldError
            For a field that no instrument has and that is none of the base fields.
        CorruptFileError
            When a file is not what the format or the manifest demands.
        DataError
            When the folder was replaced since it was opened, or the range is none of the calendar.
        """
        check_rows(start, stop, self._calendar)
        names = [check_field(field) for field in fields]
        self._check_known(names)
        folders = [self._folder(code) for code in instruments]
        recent = self._recent(start)
        if recent is not None:
            block = recent.copy_block(names, folders, start, stop)
            self._identity.check()
            return block
        block = np.empty((len(names), stop - start, len(folders)), np.float32)
        lanes = np.empty((len(folders), stop - start), np.float32)
        for place, name in enumerate(names):
            if name in self._index.fields():
                lanes.fill(np.nan)
                for folder, lane in zip(folders, lanes, strict=True):
                    self._fill(lane, folder, name, start)
                for low in range(0, stop - start, _TILE):
                    block[place, low : low + _TILE] = lanes[:, low : low + _TILE].T
            else:
                block[place] = np.nan
        self._identity.check()
        return block

    @property
    def periods(self) -> PeriodFolder:
        """The fields by period, also of instruments without a series."""
        return self._periods

    def period_fields(self) -> tuple[str, ...]:
        """Return the fields by period that any instrument has, without ``$$``, sorted."""
        return tuple(self._periods.files)

    def field_kind(self, field: str) -> FieldKind:
        """Return what `field` (without ``$$``) measures, as an import said.

        Raises
        ------
        UnknownFieldError
            When no instrument has the field.
        CorruptFileError
            When the list of kinds is damaged.
        """
        return self._periods.kind(field)

    def vintage_generation(self, fields: Sequence[str]) -> str:
        """Return the identity of all that is known of `fields`: differs whenever a value or a kind of them may."""
        return self._periods.generation(fields)

    def vintages(self, field: str, instruments: Sequence[str]) -> Vintages:
        """Return every value of `field` (without ``$$``) of `instruments`; each became known at midnight of its day.

        Raises
        ------
        UnknownFieldError
            When no instrument has the field.
        UnknownInstrumentError
            For an instrument without a series.
        CorruptFileError
            When a file is not what the format or the manifest demands.
        DataError
            When the folder was replaced since it was opened.
        """
        folders = [self._folder(code) for code in instruments]
        try:
            found = self._periods.vintages(field, folders)
        except CorruptFileError:
            self._identity.check()  # bytes of a newer version are no damage
            raise
        self._identity.check()
        return found

    def unchanged_before(self, generation: str) -> int:
        """Return how many sessions, from the first, have in every series the values of an older `generation`.

        Of all expressions without look-ahead, those many rows can be taken over from what was computed then; a series
        that is new has no rows before. 0 when `generation` is not known to be an earlier state of this folder. Of the
        folder seen from a moment, as before a sealed holdout, no more than up to that moment.
        """
        seen, own = read_generation(generation)
        return count_unchanged(self._unchanged_before(own), seen, self._calendar)

    def _unchanged_before(self, generation: str) -> int:
        if generation == self.generation:
            return self._calendar.known
        if self._manifest is None:
            return 0
        try:
            changed = self._manifest.first_changed_since(generation.partition("+")[0], freq=self._freq)
        except LookupError:
            return 0
        if changed is None:
            return self._calendar.known
        return int(np.searchsorted(self._calendar.values, np.datetime64(changed, "s")))

    @property
    def is_current(self) -> bool:
        """Whether the folder is still the one that was opened, with the calendars and universes it had then.

        Cheap, and so not the whole truth of a folder of other tools: series rewritten without a new session show in
        the `generation` of a provider opened anew.
        """
        return self._identity.holds() and text_stamps(self._root) == self._stamps

    @property
    def _index(self) -> FileIndex:
        if self._index_cache is None:
            if self._manifest is None:
                self._index_cache = FolderIndex(self._root, self._token, sessions=self._calendar.known)
            else:
                self._index_cache = TableIndex(self._root, self._files, self._token)
        return self._index_cache

    @property
    def _codes(self) -> dict[str, str]:
        """Codes and their folders, sorted by code: spelled as an instruments file does, else in upper case."""
        if self._codes_cache is None:
            spelling = self.spelling()
            self._codes_cache = dict(
                sorted((spelling.get(folder, code_of_folder(folder)), folder) for folder in self._index.folders())
            )
        return self._codes_cache

    def _spelled(self, universe: str) -> Iterable[str]:
        try:
            return self.members(universe)
        except CorruptFileError as error:
            if universe not in self._warned:
                self._warned.add(universe)
                _logger.info("data.universe_unreadable path=%s reason=%s", error.path, error.reason)
            return ()

    def _folder(self, code: str) -> str:
        try:
            return self._codes[code]
        except (KeyError, TypeError):
            pass
        folder = folder_of_code(code)
        if folder in self._codes.values():  # Qlib takes a code in any case
            return folder
        close = nearest(code, self._codes)
        raise UnknownInstrumentError(
            f"instrument `{code}` has no {self._freq} series in {self._root}",
            hint=f"did you mean `{close}`?" if close else "`rollwright data info` lists what there is",
        )

    def _recent(self, start: int) -> RecentSessions | None:
        """Return the last sessions of all series when `start` is one of them and an import has written them."""
        if self._manifest is None or start < self._calendar.known - RECENT_SESSIONS:
            return None
        if not self._recent_read:
            self._recent_read = True
            self._recent_cache = read_recent_sessions(self._root, self._token, self._manifest.generation)
        return self._recent_cache if self._recent_cache is not None and start >= self._recent_cache.first else None

    def _check_known(self, names: Iterable[str]) -> None:
        for name in names:
            if name in self._index.fields() or name in self._warned:
                continue
            if name not in BASE_FIELDS:
                close = nearest(name, {*self._index.fields(), *BASE_FIELDS})
                raise UnknownFieldError(
                    f"no instrument in {self._root} has the field `${name}`",
                    hint=f"did you mean `${close}`?" if close else f"known: {', '.join(self.fields())}",
                )
            self._warned.add(name)
            _logger.warning("data.field_missing field=$%s source=%s action=nan", name, self._root)

    def _fill(self, lane: NDArray[np.float32], folder: str, field: str, start: int) -> None:
        if not self._index.has(folder, field):
            return
        span = self.cache.get((folder, field))
        if span is None:
            kept = self.cache.limit > 0
            wanted = (0, self._calendar.known) if kept else (start, start + len(lane))
            span = self._read(folder, field, *wanted)
            if kept:
                self.cache.put((folder, field), span)
        low, high = max(span.first, start), min(span.first + len(span.values), start + len(lane))
        if low < high:
            lane[low - start : high - start] = span.values[low - span.first : high - span.first]

    def _read(self, folder: str, field: str, low: int, high: int) -> Span:
        key = (folder, field)
        path = self._index.path(folder, field)
        digest = None if key in self._verified else self._index.digest(folder, field)
        try:
            span = read_span(path, low, high, sessions=self._calendar.known, digest=digest)
        except FileNotFoundError as error:
            self._identity.check()
            raise CorruptFileError(path, "it is missing") from error
        except CorruptFileError:
            self._identity.check()  # bytes of a newer version are no damage
            raise
        self._verified.add(key)
        return span

    def _read_calendar(self, path: Path) -> TradingCalendar:
        for file in (path, path.with_name(f"{path.stem}_future.txt")):
            if file.is_file():
                self._read_checked(file)
        calendar = read_calendar(self._root, self._token)
        if self._freq == "day":
            _check_days(path, calendar)
        self._identity.check()
        return calendar

    def _universe_stems(self) -> list[str]:
        """Return the names of the universes there are, and of those the manifest lists, sorted."""
        listed = [name for name in self._files if name.startswith(f"{INSTRUMENTS}/")]
        stems = {*universe_names(self._root), *(Path(name).stem for name in listed if is_universe(Path(name).stem))}
        return sorted(stems)

    def _read_checked(self, path: Path) -> bytes:
        try:
            data = read_whole(path, limit=MEDIUM)
        except FileNotFoundError as error:
            self._identity.check()
            raise CorruptFileError(path, "it is missing, and the manifest lists it") from error
        except OSError as error:
            raise CorruptFileError(path, f"it cannot be read: {error.strerror}") from error
        entry = self._files.get(path.relative_to(self._root).as_posix())
        if entry is not None and content_digest(data) != entry.digest:
            raise CorruptFileError(
                path,
                "its bytes are not the ones that were imported",
                hint="if you changed it on purpose: `rollwright data check DIR --accept`",
            )
        return data

    def _unlisted(self) -> str:
        """Return a mark for universes that somebody added by hand, which the manifest does not know."""
        texts = [
            f"{name}\t{content_digest(read_whole(self._root / INSTRUMENTS / f'{name}.txt', limit=MEDIUM))}\n"
            for name in self.universes()
            if f"{INSTRUMENTS}/{name}.txt" not in self._files
        ]
        return f"+{content_digest(''.join(texts).encode())[:8]}" if texts else ""


def _check_days(path: Path, calendar: TradingCalendar) -> None:
    days = calendar.values.astype("datetime64[D]")
    timed = np.flatnonzero(days != calendar.values)
    if len(timed):
        at = int(timed[0])
        raise CorruptFileError(path, f"line {at + 1}: {calendar[at]} has a time of day in a calendar of days")
    weekend = np.flatnonzero((days.astype(np.int64) + 3) % 7 >= 5)
    if len(weekend):
        at = int(weekend[0])
        _logger.warning(
            "calendar.weekend_sessions path=%s sessions=%d line=%d first=%s",
            path, len(weekend), at + 1, days[at],
        )  # fmt: skip


def _reopen(path: str, freq: str, kept: int) -> QlibProvider:
    return QlibProvider(path, freq=freq, cache=FieldCache(kept))


class _Last:
    """The provider `provider_from_settings` opened last: a value any call can make again."""

    opened: QlibProvider | None = None


def _folder_of_freq(settings: Settings) -> str | None:
    """Return the folder that is named for the frequency of `settings`, else the one that stands for all."""
    wanted = normalize_freq(settings.data.freq)
    for name, folder in settings.data.provider_uris.items():
        if name != DEFAULT_FREQ and normalize_freq(name) == wanted:
            return folder
    return settings.data.provider_uri


def folder_from_settings(settings: Settings) -> Path:
    """Return the data folder that `settings` name for their frequency, whether or not it is there.

    Raises
    ------
    DataNotFoundError
        When ``data.provider_uri`` is not set.
    """
    uri = _folder_of_freq(settings)
    if uri is None:
        raise DataNotFoundError("(not set)", "no `data.provider_uri` is set", hint=_HINT)
    return settings.resolve(uri)


def _check_there(settings: Settings, folder: Path) -> None:
    """Refuse a folder that is not there, and say where the search began, and where one of that name is."""
    if folder.exists():
        return
    uri = str(settings.data.provider_uri)
    origin = settings.origins.get("data.provider_uri", "default")
    begins = "" if Path(uri).is_absolute() else f", which begins at the project folder {settings.root}"
    beside = [Path.cwd(), *([settings.resolve(settings.trust.folder)] if settings.trust.folder else [])]
    others = [place / uri for place in beside if (place / uri).is_dir()]
    raise DataNotFoundError(
        folder,
        f"there is no such folder; `data.provider_uri` is `{uri}` ({origin}){begins}",
        hint=f"there is one at {others[0]}: name it from the project folder" if others else _HINT,
    )


def provider_from_settings(settings: Settings | None = None) -> QlibProvider:
    """Return the provider of the current market as it stands at this moment.

    The one opened last is returned again while its folder is unchanged. It keeps the series it decoded, up to
    ``data.mem_cache_size_limit``.

    Raises
    ------
    DataNotFoundError
        When ``data.provider_uri`` is not set, or nothing lies there.
    """
    present = current_settings() if settings is None else settings
    root = folder_from_settings(present)
    _check_there(present, root)
    freq = normalize_freq(present.data.freq)
    limit = int(present.data.mem_cache_size_limit * MEGABYTE)
    last = _Last.opened
    if last is None or (last.root, last.freq) != (root, freq) or not last.is_current:
        last = _Last.opened = QlibProvider(root, freq=freq, cache=FieldCache(limit))
    elif last.cache.limit != limit:
        last.cache.resize(limit)
    return last
