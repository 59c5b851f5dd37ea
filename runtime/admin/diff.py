"""The diff of a run on a page."""

from __future__ import annotations

from dataclasses import dataclass, field

from django.urls import reverse

from orchestration.exceptions import Conflict
from runtime.diffs import diff_of
from runtime.models import TaskRun
from runtime.workspace import DiffFile

# Lines of a header of git's that say where a file's changes begin.
_HEADERS = (
    "diff --git ",
    "index ",
    "--- ",
    "+++ ",
    "new file ",
    "deleted file ",
    "similarity ",
    "rename ",
    "old mode ",
    "new mode ",
)
_KINDS = {"+": "added", "-": "removed", "@": "hunk"}


@dataclass(frozen=True, kw_only=True)
class ShownDiff:
    """What the template shows: lines with their kind, or why there are none."""

    files: list[DiffFile] = field(default_factory=list)
    lines: list[tuple[str, str]] = field(default_factory=list)
    is_truncated: bool = False
    refusal: str = ""
    run_url: str = ""


def shown_diff(run: TaskRun, *, has_link: bool = False) -> ShownDiff:
    """Return the changes of a run for a page; `has_link` leads from there to the run."""
    url = reverse("admin:runtime_taskrun_change", args=[run.pk]) if has_link else ""
    try:
        found = diff_of(run)
    except Conflict as refusal:
        return ShownDiff(refusal=str(refusal), run_url=url)
    return ShownDiff(files=found.files, lines=_lines(found.text), is_truncated=found.is_truncated, run_url=url)


def _lines(text: str) -> list[tuple[str, str]]:
    lines: list[tuple[str, str]] = []
    is_header = True
    for line in text.splitlines():
        # Within a hunk a removed line may begin like a header.
        is_header = line.startswith("diff --git ") or (is_header and not line.startswith("@@"))
        kind = "file" if is_header and line.startswith(_HEADERS) else _KINDS.get(line[:1], "context")
        lines.append((kind, line))
    return lines
