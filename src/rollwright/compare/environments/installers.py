"""The two installers: uv, and where it is absent ``venv`` with pip. They make equal environments of equal locks.

Both install wheels only. A source distribution would be built by running its code, its bytes would differ from machine
to machine, and no hash would hold what was installed.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Final, Literal, Protocol, TypeAlias

from packaging.utils import canonicalize_name

from rollwright.compare.environments.commands import Commands
from rollwright.compare.environments.lock_text import Pin, format_lock, parse_lock
from rollwright.core.bounded_read import MEDIUM, read_text, read_whole
from rollwright.core.optional import require
from rollwright.errors import ConfigError, EnvironmentFailedError, MissingExtraError

__all__ = ["Installer", "InstallerChoice", "PipInstaller", "UvInstaller", "environment_python", "find_installer"]

InstallerChoice: TypeAlias = Literal["auto", "uv", "pip"]

_RESOLVED: Final = "resolved"
_WHEELS_ONLY: Final = ("--only-binary", ":all:")


class Installer(Protocol):
    """Compiles locks and fills environments."""

    @property
    def name(self) -> str:
        """``uv`` or ``pip``."""
        ...

    def resolve(self, requirements: Path, commands: Commands, *, exclude_newer: str | None) -> str:
        """Return the text of a lock for the packages in a file of plain requirements.

        Parameters
        ----------
        requirements : Path
            Of `read_requirements`' form, a line each. Its folder is for the installer's own files.
        commands : Commands
        exclude_newer : str or None
            A day: archives uploaded after it are as if they were not there.
        """
        ...

    def create(self, folder: Path, commands: Commands) -> None:
        """Make an environment without packages."""
        ...

    def install(self, folder: Path, lock: Path, wheel: Path, commands: Commands) -> None:
        """Install the packages of a lock, whose hashes are compared, and then a wheel without what it asks for."""
        ...

    def place(self, folder: Path, target: Path) -> None:
        """Prepare an environment that was made in `folder` for the name `target`, which it gets then."""
        ...


def environment_python(folder: Path) -> Path:
    """Return the interpreter of the environment in `folder`."""
    return folder / "bin" / "python"


def find_installer(choice: InstallerChoice = "auto") -> Installer:
    """Return the installer of a setting: ``auto`` is uv where it is installed, as an extra or on the PATH, else pip.

    Raises
    ------
    MissingExtraError
        When uv is asked for and is not there.
    """
    if choice == "pip":
        return PipInstaller()
    try:
        return UvInstaller(Path(require("uv", extra="compare").find_uv_bin()))
    except (MissingExtraError, FileNotFoundError) as error:
        on_path = shutil.which("uv")
        if on_path is not None:
            return UvInstaller(Path(on_path))
        if choice == "uv":
            raise MissingExtraError("uv", "compare") from error
    return PipInstaller()


class UvInstaller:
    """Environments by uv, whose cache links the same files into each of them.

    Parameters
    ----------
    program : Path
    """

    name = "uv"

    def __init__(self, program: Path) -> None:
        self._program = str(program)

    def resolve(self, requirements: Path, commands: Commands, *, exclude_newer: str | None) -> str:
        """Return what ``uv pip compile`` finds, with the hashes of every wheel of each version."""
        output = requirements.with_name(_RESOLVED)
        dated = () if exclude_newer is None else ("--exclude-newer", exclude_newer)
        plain = ("--generate-hashes", "--no-header", "--no-annotate", "--no-progress", "--quiet", *_WHEELS_ONLY, *dated)
        files = ("--output-file", str(output), str(requirements))
        commands.run(
            [self._program, "pip", "compile", "--python", sys.executable, *plain, *files],
            purpose="the packages cannot be chosen",
        )
        return format_lock(parse_lock(read_text(output, limit=MEDIUM)))

    def create(self, folder: Path, commands: Commands) -> None:
        """Make an environment that may be moved."""
        plain = ("--no-project", "--relocatable", "--no-progress")
        commands.run(
            [self._program, "venv", *plain, "--python", sys.executable, str(folder)],
            purpose="the environment cannot be made",
        )

    def install(self, folder: Path, lock: Path, wheel: Path, commands: Commands) -> None:
        """Install by ``uv pip sync``; files are links into uv's cache where the file system has links."""
        python = ("--python", str(environment_python(folder)), "--no-progress")
        locked = ("--require-hashes", "--allow-empty-requirements", *_WHEELS_ONLY)
        commands.run(
            [self._program, "pip", "sync", *locked, *python, str(lock)], purpose="the packages cannot be installed"
        )
        alone = ("--no-deps", "--no-index", "--no-cache", "--link-mode", "copy")  # its path is a draft's, used once
        commands.run(
            [self._program, "pip", "install", *alone, *python, str(wheel)],
            purpose="rollwright itself cannot be installed",
        )

    def place(self, folder: Path, target: Path) -> None:
        """Nothing names the folder."""


