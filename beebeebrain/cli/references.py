"""What people call things by, and the ids the API wants."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from beebeebrain.cli.errors import Misuse, NoSuchThing

if TYPE_CHECKING:
    from beebeebrain.cli.api import Api

_TASK = re.compile(r"(?:#|task-)?(\d{1,18})")


def task_id(given: str) -> int:
    """Return the id in `7`, `#7` or `task-7`. Raises Misuse."""
    if (found := _TASK.fullmatch(given)) is None:
        raise Misuse(f"{given!r} is no task. Give its id or its key, such as 7 or task-7.")
    return int(found[1])


def find_project(api: Api, given: str) -> dict[str, Any]:
    """Return a project by id or slug. Raises Refusal, NoSuchThing."""
    if given.isdecimal():
        project: dict[str, Any] = api.get(f"/projects/{int(given)}")
        return project
    found = api.rows("/projects", slug=given)[0] or api.rows("/projects", slug=given, is_archived=True)[0]
    if not found:
        raise NoSuchThing(f"There is no project {given!r}. `bbb projects list` shows them.")
    return found[0]


def project_id(api: Api, given: str | None) -> int | None:
    """Return the id of the project given, None where none was."""
    if given is None or given.isdecimal():
        return int(given) if given else None
    return int(find_project(api, given)["id"])


def only_project(api: Api, given: str | None) -> int:
    """Return the id of the project given, or of the only one there is. Raises Misuse, NoSuchThing."""
    if (named := project_id(api, given)) is not None:
        return named
    found, _ = api.rows("/projects", limit=2)
    if len(found) != 1:
        what = "There are several projects" if found else "There is no project yet"
        raise Misuse(f"{what}. Say which one with --project or BBB_PROJECT; `bbb projects list` shows them.")
    return int(found[0]["id"])


def agent_id(api: Api, given: str | None, *, project: int | None = None) -> int | None:
    """Return the id of the agent given by id or name, None where none was. Raises Misuse, NoSuchThing."""
    if given is None or given.isdecimal():
        return int(given) if given else None
    agents, _ = api.rows("/agents", project=project)
    found = [agent["id"] for agent in agents if agent["name"].casefold() == given.casefold()]
    if not found:
        raise NoSuchThing(f"There is no agent {given!r}. `bbb agents list` shows them.")
    if len(found) > 1:
        raise Misuse(f"Several agents are called {given!r}. Give the id of one: {', '.join(map(str, found))}.")
    return int(found[0])


def priority_number(given: str | None) -> int | None:
    """Return the number of a priority given as number or word. Raises Misuse."""
    if given is None:
        return None
    if given in PRIORITIES:
        return PRIORITIES.index(given)
    if given.isdecimal() and int(given) < len(PRIORITIES):
        return int(given)
    raise Misuse(f"{given!r} is no priority. There are {', '.join(PRIORITIES)}, or 0 to 4.")


PRIORITIES = ("urgent", "high", "normal", "low", "lowest")
