"""Files of runs on their way to where an MLflow tracking server keeps them, and back."""

from __future__ import annotations

import errno
import importlib
import logging
import posixpath
from pathlib import Path
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

from rollwright.core.masking import mask_secrets
from rollwright.errors import RecordError, TrackingUnavailableError
from rollwright.tracking.stores.mlflow.importing import load_mlflow

__all__ = ["MlflowFiles"]

_logger: Final = logging.getLogger("rollwright.tracking")
_PROXIES: Final = ("mlflow-artifacts", "http", "https")  # the tracking server's own, which gets the tracking token
_CLOUDS: Final = ("s3", "gs", "wasbs", "abfss")  # whose credentials sign requests and never leave this machine
_GONE: Final = 404
_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


class MlflowFiles:
    """A `FileSender` over MLflow's artifact repositories: the server's own proxy, S3, Azure, Google and the like.

    Parameters
    ----------
    uri : str
        The tracking URI.
    """

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._known: dict[str, Any] = {}
        self._refused: set[str] = set()

    def takes(self, location: str) -> bool:
        """Tell whether `location` is an address that files may go to and come from.

        A path would be one of the server's machine, which we cannot reach. The server chooses the address, so it is
        itself or a cloud's object store: to any other host MLflow would send the server's token or password.
        """
        try:
            parts = urlsplit(location)
            allowed = parts.scheme in _CLOUDS or (parts.scheme in _PROXIES and self._is_own(parts))
        except ValueError:  # no address at all
            allowed = False
        if not allowed and not location.startswith(("/", "file:")) and location not in self._refused:
            self._refused.add(location)
            _logger.warning("files.kept_here location=%s", mask_secrets(location))
        return allowed

    def _is_own(self, parts: SplitResult) -> bool:
        own = urlsplit(self._uri)
        if parts.scheme == "mlflow-artifacts" and not parts.netloc:
            return True
        same_kind = parts.scheme in (own.scheme, "mlflow-artifacts")
        return same_kind and parts.username is None and (parts.hostname, parts.port) == (own.hostname, own.port)

    def put(self, location: str, name: str, path: Path) -> None:
        """Send a file.

        Raises
        ------
        TrackingUnavailableError
            When the artifact store does not take it, whatever the reason: it waits here.
        """
        folder, _, base = name.rpartition("/")
        if path.name != base:  # MLflow names a file there as it is named here
            raise RecordError(f"{path} cannot be sent as {name}")
        self._ask(location, "log_artifact", str(path), folder or None)

    def remove(self, location: str, name: str) -> None:
        """Remove a file; one that is not there is no error."""
        try:
            self._ask(location, "delete_artifacts", name)
        except TrackingUnavailableError as error:
            if not _is_absent(error):
                raise

    def get(self, location: str, name: str, path: Path) -> bool:
        """Bring a file to `path`, and tell whether there is one."""
        try:
            self._ask(location, "_download_file", name, str(path))
        except TrackingUnavailableError as error:
            if _is_absent(error):
                return False
            raise
        except FileNotFoundError:  # what some stores say of a file that is not there
            return False
        return True

    def _ask(self, location: str, method: str, *arguments: Any) -> None:
        try:
            getattr(self._repository(location), method)(*arguments)
        except FileNotFoundError:
            raise
        except OSError as error:
            if error.errno in _NO_ROOM:  # on this machine; the server answers
                raise
            raise _unreachable(location, error) from error
        except Exception as error:  # each kind of store has errors of its own, and none of them may stop a run
            raise _unreachable(location, error) from error

    def _repository(self, location: str) -> Any:
        if location not in self._known:
            load_mlflow()
            registry = importlib.import_module("mlflow.store.artifact.artifact_repository_registry")
            self._known = {location: registry.get_artifact_repository(location, tracking_uri=self._uri)}
        return self._known[location]


def _unreachable(location: str, error: Exception) -> TrackingUnavailableError:
    first = str(error).strip().partition("\n")[0][:500]
    return TrackingUnavailableError(
        f"the files at {mask_secrets(posixpath.dirname(location))} cannot be reached: "
        f"{type(error).__name__}: {mask_secrets(first)}",
        hint="files recorded here stay in the project; `rollwright track sync` sends them",
    )


def _is_absent(error: TrackingUnavailableError) -> bool:
    response = getattr(error.__cause__, "response", None)
    return getattr(response, "status_code", None) == _GONE
