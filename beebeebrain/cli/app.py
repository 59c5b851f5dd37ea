"""The program: every command in its place. A module is loaded when its command is asked for, so that `bbb` starts fast."""

from __future__ import annotations

import inspect
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command, get_group

from beebeebrain import __version__
from beebeebrain.cli import output
from beebeebrain.cli.errors import MEANINGS
from beebeebrain.cli.options import group

# Each command, and the module of this package it is in: a module of the same name is a group of commands.
SECTIONS: dict[str, dict[str, str]] = {
    "Read and change": {name: name for name in ("projects", "agents", "tasks", "runs", "breakers", "inbox", "events")},
    "Tell tasks": dict.fromkeys(
        ("run", "pause", "resume", "retry", "cancel", "approve", "request-changes"), "commands"
    ),
    "Tell the log, and try it": {name: name for name in ("emit", "load")},
    "Account": dict.fromkeys(("login", "logout", "whoami"), "account"),
}
PLACES = {name: module for section in SECTIONS.values() for name, module in section.items()}
_STATUSES = "\n".join(f"{code:>5}  {meaning}" for code, meaning in MEANINGS.items())
_EPILOG = f"""\b
Exit status:
{_STATUSES}

BBB_URL and BBB_TOKEN go before what `bbb login` has kept; BBB_PROJECT stands for --project."""


class Program(TyperGroup):
    """Builds a command when it is asked for, not all of them each time."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        # Typing errors are compared with these names.
        self.commands: Any = dict.fromkeys(PLACES)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name in PLACES and self.commands[cmd_name] is None:
            commands = _app(cmd_name)
            is_group = commands.info.help is not None
            self.commands[cmd_name] = get_command(commands) if is_group else get_group(commands).commands[cmd_name]
        return self.commands.get(cmd_name)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        for title, names in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(name, _brief(name)) for name in names])


def _app(name: str) -> Any:
    return import_module(f"beebeebrain.cli.{PLACES[name]}").app


def _brief(name: str) -> str:
    """Return what a command does, in a sentence, without building it."""
    commands = _app(name)
    own = (command for command in commands.registered_commands if command.name == name)
    told = commands.info.help or next(command.help or inspect.getdoc(command.callback) for command in own)
    return str(told).partition("\n\n")[0].replace("\n", " ")


app = group("Manage a team of coding agents: projects, agents, tasks, runs, the inbox.", cls=Program, epilog=_EPILOG)


def _show_version(is_wanted: bool) -> None:
    if is_wanted:
        output.text(f"bbb {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        output.text(context.get_help())
