"""A project with one of everything that is in a project."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from django.utils import timezone

from events.models import Event
from inbox.models import InboxItem
from inbox.services import ask
from inbox.states import ItemType
from llm.models import Breaker
from orchestration.models import Agent, Comment, Document, Project, Task, TaskDependency
from orchestration.services.comments import create_comment
from orchestration.services.documents import create_document
from orchestration.tests.factories import ACTOR, git, make_agent, make_project, make_task
from runtime.models import RunLog, TaskRun
from runtime.states import LogKind
from runtime.tests.factories import running


@dataclass(frozen=True)
class World:
    """Whatever has a text has the name of the world in it."""

    name: str
    project: Project
    agent: Agent
    task: Task
    """Waits for `parent`."""
    parent: Task
    busy: Task
    """Has the run."""
    dependency: TaskDependency
    document: Document
    comment: Comment
    run: TaskRun
    item: InboxItem
    breaker: Breaker
    """Of a credential that nobody uses."""
    event: Event
    line: RunLog
    """What the run said."""

    @property
    def ids(self) -> dict[str, int]:
        """The id of one row of each kind, by the noun in the address."""
        return {
            "projects": self.project.pk,
            "agents": self.agent.pk,
            "tasks": self.task.pk,
            "dependencies": self.dependency.pk,
            "documents": self.document.pk,
            "comments": self.comment.pk,
            "runs": self.run.pk,
            "inbox": self.item.pk,
            "breakers": self.breaker.pk,
            "events": self.event.pk,
            "logs": self.line.pk,
        }


def make_world(folder: Path, name: str) -> World:
    """Make a project in which there is one of everything."""
    project = make_project(folder / name, name=name)
    agent = make_agent(project, name=name, max_parallel_runs=5)
    parent, busy = make_task(project, title=f"{name} parent"), make_task(project, title=f"{name} busy")
    task = make_task(project, title=f"{name} task", depends_on=[parent], parent=parent, assignee=agent)
    document = create_document(project, path=f"{name}.md", title=name, body=name, actor=ACTOR)
    comment = create_comment(task=task, body=name, author=name, actor=ACTOR)
    create_comment(document=document, body=name, author=name, actor=ACTOR)
    run, commit = running(busy, agent), git(folder / name, "rev-parse", "HEAD")
    TaskRun.objects.filter(pk=run.pk).update(base_commit=commit, head_commit=commit, log_seq=1)
    line = RunLog.of(run, seq=1, at=timezone.now(), kind=LogKind.TEXT, body={"text": name})
    line.save()
    item = ask(ItemType.AWAIT_USER_INPUT, task=busy, title=name, dedupe_key=name, run_id=run.pk, actor=ACTOR)
    return World(
        name=name,
        project=project,
        agent=agent,
        task=task,
        parent=parent,
        busy=busy,
        dependency=TaskDependency.objects.get(task=task),
        document=document,
        comment=comment,
        run=run,
        item=item,
        breaker=Breaker.objects.create(provider="noop", fingerprint=name),
        event=Event.objects.filter(project_id=project.pk).latest("id"),
        line=line,
    )
