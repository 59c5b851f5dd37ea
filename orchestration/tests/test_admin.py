from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client
from django.urls import reverse

from events.models import Event
from events.states import EventType
from orchestration.models import Agent, Comment, Document, Project, Task, TaskDependency
from orchestration.services.comments import create_comment
from orchestration.services.dependencies import add_dependency
from orchestration.services.documents import create_document
from orchestration.services.tasks import update_task
from orchestration.states import CommentStatus, TaskStatus
from orchestration.tests.factories import ACTOR, make_agent, make_project, make_repository, make_task
from security.access import limit_of
from security.models import ApiToken
from security.services import limit_access

pytestmark = pytest.mark.django_db

NO_EDGES = {
    "dependencies-TOTAL_FORMS": "0",
    "dependencies-INITIAL_FORMS": "0",
    "dependencies-MIN_NUM_FORMS": "0",
    "dependencies-MAX_NUM_FORMS": "1000",
}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_project(tmp_path / "repo")


def task_fields(project: Project, **fields: Any) -> dict[str, Any]:
    defaults = {
        "project": project.pk,
        "title": "Collect pollen",
        "task_type": "feature",
        "phase": "build",
        "priority": 2,
        "max_attempts": 3,
        "checks": "",
        "limits": "",
    }
    return {**defaults, **NO_EDGES, **fields}


def project_fields(root: Path, **fields: Any) -> dict[str, Any]:
    defaults = {"name": "Hive", "slug": "hive", "root_path": str(root), "base_branch": "main"}
    return {**defaults, "max_parallel_runs": 4, "max_in_review": 0, "checks": "", **fields}


def change(row: Project | Agent | Task | Document) -> str:
    return reverse(f"admin:orchestration_{row._meta.model_name}_change", args=[row.pk])


def refused(client: Client, url: str, fields: dict[str, Any]) -> str:
    """Post a form that is refused, and return the page that says so."""
    response = client.post(url, fields)
    assert response.status_code == 200
    return response.content.decode()


def test_a_task_is_created_by_the_service(project: Project, admin_client: Client, admin_user: User) -> None:
    fields = task_fields(project, checks="make test\n\nmake lint", limits='{"turns": 5}')
    assert admin_client.post(reverse("admin:orchestration_task_add"), fields).status_code == 302
    task = Task.objects.get()
    assert (task.checks, task.limits) == (["make test", "make lint"], {"turns": 5})
    event = Event.objects.get(type=EventType.TASK_CREATED)
    assert (event.task_id, event.actor) == (task.pk, f"user:{admin_user.username}")


def test_only_edited_fields_of_a_task_are_changed(project: Project, admin_client: Client) -> None:
    task = make_task(project, title="Collect pollen")
    fields = task_fields(project, priority=0, expected_version=task.version)
    assert admin_client.post(change(task), fields).status_code == 302
    assert Event.objects.get(type=EventType.TASK_UPDATED).payload["fields"] == ["priority"]
    assert Task.objects.get().priority == 0


def test_saving_what_was_not_edited_writes_no_event(project: Project, admin_client: Client) -> None:
    task = make_task(project, title="Collect pollen", checks=["make"], limits={"usd": 1.5})
    page = admin_client.get(change(task))
    fields = {name: "" if value is None else value for name, value in page.context["adminform"].form.initial.items()}
    bound = page.context["adminform"].form
    posted = {**fields, **NO_EDGES, "checks": bound["checks"].value(), "limits": bound["limits"].value()}
    assert admin_client.post(change(task), posted).status_code == 302
    assert not Event.objects.filter(type=EventType.TASK_UPDATED).exists()


def test_a_task_changed_meanwhile_is_not_overwritten(project: Project, admin_client: Client) -> None:
    task = make_task(project)
    shown = task.version
    update_task(task, actor=ACTOR, title="Somebody was faster")
    page = refused(admin_client, change(task), task_fields(project, title="Too late", expected_version=shown))
    assert "Somebody else changed it" in page and 'value="Too late"' in page
    assert Task.objects.get().title == "Somebody was faster"


def test_limits_that_make_no_sense_are_said_at_the_field(project: Project, admin_client: Client) -> None:
    response = admin_client.post(reverse("admin:orchestration_task_add"), task_fields(project, limits='{"bananas": 3}'))
    assert "limits" in response.context["adminform"].form.errors
    assert not Task.objects.exists()


def test_an_agent_of_another_project_is_refused(project: Project, tmp_path: Path, admin_client: Client) -> None:
    stranger = make_agent(make_project(tmp_path / "other"))
    url = reverse("admin:orchestration_task_add")
    assert "belongs to another project" in refused(admin_client, url, task_fields(project, assignee=stranger.pk))
    assert not Task.objects.exists()


