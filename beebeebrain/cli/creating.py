"""`bbb tasks create` and `import`: from flags, from JSON, from a Markdown plan."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from beebeebrain.cli import output, tables
from beebeebrain.cli.errors import Misuse, Refusal
from beebeebrain.cli.options import AsJson, Assignee, JsonFile, Key, Project, read_file
from beebeebrain.cli.payloads import json_in
from beebeebrain.cli.references import PRIORITIES, agent_id, only_project
from beebeebrain.cli.session import connect
from beebeebrain.cli.tables import Column
from beebeebrain.cli.task_fields import (
    Acceptance,
    After,
    Check,
    Description,
    Due,
    MaxUsd,
    NotBefore,
    Parent,
    Phase,
    Priority,
    Type,
    task_fields,
)

if TYPE_CHECKING:
    from beebeebrain.cli.api import Api
    from beebeebrain.cli.plans import Plan

DryRun = Annotated[bool, typer.Option("--dry-run", help="Only show what would be made.")]
PlanFile = Annotated[
    str, typer.Argument(metavar="PLAN", help="A Markdown file; - is stdin. docs/cli.md has the grammar.")
]

_PLANNED = [
    Column("line", "line"),
    Column("ref", "ref"),
    Column("priority", lambda row: "" if "priority" not in row else PRIORITIES[row["priority"]]),
    Column("part of", "parent"),
    Column("waits for", "depends_on"),
    Column("title", "title"),
]


def create_task(
    title: Annotated[str | None, typer.Argument(help="What is to be done, in a line.")] = None,
    project: Project = None,
    description: Description = None,
    acceptance: Acceptance = None,
    priority: Priority = None,
    task_type: Type = None,
    phase: Phase = None,
    assignee: Assignee = None,
    parent: Parent = None,
    after: After = None,
    check: Check = None,
    not_before: NotBefore = None,
    due: Due = None,
    max_usd: MaxUsd = None,
    json_file: JsonFile = None,
    plan: Annotated[str | None, typer.Option(metavar="PLAN", help="The same as `bbb tasks import PLAN`.")] = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Create a task from a title and flags, or from JSON: one task, or many at once as `{"tasks": [...]}`."""
    fields = task_fields(
        title=title,
        description=description,
        acceptance_criteria=acceptance,
        priority_word=priority,
        task_type=task_type,
        phase=phase,
        parent=parent,
        depends_on=after,
        checks=check,
        not_before=not_before,
        due_at=due,
        max_usd=max_usd,
    )
    if plan is None:
        _create(_body(json_file, fields), project, assignee, key, as_json=as_json)
    elif fields or json_file or assignee:
        raise Misuse("A plan says all about its tasks; leave the title, the other flags and --json-file out.")
    else:
        import_plan(plan, project=project, key=key, as_json=as_json)


def import_plan(
    plan: PlanFile, project: Project = None, dry_run: DryRun = False, key: Key = None, as_json: AsJson = False
) -> None:
    """Create all tasks of a Markdown plan with checkboxes, all or none of them.

    `- [ ] Title {#key} !high @agent (after: key, #17)`; indented text describes, indented items are parts of it,
    `Acceptance:` and `Check:` say when it is done. Items that are ticked off are left out.
    """
    # Loaded only here: its patterns take a while.
    from beebeebrain.cli import plans

    found = plans.read(read_file(plan), name=plan)
    if dry_run:
        _show_plan(found, as_json=as_json)
        return
    with connect() as api:
        owner = only_project(api, project)
        agents = {name: _agent(api, found, name, owner) for name in found.assignees()}
        try:
            made = api.post("/tasks/bulk", {"project": owner, "tasks": found.bodies(agents)}, key=key)
        except Refusal as refusal:
            raise plans.PlanRefused(found, refusal) from None
    _show_made(made, {task.ref: task.title for task in found.tasks}, as_json=as_json)


def _body(json_file: str | None, fields: dict[str, Any]) -> dict[str, Any]:
    """Return what to send. Raises Misuse where nothing is named, or flags are given with many tasks."""
    found = {} if json_file is None else json_in(json_file)
    if isinstance(found, list):
        found = {"tasks": found}
    if not isinstance(found, dict):
        raise Misuse(f"{json_file}: a JSON object or array is wanted.")
    if "tasks" in found and fields:
        raise Misuse(f"{json_file} holds several tasks; say {', '.join(fields)} in the file, for each of them.")
    if not found and not fields:
        raise Misuse("Give a title, or --json-file, or --plan.")
    return found | fields


def _create(body: dict[str, Any], project: str | None, assignee: str | None, key: str | None, *, as_json: bool) -> None:
    with connect() as api:
        if project or "project" not in body:
            body["project"] = only_project(api, project)
        if assignee:
            body["assignee"] = agent_id(api, assignee, project=body["project"])
        made = api.post("/tasks/bulk" if "tasks" in body else "/tasks", body, key=key)
    if "tasks" in body:
        titles = {task.get("ref"): task.get("title") for task in body["tasks"] if isinstance(task, dict)}
        _show_made(made, titles, as_json=as_json)
    elif as_json:
        output.data(made)
    else:
        output.text(f"Created {made['key']}: {made['title']}")


def _agent(api: Api, plan: Plan, name: str, project: int) -> int | None:
    with plan.at_assignee(name):
        return agent_id(api, name, project=project)


def _show_plan(plan: Plan, *, as_json: bool) -> None:
    if as_json:
        output.data({"tasks": plan.bodies({})})
        return
    rows = [{**body, "line": task.line} for task, body in zip(plan.tasks, plan.bodies({}), strict=True)]
    tables.table(_PLANNED, rows, empty="No open items.")
    output.note(f"Tasks that would be made: {len(rows)}. Ticked off and left out: {plan.done}.")


def _show_made(made: dict[str, Any], titles: dict[Any, Any], *, as_json: bool) -> None:
    if as_json:
        output.data(made)
        return
    columns = [Column("id", "id"), Column("ref", "ref"), Column("title", lambda row: titles.get(row["ref"]))]
    tables.table(columns, made["tasks"], empty="No tasks.")
    output.note(f"Tasks created: {len(made['tasks'])}.")
