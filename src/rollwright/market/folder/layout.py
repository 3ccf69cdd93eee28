"""Where things lie in a market data folder, and which names are allowed to become paths.

The layout is Qlib's::

    calendars/<freq>.txt             one session a line; <freq>_future.txt also names sessions to come
    instruments/<universe>.txt       code, first and last session, tab separated; several lines are several lifetimes
    features/<code>/<field>.<freq>.bin
    financial/<code>/<field>.*       fields by period, with when each value became known

Folders of instruments are lower case. A code, a field or a universe only becomes part of a path after the checks here,
so that no name can leave the folder.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

from rollwright.calendar.interval import Interval, interval_of
from rollwright.errors import ConfigError, DataError, UnknownFieldError, UnknownInstrumentError

__all__ = [
    "BASE_FIELDS",
    "CALENDARS",
    "FEATURES",
    "FINANCIAL",
    "INSTRUMENTS",
    "bin_path",
    "calendar_path",
    "calendar_stems",
    "check_code",
    "check_field",
    "check_period_field",
    "check_universe",
    "code_of_folder",
    "find_unexpected_files",
    "folder_map",
    "folder_of_code",
    "is_field",
    "is_universe",
    "list_series",
    "normalize_freq",
    "refuse_case_twins",
    "series_files",
    "text_files",
]

CALENDARS: Final = "calendars"
INSTRUMENTS: Final = "instruments"
FEATURES: Final = "features"
FINANCIAL: Final = "financial"

BASE_FIELDS: Final = ("open", "high", "low", "close", "volume", "vwap", "factor", "change", "amount")
"""Fields that every user of market data expects: absent, they read as NaN with a warning; any other is an error."""

_PREFIX: Final = "_qlib_"
_FUTURE: Final = "_future"
# Device names of Windows: a folder may not be called so there, hence Qlib's prefix.
_DEVICES: Final = frozenset(
    ("con", "prn", "aux", "nul", *(f"com{i}" for i in range(10)), *(f"lpt{i}" for i in range(10)))
)
_CODE: Final = re.compile(r"[\w^][\w.\-^=&@+ ]{0,99}")
_FIELD: Final = re.compile(r"[\w、：（）]{1,100}")
_UNIVERSE: Final = re.compile(r"\w[\w.\-]{0,99}")
_FREQ: Final = re.compile(r"([1-9][0-9]{0,3})?(month|mon|week|w|day|d|minute|min)")
_FREQ_UNITS: Final = {"mon": "month", "w": "week", "d": "day", "minute": "min"}


def check_code(code: object) -> str:
    """Return `code` when it may name an instrument.

    Raises
    ------
    UnknownInstrumentError
        When it is no text, or could not be a folder's name on every file system.
    """
    if not isinstance(code, str):
        raise UnknownInstrumentError(
            f"{code!r} is {type(code).__name__}, and codes of instruments are text",
            hint="a code read as a number loses its leading zeros: write '000001', not 1",
        )
    if not _CODE.fullmatch(code) or code[-1] in ". " or code.lower().startswith(_PREFIX):
        raise UnknownInstrumentError(
            f"{code!r} cannot be the code of an instrument",
            hint=f"letters, digits and . - _ ^ = & @ + only, 1 to 100 of them, not beginning with `{_PREFIX}`",
        )
    return code


def check_field(name: object) -> str:
    """Return the field `name` (without ``$``) in lower case when it may be one.

    Raises
    ------
    UnknownFieldError
        When it is no text, or could not be a file's name.
    """
    if not isinstance(name, str) or not _FIELD.fullmatch(name):
        raise UnknownFieldError(f"{name!r} cannot be a field", hint="letters, digits and _ only")
    return name.lower()


def check_period_field(name: object) -> tuple[str, Interval]:
    """Return the field by period `name` (without ``$$``) in lower case, and its interval, when its suffix says one.

    Raises
    ------
    UnknownFieldError
        When it cannot be a field, or does not say what its periods are.
    """
    field = check_field(name)
    interval = interval_of(field)
    if interval is None:
        raise UnknownFieldError(
            f"`$${field}` does not say what its periods are",
            hint=f"end its name with _q (quarters), _a (years), _m (months) or _d (days it holds from): `{field}_q`",
        )
    return field, interval


def is_field(name: str) -> bool:
    """Say whether `name` may be a field."""
    return _FIELD.fullmatch(name) is not None


def check_universe(name: object) -> str:
    """Return the universe `name` in lower case when it may be one.

    Raises
    ------
    UnknownInstrumentError
        When it is no text, or could not be a file's name.
    """
    if not isinstance(name, str) or not _UNIVERSE.fullmatch(name) or name.endswith("."):
        raise UnknownInstrumentError(f"{name!r} cannot be a universe", hint="letters, digits and . - _ only")
    return name.lower()


def is_universe(name: str) -> bool:
    """Say whether `name` may be a universe."""
    return _UNIVERSE.fullmatch(name) is not None


def folder_of_code(code: str) -> str:
    """Return the name of the folder of `code`: lower case, device names prefixed as Qlib does.

    Raises
    ------
    UnknownInstrumentError
        When `code` cannot be one.
    """
    lowered = check_code(code).lower()
    return f"{_PREFIX}{lowered}" if lowered in _DEVICES else lowered


def code_of_folder(folder: str) -> str:
    """Return the code, in upper case, of a folder that no instruments file names.

    The prefix is removed as a whole; stripping its letters, as Qlib does, turns ``_qlib_lpt1`` into ``pt1``.
    """
    return folder.lower().removeprefix(_PREFIX).upper()


def folder_map(root: Path) -> dict[str, tuple[str, ...]]:
    """Return the folders below ``features`` that may hold an instrument, by their names in lower case.

    Several of one name differ only in case: which is meant depends on the file system, and who asks for it is told.
    """
    found: dict[str, tuple[str, ...]] = {}
    for folder in sorted(entry.name for entry in _entries(root / FEATURES) if entry.is_dir()):
        if _CODE.fullmatch(folder):
            found[folder.lower()] = (*found.get(folder.lower(), ()), folder)
    return found


def text_files(root: Path, part: str) -> list[Path]:
    """Return the files of ``calendars`` or ``instruments`` that are named after a frequency, or a universe.

    What else lies there, as hidden files, copies, folders and notes, is none of the data; `find_unexpected_files`
    lists it.
    """
    return [
        path for path in _entries(root / part) if path.suffix == ".txt" and path.is_file() and _is_named(path, part)
    ]


def series_files(root: Path) -> list[Path]:
    """Return the files below ``features`` that are named as series of an instrument."""
    return [root / name for name in list_series(root)]


def list_series(root: Path) -> list[str]:
    """Return those files as paths from the folder; a market has tens of thousands, which are read soonest by text."""
    return [
        f"{FEATURES}/{folder}/{name}"
        for folders in folder_map(root).values()
        for folder in folders
        for name in _list_files(f"{root}/{FEATURES}/{folder}")
        if _is_series(name)
    ]


def _list_files(folder: str) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if entry.is_file())


def find_unexpected_files(root: Path) -> list[str]:
    """Return what lies among a folder's data and is none of it, as paths from the folder."""
    own = {*text_files(root, CALENDARS), *text_files(root, INSTRUMENTS), *series_files(root)}
    found = [path for part in (CALENDARS, INSTRUMENTS) for path in _entries(root / part) if path not in own]
    for path in _entries(root / FEATURES):
        if not path.is_dir() or not _CODE.fullmatch(path.name):
            found.append(path)
        else:
            found.extend(inner for inner in _entries(path) if inner not in own)
    return [path.relative_to(root).as_posix() for path in found]


