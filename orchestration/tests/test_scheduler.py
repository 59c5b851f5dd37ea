from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from orchestration.scheduler import AgentRoom, Candidate, Choice, ProjectRoom, Room, plan
from orchestration.states import AgentStatus, Reason, TaskStatus

NOW = datetime(2026, 11, 24, tzinfo=UTC)
AGENT = AgentRoom(id=1, project_id=1, status=AgentStatus.ACTIVE, free=1)
PROJECT = ProjectRoom(id=1, is_paused=False, free=5, review_left=None, agents=(AGENT,))
TASK = Candidate(task_id=1, project_id=1, status=TaskStatus.TODO, assignee_id=None)


def room(project: ProjectRoom = PROJECT, free: int = 5) -> Room:
    return Room(now=NOW, free=free, projects={project.id: project})


def reason(candidate: Candidate = TASK, project: ProjectRoom = PROJECT, free: int = 5) -> Reason | None:
    return plan([candidate], room(project, free)).waiting.get(candidate.task_id)


def test_a_ready_task_with_room_starts() -> None:
    assert plan([TASK], room()).start == [Choice(task_id=1, agent_id=1, run_id=None)]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"is_held": True}, Reason.HELD),
        ({"unmet_dependencies": 1}, Reason.DEPENDENCY),
        ({"not_before": NOW + timedelta(seconds=1)}, Reason.NOT_BEFORE),
        ({"run_id": 9, "retry_at": NOW + timedelta(seconds=1)}, Reason.RETRY_AT),
        ({"assignee_id": 99}, Reason.NO_AGENT),
        ({"spent": "tokens"}, Reason.BUDGET),
    ],
)
def test_what_keeps_a_task_has_a_name(changes: dict[str, Any], expected: Reason) -> None:
    assert reason(replace(TASK, **changes)) == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"is_paused": True}, Reason.PROJECT_PAUSED),
        ({"spent": "usd"}, Reason.BUDGET),
        ({"review_left": 0}, Reason.REVIEW_FULL),
        ({"free": 0}, Reason.NO_SLOT),
        ({"agents": ()}, Reason.NO_AGENT),
        ({"agents": (replace(AGENT, status=AgentStatus.PAUSED),)}, Reason.AGENT_PAUSED),
        ({"agents": (replace(AGENT, free=0),)}, Reason.AGENT_BUSY),
        ({"agents": (replace(AGENT, spent="runs"),)}, Reason.BUDGET),
    ],
)
def test_what_keeps_a_project_has_a_name(changes: dict[str, Any], expected: Reason) -> None:
    assert reason(project=replace(PROJECT, **changes)) == expected


def test_nothing_starts_without_a_global_slot() -> None:
    assert reason(free=0) == Reason.NO_SLOT


def test_a_time_that_has_come_keeps_nothing() -> None:
    assert reason(replace(TASK, not_before=NOW)) is None


def test_a_slot_is_given_once() -> None:
    second = replace(TASK, task_id=2)
    assert plan([TASK, second], room()).waiting == {2: Reason.AGENT_BUSY}


def test_a_task_without_assignee_goes_to_the_agent_with_most_room() -> None:
    idle = replace(AGENT, id=2, free=3)
    assert plan([TASK], room(replace(PROJECT, agents=(AGENT, idle)))).start[0].agent_id == 2


def test_work_in_flight_counts_against_the_room_in_review() -> None:
    project = replace(PROJECT, review_left=1, agents=(replace(AGENT, free=5),))
    assert plan([TASK, replace(TASK, task_id=2)], room(project)).waiting == {2: Reason.REVIEW_FULL}
