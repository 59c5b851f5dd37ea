"""`bbb projects`."""

from __future__ import annotations

import os
from typing import Annotated, Any

import typer

from beebeebrain.cli import output, tables, trees
from beebeebrain.cli.options import All, AsJson, JsonFile, Limit, Version, Yes, confirm, given_fields, group
from beebeebrain.cli.payloads import object_in
from beebeebrain.cli.references import find_project
from beebeebrain.cli.session import connect
from beebeebrain.cli.tables import Column

app = group("Git repositories and their rules.")

ProjectArgument = Annotated[str, typer.Argument(metavar="PROJECT", help="Id or slug.")]
Branch = Annotated[str | None, typer.Option(help="The branch that approved work is merged into.")]
Setup = Annotated[str | None, typer.Option(help="Command that prepares a fresh worktree.")]
Check = Annotated[list[str] | None, typer.Option(help="Command that must pass; may be repeated.")]
Parallel = Annotated[int | None, typer.Option(help="So many agents at once.")]
Budget = Annotated[str | None, typer.Option(help="What a day may cost.")]


def _state(row: dict[str, Any]) -> str:
    return "archived" if row["is_archived"] else "paused" if row["is_paused"] else "active"


_COLUMNS = [
    Column("id", "id"),
    Column("slug", "slug"),
    Column("state", _state),
    Column("branch", "base_branch"),
    Column("name", "name"),
]


@app.command("list")
def list_projects(
    archived: Annotated[bool, typer.Option("--archived", help="Those put away, instead of those in use.")] = False,
    limit: Limit = 50,
    is_all: All = False,
    as_json: AsJson = False,
) -> None:
    """List projects."""
    with connect() as api:
        found = api.rows("/projects", limit=None if is_all else limit, is_archived=True if archived else None)
    tables.listing(_COLUMNS, *found, as_json=as_json, empty="No projects.")


@app.command("show")
def show_project(project: ProjectArgument, as_json: AsJson = False) -> None:
    """Show a project and its rules."""
    with connect() as api:
        _show(find_project(api, project), as_json=as_json)


@app.command("create")
def create_project(
    name: Annotated[str | None, typer.Argument(help="Its name.")] = None,
    path: Annotated[str | None, typer.Option(help="Its git repository, on the server.")] = None,
    branch: Branch = None,
    slug: Annotated[str | None, typer.Option(help="Its short name; made from the name when not given.")] = None,
    setup: Setup = None,
    check: Check = None,
    max_parallel_runs: Parallel = None,
    daily_budget_usd: Budget = None,
    json_file: JsonFile = None,
    as_json: AsJson = False,
) -> None:
    """Create a project for a git repository on the server."""
    fields = given_fields(
        name=name,
        slug=slug,
        root_path=os.path.abspath(os.path.expanduser(path)) if path else None,
        base_branch=branch,
        setup_command=setup,
        checks=check,
        max_parallel_runs=max_parallel_runs,
        daily_budget_usd=daily_budget_usd,
    )
    with connect() as api:
        _show(api.post("/projects", object_in(json_file) | fields), as_json=as_json)


@app.command("edit")
def edit_project(
    project: ProjectArgument,
    name: Annotated[str | None, typer.Option(help="Its name.")] = None,
    branch: Branch = None,
    setup: Setup = None,
    check: Check = None,
    max_parallel_runs: Parallel = None,
    max_in_review: Annotated[int | None, typer.Option(help="So many tasks may wait for a review.")] = None,
    daily_budget_usd: Budget = None,
    auto_approve: Annotated[bool | None, typer.Option(help="Merge without a review.")] = None,
    expected_version: Version = None,
    json_file: JsonFile = None,
    as_json: AsJson = False,
) -> None:
    """Change fields of a project; a JSON file may hold any of them."""
    fields = given_fields(
        name=name,
        base_branch=branch,
        setup_command=setup,
        checks=check,
        max_parallel_runs=max_parallel_runs,
        max_in_review=max_in_review,
        daily_budget_usd=daily_budget_usd,
        auto_approve=auto_approve,
        expected_version=expected_version,
    )
    _change(project, object_in(json_file) | fields, as_json=as_json)


@app.command("pause")
def pause_project(project: ProjectArgument, as_json: AsJson = False) -> None:
    """Start nothing new in a project. What runs goes on."""
    _change(project, {"is_paused": True}, as_json=as_json)


@app.command("resume")
def resume_project(project: ProjectArgument, as_json: AsJson = False) -> None:
    """Let a paused project start work again."""
    _change(project, {"is_paused": False}, as_json=as_json)


@app.command("archive")
def archive_project(project: ProjectArgument, as_json: AsJson = False) -> None:
    """Put a project away: it starts nothing, and lists leave it out."""
    _change(project, {"is_archived": True}, as_json=as_json)


@app.command("unarchive")
def unarchive_project(project: ProjectArgument, as_json: AsJson = False) -> None:
    """Take an archived project back into use."""
    _change(project, {"is_archived": False}, as_json=as_json)


@app.command("delete")
def delete_project(
    project: ProjectArgument, yes: Yes = False, expected_version: Version = None, as_json: AsJson = False
) -> None:
    """Delete a project that has no tasks, with its agents and documents. The git repository stays."""
    with connect() as api:
        row = find_project(api, project)
        confirm(f"Delete project {row['slug']}?", is_sure=yes)
        answer = api.delete(f"/projects/{row['id']}", version=expected_version)
    tables.deleted(answer, f"project {row['slug']}", as_json=as_json)


@app.command("graph")
def show_graph(project: ProjectArgument, as_json: AsJson = False) -> None:
    """Show what waits for what in a project, and the longest chain."""
    with connect() as api:
        graph = api.get(f"/projects/{find_project(api, project)['id']}/graph")
    if as_json:
        output.data(graph)
    else:
        trees.show(graph, graph["nodes"])


def _change(project: str, changes: dict[str, Any], *, as_json: bool) -> None:
    with connect() as api:
        _show(api.patch(f"/projects/{find_project(api, project)['id']}", changes), as_json=as_json)


def _show(row: dict[str, Any], *, as_json: bool) -> None:
    tables.fields(row, as_json=as_json)
