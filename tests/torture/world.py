"""The installation under torture: a project with its graph, six schedulers, a person, and what is done to them."""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

import psutil
from django.db import InterfaceError, OperationalError, connection

from orchestration.exceptions import DomainError
from orchestration.models import Project, Task
from orchestration.states import TaskStatus
from orchestration.tests.factories import make_agent, make_project, make_task
from runtime.models import SchedulerInstance, TaskRun
from runtime.services.broadcasting import COMMANDS
from tests.postgres import Server
from tests.schedulers import Scheduler, Site
from tests.torture.schedule import Deed, parents_of

T = TypeVar("T")

PERSON = "user:torturer"
AWAY = (OperationalError, InterfaceError)
LEASE_S = 2.0
# Every cap is smaller than what is ready at most times.
IN_ALL, IN_PROJECT, BY_AGENT = 5, 3, 2
PROJECTS = 2
# What brings a task on that waits for a person.
_REMEDIES = {TaskStatus.BLOCKED: "resume", TaskStatus.FAILED: "retry", TaskStatus.CANCELLED: "retry"}


def environment() -> dict[str, str]:
    """Return the settings under which all of it has to hold."""
    return {
        "BBB_LEASE_S": str(LEASE_S),
        "BBB_MAX_PARALLEL_RUNS": str(IN_ALL),
        "BBB_POLL_S": "0.1",
        "BBB_RETRY_BASE_S": "0.2",
        "BBB_STOP_GRACE_S": "1",
    }


