"""A folder of environments, shared by all processes that compare.

Each environment lies under the key of its lock. It is made aside and gets its name once it is whole, by one process
while the others wait; a lock file of its own is shared by all who use it, so that what is in use is never removed. What
a killed process left of one is removed by the next that makes or removes it. Nothing is ever changed in place.
"""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal, Self, TypeAlias

from rollwright.compare.environment import Environment, EnvironmentLock
from rollwright.compare.environments.commands import Commands, installer_environment
from rollwright.compare.environments.installers import Installer, environment_python
from rollwright.compare.environments.lock_text import describe_python, parse_lock, seal_lock
from rollwright.compare.environments.own_wheel import OwnWheel
from rollwright.compare.environments.requirements import read_requirements
from rollwright.compare.environments.soundness import (
    EnvironmentManifest,
    find_problems,
    is_whole,
    list_files,
    read_manifest,
    write_manifest,
)
from rollwright.core.atomic import DRAFT_MARK, make_folder, put, sync_file, sync_folder, sync_tree
from rollwright.core.bounded_read import MEDIUM, read_text
from rollwright.core.canonical import fingerprint
from rollwright.core.clock import Clock, SystemClock
from rollwright.core.locks import file_lock, probe_lock, share_file_lock, try_file_lock
from rollwright.errors import CompareError, EnvironmentFailedError

__all__ = ["EnvironmentFolder", "StoredEnvironment", "StoredState"]

_logger: Final = logging.getLogger("rollwright.compare")

StoredState: TypeAlias = Literal["whole", "damaged"]

_LOCKS: Final = "locks"
_COMPILED: Final = "compiled"
_LOGS: Final = "logs"
_KEY_LENGTH: Final = 64
_PATIENCE: Final = 5.0
"""Seconds that those who only look at a damaged environment get to let go of it."""
_POLL: Final = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredEnvironment:
    """An environment of the folder.

    Attributes
    ----------
    key : str
    path : Path
    packages : mapping of str to str
        Version by name; empty of a damaged one whose manifest is gone.
    python, installer : str
        As the manifest says, else "".
    size : int
        Bytes of its files, whether or not others share them.
    last_used : datetime
        In UTC.
    in_use : bool
    state : {"whole", "damaged"}
    """

    key: str
    path: Path
    packages: Mapping[str, str]
    python: str
    installer: str
    size: int
    last_used: datetime
    in_use: bool
    state: StoredState


