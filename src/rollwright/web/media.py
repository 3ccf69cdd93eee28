"""The formats that answers come in, and which of them a client asked for."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

__all__ = ["BY_FORMAT", "Media", "accepts_gzip", "choose_media"]

_LONGEST: Final = 1_000
_MOST: Final = 40


class Media(Enum):
    """A format of a table, by its media type."""

    JSON = "application/json"
    CSV = "text/csv; charset=utf-8"
    ARROW = "application/vnd.apache.arrow.stream"
    PARQUET = "application/vnd.apache.parquet"

    @property
    def plain(self) -> str:
        """The media type without parameters."""
        return self.value.partition(";")[0]

    @property
    def suffix(self) -> str:
        """What a file of it ends in, and what ``?format=`` calls it."""
        return self.name.lower()


BY_FORMAT: Final = {media.suffix: media for media in Media}
_BY_TYPE: Final = {media.plain: media for media in Media}
_WILDCARDS: Final = {"*/*": Media.JSON, "application/*": Media.JSON, "text/*": Media.CSV}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    name: str
    quality: float


def choose_media(accept: str) -> Media | None:
    """Return the format that the header ``Accept`` prefers; None where it takes none of them.

    Of formats that are wanted as much the first that is named is taken; an empty header takes JSON.
    """
    wanted = _parse_qualities(accept)
    if not wanted:
        return Media.JSON
    refused = {_BY_TYPE[one.name] for one in wanted if one.name in _BY_TYPE and one.quality == 0}
    for one in sorted(wanted, key=lambda one: -one.quality):
        found = _BY_TYPE.get(one.name) or _WILDCARDS.get(one.name)
        if found is not None and one.quality > 0 and found not in refused:
            return found
    return None


def accepts_gzip(encoding: str) -> bool:
    """Tell whether the header ``Accept-Encoding`` takes gzip."""
    by_name = {one.name: one.quality for one in _parse_qualities(encoding)}
    return by_name.get("gzip", by_name.get("*", 0.0)) > 0


def _parse_qualities(header: str) -> list[_Wanted]:
    found = []
    for part in header[:_LONGEST].split(",")[:_MOST]:
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        if name:
            found.append(_Wanted(name=name, quality=_read_quality(parameters)))
    return found


def _read_quality(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                quality = float(value)
            except ValueError:
                return 0.0
            return quality if 0 <= quality <= 1 else 0.0
    return 1.0
