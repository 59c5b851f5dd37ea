"""Many at once: tasks in every status a command may meet, and clients that command them from threads."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from random import Random
from typing import Any

from django.db import connection

from inbox import services as inbox
from inbox.exceptions import ItemClosed
from inbox.models import InboxItem
from inbox.states import ItemType
from orchestration.exceptions import DomainError, VersionConflict
from orchestration.models import Project, Task
from orchestration.services.tasks import update_task
from orchestration.tests import clients
from orchestration.tests.factories import ACTOR, make_task
from runtime.models import TaskRun
from runtime.services import commands
from runtime.services.broadcasting import COMMANDS, broadcast
from runtime.tests.hands import Hands
from security.roles import Role

Record = tuple[str, int, str, str]
"""Who, which task, which command, with which outcome: as audit events tell it."""


class Client:
    """A person who commands tasks at random, from a seed, and notes what they are answered."""

    def __init__(self, name: str, *, seed: int) -> None:
        self.actor = f"user:{name}"
        self.chance = Random(f"{seed}:{name}")
        self.answers: Counter[Record] = Counter()

    def work(self, task_ids: list[int], deeds: int) -> None:
        for _ in range(deeds):
            self.act(task_ids)

    def act(self, task_ids: list[int]) -> None:
        """Do one thing to one of the tasks, or give one command to three of them."""
        task = Task.objects.get(pk=self.chance.choice(task_ids))
        deed = self.chance.choice([*COMMANDS, *COMMANDS, "answer", "edit", "broadcast", "cancel run"])
        match deed:
            case "answer":
                self.answer(task)
            case "edit":
                self.edit(task)
            case "broadcast":
                command = self.chance.choice(list(COMMANDS))
                for task_id, outcome in self.give_all(command, self.chance.sample(task_ids, 3)):
                    self.note(task_id, command, outcome)
            case "cancel run":
                if run := task.runs.select_related("task").order_by("-attempt").first():
                    self.note(task.pk, "cancel", self.cancel(run))
            case _:
                self.note(task.pk, deed, self.give(deed, task))

    def give(self, command: str, task: Task) -> str:
        """Give a command, with the version that was read or without, and return what became of it."""
        given: dict[str, Any] = {"expected_version": task.version if self.chance.random() < 0.3 else None}
        if command == "request-changes":
            given["changes"] = self.chance.choice(["Blue", "Blue", ""])
        if command == "run":
            given["idempotency_key"] = self.chance.choice(["", "one", "two"])
        return outcome_of(lambda: COMMANDS[command](task, actor=self.actor, **given))

    def answer(self, task: Task) -> None:
        """Close what the task's agent has asked, if it has."""
        item = InboxItem.objects.open().filter(task=task, item_type=ItemType.AWAIT_USER_INPUT).first()
        with suppress(ItemClosed):
            if item is not None:
                inbox.close_item(item, actor=self.actor, user_input="Blue")

    def edit(self, task: Task) -> None:
        """Change what no command looks at, but the version."""
        with suppress(VersionConflict):
            update_task(task, actor=self.actor, priority=self.chance.randint(0, 4))

    def give_all(self, command: str, task_ids: list[int]) -> list[tuple[int, str]]:
        """Give a command to several tasks, and return what became of it for each."""
        changes = "Blue" if command == "request-changes" else ""
        done = broadcast(command, actor=self.actor, ids=task_ids, changes=changes)
        return [(result.task, result.outcome) for result in done.results]

    def cancel(self, run: TaskRun) -> str:
        return outcome_of(lambda: commands.cancel_run(run, actor=self.actor))

    def note(self, task_id: int, command: str, outcome: str) -> None:
        self.answers[self.actor, task_id, command.replace("-", "_"), outcome] += 1


