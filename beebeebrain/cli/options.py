"""Options and arguments that several commands share."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from beebeebrain.cli.errors import Misuse

AsJson = Annotated[bool, typer.Option("--json", help="Print the API's JSON; errors too, on stderr.")]
Project = Annotated[
    str | None,
    typer.Option("--project", "-p", envvar="BBB_PROJECT", help="Id or slug of a project.", show_default=False),
]
Assignee = Annotated[str | None, typer.Option("--assignee", "-a", help="Id or name of an agent.")]
Limit = Annotated[int, typer.Option("--limit", "-n", min=1, help="At most so many.")]
All = Annotated[bool, typer.Option("--all", help="All of them, however many.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Version = Annotated[int | None, typer.Option("--expected-version", min=1, help="Only if it still has this version.")]
Key = Annotated[
    str | None,
    typer.Option("--idempotency-key", help="The same key again has no second effect; without it, a new one is made."),
]
JsonFile = Annotated[
    str | None, typer.Option("--json-file", metavar="FILE", help="Take the fields from a JSON file; - is stdin.")
]
TaskArgument = Annotated[str, typer.Argument(metavar="TASK", help="Id or key of a task: 7, #7, task-7.")]
Follow = Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C, also over a restart of the server.")]


def group(about: str | None = None, **more: Any) -> typer.Typer:
    """Return a group of commands; without a text, commands of the program itself.

    Its help is plain: to colour it would take as long as everything else.
    """
    names = {"help_option_names": ["-h", "--help"]}
    return typer.Typer(
        help=about, rich_markup_mode=None, pretty_exceptions_enable=False, context_settings=names, **more
    )


def confirm(question: str, *, is_sure: bool) -> None:
    """Ask before something that cannot be undone. Raises Misuse where nobody can answer, typer.Abort for a no."""
    if is_sure:
        return
    if not sys.stdin.isatty():
        raise Misuse(f"{question} Nobody can be asked here; --yes says so beforehand.")
    typer.confirm(question, abort=True, err=True)


def read_file(name: str) -> str:
    """Return the text of a file, or of stdin for `-`. Raises Misuse."""
    try:
        return sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise Misuse(f"{name} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise Misuse(f"{name} is not UTF-8 text.") from None


def text_of(given: str | None) -> str | None:
    """Return a text option; `-` means stdin."""
    return read_file("-").strip("\n") if given == "-" else given


def given_fields(**fields: Any) -> dict[str, Any]:
    """Return those fields that were given: no None, no empty list."""
    return {name: value for name, value in fields.items() if value is not None and value != []}
