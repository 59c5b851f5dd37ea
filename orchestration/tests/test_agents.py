from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from events.models import Event
from events.states import EventType
from orchestration.exceptions import Invalid, NameTaken, VersionConflict
from orchestration.models import DEFAULT_TOOLS, Agent, Project
from orchestration.services.agents import create_agent, update_agent
from orchestration.states import AgentStatus
from orchestration.tests.factories import ACTOR, make_agent, make_project

pytestmark = pytest.mark.django_db


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_project(tmp_path / "repo")


def test_an_agent_is_ready_to_work_and_on_record(project: Project) -> None:
    agent = create_agent(project, name="Ada", actor=ACTOR)
    event = Event.objects.get(type=EventType.AGENT_CREATED)
    assert (agent.status, agent.enabled_tools, agent.version) == (AgentStatus.ACTIVE, DEFAULT_TOOLS, 1)
    assert (event.project_id, event.actor) == (project.pk, ACTOR)
    assert event.payload == {"id": agent.pk, "version": 1, "title": "Ada"}


def test_agents_do_not_share_their_list_of_tools(project: Project) -> None:
    make_agent(project).enabled_tools.append("WebFetch")
    assert make_agent(project).enabled_tools == DEFAULT_TOOLS


def test_a_change_names_what_changed(project: Project) -> None:
    agent = update_agent(make_agent(project, model="m"), actor=ACTOR, model="m", persona="Curt.", max_turns=9)
    event = Event.objects.get(type=EventType.AGENT_UPDATED)
    assert event.payload == {"id": agent.pk, "version": 2, "fields": ["max_turns", "persona"]}


def test_a_change_of_nothing_is_none(project: Project) -> None:
    agent = make_agent(project, persona="Curt.")
    assert update_agent(agent, actor=ACTOR, persona="Curt.").version == 1
    assert not Event.objects.filter(type=EventType.AGENT_UPDATED).exists()


def test_a_stale_change_is_refused(project: Project) -> None:
    agent = make_agent(project)
    stale = Agent.objects.get(pk=agent.pk)
    update_agent(agent, actor=ACTOR, persona="First")
    with pytest.raises(VersionConflict):
        update_agent(stale, actor=ACTOR, persona="Second")
    with pytest.raises(VersionConflict):
        update_agent(agent, actor=ACTOR, persona="Third", expected_version=1)
    assert Agent.objects.get(pk=agent.pk).persona == "First"


def test_an_agent_cannot_take_the_name_of_another(project: Project) -> None:
    make_agent(project, name="Ada")
    agent = make_agent(project, name="Bob")
    with pytest.raises(NameTaken):
        update_agent(agent, actor=ACTOR, name="Ada")
    assert Agent.objects.get(pk=agent.pk).name == "Bob"


def test_an_agent_may_keep_its_name_and_share_it_with_another_projects(project: Project, tmp_path: Path) -> None:
    agent = make_agent(project, name="Ada")
    make_agent(make_project(tmp_path / "other"), name="Ada")
    assert update_agent(agent, actor=ACTOR, name="Ada", role="Lead").role == "Lead"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", "x" * 101),
        ("permission_mode", "bypassPermissions"),
        ("status", "asleep"),
        ("max_turns", -1),
    ],
)
def test_a_bad_value_is_refused_by_name(project: Project, field: str, value: Any) -> None:
    agent = make_agent(project)
    with pytest.raises(Invalid, match=f"^{field}: ") as refusal:
        update_agent(agent, actor=ACTOR, **{field: value})
    assert refusal.value.data == {"field": field}
    assert Agent.objects.get().version == 1
