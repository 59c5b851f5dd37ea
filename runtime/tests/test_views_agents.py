from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from llm import operator_settings
from orchestration.models import Agent, Project
from orchestration.tests.clients import Client, error
from orchestration.tests.factories import make_agent, make_project, make_task
from runtime.models import TaskRun
from runtime.services.finishing import finish_run
from runtime.tests.factories import ending, running
from security.roles import Role

pytestmark = pytest.mark.django_db


@pytest.fixture
def client() -> Client:
    return Client()


@pytest.fixture(autouse=True)
def login(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "dummy")


def test_an_agent_is_created_with_what_it_may_do(client: Client, project: Project) -> None:
    response = client.post(
        "/agents", project=project.pk, name="Bee", model="sonnet", enabled_tools=["Read"], max_cost_usd="0.5"
    )
    found = response.json()
    assert (response.status_code, found["project"], found["name"]) == (201, project.pk, "Bee")
    assert (found["provider"], found["model"], found["enabled_tools"]) == ("claude_code", "sonnet", ["Read"])
    assert (found["max_cost_usd"], found["status"], found["version"]) == ("0.500000", "active", 1)


@pytest.mark.parametrize(
    "model", ["", "opus", "haiku", "sonnet[1m]", "claude-opus-4-5", "us.anthropic.claude-sonnet-4-5-20250929-v1:0"]
)
def test_a_model_the_client_knows_is_accepted(client: Client, project: Project, model: str) -> None:
    assert client.post("/agents", project=project.pk, name="Bee", model=model).status_code == 201


