"""The process that trains one model in its environment, as the process that compares sees it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from rollwright.core.bounded_read import open_regular, read_rest
from rollwright.core.masking import mask_secrets
from rollwright.core.posix import kill_group
from rollwright.core.text import escape_text

__all__ = ["ModelProcess", "clean_environment", "last_words"]

_LONGEST_LINE: Final = 1 << 20
_TAIL: Final = 1 << 14
_LONGEST_WORDS: Final = 500
_OF_OTHERS: Final = frozenset(
    ("PYTHONPATH", "PYTHONHOME", "PYTHONUSERBASE", "PYTHONSTARTUP", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__")
)
"""Variables that would lead an interpreter to packages of another environment."""


def clean_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that a process in an environment of its own gets: none that names other packages."""
    kept = {name: value for name, value in environ.items() if name not in _OF_OTHERS}
    return {**kept, "PYTHONNOUSERSITE": "1"}


class ModelProcess:
    """A process that trains one model and tells of it in JSON, a line each; it ends with this one, however that ends.

    Parameters
    ----------
    command : sequence of str
        Its standard input is a pipe that nothing is written to: whoever reads its end knows that this process is gone.
    folder : Path
        Where it runs.
    log : Path
        What it says besides goes there; the file begins anew, unless it `goes_on`.
    environ : mapping of str to str
    on_message : callable
        Called in a thread of its own with each message, and with None when the process has ended.
    goes_on : bool
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        folder: Path,
        log: Path,
        environ: Mapping[str, str],
        on_message: Callable[[dict[str, Any] | None], None],
        goes_on: bool = False,
    ) -> None:
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab" if goes_on else "wb") as file:
            self._process = subprocess.Popen(  # noqa: S603 - our own program in an environment that we made
                [*command],
                cwd=folder,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
                env=dict(environ),
                start_new_session=True,  # Ctrl-C reaches the process that compares, which decides
            )
        self._on_message = on_message
        threading.Thread(target=self._listen, name=f"model-{self._process.pid}", daemon=True).start()

    @property
    def exit_code(self) -> int | None:
        """How it ended; None while it runs."""
        return self._process.poll()

    def stop(self) -> None:
        """Tell it to give back what is unfinished and end, which takes it a few seconds."""
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)

    def wait(self, seconds: float) -> bool:
        """Wait until it ended; return whether it did."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def kill(self) -> None:
        """End it and all that it started, now."""
        kill_group(self._process.pid)
        self._process.wait()

    def _listen(self) -> None:
        stream = self._process.stdout
        assert stream is not None  # noqa: S101 - it was asked for
        with stream:
            while line := stream.readline(_LONGEST_LINE):
                with suppress(ValueError, RecursionError):  # what is no message was printed by somebody else
                    message = json.loads(line)
                    if isinstance(message, dict):
                        self._on_message(message)
        self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._on_message(None)


def last_words(log: Path) -> str:
    """Return the last line of a log that says what happened, hints left out and secrets hidden; "" where none does."""
    try:
        with open_regular(log) as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(max(0, size - _TAIL))
            text = read_rest(file, limit=_TAIL).decode("utf-8", "replace")
    except OSError:
        return ""
    lines = [line.strip() for line in mask_secrets(text).splitlines() if line.strip()]
    told = [line for line in lines if not line.startswith("hint: ")]
    return escape_text(told[-1], longest=_LONGEST_WORDS) if told else ""
