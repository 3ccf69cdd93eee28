"""Running an installer: in a clean environment, with all it says in a log without secrets."""

from __future__ import annotations

import subprocess
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from rollwright.core.masking import mask_secrets
from rollwright.core.text import escape_text
from rollwright.errors import EnvironmentFailedError

__all__ = ["Commands", "installer_environment"]

_TOLD: Final = 12
"""Lines of an installer's output that an error repeats."""
_LONGEST_LINE: Final = 400

_PASSED_ON: Final = ("PIP_", "UV_")
_KEPT: Final = frozenset(
    f"{tool}{name}"
    for tool in _PASSED_ON
    for name in (
        "CACHE_DIR", "CERT", "CLIENT_CERT", "CONCURRENT_DOWNLOADS", "CONFIG_FILE", "DEFAULT_INDEX", "DEFAULT_TIMEOUT",
        "EXTRA_INDEX_URL", "FIND_LINKS", "HTTP_CONNECT_TIMEOUT", "HTTP_RETRIES", "HTTP_TIMEOUT", "INDEX",
        "INDEX_STRATEGY", "INDEX_URL", "INSECURE_HOST", "KEYRING_PROVIDER", "LINK_MODE", "NATIVE_TLS", "NO_CACHE",
        "NO_CACHE_DIR", "NO_CONFIG", "NO_INDEX", "OFFLINE", "PROXY", "REQUEST_TIMEOUT", "RETRIES", "SYSTEM_CERTS",
        "TIMEOUT", "TORCH_BACKEND", "TRUSTED_HOST",
    )
)  # fmt: skip
"""What says where packages come from and how they are fetched. All else could say what is installed, or where to."""
_LOGINS: Final = ("UV_INDEX_",)
"""``UV_INDEX_NAME_USERNAME`` and ``_PASSWORD``."""
_DROPPED: Final = ("PYTHON", "ROLLWRIGHT_", "MLFLOW_", "VIRTUAL_ENV", "CONDA_", "__PYVENV_LAUNCHER__")


def installer_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that an installer gets: those of the index, the network and the system, no others of Python.

    The index is the user's own configuration, so its variables and files are read; variables that would install
    somewhere else or something else (``PIP_TARGET``, ``UV_OVERRIDE``, ``PYTHONPATH`` …) are left out.
    """
    kept = {}
    for name, value in environ.items():
        if name.startswith(_DROPPED):
            continue
        if name.startswith(_PASSED_ON) and name not in _KEPT and not name.startswith(_LOGINS):
            continue
        kept[name] = value
    return {**kept, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1", "UV_PYTHON_DOWNLOADS": "never"}


class Commands:
    """Runs the programs of an installer one after the other, without a shell.

    Parameters
    ----------
    log : Path
        Everything they say is written there, secrets hidden; it begins anew.
    folder : Path
        Where they run.
    environ : mapping of str to str
        All of their environment.
    inherited : int
        An open file that they inherit. While it is locked, the lock lasts until they ended, though this process was
        killed.
    """

    def __init__(self, log: Path, *, folder: Path, environ: Mapping[str, str], inherited: int) -> None:
        self.log = log
        self._folder = folder
        self._environ = dict(environ)
        self._inherited = inherited
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_bytes(b"")

    def run(self, arguments: Sequence[str], *, purpose: str) -> None:
        """Run one program to its end.

        Raises
        ------
        EnvironmentFailedError
            When it cannot be started, or ends with another status than 0; its last lines are told.
        """
        last: deque[str] = deque(maxlen=_TOLD)
        with self.log.open("a", encoding="utf-8", errors="backslashreplace") as log:
            log.write(mask_secrets(f"$ {' '.join(arguments)}\n"))
            try:
                child = subprocess.Popen(  # noqa: S603 - an installer that was found, with arguments made here
                    list(arguments),
                    cwd=self._folder,
                    env=self._environ,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    pass_fds=(self._inherited,),
                )
            except OSError as error:
                raise EnvironmentFailedError(
                    f"{purpose}: {arguments[0]} cannot be started: {error.strerror}", log=str(self.log)
                ) from error
            try:
                with child:
                    assert child.stdout is not None  # noqa: S101 - a pipe was asked for
                    for raw in child.stdout:
                        line = mask_secrets(raw.decode("utf-8", "backslashreplace").rstrip())
                        log.write(f"{line}\n")
                        if line.strip():
                            last.append(escape_text(line, longest=_LONGEST_LINE))
            except BaseException:
                _end(child)
                raise
        if child.returncode != 0:
            raise EnvironmentFailedError(
                "\n".join([f"{purpose}: the installer ended with {child.returncode}", *(f"  {line}" for line in last)]),
                log=str(self.log),
                hint=_advise(last),
            )


def _end(child: subprocess.Popen[bytes]) -> None:
    with suppress(OSError):
        child.kill()
    child.wait()


_UNREACHABLE: Final = (
    "error sending request", "dns error", "failed to lookup", "name resolution", "connection refused", "timed out",
    "network is unreachable", "connection error", "failed to fetch", "connect timeout", "network connectivity",
    "newconnectionerror", "network was disabled",
)  # fmt: skip
_NO_VERSION: Final = (
    "no solution found", "resolutionimpossible", "no matching distribution", "could not find a version",
)  # fmt: skip


def _advise(last: Sequence[str]) -> str:
    said = "\n".join(last).lower()
    if any(sign in said for sign in _UNREACHABLE):
        return (
            "the package index did not answer: is there a network, and is the index that uv or pip is configured with "
            "the right one? An environment that was made once needs neither"
        )
    if any(sign in said for sign in _NO_VERSION):
        return (
            "no versions fit, or only as source, which is not built: widen the versions in the requirements file; the "
            "environment also holds what rollwright needs"
        )
    return "the log has all that the installer said"
