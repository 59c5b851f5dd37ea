"""`bbb tasks`: read them, change them, take them away. `creating.py` makes new ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from beebeebrain.cli import output, tables, trees
from beebeebrain.cli.creating import create_task, import_plan
from beebeebrain.cli.options import (
    All,
    AsJson,
    Assignee,
    JsonFile,
    Limit,
    Project,
    TaskArgument,
    Version,
    Yes,
    confirm,
    group,
)
from beebeebrain.cli.payloads import object_in
from beebeebrain.cli.references import PRIORITIES, agent_id, priority_number, project_id, task_id
from beebeebrain.cli.session import connect
from beebeebrain.cli.tables import Column
from beebeebrain.cli.task_fields import (
    Acceptance,
    Check,
    Description,
    Due,
    NotBefore,
    Parent,
    Phase,
    Priority,
    Type,
    task_fields,
)

if TYPE_CHECKING:
    from beebeebrain.cli.api import Api

app = group("What is to be done.")
app.command("create")(create_task)
app.command("import")(import_plan)

_COLUMNS = [
    Column("id", "id"),
    Column("state", trees.state_of),
    Column("priority", lambda row: PRIORITIES[row["priority"]]),
    Column("agent", lambda row: (row["assignee"] or {}).get("name")),
    Column("project", lambda row: row["project"]["slug"]),
    Column("title", "title"),
]
_SHOWN = "id,status,priority,is_held,unmet_dependencies,cancel_requested_at,approved_at,title,assignee,project"
Statuses = Annotated[list[str] | None, typer.Option("--status", "-s", help="In this status; may be repeated.")]


@app.command("list")
def list_tasks(
    project: Project = None,
    status: Statuses = None,
    assignee: Assignee = None,
    priority: Annotated[list[str] | None, typer.Option(help="urgent … lowest; may be repeated.")] = None,
    task_type: Annotated[list[str] | None, typer.Option("--type", help="Such as bug; may be repeated.")] = None,
    parent: Parent = None,
    blocked_by: Annotated[str | None, typer.Option(help="Waiting for this task.")] = None,
    search: Annotated[str | None, typer.Option(help="With this text in title or description.")] = None,
    ready: Annotated[bool, typer.Option("--ready", help="Nothing unmet, not paused, not begun.")] = False,
    archived: Annotated[bool, typer.Option("--archived", help="Those put away, instead of those in use.")] = False,
    order: Annotated[str | None, typer.Option(help="Such as priority, due_at or -created_at.")] = None,
    limit: Limit = 50,
    is_all: All = False,
    as_json: AsJson = False,
) -> None:
    """List tasks, the most urgent first."""
    with connect() as api:
        owner = project_id(api, project)
        asked = {
            "project": owner,
            "status": status,
            "assignee": agent_id(api, assignee, project=owner),
            "priority": [priority_number(word) for word in priority or []],
            "task_type": task_type,
            "parent": task_id(parent) if parent else None,
            "blocked_by": task_id(blocked_by) if blocked_by else None,
            "search": search,
            "ready": ready or None,
            "is_archived": archived or None,
            "ordering": order,
        }
        shape = {} if as_json else {"fields": _SHOWN, "expand": "project,assignee"}
        found = api.rows("/tasks", limit=None if is_all else limit, **asked, **shape)
    tables.listing(_COLUMNS, *found, as_json=as_json, empty="No tasks.")


@app.command("show")
def show_task(task: TaskArgument, as_json: AsJson = False) -> None:
    """Show a task: what is wanted, what it waits for, how it stands."""
    with connect() as api:
        row = api.get(f"/tasks/{task_id(task)}", **_shape(as_json=as_json))
    _tell_task(row, as_json=as_json)


@app.command("edit")
def edit_task(
    task: TaskArgument,
    title: Annotated[str | None, typer.Option(help="What is to be done, in a line.")] = None,
    description: Description = None,
    acceptance: Acceptance = None,
    priority: Priority = None,
    task_type: Type = None,
    phase: Phase = None,
    assignee: Assignee = None,
    parent: Parent = None,
    check: Check = None,
    not_before: NotBefore = None,
    due: Due = None,
    expected_version: Version = None,
    json_file: JsonFile = None,
    as_json: AsJson = False,
) -> None:
    """Change fields of a task; a JSON file may hold any of them, also null. Its status moves by commands only."""
    number = task_id(task)
    fields = task_fields(
        title=title,
        description=description,
        acceptance_criteria=acceptance,
        priority_word=priority,
        task_type=task_type,
        phase=phase,
        parent=parent,
        checks=check,
        not_before=not_before,
        due_at=due,
        expected_version=expected_version,
    )
    body = object_in(json_file) | fields
    with connect() as api:
        if assignee:
            body["assignee"] = _assignee(api, number, assignee)
        row = api.patch(f"/tasks/{number}", body, **_shape(as_json=as_json))
    _tell_task(row, as_json=as_json)


@app.command("archive")
def archive_task(task: TaskArgument, as_json: AsJson = False) -> None:
    """Put a task that is over away: lists leave it out."""
    with connect() as api:
        row = api.patch(f"/tasks/{task_id(task)}", {"is_archived": True}, **_shape(as_json=as_json))
    _tell_task(row, as_json=as_json)


@app.command("unarchive")
def unarchive_task(task: TaskArgument, as_json: AsJson = False) -> None:
    """Take an archived task back into the lists."""
    with connect() as api:
        row = api.patch(f"/tasks/{task_id(task)}", {"is_archived": False}, **_shape(as_json=as_json))
    _tell_task(row, as_json=as_json)


@app.command("delete")
def delete_task(
    task: TaskArgument, yes: Yes = False, expected_version: Version = None, as_json: AsJson = False
) -> None:
    """Delete a task that has no runs, no parts, and that nothing waits for; archive one that has."""
    number = task_id(task)
    confirm(f"Delete task {number}?", is_sure=yes)
    with connect() as api:
        tables.deleted(api.delete(f"/tasks/{number}", version=expected_version), f"task {number}", as_json=as_json)


@app.command("why")
def say_why(task: TaskArgument, as_json: AsJson = False) -> None:
    """Say why a task does not start now."""
    with connect() as api:
        wait = api.get(f"/tasks/{task_id(task)}/why")
    if as_json:
        output.data(wait)
    else:
        output.text(f"{wait['detail']}{' (' + wait['reason'] + ')' if wait['reason'] else ''}")


@app.command("graph")
def show_graph(task: TaskArgument, as_json: AsJson = False) -> None:
    """Show what a task waits for, what waits for it, and the chain that keeps it longest."""
    number = task_id(task)
    with connect() as api:
        graph = api.get(f"/tasks/{number}/graph")
        own = None if as_json else api.get(f"/tasks/{number}")
    if own is None:
        output.data(graph)
    else:
        trees.show(graph, [*graph["up"], own, *graph["down"]])


def _assignee(api: Api, task: int, given: str) -> int | None:
    """Return the id of an agent of the task's project; names are looked up only where one was given."""
    project = None if given.isdecimal() else api.get(f"/tasks/{task}")["project"]
    return agent_id(api, given, project=project)


