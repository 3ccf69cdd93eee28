"""The worker process: runs one task after another for the worker that started it, and ends with it."""

from __future__ import annotations

import contextvars
import gc
import importlib
import json
import logging
import multiprocessing
import os
import signal
import sys
import threading
import traceback
import types
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import IO, Any, Final

from rollwright.config.construct import load_function
from rollwright.config.context import install
from rollwright.config.settings import Settings
from rollwright.core.clock import SystemClock
from rollwright.core.fit_rounds import listen_to_rounds
from rollwright.core.log_relay import RecordedWarning
from rollwright.core.log_sentences import SentenceFormatter
from rollwright.core.masking import MaskingFormatter, mask_secrets
from rollwright.core.posix import kill_when_closed
from rollwright.core.streams import make_streams_tolerant
from rollwright.core.text import storable_text
from rollwright.pool.stored_definition import check_definition
from rollwright.pool.types import MAX_ERROR, decode_result
from rollwright.pool.worker.backoff import worth_retrying
from rollwright.pool.worker.task_function import encode_returned
from rollwright.pool.worker.task_log import log_task_output

__all__ = ["load_entry", "run_forked_process", "run_worker_process"]

_ROUND_PAUSE: Final = 0.25
"""Seconds between two messages about the rounds of a fit."""


def run_worker_process(tasks: Connection, lifeline: Connection) -> None:
    """Run what comes through `tasks` until it is closed.

    Parameters
    ----------
    tasks : Connection
        JSON both ways: the terms first, then tasks down and outcomes up.
    lifeline : Connection
        The reading end of a pipe that nothing is written to; its other end is the worker's alone, so that it closes
        when the worker ends, however it does.
    """
    gc.freeze()  # what the server imported is never garbage: looking through it would copy its pages
    _end_with(lifeline)
    make_streams_tolerant()  # what a model prints must not end it
    for name in (signal.SIGINT, signal.SIGTERM):  # both reach whole groups of processes; the worker decides here
        signal.signal(name, signal.SIG_IGN)
    try:
        terms = json.loads(tasks.recv_bytes())
        _set_up_logging(terms.get("log_level"), tasks)
        _send(tasks, _prepare(terms))
        function = load_entry(terms["entry"])
        logs = None if terms.get("logs") is None else Path(terms["logs"])
        while True:
            message = json.loads(tasks.recv_bytes())
            with log_task_output(logs, str(message["stored"]["task_id"])), listen_to_rounds(_RoundSender(tasks)):
                answer = _run(function, message, terms["kwargs"])
            _send(tasks, answer)
    except (EOFError, OSError):  # the worker closed the pipe: nothing more to do
        return


def run_forked_process(
    tasks: Connection, lifeline: Connection, modules: Sequence[str], others: Sequence[Connection]
) -> None:
    """Do what `run_worker_process` does, as the fork of a process that was no clean server.

    1. No signal that is meant for a group ends it while it starts; SIGTERM stays blocked, as below a server.
    2. The worker's ends of pipes are the worker's alone again: a lifeline closes with the worker.
    3. Nothing of the worker's main module and of its contexts is known here, and its log handlers are not used.
    4. What tasks need is imported, beside whatever the worker does; what is not installed is told where it is needed.

    Parameters
    ----------
    tasks, lifeline : Connection
    modules : sequence of str
    others : sequence of Connection
        The worker's ends, this process's and those of the processes that were forked before it.
    """
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    for connection in others:
        connection.close()
    sys.modules["__main__"] = types.ModuleType("__main__")
    logging.root.handlers.clear()
    for module in modules:
        with suppress(ImportError):
            importlib.import_module(module)
    contextvars.Context().run(run_worker_process, tasks, lifeline)


def _end_with(lifeline: Connection) -> None:
    kill_when_closed(lifeline.fileno())

    def watch() -> None:
        try:
            lifeline.recv_bytes()
        except (EOFError, OSError):
            os._exit(1)

    threading.Thread(target=watch, name="lifeline", daemon=True).start()


