"""How large an answer of a tracking server may be, and how long it may take to come.

MLflow reads an answer to its end, whatever its length. Its requests pass through an authentication provider, which is
where requests lets a hook see a response before its body is read.
"""

from __future__ import annotations

import copy
import importlib
import io
import time
from collections.abc import Callable
from typing import Any, Final

from rollwright.errors import TrackingUnavailableError

__all__ = ["MAX_ANSWER", "MAX_SECONDS", "limit_answers"]

MAX_ANSWER: Final = 64 << 20
"""Bytes of one answer, unpacked; a page of a thousand runs with many parameters has some of them."""
MAX_SECONDS: Final = 60.0
"""From the first byte of an answer to its last."""
_NAME: Final = "rollwright-answers"
_CHUNK: Final = 1 << 16


def limit_answers(store: Any) -> None:
    """Let MLflow's `store` of a tracking server refuse answers that are too large or trickle in for too long."""
    _register()
    if not isinstance(store.get_host_creds, _Credentials):  # MLflow gives the same store again to who opens it again
        store.get_host_creds = _Credentials(store.get_host_creds)


class _Credentials:
    """Gives MLflow's credentials for a server, with this module's provider in the place of the user's."""

    def __init__(self, ask: Callable[[], Any]) -> None:
        self._ask = ask

    def __call__(self) -> Any:
        found = copy.copy(self._ask())
        _Limit.inner, found.auth = found.auth, _NAME
        return found


class _Limit:
    """An authentication provider that adds the hook, and hands on to the provider that the user named, if any."""

    inner: Any = None
    registered: bool = False

    def get_name(self) -> str:
        return _NAME

    def get_auth(self) -> Callable[[Any], Any]:
        fetch = importlib.import_module("mlflow.tracking.request_auth.registry").fetch_auth
        own = fetch(_Limit.inner) if _Limit.inner else _netrc

        def prepare(request: Any) -> Any:
            prepared = own(request)
            prepared.register_hook("response", _read_bounded)
            return prepared

        return prepare


def _register() -> None:
    if not _Limit.registered:
        registry = importlib.import_module("mlflow.tracking.request_auth.registry")
        registry._request_auth_provider_registry.register(_Limit)  # noqa: SLF001 - its entry points would need an installation
        _Limit.registered = True


def _netrc(request: Any) -> Any:
    """Do what requests does for a request without a provider: take a login from the user's netrc file."""
    login = importlib.import_module("requests.utils").get_netrc_auth(request.url)
    return importlib.import_module("requests.auth").HTTPBasicAuth(*login)(request) if login else request


def _read_bounded(response: Any, *, stream: bool = False, **_: object) -> None:
    """Read the body of `response` up to the limits, and leave what was read in its place."""
    if stream:
        return
    begun, size, parts = time.monotonic(), 0, []
    for part in response.raw.stream(_CHUNK, decode_content=True):
        size += len(part)
        parts.append(part)
        if size > MAX_ANSWER or time.monotonic() - begun > MAX_SECONDS:
            response.close()
            limit = f"{MAX_ANSWER >> 20} MiB" if size > MAX_ANSWER else f"{MAX_SECONDS:.0f} s"
            raise TrackingUnavailableError(f"the tracking server's answer has no end within {limit}")
    response.raw = io.BytesIO(b"".join(parts))