def calendar_stems(root: Path) -> list[str]:
    """Return how the calendars of a folder spell their frequencies."""
    return [path.stem for path in text_files(root, CALENDARS) if not path.stem.endswith(_FUTURE)]


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _is_named(path: Path, part: str) -> bool:
    if part == INSTRUMENTS:
        return is_universe(path.stem)
    return _FREQ.fullmatch(path.stem.lower().removesuffix(_FUTURE)) is not None


def _is_series(name: str) -> bool:
    field, _, rest = name.lower().partition(".")
    freq, _, suffix = rest.rpartition(".")
    return suffix == "bin" and bool(_FIELD.fullmatch(field)) and bool(_FREQ.fullmatch(freq))


def refuse_case_twins(codes: list[str], *, where: str) -> None:
    """Refuse two codes that would share one folder.

    Raises
    ------
    DataError
        Naming the first such pair.
    """
    seen: dict[str, str] = {}
    for code in codes:
        twin = seen.setdefault(code.lower(), code)
        if twin != code:
            raise DataError(
                f"{where} has the codes `{twin}` and `{code}`, which differ only in case",
                hint="both would lie in one folder: rename one of them",
            )


def normalize_freq(freq: str) -> str:
    """Return the one spelling of a frequency: ``day``, ``week``, ``month``, ``1min``, ``5min``.

    Raises
    ------
    ConfigError
        When it is none.
    """
    match = _FREQ.fullmatch(freq.strip().lower()) if isinstance(freq, str) else None
    if match is None:
        raise ConfigError(f"{freq!r} is no frequency", hint="as `day`, `1min`, `5min`, `week`")
    count = int(match[1] or 1)
    unit = _FREQ_UNITS.get(match[2], match[2])
    return unit if count == 1 and unit != "min" else f"{count}{unit}"


def calendar_path(root: Path, freq: str) -> Path | None:
    """Return the calendar file of `freq`, however its name spells it (``day.txt``, ``1d.txt``); None without one."""
    wanted = normalize_freq(freq)
    folder = root / CALENDARS
    exact = folder / f"{wanted}.txt"
    if exact.is_file():
        return exact
    return next((folder / f"{stem}.txt" for stem in calendar_stems(root) if normalize_freq(stem) == wanted), None)


def bin_path(folder: str, field: str, token: str) -> str:
    """Return the path, from the data folder, of one field of one instrument; `token` is the frequency's spelling."""
    return f"{FEATURES}/{folder}/{field}.{token}.bin"
