"""DBOS on PostgreSQL: `run_dbos.py graph LAYERS WIDTH`, child workflows that do nothing, a barrier behind each layer."""

from __future__ import annotations

import json
import os
import sys
import time
from urllib.parse import urlsplit

from dbos import DBOS


@DBOS.workflow()
def noop(number: int) -> int:
    """Do nothing."""
    return number


@DBOS.workflow()
def graph(layers: int, width: int) -> int:
    """Run the layers one after the other, which is less than real edges ask for."""
    done = 0
    for _ in range(layers):
        handles = [DBOS.start_workflow(noop, number) for number in range(width)]
        done += sum(1 for handle in handles if handle.get_result() is not None)
    return done


def main(layers: int, width: int) -> None:
    """Measure how long the graph takes."""
    # SQLAlchemy wants the folder of a socket as a parameter.
    given = urlsplit(os.environ["PEER_DATABASE_URL"])
    address, _, port = (given.netloc.rpartition("@")[2]).rpartition(":")
    url = f"postgresql://{given.username}@{given.path}?host={address}&port={port}"
    DBOS(config={"name": "peer", "system_database_url": url, "run_admin_server": False, "log_level": "ERROR"})
    DBOS.launch()
    graph(1, 2)  # what it does once
    began = time.monotonic()
    assert graph(layers, width) == layers * width
    elapsed = time.monotonic() - began
    DBOS.destroy()
    sys.stdout.write(json.dumps({"seconds": elapsed}) + "\n")


if __name__ == "__main__":
    main(int(sys.argv[2]), int(sys.argv[3]))
