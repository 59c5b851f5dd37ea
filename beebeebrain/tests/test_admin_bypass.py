"""Nothing in the admin can bypass the services: whatever a superuser tries, each changed row has its event."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.db.models import Model
from django.test import Client
from django.urls import reverse

from beebeebrain.tests.rows import make_rows
from events.models import Event
from orchestration.models import Agent, Comment, Document, Project, Task, TaskDependency
from orchestration.tests.factories import make_project, make_repository, make_task
from runtime.models import Slot
from security.admin.base import NotThroughServices, PageAdmin
from security.models import AccessLimit

# Which code writes is the same whatever it is written to.
pytestmark = [pytest.mark.django_db, pytest.mark.one_database]

OURS = {"auth", "events", "inbox", "llm", "orchestration", "runtime", "security"}
PAGES = sorted(admin.site._registry, key=lambda model: model._meta.label)
CONFIRMED = {"_form_submitted": "on", "words": "Smaller, please."}
# What Django's own pages would write with.
WRITERS = ("save_model", "save_formset", "save_related", "delete_model", "delete_queryset")
# What is no fact of its own: counters of runs that others tell of, and what nobody has configured a page for.
UNTOLD = {"runtime.slot", "auth.permission"}

# Whose page has a form; all other rows only services write.
CHANGEABLE = {Project, Agent, Task, Document, User}

Row = tuple[str, Any]
Attempt = Callable[..., set[Row]]


def label(model: type[Model]) -> str:
    return model._meta.label


def page(model: type[Model], name: str, *args: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{name}", args=args)


def stored() -> dict[Row, Any]:
    """Return every row of ours with all its values; a user with the roles, a token without when it was used."""
    found: dict[Row, Any] = {}
    for model in apps.get_models():
        name = model._meta.label_lower
        if model._meta.app_label in OURS and model is not Event and name not in UNTOLD:
            found |= {(name, values["pk"]): values for values in model._base_manager.values("pk", *_columns(model))}
    for user in User.objects.prefetch_related("groups"):
        found["auth.user", user.pk]["groups"] = sorted(group.name for group in user.groups.all())
    return found


def _columns(model: type[Model]) -> list[str]:
    return [field.attname for field in model._meta.concrete_fields if field.attname != "last_login"]


def changed(before: dict[Row, Any], after: dict[Row, Any]) -> dict[Row, Any]:
    """Return the rows that were made, changed or deleted, with their values."""
    rows = [row for row in before.keys() | after.keys() if before.get(row) != after.get(row)]
    return {row: after.get(row) or before[row] for row in rows}


def told(events: list[Event]) -> set[Row]:
    """Return the rows that the events speak of."""
    return {row for event in events for row in _rows_of(event)}


def _rows_of(event: Event) -> Iterator[Row]:
    noun, payload = event.type.split(".")[0], event.payload
    if noun == "inbox":
        yield "inbox.inboxitem", payload.get("item_id", payload.get("id"))
    elif noun == "run":
        yield "runtime.taskrun", event.run_id
    elif noun == "security":
        if found := re.match(r"(User|ApiToken) (\d+) ", payload["resource"]):
            yield {"User": "auth.user", "ApiToken": "security.apitoken"}[found[1]], int(found[2])
    elif noun == "breaker":
        yield "llm.breaker", payload["breaker_id"]
    elif noun == "task":
        yield "orchestration.task", event.task_id
    elif "id" in payload:
        yield f"orchestration.{noun}", payload["id"]


def spoken_for(row: Row, values: dict[str, Any], known: set[Row]) -> bool:
    """Tell whether a row is told of: by an event of its own, or by one of the row it belongs to."""
    owners = {
        TaskDependency._meta.label_lower: ("orchestration.task", values.get("task_id")),
        AccessLimit._meta.label_lower: ("auth.user", values.get("user_id")),
    }
    return row in known or owners.get(row[0]) in known


@pytest.fixture
def attempt(tmp_path: Path, admin_client: Client) -> Attempt:
    """Return what tries something, demands that each changed row has its event, and returns the changed rows."""
    make_rows(tmp_path / "repo", count=2)

    def attempt(act: Callable[..., Any], *arguments: Any, **named: Any) -> set[Row]:
        before, last = stored(), Event.objects.order_by("-id").values_list("id", flat=True).first() or 0
        act(*arguments, **named)
        found = changed(before, stored())
        known = told(list(Event.objects.filter(id__gt=last)))
        silent = {row for row, values in found.items() if not spoken_for(row, values, known)}
        assert not silent, f"changed without an event: {silent}"
        return set(found)

    return attempt


def test_a_write_behind_the_services_would_be_noticed(attempt: Attempt) -> None:
    with pytest.raises(AssertionError, match="changed without an event"):
        attempt(Project.objects.update, name="Sneaked in")


@pytest.mark.parametrize("model", PAGES, ids=label)
def test_a_page_writes_only_with_what_is_ours(model: type[Model]) -> None:
    shown = admin.site._registry[model]
    assert isinstance(shown, PageAdmin)
    assert not shown.list_editable
    homes = {name: getattr(type(shown), name).__module__.split(".")[0] for name in WRITERS}
    assert set(homes.values()) <= {"security", "orchestration", "inbox", "llm", "events", "runtime"}, homes


@pytest.mark.parametrize("name", ["save_model", "save_formset", "delete_model", "delete_queryset"])
def test_a_page_that_names_no_service_refuses_to_write(name: str) -> None:
    arguments = {"save_model": 4, "save_formset": 4}.get(name, 2)
    with pytest.raises(NotThroughServices):
        getattr(PageAdmin(Slot, admin.site), name)(*[None] * arguments)


def test_deletion_of_what_is_selected_is_not_there(attempt: Attempt, admin_client: Client) -> None:
    for model in PAGES:
        chosen = [row.pk for row in model._default_manager.all()[:3]]
        data = {"action": "delete_selected", "post": "yes", "_selected_action": chosen}
        assert attempt(admin_client.post, page(model, "changelist"), data) == set()
        assert "delete_selected" not in admin_client.get(page(model, "changelist")).content.decode()


def test_a_list_is_not_edited_in_place(attempt: Attempt, admin_client: Client) -> None:
    for model in PAGES:
        row = model._default_manager.first()
        assert row is not None
        forms = {"form-TOTAL_FORMS": 1, "form-INITIAL_FORMS": 1, "form-0-id": row.pk, "_save": "Save"}
        fields = {f"form-0-{field.name}": "1" for field in model._meta.concrete_fields}
        assert attempt(admin_client.post, page(model, "changelist"), {**fields, **forms}) == set()


def test_a_row_is_changed_through_a_service_or_not_at_all(attempt: Attempt, admin_client: Client) -> None:
    for model in PAGES:
        row = model._default_manager.order_by("pk").first()
        assert row is not None
        data = edited(admin_client, row)
        made = attempt(admin_client.post, page(model, "change", row.pk), data)
        assert made == ({(model._meta.label_lower, row.pk)} if model in CHANGEABLE else set())


def test_a_row_is_added_through_a_service_or_not_at_all(attempt: Attempt, admin_client: Client, tmp_path: Path) -> None:
    forms = new_rows(tmp_path)
    for model in PAGES:
        data = forms.get(model._meta.label_lower, {})
        made = attempt(admin_client.post, page(model, "add"), data)
        assert {name for name, _ in made} == ({model._meta.label_lower} if data else set())


def test_a_row_is_deleted_through_a_service_or_not_at_all(attempt: Attempt, admin_client: Client) -> None:
    deleted = set()
    for model in PAGES:
        for row in list(model._default_manager.order_by("-pk")[:4]):
            attempt(admin_client.post, page(model, "delete", row.pk), {"post": "yes"})
            deleted |= set() if model._default_manager.filter(pk=row.pk).exists() else {model}
    assert deleted == {Comment, Document, Task}


def test_every_action_goes_through_a_service(attempt: Attempt, admin_client: Client) -> None:
    done = set()
    for model in PAGES:
        request = admin_client.get(page(model, "changelist")).wsgi_request
        chosen = [row.pk for row in model._default_manager.all()]
        for action in admin.site._registry[model].get_actions(request):
            data = {"action": action, "_selected_action": chosen}
            done |= {name for name, _ in attempt(admin_client.post, page(model, "changelist"), data)}
    assert done >= {"orchestration.task", "orchestration.agent", "inbox.inboxitem", "security.apitoken"}


def test_every_command_on_a_page_goes_through_a_service(attempt: Attempt, admin_client: Client) -> None:
    done = set()
    for model in PAGES:
        for command in admin.site._registry[model].actions_detail:  # type: ignore[attr-defined]
            for row in list(model._default_manager.all()[:3]):
                made = attempt(admin_client.post, page(model, command, row.pk), CONFIRMED)
                done |= {name for name, _ in made}
    assert done >= {"orchestration.task", "security.apitoken"}


def test_an_edge_below_a_task_goes_through_a_service(attempt: Attempt, admin_client: Client, tmp_path: Path) -> None:
    project = make_project(tmp_path / "repo")
    first, second = make_task(project), make_task(project)
    edge = {"dependencies-TOTAL_FORMS": 1, "dependencies-0-task": second.pk, "dependencies-0-depends_on": first.pk}
    data = edited(admin_client, second) | edge
    made = attempt(admin_client.post, page(Task, "change", second.pk), data)
    assert {name for name, _ in made} == {"orchestration.task", "orchestration.taskdependency"}


def test_a_password_set_by_an_admin_is_on_record(attempt: Attempt, admin_client: Client) -> None:
    user = User.objects.get(username="person-1")
    data = {"usable_password": "true", "password1": "pollen-and-honey", "password2": "pollen-and-honey"}
    url = reverse("admin:auth_user_password_change", args=[user.pk])
    assert attempt(admin_client.post, url, {**data, "set-password": "1"}) == {("auth.user", user.pk)}


def test_a_password_of_ones_own_is_on_record(attempt: Attempt, admin_client: Client, admin_user: User) -> None:
    data = {"old_password": "password", "new_password1": "pollen-and-honey", "new_password2": "pollen-and-honey"}
    url = reverse("admin:password_change")
    assert attempt(admin_client.post, url, data) == {("auth.user", admin_user.pk)}


def edited(client: Client, row: Model) -> dict[str, Any]:
    """Return what a browser would send from the page of a row after one field was edited."""
    form = client.get(page(type(row), "change", row.pk)).context["adminform"].form
    shown = {name: form[name].value() for name in form.fields}
    data = {name: value for name, value in shown.items() if value is not None and value is not False}
    data |= {name: [getattr(item, "pk", item) for item in value] for name, value in data.items() if _is_many(value)}
    text = next((name for name in ("title", "name", "first_name") if name in data), None)
    return data | ({text: "Edited"} if text else {}) | edges()


def _is_many(value: object) -> bool:
    return isinstance(value, list)


def edges() -> dict[str, int]:
    """Return the management form of a task's edges, with none of them."""
    return {f"dependencies-{name}_FORMS": 0 for name in ("TOTAL", "INITIAL", "MIN_NUM")}


