"""Events into the log by our own door, and the same rows by the driver alone."""

from __future__ import annotations

import json
import os
import sqlite3
from typing import Any

import orjson
from django.conf import settings
from django.utils import timezone

from events import services
from events.models import Event
from events.states import EventType, Level
from events.tail import latest

# As long as what a run says of its progress.
TEXT = "Editing wordstats/table.py: the counts come first, equal ones in the order of the alphabet. " * 2
_COLUMNS = "at, type, project_id, task_id, run_id, actor, trace_id, level, payload, chain_hash"


def append_events(count: int, size: int, mark: str = "") -> None:
    """Append so many events, `size` in a transaction; the last one says `mark`."""
    for begin in range(0, count, size):
        with services.unit_of_work():
            for number in range(begin, min(begin + size, count)):
                text = f"{mark} {TEXT}" if mark and number == count - 1 else TEXT
                services.append(
                    EventType.RUN_PROGRESS,
                    project_id=1,
                    task_id=7,
                    run_id=12,
                    actor="agent:3",
                    trace_id="8b6c0f3e1f2a4d5c9b7a6e5d4c3b2a10",
                    epoch=1,
                    seq=number,
                    kind="text",
                    text=text,
                )


def append_raw(count: int, size: int) -> None:
    """Insert the same rows with nothing but the driver, each transaction as durable as ours."""
    rows = [_row(number) for number in range(count)]
    if url := os.environ.get("DATABASE_URL"):
        _append_postgresql(url, rows, size)
    else:
        _append_sqlite(rows, size)


def fill(count: int, mark: str) -> int:
    """Append so many events, the last with a mark; return the cursor in front of them."""
    after = latest()
    append_events(count, 500, mark)
    return after


def read_raw(after: int) -> int:
    """Read the rows behind a cursor and make JSON of each, and nothing else."""
    rows = Event.objects.filter(id__gt=after).order_by("id").values_list("id", "at", "type", "payload")
    return sum(len(orjson.dumps([id_, at.isoformat(), type_, payload])) for id_, at, type_, payload in rows.iterator())


def _row(number: int) -> tuple[Any, ...]:
    payload = {"epoch": 1, "seq": number, "kind": "text", "text": TEXT, "turns": 0, "token_out": 0, "cost_usd": 0.0}
    names = ("run.progress", 1, 7, 12, "agent:3", "8b6c0f3e1f2a4d5c9b7a6e5d4c3b2a10", int(Level.INFO))
    return (timezone.now(), *names, json.dumps(payload), "")


def _append_sqlite(rows: list[tuple[Any, ...]], size: int) -> None:
    raw = sqlite3.connect(str(settings.DATABASES["default"]["NAME"]), isolation_level=None, timeout=20)
    raw.execute("PRAGMA synchronous=FULL")
    insert = f"INSERT INTO events_event ({_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?)"  # noqa: S608  (names of ours)
    for begin in range(0, len(rows), size):
        raw.execute("BEGIN IMMEDIATE")
        raw.executemany(insert, [(at.isoformat(" "), *rest) for at, *rest in rows[begin : begin + size]])
        raw.execute("COMMIT")
    raw.close()


def _append_postgresql(url: str, rows: list[tuple[Any, ...]], size: int) -> None:
    import psycopg

    insert = f"INSERT INTO events_event ({_COLUMNS}) VALUES (%s,%s,%s,%s,%s,%s,%s,%s,%s,%s)"  # noqa: S608  (names of ours)
    with psycopg.connect(url) as raw:
        for begin in range(0, len(rows), size):
            with raw.transaction(), raw.cursor() as cursor:
                cursor.executemany(insert, rows[begin : begin + size])
