"""Agents: who does the work."""

from __future__ import annotations

from typing import Any

from events import services as events
from events.states import EventType
from orchestration.exceptions import NameTaken
from orchestration.limits import AgentDay, check_daily_limits
from orchestration.models import Agent, Project
from orchestration.services.rows import checked, insert, update_row


@events.unit_of_work()
def create_agent(project: Project, *, name: str, actor: str, **fields: Any) -> Agent:
    """Create an agent in a project. Raises Invalid, NameTaken."""
    check_daily_limits(AgentDay, fields)
    agent = checked(Agent(project=project, name=name, **fields))
    _refuse_taken(agent)
    insert(agent, taken=NameTaken)
    events.append(
        EventType.AGENT_CREATED,
        project_id=project.pk,
        agent_id=agent.pk,
        actor=actor,
        id=agent.pk,
        version=1,
        title=name,
    )
    return agent


@events.unit_of_work()
def update_agent(agent: Agent, *, actor: str, expected_version: int | None = None, **changes: Any) -> Agent:
    """Change fields of an agent. Raises Invalid, NameTaken, VersionConflict."""
    check_daily_limits(AgentDay, changes)
    if "name" in changes:
        _refuse_taken(Agent(pk=agent.pk, project_id=agent.project_id, name=changes["name"]))
    if fields := update_row(agent, expected_version=expected_version, changes=changes):
        events.append(
            EventType.AGENT_UPDATED,
            project_id=agent.project_id,
            agent_id=agent.pk,
            actor=actor,
            id=agent.pk,
            version=agent.version,
            fields=fields,
        )
    return agent


def _refuse_taken(agent: Agent) -> None:
    if Agent.objects.filter(project_id=agent.project_id, name=agent.name).exclude(pk=agent.pk).exists():
        raise NameTaken