def new_rows(tmp_path: Path) -> dict[str, dict[str, Any]]:
    """Return a filled in form for a new row of each model of which there may be one."""
    project = make_project(tmp_path / "repo")
    make_repository(tmp_path / "other")
    return {
        "orchestration.project": {
            "name": "Other",
            "slug": "other",
            "root_path": str(tmp_path / "other"),
            "base_branch": "main",
            "max_parallel_runs": 1,
            "max_in_review": 0,
        },
        "orchestration.agent": {
            "project": project.pk,
            "name": "Willy",
            "provider": "noop",
            "permission_mode": "acceptEdits",
            "status": "active",
            "enabled_tools": "Read",
            "max_parallel_runs": 1,
            "timeout_s": 60,
            "max_turns": 10,
            "max_tokens": 0,
            "max_cost_usd": 1,
        },
        "orchestration.task": {
            "project": project.pk,
            "title": "Collect pollen",
            "task_type": "feature",
            "phase": "build",
            "priority": 2,
            "max_attempts": 3,
            **edges(),
        },
        "orchestration.document": {"project": project.pk, "path": "A.md", "title": "A", "doc_type": "rules"},
        "auth.user": {
            "username": "willy",
            "usable_password": "true",
            "password1": "pollen-and-honey",
            "password2": "pollen-and-honey",
            "groups": [Group.objects.get_or_create(name="viewer")[0].pk],
        },
        "security.apitoken": {"user": User.objects.get(username="admin").pk, "name": "ci", "scopes": ["read"]},
    }