@dataclass
class World:
    """One installation. Whatever it does is counted in `done`."""

    site: Site
    folder: Path
    server: Server | None
    done: Counter[str] = field(default_factory=Counter)
    answers: Counter[tuple[int, str]] = field(default_factory=Counter)
    """How often each task was given each command, and the person was told that it was applied."""
    breaches: list[str] = field(default_factory=list)
    tasks: list[int] = field(default_factory=list)
    parents: dict[int, list[int]] = field(default_factory=dict)
    schedulers: list[Scheduler] = field(default_factory=list)
    _stopped: dict[int, threading.Timer] = field(default_factory=dict)
    """What lets each stopped scheduler, by its place, go on: a thread, since we may wait for a lock that it holds."""

    def populate(self, seed: int, count: int) -> None:
        """Make projects, agents and the graph."""
        (self.folder / "locks").mkdir()
        projects = [self._project(number) for number in range(PROJECTS)]
        made: dict[int, Task] = {}
        for number, waits_for in enumerate(parents_of(seed, count)):
            mine = [made[other] for other in waits_for if other % PROJECTS == number % PROJECTS]
            made[number] = self._task(projects[number % PROJECTS], number, mine)
            self.parents[made[number].pk] = [parent.pk for parent in mine]
        self.tasks = list(self.parents)

    def _project(self, number: int) -> Project:
        repo = self.folder / f"repo-{number}"
        project = make_project(repo, auto_approve=True, max_parallel_runs=IN_PROJECT)
        for _ in range(2):
            make_agent(project, max_parallel_runs=BY_AGENT)
        return project

    def _task(self, project: Project, number: int, parents: list[Task]) -> Task:
        """An agent that meets another one at the same task writes that down. Some work so long that they lose their scheduler."""
        lasts_s = [0.2, 1, 2, 4][number % 4]
        alone = f"flock -n {self.folder}/locks/{number} sleep {lasts_s} || echo task {number} >> {self.folder}/doubles"
        script = [f"run {alone}", f"write done-{number}.txt {number}", "cost 0.01"]
        description = "\n".join(f"noop: {line}" for line in script)
        return make_task(project, title=f"Task {number}", description=description, depends_on=parents)

    def begin(self, count: int) -> None:
        self.schedulers = [self.site.start() for _ in range(count)]

    def tend(self) -> None:
        """Do what an operating system does: schedulers that are gone come back."""
        self._stopped = {place: timer for place, timer in self._stopped.items() if timer.is_alive()}
        for place, scheduler in enumerate(self.schedulers):
            if (status := scheduler.process.poll()) is not None:
                self._note_death(scheduler, status)
                if timer := self._stopped.pop(place, None):
                    timer.cancel()
                self.schedulers[place] = self.site.start()
                self.done["schedulers started again"] += 1

    def _note_death(self, scheduler: Scheduler, status: int) -> None:
        """Only a signal ends a scheduler, or a database that is away when it begins."""
        if status not in (0, -signal.SIGKILL) and said(scheduler, "scheduler_started"):
            self.breaches.append(f"a scheduler ended by itself with {status}: {scheduler.stderr.read_text()[-2000:]}")

    def perform(self, deed: Deed) -> None:
        """Do one deed of the schedule."""
        deeds: dict[str, Callable[[float], None]] = {
            "kill": self._kill,
            "stop": self._stop,
            "terminate": self._terminate,
            "kill runner": self._kill_runner,
            "restart": self._restart,
        }
        if deed.what in deeds:
            deeds[deed.what](deed.lot)
        else:
            self._command(deed.what, deed.lot)

    def _kill(self, lot: float) -> None:
        self._signal(self._busy(lot), signal.SIGKILL, "schedulers killed")

    def _terminate(self, lot: float) -> None:
        self._signal(int(lot * len(self.schedulers)), signal.SIGTERM, "schedulers asked to leave")

    def _signal(self, place: int, number: signal.Signals, name: str) -> None:
        self.schedulers[place].process.send_signal(number)
        self.done[name] += 1

    def _busy(self, lot: float) -> int:
        """Choose a scheduler that has runs, if any has: of the others nobody would miss anything."""
        owners = TaskRun.objects.holding_slots().values("owner")
        listed = SchedulerInstance.objects.filter(pk__in=owners).values_list("pid", flat=True)
        pids: list[int] = self.asked(partial(list, listed), [])
        places = range(len(self.schedulers))
        chosen = [place for place in places if self.schedulers[place].process.pid in pids] or list(places)
        return chosen[int(lot * len(chosen))]

    def _stop(self, lot: float) -> None:
        """Stop a scheduler for longer than its lease lasts."""
        place = self._busy(lot)
        if place not in self._stopped:
            process = self.schedulers[place].process
            process.send_signal(signal.SIGSTOP)
            self._stopped[place] = threading.Timer(1.5 * LEASE_S, process.send_signal, [signal.SIGCONT])
            self._stopped[place].start()
            self.done["schedulers stopped beyond their lease"] += 1

    def _kill_runner(self, lot: float) -> None:
        runners = [process for process in self.site.processes() if _is_runner(process)]
        if runners:
            with suppress(ProcessLookupError):
                os.kill(runners[int(lot * len(runners))].pid, signal.SIGKILL)
                self.done["runners killed"] += 1

    def _restart(self, lot: float) -> None:
        assert self.server is not None
        self.server.restart()
        connection.close()
        self.done["database restarts"] += 1

    def _command(self, command: str, lot: float) -> None:
        self.done[f"{command}: {self._give(command, self.tasks[int(lot * len(self.tasks))])}"] += 1

    def _give(self, command: str, task: int) -> str:
        """Give a command; what is answered as applied must never be lost."""
        answer = self.asked(partial(outcome, command, task), "no answer")
        self.answers[task, command] += answer == "applied"
        return answer

    def asked(self, question: Callable[[], T], otherwise: T) -> T:
        """Ask the database; `otherwise` is the answer while it is away."""
        try:
            return question()
        except AWAY:
            connection.close()
            return otherwise

    def sample(self) -> None:
        """Look whether any cap is exceeded at this moment."""
        runs = TaskRun.objects.holding_slots().values_list("task__project_id", "agent_id")
        held: list[tuple[int, int]] = self.asked(partial(list, runs), [])
        self.done["samples"] += 1
        self.done["most at once"] = max(self.done["most at once"], len(held))
        self.breaches += exceeded(held)

    def care(self) -> bool:
        """Be a person who wants all of it done: let go, retry. True when all is."""
        tasks = self.asked(lambda: list(Task.objects.exclude(status=TaskStatus.DONE)), [Task()])
        for task in tasks:
            command = _REMEDIES.get(TaskStatus(task.status), "resume" if task.is_held else "")
            if command:
                self._give(command, task.pk)
        return not tasks

    def heard(self, event: str) -> int:
        """Return how often any scheduler has logged something."""
        return sum(said(scheduler, event) for scheduler in self.site.schedulers)

    def end(self) -> None:
        """Let all go on, and then leave."""
        for timer in self._stopped.values():
            timer.join()
        for scheduler in self.schedulers:
            if scheduler.process.poll() is None:
                scheduler.process.terminate()
        for scheduler in self.schedulers:
            scheduler.wait()


def said(scheduler: Scheduler, event: str) -> int:
    """Return how often a scheduler has logged something; its log may hold the trace of a start without a database."""
    return scheduler.stderr.read_text().count(f'"event": "{event}"')


def outcome(command: str, task_id: int) -> str:
    """Give a command to a task, and return what became of it."""
    try:
        COMMANDS[command](Task.objects.get(pk=task_id), actor=PERSON)
    except DomainError:
        return "refused"
    return "applied"


def exceeded(held: list[tuple[int, int]]) -> list[str]:
    """Return what is wrong with so many runs at once; each is a project and an agent."""
    projects, agents = Counter(project for project, _ in held), Counter(agent for _, agent in held)
    counted = [("all", len(held), IN_ALL)]
    counted += [(f"project {key}", count, IN_PROJECT) for key, count in projects.items()]
    counted += [(f"agent {key}", count, BY_AGENT) for key, count in agents.items()]
    return [f"{count} runs at once in {name}; {cap} are allowed" for name, count, cap in counted if count > cap]


def _is_runner(process: psutil.Process) -> bool:
    try:
        return "runtime.runner" in process.cmdline()
    except psutil.Error:
        return False
