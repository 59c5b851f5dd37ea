"""Prefect on its own SQLite: `run_prefect.py graph LAYERS WIDTH`, tasks that do nothing, two dependencies each."""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

os.environ |= {
    "PREFECT_HOME": os.environ["PEER_HOME"],
    "PREFECT_LOGGING_LEVEL": "ERROR",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "true",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    "DO_NOT_TRACK": "1",
}
for name in ("PREFECT_API_URL", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "all_proxy", "ALL_PROXY"):
    os.environ.pop(name, None)

from prefect import flow, task  # noqa: E402  (it reads the environment when it is imported)


@task
def noop(*_parents: Any) -> int:
    """Do nothing."""
    return 1


@flow
def graph(layers: int, width: int) -> float:
    """Run the graph; return how long its tasks took, without the flow's own beginning and end."""
    began = time.monotonic()
    above: list[Any] = []
    for _ in range(layers):
        above = [_submit(above, number) for number in range(width)]
    for future in above:
        future.wait()
    return time.monotonic() - began


def _submit(above: list[Any], number: int) -> Any:
    parents = [above[number], above[(number + 1) % len(above)]] if above else []
    return noop.submit(*parents)


if __name__ == "__main__":
    graph(1, 2)  # what it does once
    sys.stdout.write(json.dumps({"seconds": graph(int(sys.argv[2]), int(sys.argv[3]))}) + "\n")
