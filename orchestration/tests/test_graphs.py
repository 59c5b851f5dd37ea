from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from events.models import Event
from events.states import EventType
from orchestration.exceptions import (
    Archived,
    CrossProject,
    DependencyCycle,
    DomainError,
    DuplicateRef,
    Invalid,
    ParentCycle,
    TooManyTasks,
    UnknownRef,
)
from orchestration.models import Project, Task, TaskDependency
from orchestration.services import graphs
from orchestration.services.graphs import TaskDraft, create_graph
from orchestration.services.projects import update_project
from orchestration.services.tasks import update_task
from orchestration.states import Priority, TaskStatus
from orchestration.tests.factories import ACTOR, make_agent, make_project, make_task, set_status

pytestmark = pytest.mark.django_db


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_project(tmp_path / "repo")


def draft(ref: str = "", **fields: Any) -> TaskDraft:
    return TaskDraft(**{"ref": ref, "title": f"Task {ref}"} | fields)


def create(project: Project, *drafts: TaskDraft) -> list[Task]:
    return create_graph(project, tasks=drafts, actor=ACTOR)


def edges() -> set[tuple[int, int]]:
    return set(TaskDependency.objects.values_list("task_id", "depends_on_id"))


def test_tasks_come_back_in_their_order_with_ids_that_rise(project: Project) -> None:
    made = create(project, draft("b", depends_on=["a"]), draft("a"), draft())
    assert [task.title for task in made] == ["Task b", "Task a", "Task "]
    assert [task.pk for task in made] == sorted(Task.objects.values_list("pk", flat=True))


def test_fields_are_those_of_a_task(project: Project) -> None:
    agent = make_agent(project)
    fields = {"description": "Words", "priority": Priority.URGENT, "checks": ["make"], "limits": {"usd": 2}}
    [task] = create(project, draft(assignee=agent.pk, fields=fields))
    task.refresh_from_db()
    assert (task.description, task.priority, task.checks, task.limits) == ("Words", 0, ["make"], {"usd": 2})
    assert (task.assignee, task.status, task.version) == (agent, TaskStatus.TODO, 1)


def test_edges_lead_to_other_drafts_and_to_tasks_that_are_there(project: Project) -> None:
    there = make_task(project)
    first, second, third = create(
        project, draft("a"), draft("b", depends_on=["a", there.pk]), draft("c", depends_on=["b"])
    )
    assert edges() == {(second.pk, first.pk), (second.pk, there.pk), (third.pk, second.pk)}


def test_parents_that_are_not_done_are_counted(project: Project) -> None:
    done, open_ = set_status(make_task(project), TaskStatus.DONE), make_task(project)
    made = create(project, draft("a"), draft("b", depends_on=["a", done.pk, open_.pk]))
    assert [Task.objects.get(pk=task.pk).unmet_dependencies for task in made] == [0, 2]
    assert [task.unmet_dependencies for task in made] == [0, 2]


def test_an_edge_named_twice_is_one(project: Project) -> None:
    there = make_task(project)
    [_, task] = create(project, draft("a"), draft("b", depends_on=["a", there.pk, "a", there.pk]))
    assert (len(edges()), task.unmet_dependencies) == (2, 2)


def test_a_parent_may_come_behind_its_subtasks_or_be_there(project: Project) -> None:
    there = make_task(project)
    child, parent, other = create(project, draft("a", parent="b"), draft("b"), draft("c", parent=there.pk))
    assert dict(Task.objects.values_list("pk", "parent_id")) == {
        there.pk: None, child.pk: parent.pk, parent.pk: None, other.pk: there.pk
    }  # fmt: skip
    assert child.parent == parent


def test_each_task_has_one_event(project: Project) -> None:
    made = create(project, draft("a"), draft("b", depends_on=["a"], parent="a"))
    found = Event.objects.filter(task_id__in=[task.pk for task in made]).order_by("id")
    assert [(event.type, event.payload["id"], event.payload["version"]) for event in found] == [
        (EventType.TASK_CREATED, task.pk, 1) for task in made
    ]


