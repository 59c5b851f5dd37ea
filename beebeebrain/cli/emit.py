"""`bbb emit`: what outside tools tell of: a line about a run, its progress, an alert."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from beebeebrain.cli import output
from beebeebrain.cli.errors import Misuse
from beebeebrain.cli.options import AsJson, Key, Project, given_fields, group, text_of
from beebeebrain.cli.payloads import json_in, object_in
from beebeebrain.cli.references import only_project, task_id
from beebeebrain.cli.session import connect

if TYPE_CHECKING:
    from beebeebrain.cli.api import Api

app = group("Write into the event log what happened outside.")

Run = Annotated[int, typer.Option("--run", min=1, help="The run it is about.")]
Epoch = Annotated[
    int | None,
    typer.Option("--epoch", min=0, help="Which start of it; without, the present one, which takes a token that reads."),
]
Text = Annotated[str, typer.Argument(help="What is to be said; - is stdin.")]


@app.command("log")
def emit_log(
    text: Text,
    run: Run,
    epoch: Epoch = None,
    level: Annotated[str, typer.Option(help="debug, info, warning or error.")] = "info",
    source: Annotated[str | None, typer.Option(help="Who says it, such as ci.")] = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Write a line about a run. It is in the event log, not among the lines of the run itself."""
    with connect() as api:
        entry = {"type": "run.log", "run": run, "epoch": _epoch(api, run, epoch), "level": level, "text": text_of(text)}
        _write(api, [entry | given_fields(source=source)], key, as_json=as_json)


@app.command("progress")
def emit_progress(text: Text, run: Run, epoch: Epoch = None, key: Key = None, as_json: AsJson = False) -> None:
    """Say where a run that is under way has got to."""
    with connect() as api:
        entry = {"type": "run.progress", "run": run, "epoch": _epoch(api, run, epoch), "text": text_of(text)}
        _write(api, [entry], key, as_json=as_json)


@app.command("alert")
def emit_alert(
    message: Annotated[str, typer.Argument(help="What a person should know; - is stdin.")],
    kind: Annotated[str, typer.Option(help="What it is, for programs: ci_failed.")],
    project: Project = None,
    task: Annotated[str | None, typer.Option(help="The task it is about.")] = None,
    run: Annotated[int | None, typer.Option(min=1, help="The run it is about.")] = None,
    details: Annotated[
        str | None, typer.Option("--details", metavar="FILE", help="A JSON object with more; - is stdin.")
    ] = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Raise an alert."""
    with connect() as api:
        entry = {
            "type": "alert.raised",
            "project": only_project(api, project),
            "kind": kind,
            "message": text_of(message),
        }
        more = given_fields(task=task_id(task) if task else None, run=run)
        _write(api, [entry | more | ({"details": object_in(details)} if details else {})], key, as_json=as_json)


@app.command("entries")
def emit_entries(
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="A JSON list of entries as the API takes them; - is stdin.")
    ],
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Write many entries at once, all of them or none."""
    entries = json_in(file)
    if not isinstance(entries, list):
        raise Misuse(
            f'{file}: a JSON list is wanted, such as [{{"type": "run.log", "run": 12, "epoch": 1, "text": "Hello"}}].'
        )
    with connect() as api:
        _write(api, entries, key, as_json=as_json)


def _epoch(api: Api, run: int, given: int | None) -> int:
    return given if given is not None else int(api.get(f"/runs/{run}")["epoch"])


def _write(api: Api, entries: list[Any], key: str | None, *, as_json: bool) -> None:
    answer = api.post("/events", {"events": entries}, key=key)
    if as_json:
        output.data(answer)
    else:
        output.text(f"Written: {answer['accepted']}.")
