"""One template, a task for each window, four workers, one of them killed: nothing is lost, nothing counts twice.

    python examples/pool_workers.py --out pool-workers
    python examples/pool_workers.py --out pool-workers --url postgresql://me@host/database
    python examples/pool_workers.py --out pool-workers --url mongodb://host:27017/database

Each task fits one slope on its train segment, last week's return against the next day's, and measures it on its test
window. Put a function of your own in place of `measure`; it gets the definition and returns JSON.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from rollwright import C, D, RollingGen, TaskManager, init
from rollwright.config.settings import mask_secrets
from rollwright.core.clock import SystemClock
from rollwright.market.demo import make_demo_market
from rollwright.pool.urls import store_from_url
from rollwright.pool.worker.worker import TaskFunction, Worker

CLOCK = SystemClock()
POOL = "slopes"
WORKERS = 4
LEASE = 5.0  # seconds: how long a dead worker's task waits at most; 60 is what pools have by default
FIELDS = {"x": "$close/Ref($close, 5) - 1", "y": "Ref($close, -2)/Ref($close, -1) - 1"}
TEMPLATE = {
    "fields": FIELDS,
    "dataset": {
        "kwargs": {
            "segments": {
                "train": ("2015-03-02", "2015-12-31"),
                "test": ("2016-01-11", "2016-12-30"),
            }
        }
    },
}


def measure(definition: dict[str, Any]) -> dict[str, float]:
    """Return the slope of y on x over the train segment, and their correlation in the test window."""
    segments = definition["dataset"]["kwargs"]["segments"]
    names, fields = zip(*sorted(definition["fields"].items()), strict=True)
    train, test = (
        D.features("all", [*fields], *segments[name]).set_axis([*names], axis=1).dropna() for name in ("train", "test")
    )
    CLOCK.sleep(0.3)  # long enough for somebody to pull the plug
    return {"slope": train["y"].cov(train["x"]) / train["x"].var(), "ic": test["y"].corr(test["x"]), "rows": len(test)}


def work(url: str) -> None:
    """Be a worker until nothing is left to do."""
    function = TaskFunction(entry=f"{Path(__file__).name}:measure")
    Worker(store=store_from_url(url), pool=POOL, function=function, slots=1, lease=LEASE).run()


def kill_one(manager: TaskManager) -> str:
    """Kill a worker in the middle of a task, as a power cut would; return the task."""
    while True:
        for task in manager.query({"status": "running"}):
            os.kill(int(task["owner"].split(":")[1]), signal.SIGKILL)
            return str(task["_id"])
        CLOCK.sleep(0.01)


def main(out: Path, url: str) -> dict[str, Any]:
    """Run the example in the folder `out`, on the pool at `url`; return what became of it."""
    market = out / "market"
    make_demo_market(market, instruments=40, sessions=560)
    settings = {"data__provider_uri": str(market), "pool__url": url, "trust__folder": str(Path(__file__).parent)}
    init(**settings)
    tasks = RollingGen(step=20, rtype=RollingGen.ROLL_SD, ds_extra_mod_func=None, trunc_days=3).generate(TEMPLATE)
    manager = TaskManager(POOL)
    ids = manager.create_task(tasks)
    print(f"pool         {POOL} in {mask_secrets(url)}: {len(ids)} windows")

    command = [sys.executable, __file__, "--out", str(out), "--url", url, "--work"]
    workers = [subprocess.Popen(command) for _ in range(WORKERS)]  # noqa: S603 - this file
    killed = kill_one(manager)
    manager.wait(timeout=300)
    codes = sorted(worker.wait() for worker in workers)

    events = [row.event for row in manager.store.read_history(POOL, [killed])]
    print(f"killed       one worker in the middle of task {killed}: {', '.join(events)}")
    done = [row.task_id for row in manager.store.read_history(POOL) if row.event == "done"]
    print(f"workers      ended with {codes}")
    print(f"committed    {len(set(done))} of {len(ids)} windows, {len(done) - len(set(done))} of them twice")
    results = [task["res"] for task in manager.query({"status": "done"})]
    print(f"mean IC      {sum(result['ic'] for result in results) / len(results):.4f}")
    return {"ids": ids, "done": done, "killed": killed, "events": events, "codes": codes, "results": results}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("pool-workers"))
    parser.add_argument("--url", help="the pool; a SQLite file in the folder if not given")
    parser.add_argument("--work", action="store_true", help="be one of the workers")
    given = parser.parse_args()
    given.url = given.url or f"sqlite:///{(given.out / 'pool.db').resolve()}"
    if given.work:
        C["data.provider_uri"] = str(given.out / "market")
        C["trust.folder"] = str(Path(__file__).parent)
        work(given.url)
    else:
        main(given.out.resolve(), given.url)