def _shape(*, as_json: bool) -> dict[str, str]:
    """Return how the API is to show a task: for people, with the names of its project and agent."""
    return {} if as_json else {"expand": "project,assignee"}


def _tell_task(row: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        output.data(row)
    else:
        _print_task(row)


def _print_task(row: dict[str, Any]) -> None:
    output.text(f"{row['key']}  {row['title']}\n")
    tables.details(
        [
            ("state", trees.state_of(row)),
            ("because", row["status_reason"]),
            ("priority", PRIORITIES[row["priority"]]),
            ("project", row["project"]["slug"]),
            ("agent", (row["assignee"] or {}).get("name")),
            ("type", f"{row['task_type']}, {row['phase']}"),
            ("run", row["active_run"]),
            ("part of", row["parent"]),
            ("waits for", ", ".join(map(str, row["depends_on"]))),
            ("not before", row["not_before"]),
            ("due", row["due_at"]),
            ("checks", row["checks"]),
            ("limits", row["limits"]),
            ("attempts", f"at most {row['max_attempts']}"),
            ("created", row["created_at"]),
            ("version", row["version"]),
        ]
    )
    if row["description"]:
        output.text(f"\n{row['description']}")
    if row["acceptance_criteria"]:
        output.text(f"\nAccepted when:\n{row['acceptance_criteria']}")
