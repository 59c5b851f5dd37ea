"""Words a person has to write: given on the command line, read from a file, or written in an editor."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from beebeebrain.cli.errors import Misuse
from beebeebrain.cli.options import read_file

_MARK = "# ------ what is above this line is sent; save it empty to send nothing ------"


def words(message: str | None, file: str | None, *, about: str, ways: str = "--message TEXT or --file FILE") -> str:
    """Return what a person says. `about` stands below in the editor, `ways` names the others. Raises Misuse where nothing is said."""
    if message is not None and file is not None:
        raise Misuse(f"Say it with {ways}, and only once.")
    if message is None and file is None and not sys.stdin.isatty():
        raise Misuse(f"Say it with {ways}; there is no terminal for an editor here.")
    said = message if message is not None else read_file(file) if file is not None else _written(about)
    if not said.strip():
        raise Misuse("Nothing was said, so nothing was sent.")
    return said.strip("\n")


def _written(about: str) -> str:
    with tempfile.TemporaryDirectory(prefix="bbb-") as folder:
        file = Path(folder) / "message.md"
        file.write_text(f"\n{_MARK}\n\n{about}\n", encoding="utf-8")
        _edit(file)
        return file.read_text(encoding="utf-8").partition(_MARK)[0]


def _edit(file: Path) -> None:
    editor = shlex.split(os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi")
    try:
        status = subprocess.run([*editor, str(file)], check=False).returncode  # noqa: S603  (the person's own editor)
    except OSError as error:
        raise Misuse(
            f"The editor {editor[0]!r} cannot be started: {error.strerror}. Set EDITOR, or use --message."
        ) from None
    if status:
        raise Misuse(f"The editor {editor[0]!r} has ended with status {status}, so nothing was sent.")