def test_an_edge_is_added_and_removed_by_the_service(project: Project, admin_client: Client) -> None:
    first, second = make_task(project), make_task(project, title="Collect pollen")
    edge = {"dependencies-TOTAL_FORMS": "1", "dependencies-0-task": second.pk, "dependencies-0-depends_on": first.pk}
    assert admin_client.post(change(second), task_fields(project, **edge)).status_code == 302
    assert Task.objects.get(pk=second.pk).unmet_dependencies == 1
    gone = {
        "dependencies-INITIAL_FORMS": "1",
        "dependencies-0-id": TaskDependency.objects.get().pk,
        "dependencies-0-DELETE": "on",
    }
    assert admin_client.post(change(second), task_fields(project, **edge, **gone)).status_code == 302
    assert Task.objects.get(pk=second.pk).unmet_dependencies == 0
    assert not TaskDependency.objects.exists()


def test_a_task_is_created_with_what_it_waits_for(project: Project, admin_client: Client) -> None:
    first = make_task(project)
    edge = {"dependencies-TOTAL_FORMS": "1", "dependencies-0-depends_on": first.pk}
    url = reverse("admin:orchestration_task_add")
    assert admin_client.post(url, task_fields(project, **edge)).status_code == 302
    assert Task.objects.get(title="Collect pollen").unmet_dependencies == 1


def test_a_cycle_is_refused_and_nothing_of_the_page_is_saved(project: Project, admin_client: Client) -> None:
    first, second = make_task(project, title="First"), make_task(project)
    add_dependency(second, depends_on=first, actor=ACTOR)
    events = Event.objects.count()
    edge = {"dependencies-TOTAL_FORMS": "1", "dependencies-0-task": first.pk, "dependencies-0-depends_on": second.pk}
    page = refused(admin_client, change(first), task_fields(project, title="Renamed", **edge))
    assert "already waits for" in page
    assert Task.objects.get(pk=first.pk).title == "First"
    assert Event.objects.count() == events


def test_a_task_cannot_wait_for_itself(project: Project, admin_client: Client) -> None:
    task = make_task(project)
    edge = {"dependencies-TOTAL_FORMS": "1", "dependencies-0-task": task.pk, "dependencies-0-depends_on": task.pk}
    refused(admin_client, change(task), task_fields(project, **edge))
    assert not TaskDependency.objects.exists()


def test_status_is_not_an_input(project: Project, admin_client: Client) -> None:
    task = make_task(project)
    admin_client.post(change(task), task_fields(project, status="done"))
    assert Task.objects.get().status == TaskStatus.TODO


def test_a_project_is_created_for_its_repository(tmp_path: Path, admin_client: Client) -> None:
    make_repository(tmp_path / "hive")
    url = reverse("admin:orchestration_project_add")
    assert admin_client.post(url, project_fields(tmp_path / "hive")).status_code == 302
    assert Event.objects.get().type == EventType.PROJECT_CREATED


def test_a_path_that_is_no_repository_is_said_at_the_field(tmp_path: Path, admin_client: Client) -> None:
    response = admin_client.post(reverse("admin:orchestration_project_add"), project_fields(tmp_path / "nowhere"))
    assert "root_path" in response.context["adminform"].form.errors
    assert not Project.objects.exists() and not Event.objects.exists()


def test_an_agent_is_created_and_changed_by_the_service(project: Project, admin_client: Client) -> None:
    fields = {
        "project": project.pk,
        "name": "Maya",
        "provider": "noop",
        "permission_mode": "acceptEdits",
        "status": "active",
        "enabled_tools": "Read\nEdit",
        "max_parallel_runs": 1,
        "timeout_s": 60,
        "max_turns": 10,
        "max_tokens": 0,
        "max_cost_usd": "1.5",
    }
    assert admin_client.post(reverse("admin:orchestration_agent_add"), fields).status_code == 302
    agent = Agent.objects.get()
    assert agent.enabled_tools == ["Read", "Edit"]
    assert admin_client.post(change(agent), {**fields, "name": "Willy"}).status_code == 302
    assert Event.objects.get(type=EventType.AGENT_UPDATED).payload["fields"] == ["name"]


def test_a_document_is_created_and_changed_by_the_service(project: Project, admin_client: Client) -> None:
    fields = {"project": project.pk, "path": "RULES.md", "title": "Rules", "doc_type": "rules", "tags": "", "body": "A"}
    assert admin_client.post(reverse("admin:orchestration_document_add"), fields).status_code == 302
    document = Document.objects.get()
    before = document.content_hash
    assert admin_client.post(change(document), {**fields, "body": "B"}).status_code == 302
    assert Document.objects.get().content_hash != before


def test_a_document_path_in_use_is_refused(project: Project, admin_client: Client) -> None:
    create_document(project, path="A.md", title="A", actor=ACTOR)
    other = create_document(project, path="B.md", title="B", actor=ACTOR)
    refused(admin_client, change(other), {"path": "A.md", "title": "B", "doc_type": "note", "tags": "", "body": ""})
    assert Document.objects.get(pk=other.pk).path == "B.md"


