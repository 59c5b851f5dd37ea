from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.db import connection
from django.db.models import Model
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from beebeebrain import navigation
from beebeebrain.tests.rows import make_rows, staff
from inbox.models import InboxItem
from orchestration.models import Agent, Document, Project, Task
from orchestration.states import TaskStatus
from orchestration.tests.factories import make_project, make_task, set_status
from security.admin.base import RelatedFilter
from security.models import ApiToken
from security.services import limit_access

pytestmark = pytest.mark.django_db

PAGES = sorted(admin.site._registry, key=lambda model: model._meta.label)
WRITABLE = (Project, Agent, Task, Document, User)
VIEWS = [(model, title, filters) for model, views in navigation._VIEWS.items() for title, filters in views]


@pytest.fixture
def rows(tmp_path: Path, admin_user: User) -> None:
    """At least one row of everything."""
    make_rows(tmp_path / "repo")


def page(model: type[Model], name: str, *args: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{name}", args=args)


def label(model: type[Model]) -> str:
    return model._meta.label


@pytest.mark.parametrize("model", PAGES, ids=label)
def test_list_and_page_of_a_row_are_shown(model: type[Model], rows: None, admin_client: Client) -> None:
    row = model._default_manager.first()
    assert row is not None
    assert admin_client.get(page(model, "changelist")).status_code == 200
    assert admin_client.get(page(model, "change", row.pk)).status_code == 200


@pytest.mark.parametrize("model", PAGES, ids=label)
def test_search_is_answered(model: type[Model], rows: None, admin_client: Client) -> None:
    found = admin_client.get(page(model, "changelist"), {"q": "a 1"})
    assert found.status_code == 200
    assert found.context["cl"].search_fields


@pytest.mark.one_database
@pytest.mark.parametrize("model", [*WRITABLE, ApiToken])
def test_a_new_row_may_be_added(model: type[Model], rows: None, admin_client: Client) -> None:
    assert admin_client.get(page(model, "add")).status_code == 200


@pytest.mark.one_database
def test_a_list_asks_the_database_the_same_for_many(tmp_path: Path, admin_client: Client) -> None:
    def asked() -> dict[str, int]:
        counted = {}
        for model in PAGES:
            with CaptureQueriesContext(
                connection,
            ) as queries:
                assert admin_client.get(page(model, "changelist")).status_code == 200
            counted[label(model)] = len(queries)
        return counted

    make_rows(tmp_path / "repo", count=3)
    few = asked()
    make_rows(tmp_path / "repo", count=7, first=4)
    assert asked() == few


@pytest.mark.parametrize("model", PAGES, ids=label)
def test_a_related_row_is_found_by_typing(model: type[Model], rf: RequestFactory, admin_user: User) -> None:
    shown = admin.site._registry[model]
    request = rf.get("/")
    request.user = admin_user
    related = {field.name for field in model._meta.get_fields() if field.many_to_one and field.concrete}
    entered = set(shown.get_form(request).base_fields) if shown.has_add_permission(request) else set()
    filters = {entry[0]: entry[1] for entry in shown.get_list_filter(request) if isinstance(entry, tuple)}
    assert related & entered <= set(shown.get_autocomplete_fields(request))
    assert all(issubclass(filters[name], RelatedFilter) for name in related & filters.keys())


@pytest.mark.parametrize(("name", "title", "filters"), VIEWS, ids=str)
def test_a_saved_view_is_shown_and_marked(
    name: str, title: str, filters: dict[str, str], rows: None, admin_client: Client
) -> None:
    shown = admin_client.get(page(apps.get_model(name), "changelist"), filters)
    assert shown.status_code == 200
    tabs = next(tab["items"] for tab in shown.context["tab_list"] if tab["models"] == [name])
    assert [tab["title"] for tab in tabs if tab["active"]] == [title]


def test_a_view_stays_marked_while_one_searches_in_it(rows: None, admin_client: Client) -> None:
    shown = admin_client.get(page(Task, "changelist"), {"view": "ready", "q": "honey", "o": "1"})
    tabs = next(tab["items"] for tab in shown.context["tab_list"] if tab["models"] == ["orchestration.task"])
    assert [tab["title"] for tab in tabs if tab["active"]] == ["Ready"]


@pytest.mark.parametrize(
    ("view", "statuses"),
    [
        ("attention", {TaskStatus.REVIEW, TaskStatus.BLOCKED, TaskStatus.FAILED}),
        ("ready", {TaskStatus.TODO}),
    ],
)
def test_a_view_shows_what_its_name_says(view: str, statuses: set[str], tmp_path: Path, admin_client: Client) -> None:
    project = make_project(tmp_path / "repo")
    for status in TaskStatus:
        set_status(make_task(project), status)
    shown = admin_client.get(page(Task, "changelist"), {"view": view}).context["cl"].result_list
    assert {task.status for task in shown} == statuses


def test_what_is_archived_is_left_out_unless_it_is_asked_for(tmp_path: Path, admin_client: Client) -> None:
    project = make_project(tmp_path / "repo")
    kept, archived = make_task(project), set_status(make_task(project), TaskStatus.DONE)
    Task.objects.filter(pk=archived.pk).update(is_archived=True)

    def shown(**query: str) -> set[int]:
        return {task.pk for task in admin_client.get(page(Task, "changelist"), query).context["cl"].result_list}

    assert shown() == {kept.pk}
    assert shown(archived="only") == {archived.pk}
    assert shown(archived="too") == {kept.pk, archived.pk}


@pytest.mark.one_database
def test_index_names_every_page(rows: None, admin_client: Client) -> None:
    content = admin_client.get(reverse("admin:index")).content.decode()
    assert all(page(model, "changelist") in content for model in PAGES)


@pytest.mark.one_database
def test_a_page_that_nobody_has_placed_stands_in_the_sidebar_all_the_same(
    rows: None, admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(navigation, "_GROUPS", ())
    groups = admin_client.get(reverse("admin:index")).context["sidebar_navigation"]
    assert len(groups[-1]["items"]) == len(PAGES)


def test_sidebar_counts_what_is_open(rows: None, admin_client: Client) -> None:
    assert InboxItem.objects.open().count() == 1
    groups = admin_client.get(reverse("admin:index")).context["sidebar_navigation"]
    badges = [item["badge"] for group in groups for item in group["items"] if "badge" in item]
    assert badges == [1]


@pytest.mark.one_database
def test_a_viewer_reads_and_writes_nothing(rows: None) -> None:
    viewer = staff("viewer")
    assert viewer.get(page(Task, "changelist")).status_code == 200
    assert viewer.get(page(Task, "add")).status_code == 403
    assert viewer.get(page(User, "changelist")).status_code == 403


@pytest.mark.one_database
@pytest.mark.parametrize("model", [Project, Agent, Task, Document])
def test_a_viewer_sees_a_row_without_what_only_editing_needs(model: type[Model], rows: None) -> None:
    row = model._default_manager.first()
    assert row is not None
    content = staff("viewer").get(page(model, "change", row.pk)).content.decode()
    assert "xpected" not in content
    assert 'name="_save"' not in content
    assert page(model, "delete", row.pk) not in content


@pytest.mark.one_database
def test_an_operator_writes_tasks_but_no_projects(rows: None) -> None:
    operator = staff("operator")
    assert operator.get(page(Task, "add")).status_code == 200
    assert operator.get(page(Project, "add")).status_code == 403


@pytest.mark.one_database
def test_sidebar_shows_only_what_one_may_see(rows: None) -> None:
    groups = staff("viewer").get(reverse("admin:index")).context["sidebar_navigation"]
    assert [group.get("title") for group in groups] == [None, "Work", "Attention", "Runs", "Record"]


@pytest.mark.one_database
def test_staff_without_a_role_see_nothing(rows: None) -> None:
    assert staff("nobody").get(page(Task, "changelist")).status_code == 403


@pytest.fixture
def limited(tmp_path: Path) -> Client:
    """Somebody with the role admin who may see the first of two projects only."""
    make_rows(tmp_path / "repo", count=2)
    client = staff("admin")
    first = Project.objects.order_by("pk").first()
    assert first is not None
    limit_access(User.objects.get(username="admin"), project_ids=[first.pk], actor="user:owner")
    return client


ABOUT_PROJECTS = [model for model in PAGES if admin.site._registry[model].project_path]  # type: ignore[attr-defined]


@pytest.mark.parametrize("model", ABOUT_PROJECTS, ids=label)
def test_who_is_limited_sees_only_rows_of_the_own_projects(model: type[Model], limited: Client) -> None:
    shown = limited.get(page(model, "changelist")).context["cl"].result_list
    assert 0 < len(shown) < model._default_manager.count()
    last = model._default_manager.order_by("pk").last()
    assert last is not None
    assert limited.get(page(model, "change", last.pk)).status_code == 302


@pytest.mark.parametrize("model", [m for m in PAGES if m not in ABOUT_PROJECTS], ids=label)
def test_who_is_limited_does_not_see_what_concerns_all(model: type[Model], limited: Client) -> None:
    assert limited.get(page(model, "changelist")).status_code == 403


def test_who_is_limited_puts_no_task_into_another_project(limited: Client) -> None:
    last = Project.objects.order_by("pk").last()
    assert last is not None
    fields = {"project": last.pk, "title": "Mine", "task_type": "feature", "phase": "build", "priority": 2}
    edges = {f"dependencies-{name}_FORMS": 0 for name in ("TOTAL", "INITIAL")}
    refused = limited.post(page(Task, "add"), {**fields, **edges, "max_attempts": 3})
    assert "project" in refused.context["adminform"].form.errors
    assert not Task.objects.filter(title="Mine").exists()


def test_a_filter_does_not_name_a_project_one_may_not_see(limited: Client) -> None:
    last = Project.objects.order_by("pk").last()
    assert last is not None
    content = limited.get(page(Task, "changelist"), {"project__id__exact": last.pk}).content.decode()
    assert last.name not in content


@pytest.mark.one_database
def test_a_group_page_is_read_only(admin_client: Client) -> None:
    group = Group.objects.get_or_create(name="viewer")[0]
    assert admin_client.post(page(Group, "change", group.pk), {"name": "owner"}).status_code == 403
