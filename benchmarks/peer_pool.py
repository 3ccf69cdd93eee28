"""What a PostgreSQL task queue of others needs to drain no-op tasks; run by the interpreter that has it installed.

    python benchmarks/peer_pool.py URL PEER TASKS

PEER is `procrastinate`, `pgqueuer1` or `pgqueuer10` (its batch size). The database is the peer's own. Prints JSON.
"""

# ruff: noqa: PLC0415 - only the peer that is measured is imported
from __future__ import annotations

import asyncio
import json
import sys
import time


async def drain_procrastinate(url, tasks):
    import procrastinate

    app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=url))
    ran = []

    @app.task(name="noop")
    async def noop(number, pad):  # noqa: ARG001 - the task has the weight of ours
        ran.append(number)

    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        await noop.batch_defer_async(*[{"number": number, "pad": "x" * 1000} for number in range(tasks)])
        start = time.perf_counter()
        await app.run_worker_async(wait=False, concurrency=1, listen_notify=False, install_signal_handlers=False)
        return time.perf_counter() - start, len(ran)


async def drain_pgqueuer(url, tasks, batch):
    import asyncpg
    from pgqueuer.db import AsyncpgDriver
    from pgqueuer.qm import QueueManager
    from pgqueuer.queries import Queries
    from pgqueuer.types import QueueExecutionMode

    connection = await asyncpg.connect(url)
    driver = AsyncpgDriver(connection)
    queries = Queries(driver)
    await queries.install()
    manager = QueueManager(queries)
    ran = []

    @manager.entrypoint("noop")
    async def noop(job):
        ran.append(job.id)

    await queries.enqueue(["noop"] * tasks, [b"x" * 1000] * tasks, [0] * tasks)
    start = time.perf_counter()
    await manager.run(batch_size=batch, mode=QueueExecutionMode.drain)
    seconds = time.perf_counter() - start
    await connection.close()
    return seconds, len(ran)


def main():
    url, peer, tasks = sys.argv[1], sys.argv[2], int(sys.argv[3])
    if peer == "procrastinate":
        seconds, ran = asyncio.run(drain_procrastinate(url, tasks))
    else:
        seconds, ran = asyncio.run(drain_pgqueuer(url, tasks, int(peer.removeprefix("pgqueuer"))))
    assert ran == tasks, f"{peer} ran {ran} of {tasks} tasks"
    print(json.dumps({"seconds": seconds}))


if __name__ == "__main__":
    main()