def test_projects_are_paused_and_resumed(project: Project, admin_client: Client) -> None:
    for action, is_paused in (("pause", True), ("resume", False)):
        data = {"action": action, "_selected_action": [project.pk]}
        admin_client.post(reverse("admin:orchestration_project_changelist"), data)
        assert Project.objects.get().is_paused == is_paused


def test_a_document_is_deleted_by_the_service(project: Project, admin_client: Client) -> None:
    document = create_document(project, path="A.md", title="A", actor=ACTOR)
    url = reverse("admin:orchestration_document_delete", args=[document.pk])
    assert admin_client.post(url, {"post": "yes"}).status_code == 302
    assert not Document.objects.exists()
    assert Event.objects.filter(type=EventType.DOCUMENT_DELETED).count() == 1


def test_a_comment_is_resolved(project: Project, admin_client: Client) -> None:
    comment = create_comment(body="Why?", author="maya", actor=ACTOR, task=make_task(project))
    data = {"action": "resolve", "_selected_action": [comment.pk]}
    admin_client.post(reverse("admin:orchestration_comment_changelist"), data)
    assert Comment.objects.get().status == CommentStatus.RESOLVED
    assert Event.objects.filter(type=EventType.COMMENT_UPDATED).count() == 1


@pytest.mark.parametrize(("author", "status"), [("operator", 302), ("somebody", 403)])
def test_an_operator_deletes_only_comments_of_their_own(author: str, status: int, project: Project) -> None:
    comment = create_comment(body="Why?", author=author, actor=ACTOR, task=make_task(project))
    operator = Client()
    user = User.objects.create_user("operator", is_staff=True)
    user.groups.add(Group.objects.get_or_create(name="operator")[0])
    operator.force_login(user)
    url = reverse("admin:orchestration_comment_delete", args=[comment.pk])
    assert operator.post(url, {"post": "yes"}).status_code == status
    assert Comment.objects.exists() == (status == 403)


def test_a_user_is_limited_to_projects_and_freed_again(project: Project, admin_client: Client) -> None:
    user = User.objects.create_user("maya")
    url = reverse("admin:auth_user_change", args=[user.pk])
    for chosen, limit in (([project.pk], frozenset({project.pk})), ([], None)):
        assert admin_client.post(url, {"is_active": "on", "projects": chosen}).status_code == 302
        assert limit_of(User.objects.get(pk=user.pk), None) == limit
    reasons = [event.payload["reason"] for event in Event.objects.filter(type=EventType.SECURITY_AUDIT_ACCESS)]
    assert reasons == [f"projects [{project.pk}]", "all projects"]


def test_saving_a_limited_user_leaves_the_limit(project: Project, admin_client: Client) -> None:
    user = User.objects.create_user("maya")
    limit_access(user, project_ids=[project.pk], actor=ACTOR)
    url = reverse("admin:auth_user_change", args=[user.pk])
    assert "checked" in str(admin_client.get(url).context["adminform"].form["projects"])
    admin_client.post(url, {"is_active": "on", "projects": [project.pk], "first_name": "Maya"})
    assert limit_of(User.objects.get(pk=user.pk), None) == frozenset({project.pk})


def test_a_token_is_limited_to_projects(project: Project, admin_user: User, admin_client: Client) -> None:
    fields = {"user": admin_user.pk, "name": "ci", "scopes": ["read"], "projects": [project.pk]}
    assert admin_client.post(reverse("admin:security_apitoken_add"), fields).status_code == 302
    token = ApiToken.objects.get()
    assert token.project_ids == [project.pk]
    page = admin_client.get(reverse("admin:security_apitoken_change", args=[token.pk])).content.decode()
    assert project.name in page


def test_a_token_without_a_choice_is_for_every_project(admin_user: User, admin_client: Client) -> None:
    fields = {"user": admin_user.pk, "name": "ci", "scopes": ["read"]}
    admin_client.post(reverse("admin:security_apitoken_add"), fields)
    assert ApiToken.objects.get().project_ids is None


def test_a_new_project_begins_with_no_limits_and_no_state(admin_client: Client) -> None:
    page = admin_client.get(reverse("admin:orchestration_project_add"))
    form = page.context["adminform"].form
    assert form["daily_limits"].value() == ""
    assert [fieldset.name for fieldset in page.context["adminform"]][-1] == "Switches"


def test_a_field_names_its_unit_and_says_what_it_is_for(admin_client: Client) -> None:
    fields = admin_client.get(reverse("admin:orchestration_project_add")).context["adminform"].form.fields
    assert fields["daily_budget_usd"].label == "Daily budget (USD)"
    assert "git repository" in fields["root_path"].help_text
