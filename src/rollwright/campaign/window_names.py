"""Windows as somebody names them on the command line and in a file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from rollwright.errors import ConfigError, nearest

__all__ = ["find_named_windows"]


class _Keyed(Protocol):
    """What is asked of a window."""

    @property
    def variant(self) -> str: ...

    @property
    def segment(self) -> str: ...


def find_named_windows(text: str, windows: Mapping[str, _Keyed], *, campaign: str = "the campaign") -> list[str]:
    """Return the names of the windows that `text` means: by the whole name, by how its test begins, or by its member.

    Parameters
    ----------
    text : str
    windows : mapping of str to object
        By name, each with its ``variant`` and ``segment``.
    campaign : str
        How errors call the campaign.

    Raises
    ------
    ConfigError
        When it names none, or is empty, which every name begins with.
    """
    if not text:
        raise ConfigError(
            "an empty text names no window", hint="is a variable of the shell empty? For all windows, name none"
        )
    found = [name for name, key in windows.items() if text in (key.variant, name) or key.segment.startswith(text)]
    if not found:
        names = [*windows]
        near = nearest(text, [*dict.fromkeys(key.variant for key in windows.values()), *names])
        listed = f"the first is `{names[0]}`, the last `{names[-1]}`" if names else "nothing was submitted yet"
        raise ConfigError(f"{campaign} has no window `{text}`", hint=f"did you mean `{near}`?" if near else listed)
    return found
