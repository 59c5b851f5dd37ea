"""`bbb runs`: attempts at tasks, what they said, what they changed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from beebeebrain.cli import output, tables
from beebeebrain.cli.following import patiently, wait
from beebeebrain.cli.options import All, AsJson, Assignee, Follow, Limit, Project, group
from beebeebrain.cli.references import agent_id, project_id, task_id
from beebeebrain.cli.session import connect
from beebeebrain.cli.tables import Column

if TYPE_CHECKING:
    from beebeebrain.cli.api import Api

app = group("Attempts at tasks.")

RunArgument = Annotated[int, typer.Argument(metavar="RUN", help="Id of a run.", min=1)]

_COLUMNS = [
    Column("id", "id"),
    Column("task", "task"),
    Column("attempt", "attempt"),
    Column("status", "status"),
    Column("turns", "turns"),
    Column("cost", lambda row: f"${float(row['cost_usd']):.4f}"),
    Column("started", "started_at"),
    Column("error", "error_code"),
    Column("summary", "summary"),
]
_FINAL = {"succeeded", "failed", "cancelled"}
_LINES = 1000


@app.command("list")
def list_runs(
    project: Project = None,
    task: Annotated[str | None, typer.Option(help="Attempts at this task.")] = None,
    agent: Assignee = None,
    status: Annotated[list[str] | None, typer.Option("--status", "-s", help="In this status; may be repeated.")] = None,
    limit: Limit = 50,
    is_all: All = False,
    as_json: AsJson = False,
) -> None:
    """List runs, the newest first."""
    with connect() as api:
        owner = project_id(api, project)
        asked = {
            "project": owner,
            "task": task_id(task) if task else None,
            "agent": agent_id(api, agent, project=owner),
            "status": status,
        }
        found = api.rows("/runs", limit=None if is_all else limit, **asked)
    tables.listing(_COLUMNS, *found, as_json=as_json, empty="No runs.")


@app.command("show")
def show_run(run: RunArgument, as_json: AsJson = False) -> None:
    """Show a run: how it stands, what it cost, where its work is."""
    with connect() as api:
        tables.fields(api.get(f"/runs/{run}"), as_json=as_json)


@app.command("logs")
def show_logs(
    run: RunArgument,
    follow: Follow = False,
    after: Annotated[int, typer.Option(min=0, help="Begin behind this line.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Print what a run said and did; with --follow until the run has ended."""
    with connect() as api:
        for line in _lines(api, run, after, is_followed=follow):
            if as_json:
                output.line(line)
            else:
                _print_line(line)


@app.command("diff")
def show_diff(
    run: RunArgument,
    stat: Annotated[bool, typer.Option("--stat", help="Only which files, and how much in each.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show what a run changed."""
    with connect() as api:
        found = api.get(f"/runs/{run}/diff")
    if as_json:
        output.data(found)
        return
    if stat:
        columns = [
            Column("status", "status"),
            Column("+", "additions"),
            Column("-", "deletions"),
            Column("file", "path"),
        ]
        tables.table(columns, found["files"], empty="Nothing was changed.")
    elif found["text"]:
        output.diff(found["text"])
    else:
        output.note("Nothing was changed.")
    if found["is_truncated"]:
        output.note("It is longer than is shown; the branch of the run has all of it.")


@app.command("cancel")
def cancel_run(run: RunArgument, as_json: AsJson = False) -> None:
    """Cancel the task a run works on."""
    with connect() as api:
        row = api.post(f"/runs/{run}/cancel")
    if as_json:
        output.data(row)
    else:
        output.text(f"Run {run} of task {row['task']} is asked to stop; it is {row['status']}.")


def _lines(api: Api, run: int, after: int, *, is_followed: bool) -> Iterator[dict[str, Any]]:
    while True:
        # In this order: what was written before the end is read after it.
        has_ended = not is_followed or patiently(partial(api.get, f"/runs/{run}"))["status"] in _FINAL
        while True:
            page = patiently(partial(api.get, f"/runs/{run}/logs", after=after, limit=_LINES))
            yield from page["lines"]
            after = page["next"]
            if len(page["lines"]) < _LINES:
                break
        if has_ended:
            return
        wait()


def _print_line(line: dict[str, Any]) -> None:
    at = tables.moment(line["at"])[-8:]
    for said in _said(line["kind"], line["body"]).splitlines() or [""]:
        output.text(f"{at}  {_MARKS.get(line['kind'], line['kind']):<4}  {said}".rstrip())


_MARKS = {"text": "", "thinking": "…", "tool_call": "→", "tool_result": "←", "system": "*", "stderr": "!"}


def _said(kind: str, body: dict[str, Any]) -> str:
    """Return what a line says: its text, or for a call the tool and what it was given."""
    if kind == "tool_call":
        return f"{body.get('name', '')} {json.dumps(body.get('input', {}), ensure_ascii=False)}"
    text = next((body[name] for name in ("text", "content", "message") if isinstance(body.get(name), str)), None)
    return text if text is not None else _told(body)


def _told(body: dict[str, Any]) -> str:
    """Return the plain values of a line without a text: `usage: token_in 6200, turns 2`."""
    plain = {name: value for name, value in body.items() if value and not isinstance(value, dict | list)}
    about = plain.pop("type", "")
    return f"{about}: {tables.words(plain)}" if about else tables.words(plain)
