from __future__ import annotations

from pathlib import Path

import pytest

from events.models import Event
from events.states import EventType
from orchestration.exceptions import Invalid, VersionConflict
from orchestration.models import Comment, Project, Task
from orchestration.services.comments import create_comment, delete_comment, mark_addressed, update_comment
from orchestration.services.documents import create_document
from orchestration.states import CommentStatus
from orchestration.tests.factories import ACTOR, make_project, make_task

pytestmark = pytest.mark.django_db


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_project(tmp_path / "repo")


@pytest.fixture
def task(project: Project) -> Task:
    return make_task(project)


def comment(task: Task, body: str = "Name it better", **fields: object) -> Comment:
    return create_comment(**{"body": body, "author": ACTOR, "actor": ACTOR, "task": task} | fields)  # type: ignore[arg-type]


def test_a_comment_points_into_the_diff_of_a_run(task: Task) -> None:
    made = comment(task, run_id=7, anchor="src/a.py:12")
    event = Event.objects.get(type=EventType.COMMENT_CREATED)
    assert (made.status, made.anchor) == (CommentStatus.OPEN, "src/a.py:12")
    assert (event.project_id, event.task_id, event.run_id) == (task.project_id, task.pk, 7)


def test_a_comment_on_a_document_is_the_projects(project: Project) -> None:
    document = create_document(project, path="a.md", title="A", actor=ACTOR)
    made = create_comment(body="Why?", author=ACTOR, actor=ACTOR, document=document, anchor="a.md:1")
    event = Event.objects.get(type=EventType.COMMENT_CREATED)
    assert (list(document.comments.all()), event.project_id, event.task_id) == ([made], project.pk, None)


def test_a_comment_is_about_one_thing(project: Project, task: Task) -> None:
    document = create_document(project, path="a.md", title="A", actor=ACTOR)
    with pytest.raises(Invalid):
        comment(task, document=document)
    with pytest.raises(Invalid):
        create_comment(body="About what?", author=ACTOR, actor=ACTOR)
    assert not Comment.objects.exists()


def test_a_comment_says_something(task: Task) -> None:
    with pytest.raises(Invalid, match="body"):
        comment(task, "")


def test_what_a_run_has_taken_up_is_addressed_once(project: Project, task: Task) -> None:
    taken_up, resolved, others = comment(task), comment(task), comment(make_task(project))
    Comment.objects.filter(pk=resolved.pk).update(status=CommentStatus.RESOLVED)
    mark_addressed([task])
    mark_addressed([task])
    found = {row.pk: (row.status, row.version) for row in Comment.objects.all()}
    assert found == {
        taken_up.pk: (CommentStatus.ADDRESSED, 2),
        resolved.pk: (CommentStatus.RESOLVED, 1),
        others.pk: (CommentStatus.OPEN, 1),
    }


def test_a_comment_is_changed_with_its_place_on_record(task: Task) -> None:
    made = update_comment(comment(task, run_id=7), actor=ACTOR, body="Better", status=CommentStatus.RESOLVED)
    event = Event.objects.get(type=EventType.COMMENT_UPDATED)
    assert (made.body, made.version, event.payload["fields"]) == ("Better", 2, ["body", "status"])
    assert (event.project_id, event.task_id, event.run_id) == (task.project_id, task.pk, 7)


def test_a_comment_is_deleted_once_and_its_place_is_on_record(task: Task) -> None:
    made = comment(task, run_id=7)
    delete_comment(made, actor=ACTOR)
    delete_comment(made, actor=ACTOR)
    event = Event.objects.get(type=EventType.COMMENT_DELETED)
    assert (event.project_id, event.task_id, event.run_id, event.payload) == (
        task.project_id, task.pk, 7, {"id": made.pk}
    )  # fmt: skip
    assert not Comment.objects.exists()


def test_a_comment_that_was_changed_since_is_not_deleted(task: Task) -> None:
    made = comment(task)
    update_comment(Comment.objects.get(), actor=ACTOR, body="Newer")
    with pytest.raises(VersionConflict) as refusal:
        delete_comment(made, actor=ACTOR, expected_version=1)
    assert refusal.value.data == {"version": 2, "status": "open"}
