"""One measured process of `online.py` on our side.

Argument: JSON with the task (``simulate``, ``days`` or ``past``), the market, and what each needs. The last line of its
output is JSON with what it took.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd

from rollwright.config.context import install
from rollwright.config.settings import load_settings


def clock_fits() -> list[float]:
    """Return a list to which each call of `lightgbm.train` adds its seconds."""
    import lightgbm  # noqa: PLC0415 - only where it is used

    fits: list[float] = []
    train = lightgbm.train

    def timed(*arguments: Any, **terms: Any) -> Any:
        start = time.perf_counter()
        try:
            return train(*arguments, **terms)
        finally:
            fits.append(time.perf_counter() - start)

    lightgbm.train = timed
    return fits


def make_manager(request: dict[str, Any], task: dict[str, Any], **terms: Any) -> Any:
    """Return a manager of one rolling strategy."""
    from rollwright.online.manager import OnlineManager  # noqa: PLC0415 - only where it is used
    from rollwright.online.strategy import RollingStrategy  # noqa: PLC0415 - as above
    from rollwright.tasks.rolling import RollingGen  # noqa: PLC0415 - as above

    gen = RollingGen(step=request["step"], rtype=RollingGen.ROLL_SD, trunc_days=request.get("trunc_days"))
    return OnlineManager(RollingStrategy("bench", task, gen), begin_time=request["begin"], **terms)


def simulate(request: dict[str, Any]) -> dict[str, Any]:
    """Simulate from `begin` to `end`, as the peer does."""
    fits = clock_fits()
    make_manager(request, request["task_config"])  # its imports are not of what is measured
    start = time.perf_counter()
    signals = make_manager(request, request["task_config"]).simulate(end_time=request["end"])
    wall = time.perf_counter() - start
    return {"wall": wall, "fits": sum(fits), "fit_count": len(fits), "rows": len(signals)}


def serve_days(request: dict[str, Any]) -> dict[str, Any]:
    """Serve day by day while the market comes in; return the seconds of each day, and which of them trained."""
    fits = clock_fits()
    market, whole = Path(request["folder"]) / "market", Path(request["market"])
    days = (whole / "calendars/day.txt").read_text().split()
    first = days.index(request["begin"])
    feed = Feed(whole, market, days)
    feed.deliver(0, first)
    taken, trained, manager = [], [], None
    for place in range(first, first + request["days"]):
        if place > first:
            feed.deliver(place, place)
        if manager is None:
            manager = make_manager(request, request["task_config"], name="bench")
            manager.first_train()
        before = len(fits)
        start, cpu = time.perf_counter(), time.process_time()
        result = manager.serve(days[place])
        taken.append({"wall": time.perf_counter() - start, "cpu": time.process_time() - cpu})
        trained.append(len(fits) > before)
        assert result.outcome == "published", result
    return {"days": taken, "trained": trained}


def serve_after_windows(request: dict[str, Any]) -> dict[str, Any]:
    """Serve three days of a serving whose models have had so many windows; return the seconds of a day's routine."""
    from rolling import empty_task  # noqa: PLC0415 - as above

    days = (Path(request["market"]) / "calendars/day.txt").read_text().split()
    step, last = 5, days.index(request["end"])
    first = last - step * request["windows"]
    task = empty_task()
    task["dataset"]["kwargs"]["segments"] = {
        "train": [days[first - 310], days[first - 10]],
        "test": [days[first], days[last + step - 1]],
    }
    begin = days[last - step]  # the first day of the last window that has begun
    manager = make_manager({**request, "step": step, "begin": begin}, task, name="bench")
    manager.first_train()
    taken = []
    for place in range(last - step, last):
        start, cpu = time.perf_counter(), time.process_time()
        assert manager.serve(days[place]).outcome == "published"
        taken.append({"wall": time.perf_counter() - start, "cpu": time.process_time() - cpu})
    warm = sorted(day["cpu"] for day in taken[1:])
    trained = sum(len(models) for models in next(iter(manager.history.values())).values())
    return {"cpu": warm[len(warm) // 2], "days": taken, "online": trained}


def ask_ledger(request: dict[str, Any]) -> dict[str, Any]:
    """Ask a ledger of so many entries what was live on random sessions; return the seconds of each question."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "helpers"))
    import random  # noqa: PLC0415 - as above

    from ledger_drafts import next_step, session_of  # noqa: PLC0415 - as above
    from rollwright.online.audit import what_was_live  # noqa: PLC0415 - as above
    from rollwright.online.ledger import ServingLedger  # noqa: PLC0415 - as above
    from rollwright.pool.stores.sqlite.store import SqliteStore  # noqa: PLC0415 - as above

    file = Path(request["folder"]) / "pool.db"
    store = SqliteStore(file, durable=False)
    ledger = ServingLedger("bench", store)
    days = request["entries"] // 5
    while ledger.append(lambda state: next_step(state, days=days)):
        pass
    head = ledger.read_head()
    store.close()
    generator, taken = random.Random(1), []
    for _ in range(request["questions"]):
        session = session_of(generator.randrange(days))
        store = SqliteStore(file)
        start = time.perf_counter()
        what_was_live(ServingLedger("bench", store), session)
        taken.append(time.perf_counter() - start)
        store.close()
    return {"seconds": taken, "entries": None if head is None else head.number}


class Feed:
    """Delivers the sessions of a whole market into a folder."""

    def __init__(self, whole: Path, market: Path, days: list[str]) -> None:
        from rollwright.features.api import D  # noqa: PLC0415 - as above

        self.market, self.days = market, days
        install(load_settings({"data.provider_uri": str(whole), "data.region": "cn"}, start=whole.parent))
        frame = D.features("all", ["$open", "$close", "$high", "$low", "$volume", "$vwap", "$factor"])
        frame.columns = [name.removeprefix("$") for name in frame.columns]
        self.frame = frame.reset_index().rename(columns={"instrument": "symbol", "datetime": "date"})
        install(load_settings(start=market.parent))

    def deliver(self, first: int, last: int) -> None:
        """Deliver the sessions from one to another."""
        from rollwright.market.ingest.importer import import_market  # noqa: PLC0415 - as above

        chosen = self.frame["date"].between(pd.Timestamp(self.days[first]), pd.Timestamp(self.days[last]))
        import_market(self.frame[chosen], self.market)


def main() -> None:
    request = json.loads(sys.argv[1])
    folder = Path(request["folder"])
    install(load_settings(start=folder))
    tasks = {"simulate": simulate, "days": serve_days, "past": serve_after_windows, "audit": ask_ledger}
    print("\n" + json.dumps(tasks[request["task"]](request)))


if __name__ == "__main__":
    main()