def _set_up_logging(level: int | None, tasks: Connection) -> None:
    """Let this process log as the worker does, at its level, and name the slot: it is an application of its own.

    Warnings go to the worker, which says each once: every window of every slot would say the same.
    """
    name = multiprocessing.current_process().name
    handler = logging.StreamHandler(_open_terminal())
    form = f"%(levelname)s %(name)s [{name}]: %(message)s"
    verbose = level is not None and level < logging.WARNING
    handler.setFormatter(MaskingFormatter(form) if verbose else SentenceFormatter(form, place=name))
    handler.addFilter(lambda record: not is_for_worker(record))
    logging.basicConfig(level=logging.WARNING, handlers=[handler, _WarningSender(tasks)])
    logging.captureWarnings(capture=True)
    if level is not None:
        logging.getLogger("rollwright").setLevel(level)


def _open_terminal() -> IO[str] | None:
    """Return standard error as it is now: what is logged goes there though a task's output goes to its own file."""
    try:
        return os.fdopen(os.dup(2), "w", encoding="utf-8", errors="backslashreplace", buffering=1)
    except OSError:
        return None


def is_for_worker(record: logging.LogRecord) -> bool:
    """Whether the worker says it: a warning. An error, and what has a traceback, is said at once and where it is."""
    return record.levelno == logging.WARNING and record.exc_info is None


class _WarningSender(logging.Handler):
    """Sends warnings up to the worker."""

    def __init__(self, tasks: Connection) -> None:
        super().__init__(level=logging.WARNING)
        self._tasks = tasks

    def emit(self, record: logging.LogRecord) -> None:
        if not is_for_worker(record):
            return
        said = RecordedWarning.of(record)
        try:
            _send(self._tasks, {"kind": "said", "logger": said.logger, "text": said.text, "args": [*said.args]})
        except OSError:  # the worker is gone, and this process ends with it
            self.handleError(record)


class _RoundSender:
    """Sends up to the worker how far a fit has come, a few times a second."""

    def __init__(self, tasks: Connection) -> None:
        self._tasks = tasks
        self._clock = SystemClock()
        self._next = 0.0

    def __call__(self, done: int, of: int) -> None:
        now = self._clock.monotonic()
        if now < self._next:
            return
        self._next = now + _ROUND_PAUSE
        with suppress(OSError):  # the worker is gone, and this process ends with it
            _send(self._tasks, {"kind": "round", "done": done, "of": of})


def _prepare(terms: Mapping[str, Any]) -> dict[str, Any]:
    """Install the settings and look the function up; say what went wrong, since the worker cannot see it."""
    try:
        if terms["settings"] is not None:
            install(Settings.model_validate_json(terms["settings"]))
        load_entry(terms["entry"])
    except Exception:  # noqa: BLE001 - the worker boundary: sent to the worker, which stops
        return {"kind": "broken", "error": _last_traceback()}
    return {"kind": "ready"}


def load_entry(entry: str) -> Callable[..., Any]:
    """Return the function that ``module:function`` names, if its module is trusted.

    Raises
    ------
    UntrustedModuleError, ConstructError
    """
    module, _, name = entry.partition(":")
    return load_function(name, module)


def _run(function: Callable[..., Any], message: Mapping[str, Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    try:
        if message["stage"]:
            param = decode_result(message["param"])
        else:
            param = check_definition(message["param"], **message["stored"])
        result, validity = encode_returned(function(param, **kwargs))
        return {"kind": "finished", "result": result, "validity": validity}
    except BaseException as error:  # noqa: BLE001 - the worker boundary: an exit of the function is its failure
        text = _last_traceback()
        with suppress(OSError, ValueError):
            sys.stderr.write(text)  # behind what the task printed
        return {"kind": "raised", "error": text, "retry": worth_retrying(error)}


def _last_traceback() -> str:
    return storable_text(mask_secrets(traceback.format_exc()), longest=MAX_ERROR)


_sending = threading.Lock()


def _send(tasks: Connection, message: Mapping[str, Any]) -> None:
    with _sending:  # a thread of a library may warn meanwhile
        tasks.send_bytes(json.dumps(message).encode())
