"""The list of tasks is read along an index, however many tasks there are."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.db import connection
from django.db.backends.utils import CursorWrapper
from django.test.utils import CaptureQueriesContext

from orchestration.models import Project, Task
from orchestration.tests.clients import Client
from orchestration.tests.factories import make_project, make_task

pytestmark = pytest.mark.django_db


@pytest.fixture
def client() -> Client:
    return Client()


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = make_project(tmp_path / "repo")
    for priority in (1, 1, 2, 2):
        make_task(project, priority=priority)
    return project


def plan_of(client: Client, query: dict[str, Any]) -> str:
    """Return how the database reads a page; as it would read a large table, where the planner looks at the size.

    What it does for want of an index it does all the same, only later than all else.
    """
    with CaptureQueriesContext(connection) as captured:
        assert client.get("/tasks", **query).status_code == 200
    selects = [each["sql"] for each in captured if f'FROM "{Task._meta.db_table}" WHERE' in each["sql"]]
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            for way in ("seqscan", "bitmapscan", "sort", "incremental_sort"):
                cursor.execute(f"SET LOCAL enable_{way} = off")
        return "\n".join(line for select in selects for line in explained(cursor, select))


def explained(cursor: CursorWrapper, select: str) -> list[str]:
    cursor.execute(f"{'EXPLAIN QUERY PLAN' if connection.vendor == 'sqlite' else 'EXPLAIN'} {select}")
    return [str(row[-1]) for row in cursor.fetchall()]


@pytest.mark.parametrize(
    ("filters", "index"),
    [
        ({}, "task_list"),
        ({"ordering": "priority"}, "task_list"),
        ({"ordering": "-priority"}, "task_list"),
        ({"project": True}, "task_list_project"),
        ({"project": True, "status": "todo"}, "task_board"),
        ({"project": True, "status": "todo", "ordering": "-priority"}, "task_board"),
    ],
)
@pytest.mark.parametrize("is_first", [True, False], ids=["first page", "page behind a cursor"])
def test_a_page_is_read_along_an_index_and_not_sorted(
    client: Client, project: Project, filters: dict[str, Any], index: str, is_first: bool
) -> None:
    query = {**filters, "limit": 2} | ({"project": project.pk} if "project" in filters else {})
    if not is_first:
        query |= parse_qs(urlsplit(client.get("/tasks", **query).json()["next"]).query)
    plan = plan_of(client, query)
    # PostgreSQL finds the indexes of a project all the same where so few tasks are.
    assert re.search(rf"INDEX {index}\b|Index Scan (Backward )?using task_(list|board)", plan)
    assert "TEMP B-TREE" not in plan
    assert "Sort" not in plan
