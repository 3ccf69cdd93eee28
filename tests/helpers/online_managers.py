"""Managers of small servings, and the clock that they are told."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from rollwright.online.ledger import ServingLedger
from rollwright.online.manager import OnlineManager
from rollwright.online.strategy import RollingStrategy
from rollwright.pool.stores.memory import MemoryStore
from rollwright.tasks.rolling import RollingGen
from rollwright.training.trainer import TrainerR
from serving_market import DAYS, make_task

BEGIN = "2020-05-20"


class FixedClock:
    """A clock that a test sets."""

    def __init__(self, text: str = "2020-05-20T12:00") -> None:
        self.moment = datetime.fromisoformat(text).replace(tzinfo=UTC)

    def now(self) -> datetime:
        """Return what was set."""
        return self.moment

    def monotonic(self) -> float:
        """Return always the same."""
        return 0.0

    def sleep(self, seconds: float) -> None:
        """Refuse to wait."""
        raise AssertionError(f"slept for {seconds}")


class CountingTrainer(TrainerR):
    """Counts what it trains."""

    def __init__(self) -> None:
        super().__init__()
        self.trained = 0

    def train(self, tasks: Any, *args: Any, **kwargs: Any) -> Any:
        """Train, and count."""
        self.trained += len(tasks)
        return super().train(tasks, *args, **kwargs)


def list_sessions(first: str, last: str) -> list[str]:
    """Return the sessions from one to another, both included."""
    return [f"{day:%Y-%m-%d}" for day in DAYS[(first <= DAYS) & (last >= DAYS)]]


def make_strategy(name: str = "lin", model: str = "linear", **rolling: Any) -> RollingStrategy:
    """Return a strategy whose windows are five sessions long."""
    return RollingStrategy(name, make_task(model), RollingGen(step=5, trunc_days=3, **rolling))


def make_manager(pool: MemoryStore, *strategies: RollingStrategy, trainer: Any = None, **kwargs: Any) -> OnlineManager:
    """Return a manager over the ledger in `pool`, as a process would construct it."""
    given = list(strategies) or [make_strategy()]
    name = kwargs.get("name", given[0].name_id)
    kwargs.setdefault("clock", FixedClock())
    return OnlineManager(given, trainer, BEGIN, ledger=ServingLedger(name, pool), **kwargs)
