from __future__ import annotations

import pytest
from django.utils import timezone

from inbox.services import approve_task
from orchestration.models import Agent, Project, Task
from orchestration.services.agents import update_agent
from orchestration.services.comments import create_comment
from orchestration.services.documents import create_document
from orchestration.services.projects import update_project
from orchestration.services.tasks import move_task
from orchestration.states import CommentStatus, TaskStatus
from orchestration.tests.factories import ACTOR, make_agent, make_task
from runtime import briefs
from runtime.models import RunLog, TaskRun
from runtime.services.finishing import finish_run
from runtime.services.promoting import promote_due
from runtime.services.resuming import CONTINUE
from runtime.states import LogKind, RunStatus
from runtime.tests.factories import claim_all, ending
from runtime.tests.starts import begun, claimed

pytestmark = pytest.mark.django_db

SECRET = "sk-ant-api03-abcdefghijklmnop"


@pytest.fixture
def agent(project: Project) -> Agent:
    return make_agent(project, max_parallel_runs=4)


def say(task: Task, body: str, anchor: str = "") -> None:
    create_comment(body=body, author=ACTOR, actor=ACTOR, task=task, anchor=anchor)


def resumed(task: Task, agent: Agent, prompt: str = "") -> TaskRun:
    """Return a run that goes on in a session."""
    run = claimed(task, agent)
    TaskRun.objects.filter(pk=run.pk).update(session_id="session-1", prompt=prompt)
    run.refresh_from_db()
    return run


def test_a_new_session_is_told_the_whole_task(project: Project, agent: Agent) -> None:
    update_project(project, actor=ACTOR, checks=["make lint"])
    task = make_task(
        project, title="Paint it", description="All of it.", acceptance_criteria="It is blue.", checks=["make test"]
    )
    told = briefs.prompt(claimed(task, agent))
    for part in ("Paint it\n\nAll of it.", "It is blue.", "- `make lint`\n- `make test`", "finish_task"):
        assert part in told


def logged(run: TaskRun, seq: int, kind: LogKind, **body: object) -> None:
    RunLog.objects.create(run=run, seq=seq, at=timezone.now(), kind=kind, body=body)


def interrupted(task: Task, agent: Agent, code: str, outcome: str = "interrupted") -> TaskRun:
    """Return a run that is to go on, two tool calls after it began."""
    run = begun(task, agent)
    for seq, command in ((1, "make one"), (3, "make two")):
        logged(run, seq, LogKind.TOOL_CALL, id=str(seq), name="Bash", input={"command": command})
        logged(run, seq + 1, LogKind.TOOL_RESULT, id=str(seq), is_error=False, text=f"ran {command}")
    logged(run, 5, LogKind.TOOL_CALL, id="5", name="Bash", input={"command": "make three"})
    return finish_run(run, ending(outcome, code=code))


def test_after_its_death_an_agent_is_told_what_it_had_done(project: Project, agent: Agent) -> None:
    told = briefs.prompt(interrupted(make_task(project), agent, code="process_gone")).splitlines()
    assert told[1:] == [
        '- Bash {"command": "make one"}: done: ran make one',
        '- Bash {"command": "make two"}: done: ran make two',
    ]


def test_after_the_crash_of_its_client_the_next_attempt_is_told_too(project: Project, agent: Agent) -> None:
    interrupted(make_task(project), agent, outcome="failed", code="crashed")
    TaskRun.objects.filter(status=RunStatus.RETRY_SCHEDULED).update(next_retry_at=timezone.now())
    promote_due(actor=ACTOR)
    assert "make two" in briefs.prompt(claim_all()[0])


def test_an_agent_that_stopped_at_a_safe_point_knows_what_it_did(project: Project, agent: Agent) -> None:
    assert "make one" not in briefs.prompt(interrupted(make_task(project), agent, code=""))


def test_mandatory_documents_are_rules_and_the_others_are_not(project: Project, agent: Agent) -> None:
    create_document(project, path="a.md", title="Rules", body="Be kind.", is_mandatory=True, actor=ACTOR)
    create_document(project, path="b.md", title="Notes", body="Nobody needs this.", actor=ACTOR)
    told = briefs.prompt(claimed(make_task(project), agent))
    assert "## Rules\n\nBe kind." in told
    assert "Nobody needs this." not in told


def test_a_task_is_told_what_those_before_it_have_done(project: Project, agent: Agent) -> None:
    before = make_task(project, title="Mix the paint")
    after = make_task(project, depends_on=[before])
    finish_run(begun(before, agent), ending("finished", message="It is in the bucket."))
    move_task(approve_task(before, actor=ACTOR), TaskStatus.DONE, actor=ACTOR)
    assert "- Mix the paint: It is in the bucket." in briefs.prompt(claimed(after, agent))


def test_open_comments_are_told_with_their_place_and_addressed_ones_are_not(project: Project, agent: Agent) -> None:
    task = make_task(project)
    say(task, "Name it better", "src/a.py:12")
    say(task, "Too long")
    say(task, "Old news")
    task.comments.filter(body="Old news").update(status=CommentStatus.ADDRESSED)
    told = briefs.prompt(claimed(task, agent))
    assert "src/a.py:12: Name it better\n\nToo long" in told
    assert "Old news" not in told


def test_a_session_that_goes_on_is_told_only_what_has_come_since(project: Project, agent: Agent) -> None:
    task = make_task(project, title="Paint it")
    say(task, "Name it better")
    assert briefs.prompt(resumed(task, agent, "The answer: Blue")) == "The answer: Blue\n\nName it better"


def test_a_session_to_which_nothing_was_said_is_told_to_go_on(project: Project, agent: Agent) -> None:
    assert briefs.prompt(resumed(make_task(project), agent)) == CONTINUE


def test_the_system_prompt_is_who_the_agent_is_and_how_to_report(project: Project, agent: Agent) -> None:
    run = claimed(make_task(project), update_agent(agent, actor=ACTOR, persona="  You are curt.\n"))
    said = briefs.system_append(run)
    assert said.startswith("You are curt.\n\n")
    assert "request_input" in said


def test_no_secret_reaches_an_agent_by_its_brief(project: Project, agent: Agent) -> None:
    update_agent(agent, actor=ACTOR, persona=f"Your key is {SECRET}")
    first = claimed(make_task(project, description=f"Use {SECRET}"), agent)
    later = resumed(make_task(project), agent, f"The answer: {SECRET}")
    for told in (briefs.prompt(first), briefs.system_append(first), briefs.prompt(later)):
        assert SECRET not in told
        assert "[redacted]" in told
