"""Running a program of an engine that starts workers, and telling what it said when it refuses."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rollwright.core.masking import mask_secrets
from rollwright.core.text import escape_text
from rollwright.errors import LaunchError

__all__ = ["ProgramHints", "run_program"]

_PATIENCE: Final = 60.0
"""Seconds that a program may take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramHints:
    """What the user can do when a program is not installed, does not answer, or refuses."""

    absent: str
    silent: str
    refused: str


def run_program(words: Sequence[str], *, hints: ProgramHints, text: str = "") -> str:
    """Run a program, give it `text` to read, and return what it prints; no shell takes part.

    Raises
    ------
    LaunchError
        When it is not installed, does not answer within a minute, or ends with an error, in its words.
    """
    program = shutil.which(words[0])
    if program is None:
        raise LaunchError(f"`{words[0]}` is not installed here", hint=hints.absent)
    try:
        done = subprocess.run(  # noqa: S603 - an argument each, and no shell
            [program, *words[1:]],
            input=text,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=_PATIENCE,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LaunchError(f"`{words[0]}` did not answer: {error}", hint=hints.silent) from error
    if done.returncode != 0:
        said = escape_text(mask_secrets(done.stderr.strip() or done.stdout.strip()), longest=500)
        raise LaunchError(f"`{words[0]}` ended with {done.returncode}: {said}", hint=hints.refused)
    return done.stdout
