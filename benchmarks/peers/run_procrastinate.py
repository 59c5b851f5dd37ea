"""procrastinate on PostgreSQL: `run_procrastinate.py drain COUNT` or `wait COUNT`, jobs that do nothing."""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import sys
import time
from typing import Any

import procrastinate

app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=os.environ["PEER_DATABASE_URL"], max_size=12))
_begun: dict[int, float] = {}
_came = asyncio.Event()


@app.task(queue="noop")
async def noop(number: int) -> None:
    """Note when it began."""
    _begun[number] = time.time()
    _came.set()


async def _drain(count: int) -> dict[str, Any]:
    await noop.batch_defer_async(*({"number": number} for number in range(count)))
    rates = {}
    began = time.monotonic()
    await app.run_worker_async(wait=False, concurrency=int(os.environ.get("PEER_CONCURRENCY", "10")), queues=["noop"])
    rates["per_second"] = len(_begun) / (time.monotonic() - began)
    return rates


async def _wait(count: int) -> dict[str, Any]:
    """From before a job is deferred, in this process, to its beginning, in the same loop: nothing is quicker for it."""
    worker = asyncio.create_task(app.run_worker_async(concurrency=10, queues=["noop"], install_signal_handlers=False))
    await asyncio.sleep(1)
    waits = []
    for number in range(count):
        before = time.time()
        await noop.defer_async(number=number)
        await _came.wait()
        _came.clear()
        waits.append((_begun[number] - before) * 1000)
        await asyncio.sleep(0.05)
    worker.cancel()
    return {"p50_ms": statistics.median(waits)}


async def main() -> None:
    """Make the schema anew and measure."""
    async with app.open_async():
        for statement in ("DROP SCHEMA IF EXISTS public CASCADE", "CREATE SCHEMA public"):
            await app.connector.execute_query_async(statement)
        await app.schema_manager.apply_schema_async()
        said = await {"drain": _drain, "wait": _wait}[sys.argv[1]](int(sys.argv[2]))
    sys.stdout.write(json.dumps(said) + "\n")


if __name__ == "__main__":
    asyncio.run(main())