class HttpClient(Client):
    """An operator who gives the same commands through the API. All of them are the same user."""

    def __init__(self, name: str, *, seed: int) -> None:
        super().__init__(name, seed=seed)
        self.actor = f"user:{Role.OPERATOR.group}"
        self._api = clients.Client(Role.OPERATOR)

    def give(self, command: str, task: Task) -> str:
        body: dict[str, Any] = {"expected_version": task.version} if self.chance.random() < 0.3 else {}
        if command == "request-changes":
            body["changes"] = "Blue"
        return self._outcome(f"/tasks/{task.pk}/{command}", **body)

    def give_all(self, command: str, task_ids: list[int]) -> list[tuple[int, str]]:
        changes = {"changes": "Blue"} if command == "request-changes" else {}
        response = self._api.post(f"/tasks/broadcast/{command}", ids=task_ids, **changes)
        assert response.status_code == 200, response.content
        return [(result["task"], result["outcome"]) for result in response.json()["results"]]

    def cancel(self, run: TaskRun) -> str:
        return self._outcome(f"/runs/{run.pk}/cancel")

    def _outcome(self, path: str, **body: Any) -> str:
        response = self._api.post(path, **body)
        assert response.status_code in {200, 409}, response.content
        code = "" if response.status_code == 200 else clients.error(response)[1]
        return "applied" if not code else "conflict" if code == "version_conflict" else "refused"


def outcome_of(command: Callable[[], object]) -> str:
    """Return what became of a command, in the words of the audit."""
    try:
        command()
    except VersionConflict:
        return "conflict"
    except DomainError:
        return "refused"
    return "applied"


def together(workers: Sequence[Callable[[], None]], helpers: Sequence[Callable[[], None]]) -> None:
    """Run all in threads of their own, begun in the same moment; helpers repeat their step until the workers are done."""
    ready = threading.Barrier(len(workers) + len(helpers), timeout=60)
    is_over = threading.Event()

    def once(work: Callable[[], None]) -> None:
        try:
            ready.wait()
            work()
        finally:
            connection.close()

    def repeat(step: Callable[[], None]) -> None:
        try:
            ready.wait()
            while not is_over.is_set():
                step()
        finally:
            connection.close()

    with ThreadPoolExecutor(len(workers) + len(helpers)) as pool:
        helping = [pool.submit(repeat, step) for step in helpers]
        try:
            for working in [pool.submit(once, work) for work in workers]:
                working.result()
        finally:
            is_over.set()
        for helper in helping:
            helper.result()


def make_cast(project: Project, hands: Hands) -> list[int]:
    """Bring tasks into every status, each by the way it takes in use; one depends on the task that has failed."""
    tasks = {}
    for name, story in _STORIES.items():
        tasks[name] = make_task(project, title=name)
        story(tasks[name], hands)
    make_task(project, title="dependent", depends_on=[tasks["failed"]])
    make_task(project, title="todo")
    commands.pause_task(make_task(project, title="held"), actor=ACTOR)
    return list(Task.objects.order_by("id").values_list("id", flat=True))


def _ended(outcome: str, code: str = "") -> Callable[[Task, Hands], None]:
    return lambda task, hands: hands.finish(hands.begin(task), outcome, code)


def _approved(task: Task, hands: Hands) -> None:
    hands.finish(hands.begin(task), "finished")
    inbox.approve_task(task, actor=ACTOR)


def _done(task: Task, hands: Hands) -> None:
    _approved(task, hands)
    hands.land()


_STORIES: dict[str, Callable[[Task, Hands], object]] = {
    "cancelled": lambda task, hands: commands.cancel_task(task, actor=ACTOR),
    "done": _done,
    "queued": _ended("interrupted"),
    "retry_scheduled": _ended("failed", "overloaded"),
    "blocked": _ended("blocked"),
    "parked": _ended("parked"),
    "review": _ended("finished"),
    "failed": _ended("failed", "auth"),
    "approved": _approved,
    "running": lambda task, hands: hands.begin(task),
    "claimed": lambda task, hands: hands.take(task),
}
