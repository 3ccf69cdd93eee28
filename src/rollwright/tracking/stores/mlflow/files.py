"""Files of runs on their way to where an MLflow tracking server keeps them, and back."""

from __future__ import annotations

import importlib
import posixpath
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from rollwright.errors import RecordError, TrackingUnavailableError
from rollwright.tracking.stores.mlflow.store import load_mlflow

__all__ = ["MlflowFiles"]

_LOCAL: Final = ("", "file")
_GONE: Final = 404


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

    def takes(self, location: str) -> bool:
        """Tell whether `location` is an address; a path would be one of the server's machine, which we cannot reach."""
        return urlsplit(location).scheme not in _LOCAL

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
        except Exception as error:  # each kind of store has errors of its own, and none of them may stop a run
            first = str(error).strip().partition("\n")[0][:500]
            raise TrackingUnavailableError(
                f"the files at {posixpath.dirname(location)} cannot be reached: {type(error).__name__}: {first}",
                hint="files recorded here stay in the project; `rollwright track sync` sends them",
            ) from error

    def _repository(self, location: str) -> Any:
        if location not in self._known:
            load_mlflow()
            registry = importlib.import_module("mlflow.store.artifact.artifact_repository_registry")
            self._known = {location: registry.get_artifact_repository(location, tracking_uri=self._uri)}
        return self._known[location]


def _is_absent(error: TrackingUnavailableError) -> bool:
    response = getattr(error.__cause__, "response", None)
    return getattr(response, "status_code", None) == _GONE
