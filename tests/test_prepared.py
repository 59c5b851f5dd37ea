"""What a prepared query finds is what its queryset finds, whatever its arguments are."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from django.db import connection, transaction
from django.db.models import F, QuerySet
from django.db.models.sql.compiler import SQLCompiler
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from orchestration.models import Agent, Project, Task
from orchestration.tests.factories import make_agent, make_project, make_task
from runtime.models import DayUse
from sql.prepared import PreparedQuery, PreparedUpdate

pytestmark = pytest.mark.django_db

by_ids = PreparedQuery(lambda ids: Task.objects.filter(pk__in=ids).order_by("id"))


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_project(tmp_path / "repository")


def test_each_call_has_its_own_values(project: Project) -> None:
    named = PreparedQuery(lambda project, title: Task.objects.filter(project_id=project, title=title))
    first, second = make_task(project, title="50 %s"), make_task(project, title="Two")
    assert [named(project.pk, "50 %s"), named(project.pk, "Two"), named(0, "Two")] == [[first], [second], []]


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_list_may_be_of_any_length(project: Project, count: int) -> None:
    tasks = [make_task(project) for _ in range(3)]
    chosen = [task.pk for task in tasks[:count]]
    assert by_ids(chosen) == tasks[:count]
    assert by_ids(set(chosen)) == tasks[:count]


def test_who_leaves_out_nobody_finds_everybody(project: Project) -> None:
    others = PreparedQuery(lambda ids: Task.objects.exclude(pk__in=ids).order_by("id"))
    called_otherwise = PreparedQuery(lambda titles: Task.objects.exclude(title__in=titles).order_by("id"))
    first, second = make_task(project, title="One"), make_task(project, title="Two")
    assert (others([]), others([first.pk])) == ([first, second], [second])
    assert (called_otherwise([]), called_otherwise(["One"])) == ([first, second], [second])


def test_texts_in_a_list_are_found(project: Project) -> None:
    titled = PreparedQuery(lambda titles: Task.objects.filter(title__in=titles).order_by("id"))
    tasks = [make_task(project, title=title) for title in ("One", "Two", "Three")]
    assert titled(["One", "Three"]) == [tasks[0], tasks[2]]


def test_times_are_compared_as_times(project: Project) -> None:
    now = timezone.now()
    task = make_task(project, not_before=now)
    until = PreparedQuery(lambda moment: Task.objects.filter(not_before__lte=moment))
    assert (until(now), until(now - timedelta(microseconds=1))) == ([task], [])


def test_days_are_compared_as_days(project: Project) -> None:
    today = timezone.now().date()
    made = PreparedQuery(lambda day: Task.objects.filter(created_at__date__lt=day))
    task = make_task(project)
    assert (made(today + timedelta(days=1)), made(today - timedelta(days=1))) == ([task], [])


def test_what_is_added_keeps_its_fractions(project: Project) -> None:
    day = timezone.now().date()
    DayUse.objects.create(key="global", day=day, cost_usd=Decimal("0.000001"))

    def used(day: date, seconds: float, usd: Decimal) -> tuple[QuerySet[DayUse], dict[str, Any]]:
        added = {"worked_s": F("worked_s") + seconds, "cost_usd": F("cost_usd") + usd}
        return DayUse.objects.filter(day=day), added

    add = PreparedUpdate(used)
    assert [add(day, 0.5, Decimal("1.25")), add(day - timedelta(days=1), 1.0, Decimal(1))] == [1, 0]
    assert DayUse.objects.values_list("worked_s", "cost_usd").get() == (0.5, Decimal("1.250001"))


def test_rows_are_what_the_queryset_says(project: Project) -> None:
    agent = make_agent(project)
    with_project = PreparedQuery(lambda ids: Agent.objects.select_related("project").filter(pk__in=ids))
    names = PreparedQuery(lambda ids: Agent.objects.filter(pk__in=ids).values_list("pk", "name"))
    keys = PreparedQuery(lambda ids: Agent.objects.filter(pk__in=ids).values_list("name", flat=True))
    [found] = with_project([agent.pk])
    with CaptureQueriesContext(connection) as asked:
        assert found.project == project
    assert len(asked) == 0
    assert (names([agent.pk]), keys([agent.pk])) == ([(agent.pk, agent.name)], [agent.name])


def test_only_what_is_asked_for_is_read(project: Project) -> None:
    titles = PreparedQuery(lambda ids: Task.objects.filter(pk__in=ids).only("title"))
    [task] = titles([make_task(project, description="Long").pk])
    assert "description" in task.get_deferred_fields()
    assert task.description == "Long"


def test_what_is_given_by_name_has_words_of_its_own(project: Project) -> None:
    tasks = [make_task(project) for _ in range(3)]

    def first_of(project_id: int, *, limit: int) -> QuerySet[Task]:
        return Task.objects.filter(project_id=project_id).order_by("id")[:limit]

    first = PreparedQuery(first_of)
    assert [len(first(project.pk, limit=limit)) for limit in (1, 2, 1)] == [1, 2, 1]
    assert first(project.pk, limit=3) == tasks


def test_nothing_is_compiled_a_second_time(project: Project) -> None:
    titles = PreparedQuery(lambda title: Task.objects.filter(title=title))
    titles("One")
    with patch.object(SQLCompiler, "compile", side_effect=AssertionError):
        assert titles("Two") == []


def test_a_query_that_looks_at_the_clock_by_itself_is_refused(project: Project) -> None:
    lately = PreparedQuery(lambda project: Task.objects.filter(project_id=project, created_at__lte=timezone.now()))
    with pytest.raises(ValueError, match="more than its arguments"):
        lately(project.pk)


def test_rows_are_read_anew_each_time(project: Project) -> None:
    task = make_task(project, title="Old")
    assert [found.title for found in by_ids([task.pk])] == ["Old"]
    Task.objects.filter(pk=task.pk).update(title="New")
    assert [found.title for found in by_ids([task.pk])] == ["New"]


def test_an_update_writes_and_tells_how_many_rows(project: Project) -> None:
    tasks = [make_task(project) for _ in range(3)]

    def titled(ids: list[int], title: str, now: datetime) -> tuple[QuerySet[Task], dict[str, object]]:
        return Task.objects.filter(pk__in=ids), {"title": title, "not_before": now, "version": F("version") + 1}

    update, now = PreparedUpdate(titled), timezone.now()
    assert [update([tasks[0].pk, tasks[2].pk], "New", now), update([], "None", now)] == [2, 0]
    written = Task.objects.order_by("id").values_list("title", "not_before", "version")
    assert list(written) == [("New", now, 2), (tasks[1].title, None, 1), ("New", now, 2)]


def test_a_row_can_be_locked(project: Project) -> None:
    task = make_task(project)
    locked = PreparedQuery(lambda ids: Task.objects.select_for_update(no_key=True).filter(pk__in=ids))
    with transaction.atomic(), CaptureQueriesContext(connection) as asked:
        assert locked([task.pk]) == [task]
    assert ("FOR NO KEY UPDATE" in asked[0]["sql"]) == connection.features.has_select_for_update