def test_nothing_is_made_of_nothing(project: Project) -> None:
    assert create(project) == []


REFUSED = [
    ([draft("a"), draft("a")], DuplicateRef, "tasks.1.ref"),
    ([draft("a"), draft("b", depends_on=["a", "c"])], UnknownRef, "tasks.1.depends_on.1"),
    ([draft("a", parent="z")], UnknownRef, "tasks.0.parent"),
    ([draft("a", depends_on=[10**6])], CrossProject, "tasks.0.depends_on.0"),
    ([draft("a", depends_on=[10**30])], CrossProject, "tasks.0.depends_on.0"),
    ([draft("a", depends_on=[-1])], CrossProject, "tasks.0.depends_on.0"),
    ([draft("a", assignee=10**6)], CrossProject, "tasks.0.assignee"),
    ([draft("a", depends_on=["a"])], DependencyCycle, "tasks.0.depends_on.0"),
    ([draft("x"), draft("a", depends_on=["x", "b"]), draft("b", depends_on=["a"])], DependencyCycle, "tasks.1.depends_on.1"),
    ([draft("a", parent="b"), draft("b", parent="a")], ParentCycle, "tasks.0.parent"),
    ([draft("a"), draft("b", title="")], Invalid, "tasks.1.title"),
    ([draft("a", fields={"priority": 9})], Invalid, "tasks.0.priority"),
    ([draft("a", fields={"limits": {"beer": 1}})], Invalid, "tasks.0.limits"),
    ([draft("a", fields={"checks": "make"})], Invalid, "tasks.0.checks"),
]  # fmt: skip


@pytest.mark.parametrize(("drafts", "error", "place"), REFUSED)
def test_a_refusal_names_the_place_and_makes_nothing(
    project: Project, drafts: list[TaskDraft], error: type[DomainError], place: str
) -> None:
    before = Event.objects.count()
    with pytest.raises(error) as refusal:
        create(project, draft("good"), *drafts)
    _, number, rest = place.split(".", 2)
    assert refusal.value.data["field"] == f"tasks.{int(number) + 1}.{rest}"
    assert (Task.objects.count(), Event.objects.count()) == (0, before)


def test_a_task_of_another_project_is_as_good_as_none(project: Project, tmp_path: Path) -> None:
    stranger = make_task(make_project(tmp_path / "other"))
    with pytest.raises(CrossProject) as refusal:
        create(project, draft(depends_on=[stranger.pk]))
    assert str(refusal.value).startswith(f"There is no task {stranger.pk} in this project.")


def test_what_is_archived_gains_nothing_new(project: Project) -> None:
    archived = update_task(set_status(make_task(project), TaskStatus.FAILED), actor=ACTOR, is_archived=True)
    with pytest.raises(Archived) as refusal:
        create(project, draft(parent=archived.pk))
    assert refusal.value.data["field"] == "tasks.0.parent"
    with pytest.raises(Archived):
        create(update_project(project, actor=ACTOR, is_archived=True), draft())


def test_more_than_the_limit_is_refused_before_anything_is_read(project: Project) -> None:
    with pytest.raises(TooManyTasks), CaptureQueriesContext(connection) as queries:
        create_graph(project, tasks=[draft()] * (graphs.MAX_TASKS + 1), actor=ACTOR)
    assert not any("orchestration_task" in query["sql"] for query in queries)


def test_a_long_chain_is_made_in_few_queries(project: Project) -> None:
    chain = [draft(str(number), depends_on=[str(number - 1)] if number else []) for number in range(300)]
    with CaptureQueriesContext(connection) as queries:
        made = create(project, *chain)
    assert [task.unmet_dependencies for task in made] == [0] + [1] * 299
    # Rows go in batches, as large as the database takes; none of it is asked or written one by one.
    assert len(queries) < 30
