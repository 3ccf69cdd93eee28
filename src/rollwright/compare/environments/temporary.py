"""Environments for one use, and commands in them, by the names that Qlib's batch script has for them.

`create_env`, `execute`, `managed_environment` and `cleanup_env` are for scripts that install and start for themselves.
A comparison uses none of them: its environments are made of locks and kept (`EnvironmentFolder`).
"""

from __future__ import annotations

import codecs
import os
import shlex
import shutil
import site
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Final, NamedTuple, TextIO

from rollwright.compare.environments.commands import installer_environment
from rollwright.compare.environments.installers import environment_python
from rollwright.compare.environments.own_wheel import pack_own_wheel
from rollwright.core.masking import mask_secrets
from rollwright.errors import CompareError, EnvironmentFailedError

__all__ = ["TemporaryEnvironment", "cleanup_env", "create_env", "execute", "managed_environment"]

_PREFIX: Final = "rollwright-env-"
_MARK: Final = ".rollwright-environment"
_HOST: Final = "rollwright-host.pth"
_CHUNK: Final = 1 << 16
_KEPT: Final = 1 << 16
"""Characters of each stream of a command that an error may repeat."""
_TOLD: Final = 20
_SHELL: Final = "&|;<>()`\n"


class TemporaryEnvironment(NamedTuple):
    """What `create_env` returns, in Qlib's order.

    Attributes
    ----------
    temp_dir : str
        A folder of its own, which `cleanup_env` removes.
    env_path : Path
        The environment: the same folder.
    python_path : Path
        Its interpreter, which has pip.
    conda_activate : str
        Always "": the environment is no conda environment, and needs no activation.
    """

    temp_dir: str
    env_path: Path
    python_path: Path
    conda_activate: str


def create_env() -> TemporaryEnvironment:
    """Make an environment for one use: this Python, pip, and the rollwright that runs now with its commands.

    What is installed in it comes first. What it lacks is seen where this process runs, so that rollwright finds what it
    needs without installing it again: unlike an environment of a comparison, this one is not closed to that side.

    Raises
    ------
    EnvironmentFailedError
        When this Python brings no pip, or the folder for temporary files cannot be written.
    """
    wheel = pack_own_wheel()
    try:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
    except OSError as error:
        raise EnvironmentFailedError(f"no folder for an environment: {error.strerror}") from error
    try:
        (folder / _MARK).touch()
        python = environment_python(folder)
        _run(
            [sys.executable, "-I", "-m", "venv", str(folder)],
            hint="this Python brings no pip: install its package venv",
        )
        archive = folder / wheel.file_name
        archive.write_bytes(wheel.content)
        quiet = ("--no-deps", "--no-index", "--no-compile", "--quiet", "--disable-pip-version-check")
        _run([str(python), "-m", "pip", "install", *quiet, str(archive)], hint="the lines above are pip's")
        archive.unlink()
        _let_see(folder, _own_site_folders())
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return TemporaryEnvironment(str(folder), folder, python, "")


def cleanup_env(env: Sequence[object]) -> None:
    """Remove an environment of `create_env`; one that is gone already is no error.

    Raises
    ------
    CompareError
        For a folder that `create_env` did not make: nothing of it is removed.
    """
    folder = Path(str(env[0]))
    if not folder.exists():
        return
    if folder.is_symlink() or not folder.name.startswith(_PREFIX) or not (folder / _MARK).is_file():
        raise CompareError(f"{folder} was not made by create_env, and stays", hint="give what create_env returned")
    shutil.rmtree(folder)


@contextmanager
def managed_environment() -> Iterator[TemporaryEnvironment]:
    """Make an environment of `create_env` for the block, and remove it whatever happens in it."""
    env = create_env()
    try:
        yield env
    finally:
        cleanup_env(env)


