"""Files at an address, as ``s3://bucket/folder``, through fsspec: whole or absent, with bounded patience."""

from __future__ import annotations

import errno
import logging
import os
import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from rollwright.core.bounded_read import MEDIUM
from rollwright.core.clock import Clock, SystemClock
from rollwright.core.masking import mask_secrets
from rollwright.core.optional import require
from rollwright.errors import ArtifactStorageError, ConfigError, CorruptArtifactError

__all__ = ["RemoteFiles", "open_remote"]

_logger: Final = logging.getLogger("rollwright.tracking")
EXTRA: Final = "s3"
MARK: Final = ".artifacts"
_PIECE: Final = 1 << 24
"""Bytes that one request asks for."""
_WHOLE: Final = ("s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "oss", "memory")
"""Stores in which an object appears when all of it is there; in others a file gets its name afterwards."""
_OPTIONS: Final[Mapping[str, Mapping[str, Any]]] = {
    "s3": {
        "config_kwargs": {
            "connect_timeout": 5, "read_timeout": 30, "retries": {"mode": "standard", "total_max_attempts": 1},
        },
    },
}  # fmt: skip
"""What is asked of a library beside its defaults: patience is ours."""
_NO_LOGIN: Final = (
    "NoCredentialsError",
    "PartialCredentialsError",
    "CredentialRetrievalError",
    "DefaultCredentialsError",
)
_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
_FIRST_PAUSE: Final = 0.2
_LONGEST_PAUSE: Final = 5.0
_LONGEST_REQUEST: Final = 30.0
_TEXT: Final = 1 << 20
"""Bytes that a manifest is expected to have at most; a longer one has less time for each."""
_SLOWEST: Final = 1e6
"""Bytes a second, below which a transfer is taken for one that hangs."""
T = TypeVar("T")
_stores: Final[dict[tuple[str, float], RemoteFiles]] = {}
_mutex: Final = threading.Lock()


class RemoteFiles:
    """The files below an address.

    Every method asks again while the store does not answer or says that it is busy, for `patience` seconds, and raises
    `ArtifactStorageError` then; at once when the store refuses the credentials. Credentials are found by the store's
    own library, in the environment and its files; none are taken from, written to or shown by anything here.

    Guarantees: a file has its name when all of it is there, whenever a writer is killed.

    Parameters
    ----------
    address : str
        As `check_store_address` returns it.
    patience : float
        Seconds.
    clock : Clock, optional
    open_store : callable, optional
        Returns fsspec's file system of a scheme.
    """

    def __init__(
        self,
        address: str,
        *,
        patience: float,
        clock: Clock | None = None,
        open_store: Callable[[str], Any] | None = None,
    ) -> None:
        self.address = address
        self._scheme = address.partition(":")[0]
        self._patience = patience
        self._clock = clock or SystemClock()
        self._open = open_store or _open_store
        self._opened: tuple[int, Any] | None = None

    def put(self, path: Path, key: str) -> None:
        """Store a file; one of that name is replaced."""
        size = path.stat().st_size
        self._write(key, size, lambda store, place, seconds: _call(store, seconds, "put_file", str(path), place))

    def put_text(self, text: str, key: str) -> None:
        """Store a text; a file of that name is replaced."""
        data = text.encode()
        self._write(key, len(data), lambda store, place, seconds: _call(store, seconds, "pipe_file", place, data))

    def fetch_text(self, key: str) -> str | None:
        """Return a text; None when there is no such file.

        Raises
        ------
        CorruptArtifactError
            When it is larger than a manifest may be, or is no UTF-8.
        """
        found = self._ask(key, partial(self._read, key=key, start=0, end=MEDIUM + 1, size=_TEXT))
        if found is None:
            return None
        try:
            if len(found) > MEDIUM:
                raise CorruptArtifactError(f"{self.show(key)} is larger than {MEDIUM:,} bytes")
            return str(found, "utf-8")
        except UnicodeDecodeError as error:
            raise CorruptArtifactError(f"{self.show(key)} cannot be read: {error}") from error

    def get(self, key: str, path: Path, *, length: int) -> bool:
        """Bring a file to `path`, and tell whether there is one; of a longer one than `length` a byte more is read."""
        with path.open("wb") as file:
            for start in range(0, max(length, 1), _PIECE):
                end = length + 1 if start + _PIECE >= length else start + _PIECE
                piece = self._ask(key, partial(self._read, key=key, start=start, end=end))
                if piece is None:
                    return False
                file.write(piece)
        return True

    def _read(self, store: Any, *, key: str, start: int, end: int, size: int | None = None) -> Any:
        place = self._path(store, key)
        try:
            return _call(
                store, self._seconds(end - start if size is None else size), "cat_file", place, start=start, end=end
            )
        except OSError as error:
            if error.errno == errno.EINVAL and int(_call(store, self._seconds(0), "info", place)["size"]) <= start:
                return b""  # it ends before: no store has such a range
            raise

    def lengths(self, key: str) -> dict[str, int]:
        """Return the lengths of all files below `key`, by their paths below it."""

        def ask(store: Any) -> dict[str, int]:
            folder = self._path(store, key)
            found = _call(store, self._seconds(0), "find", folder, detail=True)
            return {str(name).removeprefix(folder).lstrip("/"): int(about["size"]) for name, about in found.items()}

        return self._ask(key, ask) or {}

    def remove(self, keys: Sequence[str]) -> None:
        """Remove files; one that is not there is no error."""
        for key in keys:
            self._ask(key, partial(self._remove, key=key))

    def _remove(self, store: Any, *, key: str) -> None:
        _call(store, self._seconds(0), "rm_file", self._path(store, key))

    def mark(self) -> None:
        """Make a file that tells an address without runs from one that is wrong or away."""
        if self.fetch_text(MARK) is None:
            self.put_text("Files of runs. Where this file is missing, the address is another, or away.\n", MARK)

    def check_marked(self) -> None:
        """Check that `mark` was called for this address once.

        Raises
        ------
        ArtifactStorageError
            When it was not: then nothing is known to be missing.
        """
        if self.fetch_text(MARK) is None:
            raise ArtifactStorageError(
                f"{self.show('')} holds no files of runs, not even their mark `{MARK}`",
                hint="does `tracking.artifacts` name the right bucket and folder? if the files are lost for good, "
                f"store any file as {MARK} there: what was there is made anew then",
            )

    def show(self, key: str) -> str:
        """Return the address of a file as it may be shown."""
        return mask_secrets(f"{self.address}/{key}".rstrip("/"))

    def _path(self, store: Any, key: str) -> str:
        return str(store._strip_protocol(f"{self.address}/{key}".rstrip("/")))  # noqa: SLF001 - fsspec's own name for it

    def _seconds(self, size: int) -> float:
        """Return for how long one request of so many bytes may take before it is given up and asked again."""
        return min(_LONGEST_REQUEST, max(self._patience, 1.0)) + min(size, _PIECE) / _SLOWEST

    def _write(self, key: str, size: int, write: Callable[[Any, str, float], object]) -> None:
        seconds = self._seconds(0) + size / _SLOWEST

        def ask(store: Any) -> bool:
            place = self._path(store, key)
            if self._scheme in _WHOLE:
                write(store, place, seconds)
                return True
            store.makedirs(place.rpartition("/")[0], exist_ok=True)
            draft = f"{place}.part-{secrets.token_hex(8)}"
            write(store, draft, seconds)
            store.mv(draft, place)
            return True

        if self._ask(key, ask) is None:
            raise ArtifactStorageError(
                f"cannot store {self.show(key)}: there is no such bucket or folder",
                hint="make it, or let `tracking.artifacts` name another",
            )

    def _ask(self, key: str, ask: Callable[[Any], T]) -> T | None:
        """Return what the store answers, None when it has no such file; ask again while it does not answer."""
        begun, pause = self._clock.monotonic(), _FIRST_PAUSE
        while True:
            try:
                return ask(self._store())
            except FileNotFoundError:
                return None
            except (ArtifactStorageError, ConfigError):
                raise
            except Exception as error:
                if type(error).__name__ in _NO_LOGIN or isinstance(error, PermissionError):
                    raise self._refused(key, error) from error
                if isinstance(error, OSError) and error.errno in _NO_ROOM:  # of this machine's disk
                    raise
                waited = self._clock.monotonic() - begun
                if waited + pause > self._patience:
                    raise self._away(key, error, waited) from error
                _logger.debug("artifacts.asked_again address=%s error=%s", self.show(key), _first_line(error))
                self._clock.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)

    def _store(self) -> Any:
        """Return the file system, of this process: a fork cannot use its parent's connections."""
        if self._opened is None or self._opened[0] != os.getpid():
            self._opened = (os.getpid(), self._open(self._scheme))
        return self._opened[1]

    def _refused(self, key: str, error: Exception) -> ArtifactStorageError:
        return ArtifactStorageError(
            f"{self.show(key)} is refused to these credentials, or there are none: {_first_line(error)}",
            hint="its library finds them in the environment (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY for s3) or in "
            "its own files; may they read, write, list and delete there?",
        )

    def _away(self, key: str, error: Exception, waited: float) -> ArtifactStorageError:
        return ArtifactStorageError(
            f"{self.show(key)} did not answer for {waited:.0f} s: {_first_line(error)}",
            hint="is the store reachable (AWS_ENDPOINT_URL names another than Amazon's)? `tracking.artifacts_patience` "
            "says how long it is asked again",
        )