@pytest.mark.skipif(connection.vendor != "sqlite", reason="elsewhere the scheduler may be on another host")
def test_an_agent_whose_client_has_no_login_is_refused(
    client: Client, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    response = client.post("/agents", project=project.pk, name="Bee")
    assert error(response) == (400, "client_login_missing", "provider")
    assert not Agent.objects.exists()


@pytest.mark.skipif(connection.vendor != "sqlite", reason="elsewhere the scheduler may be on another host")
def test_an_agent_whose_client_is_not_installed_is_refused(
    client: Client, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operator_settings, "client_path", raise_missing)
    assert error(client.post("/agents", project=project.pk, name="Bee")) == (400, "client_missing", "provider")


def raise_missing() -> Path:
    raise operator_settings.ClientMissing


def test_a_model_nobody_knows_is_refused(client: Client, project: Project) -> None:
    response = client.post("/agents", project=project.pk, name="Bee", model="sonett")
    assert error(response) == (400, "unknown_model", "model")
    assert not Agent.objects.exists()


def test_a_script_needs_no_model(client: Client, project: Project) -> None:
    response = client.post("/agents", project=project.pk, name="Bee", provider="noop", model="any")
    assert response.status_code == 201


def test_a_provider_nobody_knows_is_refused(client: Client, project: Project) -> None:
    response = client.post("/agents", project=project.pk, name="Bee", provider="cobol")
    assert error(response) == (400, "unknown_provider", "provider")


def test_a_name_that_is_taken_is_a_conflict(client: Client, project: Project) -> None:
    make_agent(project, name="Bee")
    assert error(client.post("/agents", project=project.pk, name="Bee"))[:2] == (409, "name_taken")


@pytest.mark.parametrize(
    ("fields", "code", "attr"),
    [
        ({"project": 0}, "does_not_exist", "project"),
        ({"project": 2**70}, "does_not_exist", "project"),
        ({"status": "asleep"}, "invalid_choice", "status"),
        ({"permission_mode": "bypassPermissions"}, "invalid_choice", "permission_mode"),
        ({"timeout_s": 0}, "min_value", "timeout_s"),
        ({"max_turns": 10**30}, "max_value", "max_turns"),
        ({"max_cost_usd": "-1"}, "min_value", "max_cost_usd"),
        ({"enabled_tools": "Read"}, "not_a_list", "enabled_tools"),
        ({"version": 3}, "unknown_field", "version"),
        ({"token": "x"}, "unknown_field", "token"),
    ],
)
def test_bad_values_are_refused_by_name(
    client: Client, project: Project, fields: dict[str, Any], code: str, attr: str
) -> None:
    response = client.post("/agents", **{"project": project.pk, "name": "Bee", **fields})
    assert error(response) == (400, code, attr)
    assert not Agent.objects.exists()


def test_an_agent_is_paused_by_a_change(client: Client, project: Project) -> None:
    agent = make_agent(project)
    response = client.patch(f"/agents/{agent.pk}", status="paused", expected_version=1)
    assert (response.status_code, response.json()["status"], response.json()["version"]) == (200, "paused", 2)


def test_a_change_of_an_older_version_is_a_conflict(client: Client, project: Project) -> None:
    agent = make_agent(project)
    client.patch(f"/agents/{agent.pk}", role="tester")
    assert error(client.patch(f"/agents/{agent.pk}", role="coder", expected_version=1))[:2] == (409, "version_conflict")


def test_an_agent_whose_model_is_not_known_any_more_can_still_be_paused(client: Client, project: Project) -> None:
    agent = make_agent(project, provider="claude_code", model="forgotten")
    assert client.patch(f"/agents/{agent.pk}", status="paused").status_code == 200
    assert error(client.patch(f"/agents/{agent.pk}", model="sonett"))[:2] == (400, "unknown_model")


def test_a_change_of_provider_is_checked_with_the_model_there_is(client: Client, project: Project) -> None:
    agent = make_agent(project, model="script")
    assert error(client.patch(f"/agents/{agent.pk}", provider="claude_code"))[:2] == (400, "unknown_model")


def test_an_agent_stays_in_its_project(client: Client, project: Project) -> None:
    agent = make_agent(project)
    assert error(client.patch(f"/agents/{agent.pk}", project=project.pk)) == (400, "unknown_field", "project")


def test_only_an_admin_makes_agents(project: Project) -> None:
    assert Client(Role.OPERATOR).post("/agents", project=project.pk, name="Bee").status_code == 403
    assert Client(Role.VIEWER).get("/agents").status_code == 200


def test_agents_are_listed_by_name_and_filtered(client: Client, project: Project, tmp_path: Path) -> None:
    b, a = make_agent(project, name="B"), make_agent(project, name="A", status="paused")
    other = make_agent(make_project(tmp_path / "other"), name="C")
    assert client.ids("/agents") == [a.pk, b.pk, other.pk]
    assert client.ids("/agents", project=project.pk) == [a.pk, b.pk]
    assert client.ids("/agents", status="paused") == [a.pk]
    assert client.ids("/agents", status=["paused", "active"], ordering="id") == [b.pk, a.pk, other.pk]


def test_a_list_takes_as_many_queries_for_one_as_for_many(client: Client, project: Project) -> None:
    make_agent(project)
    before = client.count_queries("/agents")
    for _ in range(3):
        make_agent(project)
    assert client.count_queries("/agents") == before


def test_health_says_how_busy_an_agent_is_and_what_failed_last(project: Project) -> None:
    client = Client(Role.VIEWER)
    agent = make_agent(project, max_parallel_runs=3)
    failed = running(make_task(project), agent)
    finish_run(failed, ending("failed", code="auth"))
    busy = running(make_task(project), agent)
    make_task(project, assignee=agent)
    TaskRun.objects.filter(pk=busy.pk).update(cost_usd="1.5", started_at=timezone.now())
    told = client.get(f"/agents/{agent.pk}/health").json()
    assert (told["agent"], told["status"], told["running"], told["max_parallel_runs"]) == (agent.pk, "active", 1, 3)
    assert (told["queued"], told["waiting"], told["cost_today_usd"]) == (0, 1, "1.500000")
    assert (told["last_failure"]["run"], told["last_failure"]["error_code"]) == (failed.pk, "auth")


def test_an_idle_agent_is_well(project: Project) -> None:
    told = Client(Role.VIEWER).get(f"/agents/{make_agent(project).pk}/health").json()
    assert (told["running"], told["waiting"], told["cost_today_usd"], told["last_failure"]) == (0, 0, "0.000000", None)
