"""The executor that runs tasks in this process, one after another, in the caller's thread."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable, Mapping
from typing import Any

from rollwright.core.clock import Clock
from rollwright.core.masking import mask_secrets
from rollwright.pool.document import document_of_lease
from rollwright.pool.states import Status
from rollwright.pool.store import Lease
from rollwright.pool.stored_definition import check_definition
from rollwright.pool.worker.backoff import worth_retrying
from rollwright.pool.worker.heartbeat import Heartbeat
from rollwright.pool.worker.loop import AttemptEnd
from rollwright.pool.worker.task_function import encode_returned

__all__ = ["InlineExecutor"]


class InlineExecutor:
    """Runs one task at a time while the loop waits; a thread renews its lease meanwhile.

    An exception fails the attempt. An interrupt or an exit is about this process, not about the task: the task is
    released, and the loop raises it.

    Parameters
    ----------
    function : callable
        Called with the definition, or, for a ``part_done`` task, with its intermediate result, and `kwargs`.
    kwargs : mapping
    heartbeat : Heartbeat
    fail_fast : bool
        Whether the loop raises the first exception, too.
    clock : Clock, optional
        What to wait by while there is no task, instead of notifications.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        kwargs: Mapping[str, Any],
        *,
        heartbeat: Heartbeat,
        fail_fast: bool,
        clock: Clock | None,
    ) -> None:
        self._function = function
        self._kwargs = kwargs
        self._heartbeat = heartbeat
        self._fail_fast = fail_fast
        self._clock = clock
        self._woken = threading.Event()
        self._lease: Lease | None = None

    @property
    def free(self) -> int:
        """1 while it has no task."""
        return 0 if self._lease else 1

    @property
    def starting(self) -> bool:
        """False: it can take a task from the beginning."""
        return False

    @property
    def leases(self) -> tuple[Lease, ...]:
        """The task it is to run."""
        return (self._lease,) if self._lease else ()

    def open(self) -> None:
        """Start to renew leases."""
        self._heartbeat.start()

    def give(self, lease: Lease) -> None:
        """Take the task that the next `wait` runs."""
        self._lease = lease

    def wait(self, seconds: float) -> list[AttemptEnd]:
        """Run the task it has; without one, wait until woken."""
        lease, self._lease = self._lease, None
        if lease is not None:
            return [self._run(lease)]
        if self._clock is not None:
            self._clock.sleep(seconds)
        else:
            self._woken.wait(seconds)
            self._woken.clear()
        return []

    def _run(self, lease: Lease) -> AttemptEnd:
        try:
            param = _definition_of(lease) if lease.origin is Status.WAITING else document_of_lease(lease)["res"]
            result, validity = encode_returned(self._function(param, **self._kwargs))
        except Exception as error:  # noqa: BLE001 - the worker boundary: a failing task never stops the others
            text = mask_secrets("".join(traceback.format_exception(error)))
            raised = error if self._fail_fast else None
            return AttemptEnd(lease=lease, kind="failed", error=text, retry=worth_retrying(error), raised=raised)
        except BaseException as error:  # noqa: BLE001 - the loop raises it once the task is given back
            return AttemptEnd(lease=lease, kind="released", raised=error)
        return AttemptEnd(lease=lease, kind="finished", result=result, validity=validity)

    def drop(self, lease: Lease) -> None:
        """Forget a task that has not begun; one that runs in this thread cannot be stopped."""
        if self._lease == lease:
            self._lease = None

    def drain(self) -> None:
        """There is nothing that would be started again."""

    def wake(self) -> None:
        """Let `wait` return."""
        self._woken.set()

    def close(self) -> None:
        """Stop renewing."""
        self._heartbeat.stop()


def _definition_of(lease: Lease) -> dict[str, Any]:
    return check_definition(lease.canonical, fingerprint=lease.fingerprint, pool=lease.pool, task_id=lease.task_id)
