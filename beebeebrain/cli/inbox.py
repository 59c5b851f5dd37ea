"""`bbb inbox`: what waits for a person."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from beebeebrain.cli import editor, output, tables
from beebeebrain.cli.errors import Misuse
from beebeebrain.cli.options import All, AsJson, Limit, Project, Version, given_fields, group
from beebeebrain.cli.references import project_id, task_id
from beebeebrain.cli.session import connect
from beebeebrain.cli.tables import Column

if TYPE_CHECKING:
    from beebeebrain.cli.api import Api

app = group("What waits for you: questions, reviews, alerts.")

ItemArgument = Annotated[int, typer.Argument(metavar="ITEM", help="Id of an item.", min=1)]
Message = Annotated[str | None, typer.Option("--message", "-m", help="What to change; without it, your editor asks.")]
MessageFile = Annotated[str | None, typer.Option("--file", "-F", metavar="FILE", help="File that says it; - is stdin.")]

_WAYS = "a TEXT, --option NUMBER or --file FILE"
_COLUMNS = [
    Column("id", "id"),
    Column("type", "item_type"),
    Column("status", lambda row: row["status"] if row["status"] == "open" else row["resolution"]),
    Column("task", "task"),
    Column("created", "created_at"),
    Column("title", "title"),
]


@app.command("list")
def list_items(
    project: Project = None,
    task: Annotated[str | None, typer.Option(help="About this task.")] = None,
    item_type: Annotated[
        list[str] | None, typer.Option("--type", help="Such as await_user_input; may be repeated.")
    ] = None,
    status: Annotated[str, typer.Option("--status", "-s", help="open, closed or any.")] = "open",
    unread: Annotated[bool, typer.Option("--unread", help="Only what nobody has read.")] = False,
    limit: Limit = 50,
    is_all: All = False,
    as_json: AsJson = False,
) -> None:
    """List items, the newest first."""
    with connect() as api:
        asked = {
            "project": project_id(api, project),
            "task": task_id(task) if task else None,
            "item_type": item_type,
            "status": None if status == "any" else status,
            "is_read": False if unread else None,
        }
        found = api.rows("/inbox", limit=None if is_all else limit, **asked)
    tables.listing(_COLUMNS, *found, as_json=as_json, empty="Nothing waits for you.")


@app.command("show")
def show_item(item: ItemArgument, as_json: AsJson = False) -> None:
    """Show an item: what is asked, and the answers to choose from."""
    with connect() as api:
        row = api.get(f"/inbox/{item}")
    if as_json:
        output.data(row)
    else:
        _print_item(row)


@app.command("answer")
def answer_item(
    item: ItemArgument,
    text: Annotated[str | None, typer.Argument(help="The answer; without it, your editor asks.")] = None,
    option: Annotated[int | None, typer.Option("--option", "-o", min=1, help="The answer with this number.")] = None,
    file: Annotated[
        str | None, typer.Option("--file", "-F", metavar="FILE", help="File that holds it; - is stdin.")
    ] = None,
    expected_version: Version = None,
    as_json: AsJson = False,
) -> None:
    """Answer a question, in your words or with one of the answers offered."""
    if option is not None and (text is not None or file is not None):
        raise Misuse("Give an answer, or the number of one with --option; not both.")
    with connect() as api:
        row = api.get(f"/inbox/{item}") if option is not None or (text is None and file is None) else {}
        if option is not None:
            said = _offered(row, option)
        else:
            said = editor.words(text, file, about=_question(row), ways=_WAYS)
        _close(api, item, action="answer", user_input=said, version=expected_version, as_json=as_json)


@app.command("approve")
def approve_item(item: ItemArgument, expected_version: Version = None, as_json: AsJson = False) -> None:
    """Approve the work that a review is about; it is merged."""
    with connect() as api:
        _close(api, item, action="approve", version=expected_version, as_json=as_json)


@app.command("request-changes")
def request_changes(
    item: ItemArgument,
    message: Message = None,
    file: MessageFile = None,
    expected_version: Version = None,
    as_json: AsJson = False,
) -> None:
    """Send the work that a review is about back with what to change."""
    with connect() as api:
        said = editor.words(message, file, about=f"What is to be changed? (inbox item {item})")
        _close(api, item, action="request_changes", user_input=said, version=expected_version, as_json=as_json)


@app.command("close")
def close_item(
    item: ItemArgument,
    action: Annotated[str | None, typer.Option(help="approve, request_changes, answer or dismiss.")] = None,
    message: Annotated[str | None, typer.Option("--message", "-m", help="What to say with it.")] = None,
    expected_version: Version = None,
    as_json: AsJson = False,
) -> None:
    """Close an item; without an action, with what its type offers first."""
    with connect() as api:
        _close(api, item, action=action, user_input=message, version=expected_version, as_json=as_json)


@app.command("read")
def mark_read(item: ItemArgument, as_json: AsJson = False) -> None:
    """Note that the item was seen; it stays open."""
    with connect() as api:
        tables.fields(api.post(f"/inbox/{item}/read"), as_json=as_json)


def _close(
    api: Api,
    item: int,
    *,
    action: str | None,
    user_input: str | None = None,
    version: int | None,
    as_json: bool,
) -> None:
    body = given_fields(action=action, user_input=user_input, expected_version=version)
    row = api.post(f"/inbox/{item}/close", body)
    if as_json:
        output.data(row)
    else:
        output.text(f"Closed {item} ({row['resolution'].replace('_', ' ')}): {row['title']}")


def _offered(row: dict[str, Any], number: int) -> str:
    options: list[str] = row["options"]
    if number > len(options):
        raise Misuse(
            f"Item {row['id']} offers {len(options) or 'no'} answers; `bbb inbox show {row['id']}` lists them."
        )
    return options[number - 1]


def _question(row: dict[str, Any]) -> str:
    return "\n".join([row["title"], "", row["content"], *_options(row)]) if row else ""


def _print_item(row: dict[str, Any]) -> None:
    output.text(f"{row['title']}\n")
    names = ["item_type", "status", "resolution", "task", "run", "created_at", "resolver", "resolved_at", "version"]
    tables.details((name.replace("_", " "), row[name]) for name in names)
    for part in (row["content"], "\n".join(_options(row)), row["user_input"] and f"Said: {row['user_input']}"):
        if part:
            output.text(f"\n{part}")


def _options(row: dict[str, Any]) -> list[str]:
    return [f"{number}. {option}" for number, option in enumerate(row["options"], 1)]
