"""What a person tells tasks: `bbb run|pause|resume|retry|cancel|approve|request-changes TASK...`.

One task is told at its own address. Several, or all that fit a selection, are told by a broadcast: one refusal
does not spoil the rest, and each task has its outcome.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from beebeebrain.cli import editor, output, tables, trees
from beebeebrain.cli.errors import ExitCode, Misuse
from beebeebrain.cli.options import AsJson, Version, Yes, confirm, given_fields, group
from beebeebrain.cli.references import agent_id, project_id, task_id
from beebeebrain.cli.session import connect
from beebeebrain.cli.tables import Column

if TYPE_CHECKING:
    from beebeebrain.cli.api import Api

Tasks = Annotated[list[str] | None, typer.Argument(metavar="[TASK]...", help="Ids or keys of tasks.")]
Statuses = Annotated[
    list[str] | None, typer.Option("--status", "-s", help="All tasks in this status; may be repeated.")
]
Assignee = Annotated[str | None, typer.Option("--assignee", "-a", help="All tasks of this agent.")]
Message = Annotated[str | None, typer.Option("--message", "-m", help="What to change; without it, your editor asks.")]
MessageFile = Annotated[str | None, typer.Option("--file", "-F", metavar="FILE", help="File that says it; - is stdin.")]

_COLUMNS = [
    Column("task", "task"),
    Column("outcome", "outcome"),
    Column("status", "status"),
    Column("code", "code"),
    Column("detail", "detail"),
]


app = group()

_HELP = {
    "pause": "Hold tasks that have not begun; let running ones stop at a safe point.",
    "resume": "Let paused tasks go, or continue the session of interrupted ones.",
    "retry": "Put failed, blocked or cancelled tasks back to todo; begin scheduled attempts now.",
    "cancel": "Cancel tasks; agents at work on them are stopped.",
    "approve": "Approve work in review; it is merged.",
}


def _command(name: str) -> Callable[..., None]:
    def command(
        tasks: Tasks = None,
        status: Statuses = None,
        assignee: Assignee = None,
        project: Annotated[str | None, typer.Option("--project", "-p", help="All tasks of this project.")] = None,
        expected_version: Version = None,
        yes: Yes = False,
        as_json: AsJson = False,
    ) -> None:
        with connect() as api:
            chosen = _selection(api, tasks, status, assignee, project)
            _tell(api, name, chosen, version=expected_version, is_sure=yes, as_json=as_json)

    return command


for _name, _about in _HELP.items():
    app.command(_name, help=_about)(_command(_name))


@app.command("run")
def run_tasks(
    tasks: Annotated[list[str], typer.Argument(metavar="TASK...", help="Ids or keys of tasks.")],
    agent: Annotated[str | None, typer.Option(help="Who is to do it: id or name; for one task.")] = None,
    expected_version: Version = None,
    as_json: AsJson = False,
) -> None:
    """Start tasks as soon as there is room, before all that waits; what failed, is blocked or cancelled begins anew."""
    with connect() as api:
        chosen = {"ids": [task_id(task) for task in tasks]}
        if agent and len(tasks) > 1:
            raise Misuse("--agent names who does one task; give one task.")
        extra = given_fields(agent=_agent_for(api, tasks[0], agent))
        _tell(api, "run", chosen, version=expected_version, is_sure=True, as_json=as_json, **extra)


@app.command("request-changes")
def request_changes(
    tasks: Annotated[list[str], typer.Argument(metavar="TASK...", help="Ids or keys of tasks in review.")],
    message: Message = None,
    file: MessageFile = None,
    expected_version: Version = None,
    as_json: AsJson = False,
) -> None:
    """Send work in review back with what to change."""
    chosen = {"ids": [task_id(task) for task in tasks]}
    with connect() as api:
        changes = editor.words(message, file, about=f"What is to be changed in task {', '.join(tasks)}?")
        _tell(api, "request-changes", chosen, version=expected_version, is_sure=True, as_json=as_json, changes=changes)


def _selection(
    api: Api, tasks: list[str] | None, status: list[str] | None, assignee: str | None, project: str | None
) -> dict[str, Any]:
    """Return which tasks are meant: those on which all that is given agrees. Raises Misuse where nothing is."""
    owner = project_id(api, project)
    agent = agent_id(api, assignee, project=owner)
    chosen = given_fields(ids=[task_id(task) for task in tasks or []], statuses=status, agent=agent, project=owner)
    if not chosen:
        raise Misuse("Say which tasks: give their ids, or --status, --assignee, --project.")
    return chosen


def _tell(
    api: Api,
    name: str,
    chosen: dict[str, Any],
    *,
    version: int | None,
    is_sure: bool,
    as_json: bool,
    **words: Any,
) -> None:
    ids = chosen.get("ids", [])
    if len(chosen) == 1 and len(ids) == 1:
        _show_task(api.post(f"/tasks/{ids[0]}/{name}", words | given_fields(expected_version=version)), as_json=as_json)
        return
    if version is not None:
        raise Misuse("--expected-version is for one task.")
    if not ids:
        confirm(f"{name.capitalize()} all tasks that fit?", is_sure=is_sure)
    _show_outcomes(api.post(f"/tasks/broadcast/{name}", chosen | words), as_json=as_json)


def _agent_for(api: Api, task: str, agent: str | None) -> int | None:
    if agent is None or agent.isdecimal():
        return agent_id(api, agent)
    return agent_id(api, agent, project=api.get(f"/tasks/{task_id(task)}")["project"])


def _show_task(task: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        output.data(task)
    else:
        output.text(f"{task['key']}  {trees.state_of(task)}  {task['title']}")


def _show_outcomes(answer: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        output.data(answer)
    else:
        tables.table(_COLUMNS, answer["results"], empty="No task fits.")
        output.note(f"{answer['applied']} applied, {answer['refused']} refused, {answer['conflicts']} in conflict.")
    if answer["refused"] or answer["conflicts"]:
        raise typer.Exit(ExitCode.CONFLICT)