class PipInstaller:
    """Environments by the standard library's ``venv``, filled by the pip of this interpreter."""

    name = "pip"

    def resolve(self, requirements: Path, commands: Commands, *, exclude_newer: str | None) -> str:
        """Return what pip would install, with the hash of each chosen wheel.

        Raises
        ------
        ConfigError
            For a day, which pip knows nothing of.
        """
        if exclude_newer is not None:
            raise ConfigError(
                f"compare.exclude_newer is {exclude_newer}, and pip cannot leave out what was uploaded later",
                hint='install uv: pip install "rollwright[compare]"',
            )
        report = requirements.with_name(_RESOLVED)
        plain = ("--dry-run", "--ignore-installed", "--progress-bar", "off", *_WHEELS_ONLY)
        files = ("--report", str(report), "--requirement", str(requirements))
        commands.run(
            [*_pip(requirements.parent, commands), "install", *plain, *files], purpose="the packages cannot be chosen"
        )
        return format_lock(_read_report(report, commands))

    def create(self, folder: Path, commands: Commands) -> None:
        """Make an environment without pip."""
        commands.run(
            [sys.executable, "-I", "-m", "venv", "--without-pip", str(folder)], purpose="the environment cannot be made"
        )

    def install(self, folder: Path, lock: Path, wheel: Path, commands: Commands) -> None:
        """Install by pip from outside the environment; what it needs is compiled to bytecode."""
        pip = [*_pip(lock.parent, commands), "--python", str(environment_python(folder)), "install", "--no-deps"]
        quiet = ("--progress-bar", "off", "--no-warn-script-location")
        if parse_lock(read_text(lock, limit=MEDIUM)):
            commands.run(
                [*pip, "--require-hashes", *_WHEELS_ONLY, *quiet, "--requirement", str(lock)],
                purpose="the packages cannot be installed",
            )
        commands.run([*pip, "--no-index", *quiet, str(wheel)], purpose="rollwright itself cannot be installed")

    def place(self, folder: Path, target: Path) -> None:
        """Put the final name into scripts that name the folder."""
        named, final = os.fsencode(folder), os.fsencode(target)
        for path in (folder / "pyvenv.cfg", *sorted((folder / "bin").iterdir())):
            if path.is_symlink() or not path.is_file():
                continue
            content = read_whole(path, limit=MEDIUM)
            if named in content:
                path.write_bytes(content.replace(named, final))


def _pip(folder: Path, commands: Commands) -> list[str]:
    """Return the command of pip: that of this interpreter, else one that the standard library brings, in `folder`."""
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip"]
    brought = folder / "pip"
    if not brought.exists():
        commands.run(
            [sys.executable, "-I", "-m", "venv", str(brought)],
            purpose="there is neither uv nor pip, nor does this Python bring one",
        )
    return [str(environment_python(brought)), "-m", "pip"]


def _read_report(path: Path, commands: Commands) -> list[Pin]:
    try:
        document = json.loads(read_text(path, limit=MEDIUM))
        return [
            Pin(
                name=canonicalize_name(entry["metadata"]["name"]),
                version=entry["metadata"]["version"],
                hashes=(entry["download_info"]["archive_info"]["hashes"]["sha256"],),
            )
            for entry in document["install"]
        ]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise EnvironmentFailedError(
            f"pip's report tells no hashes: {error!r}", log=str(commands.log), hint="use a pip of 22.3 or later, or uv"
        ) from error
