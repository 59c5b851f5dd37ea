"""`bbb`, also `python -m beebeebrain.cli`."""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Sequence
from typing import Any

from beebeebrain.cli.errors import CliError, ExitCode, Misuse

PROGRAM = "bbb"


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out one command line; return its exit status. What goes wrong is told on stderr, as JSON with `--json`."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return _run(given)
    except CliError as error:
        _tell(error, given)
        return error.exit_code
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED


def _run(given: list[str]) -> int:
    # Nothing of what is loaded at the start is garbage; to look for some takes a seventh of the time. `session.connect` turns it on.
    gc.disable()
    # This takes a moment, in which a person may press Ctrl-C.
    import typer

    from beebeebrain.cli.app import app

    # A terminal that cannot show a character is no reason to fail.
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        ended = typer.main.get_command(app).main(given, prog_name=PROGRAM, standalone_mode=False)
    except typer.Abort:
        return ExitCode.INTERRUPTED
    except typer.TyperException as error:
        raise _misuse(error) from None
    return ended if isinstance(ended, int) else ExitCode.OK


def _misuse(error: Any) -> Misuse:
    """Return what the parser has refused as one of our errors."""
    context = getattr(error, "ctx", None)
    command = context.command_path if context else PROGRAM
    return Misuse(f"{error.format_message().rstrip('.')}. `{command} --help` says what it takes.")


def _tell(error: CliError, given: list[str]) -> None:
    from beebeebrain.cli.output import note

    options = given[: given.index("--")] if "--" in given else given
    if "--json" in options:
        note(json.dumps(error.problem()))
        return
    note(f"Error: {error}")
    for line in error.lines() or [f"code {error.code}"]:
        note(f"  {line}")


if __name__ == "__main__":
    sys.exit(main())
