"""The table at the end, and whether it is all true: each task done, merged, and the project's own tests pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path

from beebeebrain.demo import project
from beebeebrain.demo.api import Api, Json


@dataclass(frozen=True)
class Row:
    """One line of the table; the field names are its head."""

    task: str
    agent: str
    attempts: str
    files: str
    tokens: str
    cost: str
    duration: str
    merge_commit: str


def rows(api: Api, project_id: int) -> list[Row]:
    """Return a line per task, from what the API says."""
    agents = {agent["id"]: agent["name"] for agent in api.all("agents", project=project_id)}
    tasks = sorted(api.all("tasks", project=project_id), key=lambda task: int(task["id"]))
    return [_row(api, task, agents) for task in tasks]


def _row(api: Api, task: Json, agents: dict[int, str]) -> Row:
    runs = _runs(api, task)
    last = runs[-1] if runs else {}
    tokens = sum(
        run["token_in"] + run["token_out"] + run["token_cache_read"] + run["token_cache_write"] for run in runs
    )
    return Row(
        task=task["title"],
        agent=agents.get(last.get("agent", 0), ""),
        attempts=str(len(runs)),
        files=str(_files(api, runs)),
        tokens=f"{tokens:,}",
        cost=f"${sum(float(run['cost_usd']) for run in runs):.4f}",
        duration=f"{sum(map(_seconds, runs)):.1f} s",
        merge_commit=(last.get("merge_commit") or task["status"])[:12],
    )


def _runs(api: Api, task: Json) -> list[Json]:
    return sorted(api.all("runs", task=task["id"]), key=lambda run: int(run["attempt"]))


def _files(api: Api, runs: Sequence[Json]) -> int:
    done = [run for run in runs if run["head_commit"]]
    return len(api.get(f"runs/{done[-1]['id']}/diff")["files"]) if done else 0


def _seconds(run: Json) -> float:
    if not run["started_at"] or not run["ended_at"]:
        return 0.0
    return (datetime.fromisoformat(run["ended_at"]) - datetime.fromisoformat(run["started_at"])).total_seconds()


def table(lines: Sequence[Row]) -> str:
    """Return the rows as text, with a head."""
    names = [field.name for field in fields(Row)]
    cells = [[name.replace("_", " ") for name in names], *([getattr(row, name) for name in names] for row in lines)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(names))]
    rule = ["-" * width for width in widths]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in [cells[0], rule, *cells[1:]])


def complaints(api: Api, project_id: int, repository: Path) -> list[str]:
    """Return what is not as it should be; nothing when all is done, merged and tested."""
    found = []
    for task in api.all("tasks", project=project_id):
        runs = _runs(api, task)
        commits = [run["merge_commit"] for run in runs if run["merge_commit"]]
        if task["status"] != "done":
            found.append(f"{task['title']}: {task['status']} ({task['status_reason']})")
        elif not any(project.is_merged(repository, commit) for commit in commits):
            found.append(f"{task['title']}: done, but {project.BRANCH} does not hold its work")
        elif not _files(api, runs):
            found.append(f"{task['title']}: done, but it changed no file")
    passed, output = project.run_tests(repository)
    return found if passed else [*found, f"the project's own tests fail on {project.BRANCH}:\n{output}"]
