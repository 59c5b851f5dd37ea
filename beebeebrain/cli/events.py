"""`bbb events`: what happened, and what is happening."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from beebeebrain.cli import output, tables
from beebeebrain.cli.errors import CliError, ExitCode
from beebeebrain.cli.following import patiently, wait
from beebeebrain.cli.options import AsJson, Follow, Project, group
from beebeebrain.cli.references import project_id, task_id
from beebeebrain.cli.session import connect

if TYPE_CHECKING:
    from beebeebrain.cli.api import Api


app = group()


class LogReplaced(CliError):
    """The server has another log now, of a backup perhaps."""

    code = "resync"
    exit_code = ExitCode.CONFLICT


# As long as a page of the API may be.
_PAGE = 200


@app.command("events")
def show_events(
    follow: Follow = False,
    project: Project = None,
    task: Annotated[str | None, typer.Option(help="About this task.")] = None,
    run: Annotated[int | None, typer.Option(min=1, help="About this run.")] = None,
    event_type: Annotated[
        list[str] | None, typer.Option("--type", "-t", help="Such as task.status.changed, or task. for all of them.")
    ] = None,
    last: Annotated[
        int, typer.Option("--last", "-n", min=0, help="Begin with so many that have happened already.")
    ] = 20,
    after: Annotated[int | None, typer.Option(min=0, help="Begin behind this event instead; all that follow.")] = None,
    as_json: AsJson = False,
) -> None:
    """Print events in the order in which they happened; with --json each on a line of its own."""
    with connect() as api:
        wanted = {
            "project": project_id(api, project),
            "task": task_id(task) if task else None,
            "run": run,
            "type": event_type,
        }
        for event in _events(api, wanted, last, after, is_followed=follow):
            if as_json:
                output.line(event)
            else:
                _print_event(event)


def _events(
    api: Api, wanted: dict[str, Any], last: int, after: int | None, *, is_followed: bool
) -> Iterator[dict[str, Any]]:
    if after is None:
        # The end of the log is read before the list: what happens in between comes behind it.
        after = api.get("/events/cursor")["cursor"]
        rows = api.rows("/events", limit=last, **wanted)[0] if last else []
        yield from reversed(rows)
        after = max([after, *(row["id"] for row in rows)])
        if not is_followed:
            return
    yield from _behind(api, wanted, after, is_followed=is_followed)


def _behind(api: Api, wanted: dict[str, Any], after: int, *, is_followed: bool) -> Iterator[dict[str, Any]]:
    while True:
        page = patiently(partial(_page, api, wanted, after), on_return=partial(_check_log, api, after))
        yield from page
        after = page[-1]["id"] if page else after
        if len(page) == _PAGE:
            continue
        if not is_followed:
            return
        wait()


def _page(api: Api, wanted: dict[str, Any], after: int) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = api.get("/events", **wanted, after=after, limit=_PAGE)["results"]
    return rows


def _check_log(api: Api, after: int) -> None:
    """Raise LogReplaced if the log ends before what was read already."""
    if api.get("/events/cursor")["cursor"] < after:
        raise LogReplaced(f"The log ends before event {after}, which was read already. Begin anew, without --after.")


def _print_event(event: dict[str, Any]) -> None:
    names = {"task_id": "task", "run_id": "run"}
    about = " ".join(f"{word} {event[name]}" for name, word in names.items() if event[name] is not None)
    output.text(f"{tables.moment(event['at'])}  {event['type']:<24}  {about:<15}  {_told(event)}".rstrip())


def _told(event: dict[str, Any]) -> str:
    """Return in a few words what has changed. What is not known here is shown as it is."""
    payload = event["payload"]
    if "before" in payload:
        why = payload.get("reason") or payload.get("error_code")
        return f"{payload['before'] or 'new'} → {payload['after']}{f' ({why})' if why else ''}"
    for name in ("text", "message", "title", "user_input", "detail"):
        if payload.get(name):
            return " ".join(str(payload[name]).split())
    return tables.words({name: value for name, value in payload.items() if value not in ("", [], {})})
