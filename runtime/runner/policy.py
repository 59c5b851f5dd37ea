"""The first fence: what every tool call of the agent is held against, before the client's own rules.

It judges file tools by the paths they name. What a shell command touches it cannot know; that is the sandbox's part.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from security.exceptions import PathNotAllowed
from security.paths import is_sensitive, resolve_inside

# Where each file tool names its path.
_PATHS = {
    "Read": ("file_path",),
    "Write": ("file_path",),
    "Edit": ("file_path",),
    "MultiEdit": ("file_path",),
    "NotebookEdit": ("notebook_path",),
    "NotebookRead": ("notebook_path",),
    "LS": ("path",),
    "LSP": ("filePath",),
    "Glob": ("path",),
    "Grep": ("path",),
}
# Where each tool names files by a pattern.
_PATTERNS = {"Glob": ("pattern",), "Grep": ("glob",)}


@dataclass(frozen=True)
class WorktreePolicy:
    """Keeps file tools inside the worktree and away from files that hold secrets."""

    root: Path

    async def __call__(self, tool_name: str, given: Mapping[str, Any]) -> str | None:
        """Return why the call is refused, or None."""
        try:
            for name in _PATHS.get(tool_name, ()):
                self._check_path(given.get(name))
            for name in _PATTERNS.get(tool_name, ()):
                self._check_pattern(given.get(name))
        except PathNotAllowed as error:
            return str(error)
        return None

    def _check_path(self, path: Any) -> None:
        if path is None:
            return
        if not isinstance(path, str):
            raise PathNotAllowed("The path is no text.")
        if path.startswith("~"):
            raise PathNotAllowed(f"{path!r} leads out of the worktree.")
        resolve_inside(self.root, path)

    def _check_pattern(self, pattern: Any) -> None:
        if pattern is None:
            return
        if not isinstance(pattern, str):
            raise PathNotAllowed("The pattern is no text.")
        parts = PurePath(pattern).parts
        if ".." in parts or pattern.startswith("~"):
            raise PathNotAllowed(f"{pattern!r} leads out of the worktree.")
        if is_sensitive(pattern) or is_sensitive(pattern.replace("*", "")):
            raise PathNotAllowed(f"{pattern!r} names files that may hold secrets.")
        if pattern.startswith("/"):
            fixed = [part for part in parts if not set(part) & set("*?[{")]
            resolve_inside(self.root, str(PurePath(*fixed)))
