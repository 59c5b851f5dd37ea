"""`bbb agents`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from beebeebrain.cli import tables
from beebeebrain.cli.options import (
    All,
    AsJson,
    JsonFile,
    Limit,
    Project,
    Version,
    Yes,
    confirm,
    given_fields,
    group,
    text_of,
)
from beebeebrain.cli.payloads import object_in
from beebeebrain.cli.references import agent_id, only_project, project_id
from beebeebrain.cli.session import connect
from beebeebrain.cli.tables import Column

if TYPE_CHECKING:
    from beebeebrain.cli.api import Api

app = group("Who does the work.")

AgentArgument = Annotated[str, typer.Argument(metavar="AGENT", help="Id or name.")]
Model = Annotated[str | None, typer.Option(help="Model, as its provider names it.")]
Role = Annotated[str | None, typer.Option(help="What it is there for, in a word.")]
Persona = Annotated[str | None, typer.Option(help="What it is told about itself; - is stdin.")]
Tool = Annotated[list[str] | None, typer.Option(help="A tool it may use; may be repeated.")]
Mode = Annotated[str | None, typer.Option(help="dontAsk, acceptEdits or plan.")]
Parallel = Annotated[int | None, typer.Option(help="So many runs at once.")]
TimeoutS = Annotated[int | None, typer.Option(help="Seconds that one start of a run may take.")]
Turns = Annotated[int | None, typer.Option(help="Turns that one start of a run may take.")]
Cost = Annotated[str | None, typer.Option(help="What one start of a run may cost; 0: no cap.")]

_COLUMNS = [
    Column("id", "id"),
    Column("project", lambda row: row["project"]["slug"]),
    Column("status", "status"),
    Column("provider", "provider"),
    Column("model", "model"),
    Column("runs", "max_parallel_runs"),
    Column("name", "name"),
]


@app.command("list")
def list_agents(
    project: Project = None,
    status: Annotated[list[str] | None, typer.Option(help="active, paused or archived; may be repeated.")] = None,
    limit: Limit = 50,
    is_all: All = False,
    as_json: AsJson = False,
) -> None:
    """List agents."""
    with connect() as api:
        asked = {"project": project_id(api, project), "status": status, "expand": None if as_json else "project"}
        found = api.rows("/agents", limit=None if is_all else limit, **asked)
    tables.listing(_COLUMNS, *found, as_json=as_json, empty="No agents.")


@app.command("show")
def show_agent(agent: AgentArgument, project: Project = None, as_json: AsJson = False) -> None:
    """Show an agent with its limits."""
    with connect() as api:
        tables.fields(api.get(_path(api, agent, project)), as_json=as_json)


@app.command("health")
def show_health(agent: AgentArgument, project: Project = None, as_json: AsJson = False) -> None:
    """Say how an agent does: can it start, what runs, what failed of late."""
    with connect() as api:
        tables.fields(api.get(f"{_path(api, agent, project)}/health"), as_json=as_json)


@app.command("create")
def create_agent(
    name: Annotated[str | None, typer.Argument(help="Its name.")] = None,
    project: Project = None,
    provider: Annotated[str | None, typer.Option(help="Whose client works, such as claude_code.")] = None,
    model: Model = None,
    role: Role = None,
    persona: Persona = None,
    tool: Tool = None,
    permission_mode: Mode = None,
    max_parallel_runs: Parallel = None,
    timeout_s: TimeoutS = None,
    max_turns: Turns = None,
    max_cost_usd: Cost = None,
    json_file: JsonFile = None,
    as_json: AsJson = False,
) -> None:
    """Create an agent in a project."""
    fields = given_fields(
        name=name,
        provider=provider,
        model=model,
        role=role,
        persona=text_of(persona),
        enabled_tools=tool,
        permission_mode=permission_mode,
        max_parallel_runs=max_parallel_runs,
        timeout_s=timeout_s,
        max_turns=max_turns,
        max_cost_usd=max_cost_usd,
    )
    body = object_in(json_file) | fields
    with connect() as api:
        if project or "project" not in body:
            body["project"] = only_project(api, project)
        tables.fields(api.post("/agents", body), as_json=as_json)


@app.command("edit")
def edit_agent(
    agent: AgentArgument,
    project: Project = None,
    name: Annotated[str | None, typer.Option(help="Its name.")] = None,
    model: Model = None,
    role: Role = None,
    persona: Persona = None,
    tool: Tool = None,
    permission_mode: Mode = None,
    max_parallel_runs: Parallel = None,
    timeout_s: TimeoutS = None,
    max_turns: Turns = None,
    max_cost_usd: Cost = None,
    expected_version: Version = None,
    json_file: JsonFile = None,
    as_json: AsJson = False,
) -> None:
    """Change fields of an agent; a JSON file may hold any of them."""
    fields = given_fields(
        name=name,
        model=model,
        role=role,
        persona=text_of(persona),
        enabled_tools=tool,
        permission_mode=permission_mode,
        max_parallel_runs=max_parallel_runs,
        timeout_s=timeout_s,
        max_turns=max_turns,
        max_cost_usd=max_cost_usd,
        expected_version=expected_version,
    )
    _change(agent, project, object_in(json_file) | fields, as_json=as_json)


@app.command("pause")
def pause_agent(agent: AgentArgument, project: Project = None, as_json: AsJson = False) -> None:
    """Let an agent finish what it has, and take nothing new."""
    _change(agent, project, {"status": "paused"}, as_json=as_json)


@app.command("resume")
def resume_agent(agent: AgentArgument, project: Project = None, as_json: AsJson = False) -> None:
    """Let a paused or archived agent take tasks again."""
    _change(agent, project, {"status": "active"}, as_json=as_json)


@app.command("archive")
def archive_agent(agent: AgentArgument, project: Project = None, as_json: AsJson = False) -> None:
    """Keep an agent for the history only."""
    _change(agent, project, {"status": "archived"}, as_json=as_json)


@app.command("delete")
def delete_agent(
    agent: AgentArgument,
    project: Project = None,
    yes: Yes = False,
    expected_version: Version = None,
    as_json: AsJson = False,
) -> None:
    """Delete an agent that has no runs and no open tasks; archive one that has."""
    with connect() as api:
        path = _path(api, agent, project)
        confirm(f"Delete agent {agent}?", is_sure=yes)
        tables.deleted(api.delete(path, version=expected_version), f"agent {agent}", as_json=as_json)


def _change(agent: str, project: str | None, changes: dict[str, Any], *, as_json: bool) -> None:
    with connect() as api:
        tables.fields(api.patch(_path(api, agent, project), changes), as_json=as_json)


def _path(api: Api, agent: str, project: str | None) -> str:
    return f"/agents/{agent_id(api, agent, project=project_id(api, project))}"
