"""The brief of a run: what its agent is told, gathered from the task and what was said about it."""

from __future__ import annotations

import json
from typing import Any

from events.models import Event
from events.states import EventType
from llm import prompts
from llm.prompts import Section
from orchestration.models import Document, Task
from orchestration.states import CommentStatus, TaskStatus
from runtime.models import TaskRun
from runtime.services.resuming import CONTINUE
from runtime.states import LogKind, RunStatus
from security.redaction import redact

_CONTRACT = (
    "You work alone in a git worktree of your own; stay inside it. Leave your work in the files; you need not commit.\n"
    "When the task is done and you have checked it, call finish_task with a summary and your evidence.\n"
    "When you cannot go on, call block_task and say what would unblock you.\n"
    "When only a person can decide something, call request_input with one clear question."
)

_DIED = "Your process died and was started again; your files are as you left them. Your last tool calls before that, not to be made twice:"
_RECALLED = 3
_GIST = 300


def prompt(run: TaskRun) -> str:
    """Return what to say to the agent: the task to a new session, what has come since to one that goes on."""
    if not run.session_id:
        return _whole_brief(run)
    said = [_done_before_death(run), run.prompt, _feedback(run.task)]
    return redact("\n\n".join(part for part in said if part)) or CONTINUE


def system_append(run: TaskRun) -> str:
    """Return what is appended to the client's system prompt: who the agent is, and the contract."""
    return redact("\n\n".join(part for part in (run.agent.persona.strip(), _CONTRACT) if part))


def _whole_brief(run: TaskRun) -> str:
    task = run.task
    sections = [
        Section("task", f"{task.title}\n\n{task.description}".strip(), 0),
        Section("acceptance", task.acceptance_criteria, 0),
        Section("rules", _rules(task), 0),
        Section("tools", _CONTRACT, 0),
        Section("checks", "\n".join(f"- `{check}`" for check in checks(task)), 1),
        Section("feedback", "\n\n".join(part for part in (run.prompt, _feedback(task)) if part), 2),
        Section("dependencies", _dependencies(task), 3),
    ]
    return redact(prompts.build(sections, phase=task.phase, task_type=task.task_type).text)


def checks(task: Task) -> list[str]:
    """Return the commands that must pass: the project's, then the task's."""
    return [*task.project.checks, *task.checks]


def _rules(task: Task) -> str:
    documents = Document.objects.filter(project=task.project, is_mandatory=True)
    return "\n\n".join(f"## {document.title}\n\n{document.body}" for document in documents)


def _dependencies(task: Task) -> str:
    done = TaskRun.objects.filter(task__dependents__task=task, task__status=TaskStatus.DONE, status="succeeded")
    return "\n".join(f"- {run.task.title}: {run.summary}" for run in done.select_related("task").order_by("id"))


def _done_before_death(run: TaskRun) -> str:
    """Name what the agent did last when its process died: a client killed right after a tool call forgets that it made it."""
    if (dead := _dead(run)) is None:
        return ""
    ended = list(dead.lines.filter(kind=LogKind.TOOL_RESULT).order_by("-seq")[:_RECALLED])
    called = dead.lines.filter(kind=LogKind.TOOL_CALL, body__id__in=[line.body["id"] for line in ended])
    calls = {line.body["id"]: line.body for line in called}
    done = [_recalled(calls[line.body["id"]], line.body) for line in reversed(ended) if line.body["id"] in calls]
    return "\n".join([_DIED, *done]) if done else ""


def _dead(run: TaskRun) -> TaskRun | None:
    """Return the run whose process died before this start: this one, or the attempt it goes on for."""
    earlier = run.retry_of
    if earlier is not None and run.epoch == 1:
        return earlier if earlier.error_code == "crashed" else None
    moves = Event.objects.filter(run_id=run.pk, type=EventType.RUN_STATUS_CHANGED, payload__after=RunStatus.INTERRUPTED)
    last = moves.order_by("-id").first()
    return run if last is not None and last.payload["reason"] == "process_gone" else None


def _recalled(call: dict[str, Any], result: dict[str, Any]) -> str:
    given = json.dumps(call["input"], ensure_ascii=False)[:_GIST]
    outcome = "failed" if result["is_error"] else "done"
    return f"- {call['name']} {given}: {outcome}: {str(result['text']).strip()[:_GIST]}"


def _feedback(task: Task) -> str:
    comments = task.comments.filter(status=CommentStatus.OPEN)
    return "\n\n".join(f"{comment.anchor}: {comment.body}".removeprefix(": ") for comment in comments)
