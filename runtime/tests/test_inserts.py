"""`insert_all` writes what `bulk_create` writes, for every model on the hot path."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models import Model
from django.utils import timezone

from events.entries import Entry
from events.models import Event
from events.states import EventType, Level
from inbox.models import InboxItem
from orchestration.models import Agent, Project, Task, TaskDependency
from orchestration.tests.factories import make_task
from runtime.models import RunLog, TaskRun
from sql import inserts
from sql.inserts import insert_all, write_all

pytestmark = [pytest.mark.django_db, pytest.mark.breaks_invariants]

AT = datetime(2026, 11, 26, 5, 4, 3, 210, tzinfo=UTC)
ODD = "Büene 🐝 \"quoted\" 'too' %s {} \\ \n\t$1"
JSON: Any = {"a": [1, 2.5, None, True, ODD], "deep": {"b": []}, "big": 1e22, "small": -0.1, "empty": ""}


@dataclass
class Hive:
    project: Project
    agent: Agent
    task: Task
    run: TaskRun


@pytest.fixture
def hive(project: Project, agent: Agent, task: Task) -> Hive:
    run = TaskRun.objects.create(task=task, agent=agent, attempt=1, idempotency_key="first", trace_id="t")
    return Hive(project, agent, task, run)


def event(hive: Hive, number: int) -> Event:
    return Event(at=AT, type="log", project_id=None, run_id=hive.run.pk, actor=ODD, trace_id=str(number), payload=JSON)


def item(hive: Hive, number: int) -> InboxItem:
    where = {"project": hive.project, "task": hive.task, "run_id": hive.run.pk, "dedupe_key": str(number)}
    return InboxItem(item_type="alert", title=ODD, options=["a", ODD], delivered_at=AT, is_read=True, **where)


def task(hive: Hive, number: int) -> Task:
    limits = {"max_cost_usd": 1.5}
    return Task(project=hive.project, title=f"{ODD}{number}", assignee=hive.agent, checks=[ODD], limits=limits)


def run(hive: Hive, number: int) -> TaskRun:
    spent = {"cost_usd": Decimal("0.000001"), "cost_cap_usd": Decimal("123456.789"), "worked_s": 0.1, "time_cap_s": 1e9}
    key = f"key-{number}"
    own = {
        "attempt": number + 2,
        "idempotency_key": key,
        "trace_id": "x",
        "status": "failed",
        "lease_until": AT,
        "ended_at": AT,
        "pid": 2**31 - 1,
    }
    return TaskRun(task=hive.task, agent=hive.agent, retry_of=hive.run, prompt=ODD, token_in=2**40, **own, **spent)


def line(hive: Hive, number: int) -> RunLog:
    return RunLog.of(hive.run, seq=number + 1, at=AT, kind="text", body=JSON)


def edge(hive: Hive, number: int) -> TaskDependency:
    return TaskDependency(task=hive.task, depends_on=make_task(hive.project, title=str(number)))


MAKERS: list[Callable[[Hive, int], Model]] = [event, item, task, run, line, edge]
# What tells one row from the next, and the time at which it was written.
OWN = {"id", "trace_id", "dedupe_key", "title", "attempt", "idempotency_key", "seq", "depends_on_id"}


def stored(row: Model) -> dict[str, Any]:
    """Return what the database holds of a row that is the same for each row of its kind."""
    values = type(row)._default_manager.filter(pk=row.pk).values().get()
    return {name: value for name, value in values.items() if name not in OWN}


@pytest.mark.parametrize("make", MAKERS)
def test_a_row_is_written_as_bulk_create_writes_it(
    hive: Hive, make: Callable[[Hive, int], Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timezone, "now", lambda: AT)
    [plain] = type(make(hive, 0))._default_manager.bulk_create([make(hive, 0)])
    row = make(hive, 1)
    insert_all(type(row), [row])
    assert stored(row) == stored(plain)


@pytest.mark.parametrize("make", MAKERS)
def test_rows_are_there_in_their_order_and_have_their_ids(hive: Hive, make: Callable[[Hive, int], Model]) -> None:
    rows = [make(hive, number) for number in range(5)]
    insert_all(type(rows[0]), rows)
    found = type(rows[0])._default_manager.filter(pk__in=[row.pk for row in rows]).order_by("pk")
    assert list(found) == rows
    own = [name for name in OWN if name in vars(rows[0])]
    assert [[getattr(row, name) for name in own] for row in found] == [
        [vars(row)[name] for name in own] for row in rows
    ]


def test_rows_that_were_inserted_are_updated_when_they_are_saved_again(hive: Hive) -> None:
    row = task(hive, 1)
    insert_all(Task, [row])
    row.title = "Renamed"
    row.save()
    assert Task.objects.get(pk=row.pk).title == "Renamed"


def test_more_rows_than_one_statement_takes_are_all_written(hive: Hive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inserts, "_VALUES", 30)
    rows = [event(hive, number) for number in range(5)]
    insert_all(Event, rows)
    found = Event.objects.filter(pk__in=[row.pk for row in rows]).order_by("pk")
    assert [row.trace_id for row in found] == ["0", "1", "2", "3", "4"]


def test_all_rows_of_an_insert_have_one_stamp(hive: Hive) -> None:
    rows = [task(hive, number) for number in range(3)]
    insert_all(Task, rows)
    assert {row.created_at for row in rows} == {rows[0].created_at}
    assert set(Task.objects.filter(pk__in=[row.pk for row in rows]).values_list("created_at", flat=True)) == {
        rows[0].created_at
    }


def test_what_has_the_attributes_of_a_model_is_a_row_of_it(hive: Hive) -> None:
    about: dict[str, Any] = {"project_id": hive.project.pk, "task_id": None, "run_id": None, "agent_id": None}
    entries = [
        Entry(EventType.TASK_CREATED, actor=ODD, trace_id=str(number), level=Level.INFO, payload=JSON, **about)
        for number in range(3)
    ]
    for entry in entries:
        entry.at = AT
    ids = write_all(Event, entries)
    found = Event.objects.filter(pk__in=ids).order_by("pk")
    assert [row.pk for row in found] == ids
    names = vars(entries[0])
    assert [{name: vars(row)[name] for name in names} for row in found] == [vars(entry) for entry in entries]


@pytest.mark.django_db(transaction=True)
def test_outside_a_transaction_nothing_is_inserted(hive: Hive) -> None:
    with pytest.raises(transaction.TransactionManagementError):
        insert_all(Task, [task(hive, 1)])
    assert Task.objects.filter(title__startswith=ODD).count() == 0


def test_no_rows_are_no_statement(django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        insert_all(Event, [])


def test_a_row_that_is_there_already_is_refused(hive: Hive) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        insert_all(TaskRun, [run(hive, 1), run(hive, 1)])
    assert TaskRun.objects.count() == 1


def test_a_text_that_is_too_long_is_refused_where_columns_have_a_length(hive: Hive) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("SQLite's columns have no length")
    row = event(hive, 1)
    row.type = "x" * 41
    with pytest.raises(Exception, match="too long"), transaction.atomic():
        insert_all(Event, [row])
