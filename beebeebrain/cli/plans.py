"""A Markdown plan as tasks: titles, keys, priorities, who does it, what comes first. docs/cli.md has the grammar."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from typing import Any

from beebeebrain.cli import checklists
from beebeebrain.cli.checklists import BodyLine, Fault, Item, PlanError
from beebeebrain.cli.errors import Misuse, NoSuchThing, Refusal
from beebeebrain.cli.references import PRIORITIES

NORMAL = PRIORITIES.index("normal")
# What may stand behind a title, in any order.
_TOKEN = re.compile(
    r"(?:^|\s+)(?:\{#(?P<key>[^{}]*)\}|\((?i:after):(?P<after>[^()]*)\)|!(?P<priority>\S+)|@(?P<assignee>\S+))$"
)
_STRAY = re.compile(r"\{#|\((?i:after):")
_KEY = re.compile(r"[A-Za-z][\w.-]{0,49}", re.ASCII)
# Names of tasks that are there already, and of items without a key.
_EXISTING = re.compile(r"(?:#|task-)(\d{1,18})")
_RESERVED = re.compile(r"(?:task|line)-\d+")
_SECTION = re.compile(r"\s*(?P<name>acceptance|check):\s*(?P<rest>.*)", re.IGNORECASE)


@dataclass
class PlannedTask:
    """One task to be."""

    line: int
    title: str
    key: str = ""
    priority: int = NORMAL
    assignee: str = ""
    after: list[str] = field(default_factory=list)
    description: str = ""
    acceptance: str = ""
    checks: list[str] = field(default_factory=list)
    parent: str | None = None
    depends_on: list[str | int] = field(default_factory=list)

    @property
    def ref(self) -> str:
        """Its name in the request."""
        return self.key or f"line-{self.line}"

    def body(self, agents: Mapping[str, int | None]) -> dict[str, Any]:
        """Return what is sent for it; an agent that `agents` does not know is called by its name."""
        said = {
            "description": self.description,
            "acceptance_criteria": self.acceptance,
            "checks": self.checks,
            "priority": None if self.priority == NORMAL else self.priority,
            "assignee": agents.get(self.assignee, self.assignee),
            "parent": self.parent,
            "depends_on": self.depends_on,
        }
        kept = {name: value for name, value in said.items() if value not in (None, "", [])}
        return {"ref": self.ref, "title": self.title, **kept}


@dataclass(frozen=True)
class Plan:
    """The tasks of a plan, and how many items were ticked off."""

    name: str
    tasks: list[PlannedTask]
    done: int

    def assignees(self) -> list[str]:
        """Return the names of agents, each once."""
        return list(dict.fromkeys(task.assignee for task in self.tasks if task.assignee))

    def bodies(self, agents: Mapping[str, int | None]) -> list[dict[str, Any]]:
        return [task.body(agents) for task in self.tasks]

    @contextmanager
    def at_assignee(self, name: str) -> Iterator[None]:
        """Say of an error in which line it began."""
        try:
            yield
        except (Misuse, NoSuchThing) as error:
            line = next(task.line for task in self.tasks if task.assignee == name)
            raise PlanError(self.name, [Fault(line, str(error))]) from None


class PlanRefused(Refusal):
    """The server has refused a plan; the lines say where."""

    def __init__(self, plan: Plan, refusal: Refusal) -> None:
        super().__init__(refusal.status, refusal.body)
        self.plan = plan

    def lines(self) -> list[str]:
        return [*map(self._place, self.faults), super().lines()[-1]]

    def _place(self, fault: dict[str, Any]) -> str:
        _, *parts = str(fault.get("pointer") or "").split("/")
        is_placed = len(parts) > 1 and parts[0] == "tasks" and parts[1].isdecimal()
        if not is_placed or int(parts[1]) >= len(self.plan.tasks):
            return str(fault["detail"])
        where = f"{self.plan.name}:{self.plan.tasks[int(parts[1])].line}"
        return ": ".join([where, *parts[2:3], str(fault["detail"])])


def read(text: str, *, name: str) -> Plan:
    """Return the plan in a text. Raises PlanError with every line that is wrong."""
    items = checklists.read(text, name=name)
    faults: list[Fault] = []
    planned = {item.line: _planned(item, faults) for item in items}
    names = _Names(items, planned, faults)
    tasks = [planned[item.line] for item in items if not item.is_done]
    for item in items:
        task = planned[item.line]
        task.parent = planned[item.parent.line].ref if item.parent and not item.parent.is_done else None
        found = [names.resolve(other, task.line) for other in task.after if not item.is_done]
        task.depends_on = [ref for ref in dict.fromkeys(found) if ref is not None]
    _inherit(items, planned)
    _check_cycles(tasks, faults)
    if not items:
        faults.append(Fault(1, "there is no item with a box; one looks like `- [ ] Write the parser`"))
    if faults:
        raise PlanError(name, faults)
    return Plan(name, tasks, done=len(items) - len(tasks))


def _planned(item: Item, faults: list[Fault]) -> PlannedTask:
    task = PlannedTask(item.line, item.words)
    seen: set[str] = set()
    while token := _TOKEN.search(task.title):
        kind = str(token.lastgroup)
        if kind in seen:
            faults.append(Fault(item.line, f"{_KINDS[kind]} is given twice"))
        seen.add(kind)
        _take(task, kind, token[kind].strip(), faults)
        task.title = task.title[: token.start()].rstrip()
    if _STRAY.search(task.title):
        faults.append(Fault(item.line, "{#key} and (after: …) stand at the end of the title"))
    if not task.title:
        faults.append(Fault(item.line, "this item has no title"))
    _take_body(task, item.body)
    return task


_KINDS = {"key": "a key", "after": "(after: …)", "priority": "a priority", "assignee": "an agent"}


def _take(task: PlannedTask, kind: str, value: str, faults: list[Fault]) -> None:
    if kind == "key":
        task.key = value
        if not _KEY.fullmatch(value) or _RESERVED.fullmatch(value):
            told = f"{value!r} is no key; begin with a letter, go on with letters, digits, - _ . (not task-1 or line-1)"
            faults.append(Fault(task.line, told))
    elif kind == "priority":
        if value not in PRIORITIES:
            faults.append(Fault(task.line, f"!{value} is no priority; there are !{', !'.join(PRIORITIES)}"))
        task.priority = PRIORITIES.index(value) if value in PRIORITIES else NORMAL
    elif kind == "assignee":
        task.assignee = value
    else:
        task.after = [name for part in value.split(",") if (name := part.strip())]
        if not task.after:
            faults.append(Fault(task.line, "(after: …) names nothing"))


def _take_body(task: PlannedTask, body: list[BodyLine]) -> None:
    sections: dict[str, list[str]] = {"description": [], "acceptance": []}
    into = "description"
    for text, is_code in body:
        section = None if is_code else _SECTION.fullmatch(text)
        if section is None:
            sections[into].append(text)
        elif section["name"].lower() == "check":
            task.checks.append(section["rest"])
        else:
            into = "acceptance"
            sections[into] += [section["rest"]] if section["rest"] else []
    task.description, task.acceptance = (_tidy(sections[name]) for name in ("description", "acceptance"))


def _tidy(lines: list[str]) -> str:
    """Return lines without what indents them all. The first may stand behind `Acceptance:`, without an indent."""
    first = [line for line in lines[:1] if line and not line[0].isspace()]
    rest = textwrap.dedent("\n".join(lines[len(first) :]))
    return "\n".join([*first, rest]).strip("\n")


class _Names:
    """What items are called by: their keys, and their titles whatever the case."""

    def __init__(self, items: list[Item], planned: Mapping[int, PlannedTask], faults: list[Fault]) -> None:
        self._faults = faults
        self._keyed: dict[str, Item] = {}
        self._titled: dict[str, list[Item]] = {}
        self._refs = {item.line: None if item.is_done else planned[item.line].ref for item in items}
        for item in items:
            task = planned[item.line]
            self._titled.setdefault(task.title.casefold(), []).append(item)
            if task.key and self._keyed.setdefault(task.key, item) is not item:
                told = f"the key {task.key!r} is taken by line {self._keyed[task.key].line}"
                faults.append(Fault(task.line, told))

    def resolve(self, name: str, line: int) -> str | int | None:
        """Return the id of a task that is there, or an item's ref; None for an item that is ticked off."""
        if existing := _EXISTING.fullmatch(name):
            return int(existing[1])
        found = [self._keyed[name]] if name in self._keyed else self._titled.get(name.casefold(), [])
        if len(found) == 1:
            return self._refs[found[0].line]
        told = "fits several titles; give the one you mean a {#key}" if found else "is no key and no title of this plan"
        hint = f"; #{name} would be the task that is there" if name.isdecimal() else ""
        self._faults.append(Fault(line, f"{name!r} {told}{hint}"))
        return None


def _inherit(items: list[Item], planned: Mapping[int, PlannedTask]) -> None:
    """Let the parts of an item wait for what it waits for, unless that is a part of it itself."""
    inside: dict[int, set[str | int]] = {}
    for item in items:
        for whole in item.ancestors():
            inside.setdefault(whole.line, set()).add(planned[item.line].ref)
    for item in items:
        if item.parent is None or item.parent.is_done:
            continue
        task, above = planned[item.line], planned[item.parent.line]
        inherited = [ref for ref in above.depends_on if ref not in inside[above.line]]
        task.depends_on = list(dict.fromkeys([*task.depends_on, *inherited]))


def _check_cycles(tasks: list[PlannedTask], faults: list[Fault]) -> None:
    lines = {task.ref: task.line for task in tasks}
    waits = {task.ref: [ref for ref in task.depends_on if ref in lines] for task in tasks}
    try:
        TopologicalSorter(waits).prepare()
    except CycleError as error:
        circle = " → ".join(f"{ref} (line {lines[ref]})" for ref in error.args[1][::-1])
        faults.append(Fault(min(lines[ref] for ref in error.args[1]), f"these wait for each other: {circle}"))