class EnvironmentFolder:
    """The `EnvironmentStore` on a disk.

    Guarantees: of however many processes and threads ask for one environment, one makes it; it has its name only while
    it is whole and on the disk; none is removed while a process that got it from `ensure` lives and has not called
    `close`; a damaged one is made anew. Different environments are made side by side.

    Parameters
    ----------
    root : Path
        Made when it is first needed.
    installer : Installer
    wheel : callable
        Returns rollwright's own wheel; called once.
    environ : mapping of str to str, optional
        Where the installer's own configuration is read from; the process's environment if not given.
    exclude_newer : str, optional
        A day: what was uploaded to the index later is not chosen.
    clock : Clock, optional
    """

    def __init__(
        self,
        root: Path,
        *,
        installer: Installer,
        wheel: Callable[[], OwnWheel],
        environ: Mapping[str, str] | None = None,
        exclude_newer: str | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.root = root
        self._installer = installer
        self._pack = wheel
        self._packed: OwnWheel | None = None
        self._environ = os.environ if environ is None else environ
        self._exclude_newer = exclude_newer
        self._clock = clock or SystemClock()
        self._held: dict[str, int] = {}
        self._guard = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def compile(self, requirements: Path) -> EnvironmentLock:
        """Return the lock of a requirements file, with what rollwright itself needs.

        It is kept: the same packages, on the same Python with the same needs of rollwright, get the same versions until
        `forget_locks`.

        Raises
        ------
        RequirementsError
            For a line that asks for more than packages by name and version.
        EnvironmentFailedError
            When no set of versions fits, or the index does not answer.
        """
        asked, own, python = read_requirements(requirements), self._wheel(), describe_python()
        wanted = sorted({*asked, *own.requirements})
        digest = fingerprint({"packages": wanted, "python": python, "exclude_newer": self._exclude_newer})
        stored = self.root / _COMPILED / f"{digest}.txt"
        with self._building(digest) as handle:
            lock = self._read_compiled(stored, python)
            if lock is None:
                with self._draft(digest) as draft:
                    packages = draft / "requirements.in"
                    packages.write_text("".join(f"{line}\n" for line in wanted), encoding="ascii")
                    commands = self._commands(digest, draft, handle)
                    text = self._installer.resolve(packages, commands, exclude_newer=self._exclude_newer)
                    lock = seal_lock(text, python=python, rollwright=own.sha256)
                    self._keep_compiled(lock.text, draft / "lock.txt", stored)
                _logger.info("environment.compiled requirements=%s key=%s", requirements, lock.key)
        return lock

    def ensure(self, lock: EnvironmentLock) -> Environment:
        """Return the environment of a lock, made if it is not there, or not whole.

        Raises
        ------
        EnvironmentFailedError
            When it cannot be made, or is damaged while another process uses it.
        CompareError
            For a lock of another Python, platform or rollwright, or one that says more than packages.
        """
        self._check_origin(lock)
        while not self._use(lock.key):
            with self._building(lock.key) as handle:
                self._lock_path(lock.key, "use").touch()
                if not is_whole(self.root / lock.key, key=lock.key):
                    self._discard_damaged(lock.key)
                    self._build(lock, handle)
        path = self.root / lock.key
        return Environment(lock=lock, path=path, python=environment_python(path))

    def close(self) -> None:
        """Use the environments of `ensure` no more; they may be removed now."""
        with self._guard:
            held, self._held = self._held, {}
        for handle in held.values():
            os.close(handle)

    def log_of(self, key: str) -> Path:
        """Return the file with what the installer said when the environment of a lock was made."""
        return self.root / _LOGS / f"{key}.log"

    def entries(self) -> list[StoredEnvironment]:
        """Return the environments that are there, the longest unused first."""
        found = [self._describe(path) for path in self._environments()]
        return sorted(found, key=lambda one: (one.last_used, one.key))

    def remove(self, key: str) -> bool:
        """Remove an environment; return False, and leave it, when it is in use or being made.

        One that is not there is none that is in use.
        """
        with try_file_lock(self._lock_path(key, "build")) as free:
            if not free:
                return False
            self._remove_drafts(key)
            if (self.root / key).exists():
                if not self._set_aside(key):
                    return False
                self._remove_drafts(key)
                self.log_of(key).unlink(missing_ok=True)
                _logger.info("environment.removed key=%s", key)
        return True

    def remove_leftovers(self) -> int:
        """Remove what killed processes left of environments that nobody makes now; return how many there were."""
        count = 0
        for key in sorted({_key_of_draft(path) for path in self._drafts()}):
            with try_file_lock(self._lock_path(key, "build")) as free:
                if free:
                    count += self._remove_drafts(key)
        return count

    def forget_locks(self) -> int:
        """Remove the compiled locks, so that versions are chosen anew; return how many there were.

        Environments stay, and a comparison keeps the locks of its own.
        """
        count = 0
        for path in sorted((self.root / _COMPILED).glob("*.txt")):
            path.unlink(missing_ok=True)
            count += 1
        return count

    def _wheel(self) -> OwnWheel:
        with self._guard:
            if self._packed is None:
                self._packed = self._pack()
            return self._packed

    def _read_compiled(self, stored: Path, python: str) -> EnvironmentLock | None:
        """Return a compiled lock, or None where there is none that can be read."""
        try:
            return seal_lock(read_text(stored, limit=MEDIUM), python=python, rollwright=self._wheel().sha256)
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError, CompareError) as error:
            _logger.warning("environment.lock_unreadable path=%s error=%s", stored, error)
            return None

    def _keep_compiled(self, text: str, draft: Path, stored: Path) -> None:
        draft.write_text(text, encoding="ascii")
        sync_file(draft)
        make_folder(stored.parent)
        put(draft, stored)
        sync_folder(stored.parent)

    def _check_origin(self, lock: EnvironmentLock) -> None:
        if seal_lock(lock.text, python=lock.python, rollwright=lock.rollwright) != lock:
            raise CompareError(
                f"the key of a lock is not that of its packages: {lock.key[:12]}…",
                hint="it was changed by hand; compile it anew from its requirements",
            )
        here = (describe_python(), self._wheel().sha256)
        for what, given, present in zip(("Python", "rollwright"), (lock.python, lock.rollwright), here, strict=True):
            if given != present:
                raise CompareError(
                    f"a lock was made for {what} {given[:24]}, and this is {present[:24]}",
                    hint="compile it anew from its requirements, or use the same one",
                )

    def _use(self, key: str) -> bool:
        """Share the lock of an environment, if it is whole, until `close`."""
        with self._guard:
            if key in self._held:
                return is_whole(self.root / key, key=key) or self._drop(key)
        path = self._lock_path(key, "use")
        try:
            handle = share_file_lock(path)
        except FileNotFoundError:
            return False
        if not is_whole(self.root / key, key=key):
            if handle is not None:
                os.close(handle)
            return False
        with suppress(OSError):  # when it was last used is told, and nothing rests on it
            os.utime(path)
        with self._guard:
            if handle is None:
                return True
            if key in self._held:
                os.close(handle)
            else:
                self._held[key] = handle
        return True

    def _drop(self, key: str) -> bool:
        os.close(self._held.pop(key))
        return False

    @contextmanager
    def _building(self, key: str) -> Iterator[int]:
        """Hold the lock of whoever makes or removes an environment, or compiles a lock; leftovers are gone then."""
        path = self._lock_path(key, "build")
        make_folder(path.parent)
        if probe_lock(path):
            _logger.info("environment.waited_for key=%s", key)
        with file_lock(path) as handle:
            self._remove_drafts(key)
            yield handle

    def _discard_damaged(self, key: str) -> None:
        """Set aside an environment that is not whole; the caller holds the lock of those who make it."""
        if not (self.root / key).exists():
            return
        waited = 0.0
        while not self._set_aside(key):
            if waited >= _PATIENCE:
                raise EnvironmentFailedError(
                    f"the environment {key[:12]}… is damaged, and another process uses it",
                    hint="let that end, then run this again: it is made anew",
                )
            self._clock.sleep(_POLL)
            waited += _POLL
        _logger.warning("environment.damaged key=%s action=rebuild", key)
        self._remove_drafts(key)

    def _set_aside(self, key: str) -> bool:
        """Take the name from an environment that nobody uses; return whether it has none now."""
        with try_file_lock(self._lock_path(key, "use")) as unused:
            if unused:
                (self.root / key).rename(self._draft_path(key))
                sync_folder(self.root)
            return unused

    def _build(self, lock: EnvironmentLock, handle: int) -> None:
        began, own, pins = self._clock.monotonic(), self._wheel(), parse_lock(lock.text)
        with self._draft(lock.key) as work:
            commands = self._commands(lock.key, work, handle)
            folder = work / "environment"
            self._installer.create(folder, commands)
            locked, wheel = work / "lock.txt", work / own.file_name
            locked.write_text(lock.text, encoding="ascii")
            wheel.write_bytes(own.content)
            self._installer.install(folder, locked, wheel, commands)
            packages, problems = find_problems(folder, pins, (own.name, own.version))
            if problems:
                raise EnvironmentFailedError(
                    "the environment is not what its lock says: " + "; ".join(problems),
                    log=str(commands.log),
                    hint="is uv or pip configured to install something else, or somewhere else?",
                )
            commands.run(
                [str(environment_python(folder)), "-I", "-c", f"import {own.name}"],
                purpose="rollwright cannot be imported in the environment",
            )
            target = self.root / lock.key
            self._installer.place(folder, target)
            write_manifest(
                folder,
                EnvironmentManifest(
                    key=lock.key,
                    python=lock.python,
                    rollwright=lock.rollwright,
                    lock=lock.text,
                    installer=self._installer.name,
                    packages=packages,
                    files=list_files(folder),
                ),
            )
            sync_tree(folder, above=self.root)
            folder.rename(target)
            sync_folder(self.root)
        _logger.info(
            "environment.made key=%s installer=%s packages=%d seconds=%.1f",
            lock.key,
            self._installer.name,
            len(packages),
            self._clock.monotonic() - began,
        )

    def _commands(self, key: str, folder: Path, handle: int) -> Commands:
        environ = installer_environment(self._environ)
        return Commands(self.log_of(key), folder=folder, environ=environ, inherited=handle)

    @contextmanager
    def _draft(self, key: str) -> Iterator[Path]:
        path = self._draft_path(key)
        path.mkdir(parents=True)
        try:
            yield path
        finally:
            _remove_tree(path)

    def _draft_path(self, key: str) -> Path:
        return self.root / f"{DRAFT_MARK}{key}-{secrets.token_hex(4)}"

    def _drafts(self) -> Iterator[Path]:
        return self.root.glob(f"{DRAFT_MARK}*-*")

    def _remove_drafts(self, key: str) -> int:
        found = [path for path in self._drafts() if _key_of_draft(path) == key]
        for path in found:
            _remove_tree(path)
        return len(found)

    def _lock_path(self, key: str, purpose: Literal["build", "use"]) -> Path:
        return self.root / _LOCKS / f"{key}.{purpose}"

    def _environments(self) -> list[Path]:
        return [path for path in self.root.glob("[0-9a-f]*") if len(path.name) == _KEY_LENGTH and path.is_dir()]

    def _describe(self, path: Path) -> StoredEnvironment:
        manifest, lock = read_manifest(path), self._lock_path(path.name, "use")
        try:
            used = lock.stat().st_mtime
        except OSError:
            used = 0.0
        return StoredEnvironment(
            key=path.name,
            path=path,
            packages=manifest.packages if manifest else {},
            python=manifest.python if manifest else "",
            installer=manifest.installer if manifest else "",
            size=manifest.size if manifest else 0,
            last_used=datetime.fromtimestamp(used, UTC),
            in_use=probe_lock(lock) is True,
            state="whole" if is_whole(path, key=path.name) else "damaged",
        )


def _key_of_draft(path: Path) -> str:
    return path.name.removeprefix(DRAFT_MARK).rpartition("-")[0]


def _remove_tree(path: Path) -> None:
    """Remove a folder; what cannot be removed stays a leftover, for the next one to try."""
    shutil.rmtree(path, ignore_errors=True)
