"""What huey needs on SQLite to drain no-op tasks; run by the interpreter that has it installed.

    python benchmarks/peer_pool_sqlite.py FILE TASKS

Its file makes every commit durable (`fsync=True`: WAL with synchronous FULL). One consumer without its polling loop:
take a task off the queue, run it, store its result, as `Worker` does, so what is measured is the store. Prints JSON.
"""

from __future__ import annotations

import json
import sys
import time

from huey import SqliteHuey


def main():
    path, tasks = sys.argv[1], int(sys.argv[2])
    huey = SqliteHuey("bench", filename=path, fsync=True)
    (synchronous,) = huey.storage.conn.execute("PRAGMA synchronous").fetchone()
    assert synchronous == 2, f"synchronous is {synchronous}, not FULL"
    huey.storage.conn.execute("PRAGMA synchronous = OFF")  # filling is not measured
    ran = []

    @huey.task()
    def noop(number, pad):
        ran.append(number)
        return pad

    for number in range(tasks):
        noop(number, "x" * 1000)
    huey.storage.conn.execute("PRAGMA synchronous = FULL")
    (synchronous,) = huey.storage.conn.execute("PRAGMA synchronous").fetchone()
    assert synchronous == 2, f"synchronous is {synchronous}, not FULL"
    wall, cpu = time.perf_counter(), time.process_time()
    while (task := huey.dequeue()) is not None:
        huey.execute(task)
    seconds, cpu = time.perf_counter() - wall, time.process_time() - cpu
    assert len(ran) == tasks, f"huey ran {len(ran)} of {tasks} tasks"
    print(json.dumps({"seconds": seconds, "cpu": cpu}))


if __name__ == "__main__":
    main()
