"""Which windows a campaign has put into its pool, noted in the project, so that later commands need no plan."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from rollwright.core.atomic import write_text
from rollwright.core.bounded_read import MEDIUM, read_text
from rollwright.errors import CorruptFileError

__all__ = ["SubmittedWindow", "SubmittedWindows"]

_FORMAT: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmittedWindow:
    """A window of a campaign and its task.

    Attributes
    ----------
    name : str
        As messages call it.
    variant, segment : str
        Its key.
    task_id : str
    fingerprint : str
        The identity of its task.
    segments : mapping of str to (str, str)
        First and last session of each role, as ``2016-01-04``.
    """

    name: str
    variant: str
    segment: str
    task_id: str
    fingerprint: str
    segments: Mapping[str, tuple[str, str]]

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "name": self.name,
            "variant": self.variant,
            "segment": self.segment,
            "task": self.task_id,
            "fingerprint": self.fingerprint,
            "segments": {role: [*ends] for role, ends in self.segments.items()},
        }

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """Return what `to_json` wrote."""
        return cls(
            name=str(value["name"]),
            variant=str(value["variant"]),
            segment=str(value["segment"]),
            task_id=str(value["task"]),
            fingerprint=str(value["fingerprint"]),
            segments={str(role): (str(first), str(last)) for role, (first, last) in value["segments"].items()},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmittedWindows:
    """The windows of a campaign as they were submitted last, in the order of the plan.

    Attributes
    ----------
    windows : tuple of SubmittedWindow
    own_pool : bool
        Whether they are in another store than the project's settings name, as the campaign's file says.
    """

    windows: tuple[SubmittedWindow, ...]
    own_pool: bool = False

    def write(self, path: Path) -> None:
        """Write it to `path`, whole or not at all; what is there already is not written again."""
        lines = ",\n".join(json.dumps(window.to_json(), ensure_ascii=False) for window in self.windows)
        own_pool = json.dumps(self.own_pool)
        text = f'{{"format": {_FORMAT}, "own_pool": {own_pool}, "windows": [\n{lines}\n]}}\n'
        try:
            if read_text(path, limit=MEDIUM) == text:
                return
        except (OSError, ValueError):
            pass  # there is none, or none that can be read
        write_text(path, text)

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """Return what was written to `path`; None when nothing was.

        Raises
        ------
        CorruptFileError
            When it cannot be read.
        """
        try:
            found = json.loads(read_text(path, limit=MEDIUM))
            if found["format"] != _FORMAT:
                raise ValueError(f"its format is {found['format']!r}, not {_FORMAT}")
            windows = tuple(SubmittedWindow.from_json(window) for window in found["windows"])
            return cls(windows=windows, own_pool=found.get("own_pool") is True)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise CorruptFileError(
                path,
                f"it does not say which windows were submitted: {error}",
                hint="give the campaign's command again: it writes it anew",
            ) from error
