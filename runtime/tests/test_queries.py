from __future__ import annotations

from typing import Any

import pytest

from orchestration.models import Project, Task
from orchestration.services.dependencies import add_dependency
from orchestration.states import TaskStatus
from orchestration.tests.factories import ACTOR, make_agent, make_task, set_status
from runtime.queries import OF_A_TASK
from runtime.services.finishing import finish_run
from runtime.tests.factories import ending, running

pytestmark = pytest.mark.django_db


def read(task: Task) -> dict[str, Any]:
    """Return what is read of a task beside its columns."""
    return dict(Task.objects.annotate(**OF_A_TASK).values(*OF_A_TASK).get(pk=task.pk))


def test_a_task_alone_has_nothing_beside_its_columns(project: Project) -> None:
    other = make_task(project)
    add_dependency(task=make_task(project, parent=other), depends_on=other, actor=ACTOR)
    nothing: dict[str, Any] = {"active_run": None, "depends_on": [], "subtasks_total": 0, "subtasks_done": 0}
    assert read(make_task(project)) == nothing


def test_the_tasks_it_depends_on_come_in_order(project: Project) -> None:
    first, second, third = (make_task(project) for _ in range(3))
    task = make_task(project)
    for each in (third, first, second):
        add_dependency(task=task, depends_on=each, actor=ACTOR)
    assert read(task)["depends_on"] == [first.pk, second.pk, third.pk]


def test_the_active_run_is_the_one_that_has_not_ended(project: Project) -> None:
    task = make_task(project)
    run = running(task, make_agent(project))
    assert read(task)["active_run"] == run.pk
    finish_run(run, ending("finished"))
    assert read(task)["active_run"] is None


def test_subtasks_that_were_cancelled_do_not_count(project: Project) -> None:
    parent = make_task(project)
    for status in (TaskStatus.DONE, TaskStatus.TODO, TaskStatus.CANCELLED):
        set_status(make_task(project, parent=parent), status)
    found = read(parent)
    assert (found["subtasks_total"], found["subtasks_done"]) == (2, 1)
