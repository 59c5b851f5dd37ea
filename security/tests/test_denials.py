from __future__ import annotations

import json
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import User
from django.db import DatabaseError
from django.test import Client

from security import audit, denials
from security.roles import Role
from security.tests.factories import denials_on_record, make_token, make_user

pytestmark = pytest.mark.django_db

PROJECTS = "/api/v1/projects"
NOON = 1_764_072_000.0


def denied() -> list[tuple[str, str, str, str]]:
    """Return who was refused what, where and why."""
    told = [(event.actor, event.payload) for event in denials_on_record()]
    return [(actor, payload["action"], payload["resource"], payload["reason"]) for actor, payload in told]


@pytest.fixture
def viewer() -> Client:
    client = Client()
    client.force_login(make_user(Role.VIEWER, username="vera"))
    return client


def post(client: Client, url: str, **headers: str) -> Any:
    return client.post(url, json.dumps({"name": "x"}), "application/json", headers=headers)


def test_a_refused_command_is_on_record(viewer: Client) -> None:
    assert post(viewer, PROJECTS).status_code == 403
    assert denied() == [("user:vera", "POST project-list", PROJECTS, "permission_denied")]
    (event,) = denials_on_record()
    assert (event.type, event.project_id, event.payload["ip"]) == ("security.audit.access", None, "127.0.0.1")


def test_the_same_command_is_recorded_once_an_hour(viewer: Client) -> None:
    with time_machine.travel(NOON, tick=False) as now:
        for task in range(5):
            post(viewer, f"/api/v1/tasks/{task}/cancel")
        assert len(denied()) == 1
        now.shift(denials.AGAIN_AFTER_S + 1)
        post(viewer, "/api/v1/tasks/7/cancel")
    assert [resource for _, _, resource, _ in denied()] == ["/api/v1/tasks/0/cancel", "/api/v1/tasks/7/cancel"]


def test_another_command_and_another_person_are_recorded_too(viewer: Client) -> None:
    post(viewer, PROJECTS)
    post(viewer, "/api/v1/agents")
    other = Client()
    other.force_login(make_user(Role.OPERATOR, username="otto"))
    post(other, PROJECTS)
    assert [(actor, action) for actor, action, _, _ in denied()] == [
        ("user:vera", "POST project-list"),
        ("user:vera", "POST agent-list"),
        ("user:otto", "POST project-list"),
    ]


def test_a_program_is_named_with_its_token() -> None:
    _, text = make_token(make_user(Role.ADMIN, username="ada"), name="ci", scope="read")
    post(Client(), PROJECTS, Authorization=f"Bearer {text}")
    assert [actor for actor, *_ in denied()] == ["user:ada/token:ci"]


def test_a_refusal_out_of_a_command_that_was_rolled_back_stays_on_record() -> None:
    _, text = make_token(make_user(Role.ADMIN), scope="write")
    body = json.dumps({"name": "x", "scopes": ["read"]})
    headers = {"Authorization": f"Bearer {text}", "Idempotency-Key": "once"}
    assert Client().post("/api/v1/tokens", body, "application/json", headers=headers).status_code == 403
    assert [(action, reason) for _, action, _, reason in denied()] == [("POST token-list", "scope_too_wide")]


def test_reading_strangers_and_what_is_not_there_leave_no_record(viewer: Client) -> None:
    nobody = Client()
    nobody.force_login(make_user())
    assert nobody.get(PROJECTS).status_code == 403
    assert post(Client(), PROJECTS).status_code == 401
    operator = Client()
    operator.force_login(make_user(Role.OPERATOR))
    assert post(operator, "/api/v1/tasks/7/cancel").status_code == 404
    assert denied() == []


def test_a_page_of_the_admin_records_as_well(viewer: Client) -> None:
    User.objects.update(is_staff=True)
    assert viewer.post("/admin/auth/user/add/", {"username": "eve"}).status_code == 403
    assert [action for _, action, _, _ in denied()] == ["POST admin:auth_user_add"]


def test_a_refusal_stands_where_it_cannot_be_recorded(viewer: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise DatabaseError("disk is full")

    monkeypatch.setattr(audit.trail(), "record_access", fail)
    assert post(viewer, PROJECTS).status_code == 403
