from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.db.models import Model
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from inbox.models import InboxItem
from llm.services import record_usage
from orchestration.models import Agent, Document, Project, Task
from orchestration.services.comments import create_comment
from orchestration.services.dependencies import add_dependency
from orchestration.services.documents import create_document
from orchestration.tests.factories import ACTOR, make_agent, make_project, make_task
from runtime.models import RunLog, SchedulerInstance
from runtime.services.finishing import finish_run
from runtime.tests.factories import ending, running
from security.models import IdempotentCommand
from security.services import create_token

pytestmark = pytest.mark.django_db

PAGES = sorted(admin.site._registry, key=lambda model: model._meta.label)
WRITABLE = {Project, Agent, Task, Document, User}


@pytest.fixture
def rows(tmp_path: Path, admin_user: User) -> None:
    """At least one row of everything."""
    project = make_project(tmp_path / "repo")
    agent, task = make_agent(project), make_task(project)
    add_dependency(make_task(project), depends_on=task, actor=ACTOR)
    run = running(task, agent)
    RunLog.objects.create(run=run, seq=1, at=timezone.now(), kind="text", body={"text": "Hello"})
    finish_run(run, ending("finished"))
    create_comment(body="Why?", author=ACTOR, actor=ACTOR, task=task)
    create_document(project, path="RULES.md", title="Rules", actor=ACTOR)
    record_usage(day=timezone.localdate(), provider="noop", model="none", project_id=project.pk, run_count=1)
    now = timezone.now()
    SchedulerInstance.objects.create(id="one", pid=1, pid_start_ticks=1, started_at=now, heartbeat_at=now)
    IdempotentCommand.objects.create(scope="s", key="k", fingerprint="f", status_code=201, body={}, expires_at=now)
    create_token(admin_user, name="ci", scopes=["read"], actor=ACTOR)


def page(model: type[Model], name: str, *args: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{name}", args=args)


@pytest.mark.parametrize("model", PAGES, ids=lambda model: model._meta.label)
def test_list_and_page_of_a_row_are_shown(model: type[Model], rows: None, admin_client: Client) -> None:
    row = model._default_manager.first()
    assert row is not None
    assert admin_client.get(page(model, "changelist")).status_code == 200
    assert admin_client.get(page(model, "change", row.pk)).status_code == 200


@pytest.mark.parametrize("model", PAGES, ids=lambda model: model._meta.label)
def test_search_is_answered(model: type[Model], rows: None, admin_client: Client) -> None:
    assert admin_client.get(page(model, "changelist"), {"q": "a 1"}).status_code == 200


@pytest.mark.parametrize("model", PAGES, ids=lambda model: model._meta.label)
def test_delete_is_not_offered(model: type[Model], rows: None, admin_client: Client) -> None:
    row = model._default_manager.first()
    assert row is not None
    assert admin_client.post(page(model, "delete", row.pk), {"post": "yes"}).status_code == 403
    assert "delete_selected" not in admin_client.get(page(model, "changelist")).content.decode()


@pytest.mark.parametrize("model", [*WRITABLE, *[m for m in PAGES if m._meta.label == "security.ApiToken"]])
def test_a_new_row_may_be_added(model: type[Model], rows: None, admin_client: Client) -> None:
    assert admin_client.get(page(model, "add")).status_code == 200


@pytest.mark.parametrize(
    "model", [model for model in PAGES if model not in WRITABLE], ids=lambda model: model._meta.label
)
def test_what_only_services_write_cannot_be_changed(model: type[Model], rows: None, admin_client: Client) -> None:
    row = model._default_manager.first()
    assert row is not None
    assert admin_client.post(page(model, "change", row.pk), {}).status_code == 403


def test_index_names_every_page(rows: None, admin_client: Client) -> None:
    content = admin_client.get(reverse("admin:index")).content.decode()
    assert all(page(model, "changelist") in content for model in PAGES)


def test_sidebar_counts_what_is_open(rows: None, admin_client: Client) -> None:
    assert InboxItem.objects.open().count() == 1
    groups = admin_client.get(reverse("admin:index")).context["sidebar_navigation"]
    badges = [item["badge"] for group in groups for item in group["items"] if "badge" in item]
    assert badges == [1]


def staff(role: str) -> Client:
    user = User.objects.create_user(role, is_staff=True)
    user.groups.add(Group.objects.get_or_create(name=role)[0])
    client = Client()
    client.force_login(user)
    return client


def test_a_viewer_reads_and_writes_nothing(rows: None) -> None:
    viewer = staff("viewer")
    assert viewer.get(page(Task, "changelist")).status_code == 200
    assert viewer.get(page(Task, "add")).status_code == 403
    assert viewer.get(page(User, "changelist")).status_code == 403


@pytest.mark.parametrize("model", [Project, Agent, Task, Document])
def test_a_viewer_sees_a_row_without_what_only_editing_needs(model: type[Model], rows: None) -> None:
    row = model._default_manager.first()
    assert row is not None
    content = staff("viewer").get(page(model, "change", row.pk)).content.decode()
    assert "xpected" not in content
    assert 'name="_save"' not in content


def test_an_operator_writes_tasks_but_no_projects(rows: None) -> None:
    operator = staff("operator")
    assert operator.get(page(Task, "add")).status_code == 200
    assert operator.get(page(Project, "add")).status_code == 403


def test_sidebar_shows_only_what_one_may_see(rows: None) -> None:
    groups = staff("viewer").get(reverse("admin:index")).context["sidebar_navigation"]
    assert [group["title"] for group in groups] == ["Work", "Attention", "Runs", "Record"]


def test_staff_without_a_role_see_nothing(rows: None) -> None:
    assert staff("nobody").get(page(Task, "changelist")).status_code == 403