def execute(cmd: str, wait_when_err: bool = False, raise_err: bool = True) -> str | None:  # noqa: FBT001, FBT002 - Qlib's
    """Run a command to its end; what it writes appears on this process's streams as it is written.

    The text is split into words as a shell splits it, and no shell runs: nothing is expanded.

    Parameters
    ----------
    cmd : str
        A program and its arguments.
    wait_when_err : bool
        Wait for the Enter key when it fails, where somebody can press it.
    raise_err : bool
        Raise when it fails. Otherwise its error text is returned, which Qlib's script always lost.

    Returns
    -------
    str or None
        None when it ended with 0; else what it wrote to standard error, or its last output when that is nothing, its
        secrets hidden.

    Raises
    ------
    CompareError
        When it fails and `raise_err` is set; when it cannot be started; for a text that only a shell could run (``&&``,
        pipes, redirections, variables).
    """
    words = _split(cmd)
    sys.stdout.write(f"Running CMD: {mask_secrets(cmd)}\n")
    sys.stdout.flush()
    try:
        child = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)  # noqa: S603 - what the caller's script says
    except OSError as error:
        raise CompareError(
            f"{words[0]} cannot be started: {error.strerror}",
            hint="give the path of a program, or its name on the PATH",
        ) from error
    output, errors = _Relay(child.stdout, sys.stdout), _Relay(child.stderr, sys.stderr)
    try:
        for relay in (output, errors):
            relay.thread.start()
        for relay in (output, errors):
            relay.thread.join()
        status = child.wait()
    except BaseException:
        with suppress(OSError):
            child.kill()
        child.wait()
        raise
    if status == 0:
        return None
    said = mask_secrets((errors.kept or output.kept).strip()) or f"it ended with {status} and said nothing"
    if wait_when_err:
        with suppress(EOFError):  # nobody is there
            input("Press Enter to Continue")
    if raise_err:
        last = "\n".join(said.splitlines()[-_TOLD:])
        raise CompareError(f"a command ended with {status}: {mask_secrets(cmd)}\n{last}")
    return said


class _Relay:
    """Passes on what a program writes, as it comes, and keeps the end of it."""

    def __init__(self, source: IO[bytes] | None, target: TextIO) -> None:
        self.kept = ""
        self._source, self._target = source, target
        self.thread = threading.Thread(target=self._pass_on, daemon=True)

    def _pass_on(self) -> None:
        decoder = codecs.getincrementaldecoder("utf-8")(errors="backslashreplace")
        assert self._source is not None  # noqa: S101 - a pipe was asked for
        with self._source as source:
            while chunk := os.read(source.fileno(), _CHUNK):
                text = decoder.decode(chunk)
                self.kept = (self.kept + text)[-_KEPT:]
                self._target.write(text)
                self._target.flush()


def _split(cmd: str) -> list[str]:
    """Return the words of a command; a text that needs a shell is refused."""
    quote, skipped, begins = "", False, True
    for char in cmd.strip():
        needs_shell = char in "$`" if quote == '"' else char in f"${_SHELL}" and not quote
        if not skipped and (needs_shell or (char == "~" and begins and not quote)):
            raise CompareError(
                f"a command holds {char!r}, which only a shell understands: {mask_secrets(cmd)}",
                hint="no shell runs here: run one command at a time, and put text with such a character in '…'",
            )
        if skipped:
            skipped = False
        elif char == "\\" and quote != "'":
            skipped = True
        elif char in "'\"" and quote in ("", char):
            quote = "" if quote else char
        begins = char.isspace() and not quote
    try:
        words = shlex.split(cmd)
    except ValueError as error:
        raise CompareError(f"a command cannot be split into words: {error}: {mask_secrets(cmd)}") from error
    if not words:
        raise CompareError("a command without a word")
    return words


def _run(arguments: Sequence[str], *, hint: str) -> None:
    ran = subprocess.run(  # noqa: S603 - this Python, with arguments made here
        list(arguments),
        env=installer_environment(os.environ),
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if ran.returncode != 0:
        said = mask_secrets((ran.stderr or ran.stdout).strip())
        last = "\n".join(f"  {line}" for line in said.splitlines()[-_TOLD:])
        raise EnvironmentFailedError(f"no environment could be made: {arguments[0]} said\n{last}", hint=hint)


def _own_site_folders() -> list[str]:
    """Return where this process finds installed packages."""
    found = [*site.getsitepackages(), *([site.getusersitepackages()] if site.ENABLE_USER_SITE else [])]
    return [folder for folder in found if os.path.isdir(folder)]


def _let_see(environment: Path, folders: Sequence[str]) -> None:
    """Let an environment find packages in other folders too, after its own, with what their own links name."""
    line = "".join(f"site.addsitedir({folder!r}); " for folder in folders)
    for packages in environment.glob("lib/python*/site-packages"):
        (packages / _HOST).write_text(f"import site; {line}\n", encoding="utf-8")