def open_remote(address: str, *, patience: float) -> RemoteFiles:
    """Return this process's files at an address; nothing is connected to before they are used."""
    with _mutex:
        return _stores.setdefault((address, patience), RemoteFiles(address, patience=patience))


def _first_line(error: Exception) -> str:
    text = str(error).strip().partition("\n")[0][:300]
    return mask_secrets(f"{type(error).__name__}: {text}")


def _call(store: Any, seconds: float, method: str, *arguments: Any, **options: Any) -> Any:
    """Call a method of a file system; one that works asynchronously is given up after some seconds."""
    if not store.async_impl:
        return getattr(store, method)(*arguments, **options)
    asyn = require("fsspec.asyn", extra=EXTRA)
    return asyn.sync(store.loop, getattr(store, f"_{method}"), *arguments, timeout=seconds, **options)


def _open_store(scheme: str) -> Any:
    fsspec = require("fsspec", extra=EXTRA)
    if scheme == "s3":
        require("s3fs", extra=EXTRA)
    try:
        kind = fsspec.get_filesystem_class(scheme)
    except ImportError as error:
        raise ConfigError(f"files cannot be stored at {scheme}:// here: {error}") from error
    except ValueError as error:
        raise ConfigError(
            f"nothing installed here stores files at {scheme}://",
            hint="known are: s3, gs, abfs, sftp and what fsspec lists",
        ) from error
    store = kind(skip_instance_cache=True, use_listings_cache=False, **_OPTIONS.get(scheme, {}))
    if scheme == "s3":
        store.retries = 1  # patience is ours
    return store
