"""Serving over a market that comes in, as one process does it, with a way to be killed at every labelled step.

A step is labelled by what is done and whether that is before or after it: ``publish before``, ``scores after``,
``fit after``. A process counts the steps it passes and dies at the one it was told, in real processes by SIGKILL and
in tests within one process by an exception that nothing catches.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final
from unittest import mock

from rollwright.config.context import current_settings, install
from rollwright.config.settings import load_settings
from rollwright.models.linear import LinearModel
from rollwright.online.day_result import DayResult
from rollwright.online.ledger import ServingLedger
from rollwright.online.manager import OnlineManager
from rollwright.online.online_tags import OnlineToolR
from rollwright.online.signal_store import SignalStore
from rollwright.online.strategy import RollingStrategy
from rollwright.online.update import PredUpdater
from rollwright.pool.urls import store_from_url
from rollwright.tasks.rolling import RollingGen

SERVING: Final = "replay"
LATE: Final = "late"
"""The strategy that is added while the others serve."""
STEP: Final = 20

_ALPHAS: Final = {"lin": 0.1, "ridge": 50.0, LATE: 500.0}


def make_task(alpha: float, days: list[str]) -> dict[str, Any]:
    """Return a cheap task: two features, a processor that learns, a linear model.

    Parameters
    ----------
    alpha : float
    days : list of str
        First and last session of train, and first of test.
    """
    train = (days[0], days[1])
    loader = {
        "class": "QlibDataLoader",
        "module_path": "rollwright.dataset.loader",
        "kwargs": {
            "config": {
                "feature": [["$close/Ref($close, 5)", "$volume/Mean($volume, 5)"], ["MOM", "VOL"]],
                "label": [["Ref($close, -2)/Ref($close, -1) - 1"], ["LABEL0"]],
            }
        },
    }
    norm = {"fields_group": "feature", "clip_outlier": True, "fit_start_time": train[0], "fit_end_time": train[1]}
    handler = {
        "class": "DataHandlerLP",
        "module_path": "rollwright.dataset.handler",
        "kwargs": {
            "instruments": "all",
            "start_time": days[0],
            "end_time": days[1],
            "data_loader": loader,
            "learn_processors": [{"class": "DropnaLabel"}],
            "infer_processors": [
                {"class": "RobustZScoreNorm", "kwargs": norm},
                {"class": "Fillna", "kwargs": {"fields_group": "feature"}},
            ],
        },
    }
    return {
        "model": {
            "class": "LinearModel",
            "module_path": "rollwright.models.linear",
            "kwargs": {"estimator": "ridge", "alpha": alpha},
        },
        "dataset": {
            "class": "DatasetH",
            "module_path": "rollwright.dataset.dataset",
            "kwargs": {"handler": handler, "segments": {"train": train, "test": (days[2], None)}},
        },
        "record": [{"class": "SignalRecord", "module_path": "rollwright.analysis.records"}],
    }


def make_strategies(names: list[str], days: list[str]) -> list[RollingStrategy]:
    """Return strategies anew, as a restart does."""
    rolling = functools.partial(RollingGen, step=STEP, rtype=RollingGen.ROLL_SD, trunc_days=3)
    return [RollingStrategy(name, make_task(_ALPHAS[name], days), rolling()) for name in names]


_OPENED: list[Any] = []


def enter_project(folder: Path) -> None:
    """Make the project of `folder` the current one."""
    install(load_settings(start=folder))


def open_store() -> Any:
    """Return the current project's task store."""
    settings = current_settings()
    store = store_from_url(settings.resolve_url(settings.pool.url))
    _OPENED.append(store)
    return store


def close_stores() -> None:
    """Close the task stores that this process opened, whose connections would outlast their test."""
    while _OPENED:
        _OPENED.pop().close()


def open_manager(days: list[str], **terms: Any) -> OnlineManager:
    """Return a manager of the current project, as each process makes it: all it knows is in the ledger.

    Parameters
    ----------
    days : list of str
        As `make_task` takes them; the first session to serve is the last.
    """
    ledger = ServingLedger(SERVING, open_store())
    state = ledger.read_state()
    names = ["lin", "ridge"] + ([LATE] if state is not None and LATE in state.strategies else [])
    return OnlineManager(
        make_strategies(names, days),
        begin_time=days[2],
        name=SERVING,
        ledger=ledger,
        roles={"lin": "champion", "ridge": "challenger", LATE: "shadow"},
        on_closed=deliver,
        **terms,
    )


def deliver(result: DayResult) -> None:
    """Note a delivery in the project's file of them, as a receiver that looks whether what it is told stands."""
    assert result.entry is not None
    stored = ServingLedger(SERVING, open_store()).read(result.entry.number)
    assert stored.digest == result.entry.digest, "what was delivered does not stand in the ledger"
    if result.outcome == "published" and result.signal is not None:
        with (current_settings().root / "deliveries").open("a") as file:
            file.write(f"{result.session} {result.signal.sha256}\n")


class Steps:
    """Counts the steps that are passed, and ends at one.

    Parameters
    ----------
    die : callable
        Called with the label of the step to die at.
    at : int
        Which step, from 1; 0 is none.
    label : str, optional
        The first step of this label.
    """

    def __init__(self, die: Callable[[str], None], at: int = 0, *, label: str = "") -> None:
        self.passed: list[str] = []
        self._die = die
        self._at = at
        self._label = label

    def reach(self, label: str) -> None:
        """Pass a step."""
        self.passed.append(label)
        if len(self.passed) == self._at or (label == self._label and self.passed.count(label) == 1):
            self._die(label)


def _label_entry(arguments: tuple[Any, ...]) -> str:
    return str(arguments[1].kind)


WATCHED: Final[tuple[tuple[type, str, Callable[[tuple[Any, ...]], str]], ...]] = (
    (ServingLedger, "_commit", _label_entry),
    (SignalStore, "save", lambda _: "scores"),
    (LinearModel, "fit", lambda _: "fit"),
    (PredUpdater, "update", lambda _: "update"),
    (OnlineToolR, "reset_online_tag", lambda _: "mirror"),
)


@contextmanager
def watched(steps: Steps) -> Iterator[None]:
    """Let every labelled step be counted."""
    with ExitStack() as stack:
        for owner, name, label in WATCHED:
            stack.enter_context(mock.patch.object(owner, name, _watch(getattr(owner, name), label, steps)))
        yield


def _watch(method: Callable[..., Any], label: Callable[[tuple[Any, ...]], str], steps: Steps) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(*arguments: Any, **terms: Any) -> Any:
        text = label(arguments)
        steps.reach(f"{text} before")
        answer = method(*arguments, **terms)
        steps.reach(f"{text} after")
        return answer

    return call


def serve(what: str, days: list[str]) -> None:
    """Begin the serving where it is not begun, ``add`` the late strategy where it is to be, and serve all sessions."""
    state = ServingLedger(SERVING, open_store()).read_state()
    if state is None:
        open_manager(days).first_train()
    elif what == "add" and LATE not in state.strategies:
        open_manager(days).add_strategy(make_strategies([LATE], days))
    open_manager(days).catch_up(policy="all")
