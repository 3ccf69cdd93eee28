"""Requirements files: packages by name and version, and nothing that an installer could be led elsewhere by."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from rollwright.core.bounded_read import SMALL, read_text
from rollwright.core.masking import mask_secrets
from rollwright.core.text import escape_text
from rollwright.errors import RequirementsError

__all__ = ["OWN_NAME", "plain_requirements", "read_requirements"]

OWN_NAME: Final = "rollwright"

_MOST_LINES: Final = 1_000
_LONGEST_LINE: Final = 1_000
_SHOWN: Final = 120

_COMMENT: Final = re.compile(r"(?:^|\s)#.*$")
_OPTION: Final = re.compile(r"(?:^|\s)(--?[A-Za-z][\w-]*)")
_ARCHIVE: Final = re.compile(r"\.(?:whl|zip|tgz|tar|tar\.\w+)$", re.IGNORECASE)
_HINT: Final = "a line is NAME, or NAME with versions, as `lightgbm>=4.5,<4.6`; extras and markers are fine"


def read_requirements(path: Path) -> tuple[str, ...]:
    """Return the packages that a requirements file asks for here, each as ``name[extras]specifiers``, sorted.

    1. Comments and empty lines are skipped.
    2. A line whose marker does not hold for this Python and platform is left out, and markers are not passed on.
    3. Names are normalised; a package named twice has to fit both lines.

    Guarantees: what is returned holds a name, extras and versions only; none of it begins with ``-``, holds a path, an
    address or white space, so that whoever installs it does nothing but look packages up by name.

    Raises
    ------
    RequirementsError
        With the line, for all else: an option (``-e``, ``-r``, ``-i``, ``--hash`` …), an address, a path, an
        archive, a variable of the environment, a line that goes on in the next one, ``===``, and rollwright itself.
    """
    try:
        text = read_text(path, limit=SMALL, encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise RequirementsError("it is not UTF-8", path=str(path), line=1, hint=_HINT) from error
    except OSError as error:
        raise RequirementsError(
            f"it cannot be read: {error.strerror}", path=str(path), line=1, hint="name a file with a package a line"
        ) from error
    lines = text.split("\n")
    if len(lines) > _MOST_LINES:
        raise RequirementsError(
            f"{len(lines):,} lines, more than {_MOST_LINES:,}", path=str(path), line=_MOST_LINES + 1, hint=_HINT
        )
    found = set()
    for number, line in enumerate(lines, start=1):
        try:
            requirement = _read_line(line)
        except ValueError as error:
            raise RequirementsError(str(error), path=str(path), line=number, hint=_HINT) from error
        if requirement is not None:
            found.add(requirement)
    return tuple(sorted(found))


def plain_requirements(lines: Iterable[str]) -> tuple[str, ...]:
    """Return the requirements of a package's own metadata that hold here without an extra, in the same form."""
    found = [_plain(Requirement(line), extra="") for line in lines]
    return tuple(sorted({line for line in found if line is not None}))


def _read_line(line: str) -> str | None:
    """Return the package of a line, or None where it has none; a `ValueError` says what is wrong."""
    if len(line) > _LONGEST_LINE:
        raise ValueError(f"a line of {len(line):,} characters")
    if any((ord(char) < 32 and char != "\t") or ord(char) == 127 for char in line):
        raise ValueError(f"a control character: {_shown(line)}")
    if line.rstrip().endswith("\\"):
        raise ValueError(f"a line that goes on in the next one: {_shown(line)}")
    wanted = _COMMENT.sub("", line).strip()
    if not wanted:
        return None
    _refuse_what_leads_elsewhere(wanted)
    try:
        requirement = Requirement(wanted)
        plain = _plain(requirement, extra=None)
    except (InvalidRequirement, ValueError, KeyError, RecursionError) as error:  # of markers that compare nothing too
        reason = escape_text(str(error).partition("\n")[0], longest=_SHOWN)
        raise ValueError(f"this is no package with versions: {_shown(wanted)} ({reason})") from error
    if requirement.url is not None:
        raise ValueError(f"an address: {_shown(wanted)}")
    if canonicalize_name(requirement.name) == OWN_NAME:
        raise ValueError(f"{_shown(wanted)}: the environment has the rollwright that runs the comparison")
    if any(specifier.operator == "===" for specifier in requirement.specifier):
        raise ValueError(f"`===` takes any text for a version: {_shown(wanted)}")
    return plain


def _refuse_what_leads_elsewhere(wanted: str) -> None:
    option = _OPTION.search(wanted)
    if option is not None:
        raise ValueError(f"the option {option.group(1)} is not taken: {_shown(wanted)}")
    if "://" in wanted or "@" in wanted:
        raise ValueError(f"an address: {_shown(wanted)}")
    if "$" in wanted:
        raise ValueError(f"a variable of the environment: {_shown(wanted)}")
    name = wanted.partition(";")[0].strip()
    if "/" in wanted or "\\" in wanted or name.startswith((".", "~")):
        raise ValueError(f"a path: {_shown(wanted)}")
    if _ARCHIVE.search(name):
        raise ValueError(f"an archive: {_shown(wanted)}")


def _plain(requirement: Requirement, *, extra: str | None) -> str | None:
    """Return name, extras and versions, or None when the marker does not hold here."""
    marker = requirement.marker
    if marker is not None:
        holds = marker.evaluate(context="requirement") if extra is None else marker.evaluate({"extra": extra})
        if not holds:
            return None
    extras = sorted({canonicalize_name(name) for name in requirement.extras})
    shown = f"[{','.join(extras)}]" if extras else ""
    specifiers = sorted(str(specifier) for specifier in requirement.specifier)
    return f"{canonicalize_name(requirement.name)}{shown}{','.join(specifiers)}"


def _shown(line: str) -> str:
    return escape_text(mask_secrets(line.strip()), longest=_SHOWN)
