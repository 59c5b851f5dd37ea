"""Runs whose agents do nothing, in this process: all that a scheduler writes for them, no worktree and no process.

Every step is the product's own, as many runs at a time as it takes, and every event is on the disk.
"""

from __future__ import annotations

import uuid
from pathlib import Path

from django.conf import settings

from orchestration.models import Agent, Project
from orchestration.scheduler import plan
from orchestration.services.graphs import TaskDraft, create_graph
from orchestration.services.locks import give_way
from orchestration.tests.factories import ACTOR, make_agent, make_project
from runtime import landing, planning
from runtime.models import TaskRun
from runtime.rundir import ExitRecord, Usage
from runtime.services.completing import Ending
from runtime.services.finishing import finish_run, finish_together
from runtime.services.handshakes import begin

OWNER = "benchmark"
FEW = 16
"""As many runs at a time as a machine has agents at most, beside which people are to be answered soon."""


def staffed(folder: Path, *, at_once: int = planning.BATCH, **fields: object) -> tuple[Project, Agent]:
    """Return a project with one agent who takes so many runs at once."""
    # The default caps are made for processes; here there are none.
    settings.MAX_PARALLEL_RUNS = at_once
    project = make_project(folder, max_parallel_runs=at_once, **fields)
    return project, make_agent(project, max_parallel_runs=at_once)


def add_tasks(project: Project, agent: Agent, count: int) -> None:
    """Put tasks into a project that wait for nothing."""
    create_graph(project, tasks=[TaskDraft(title="Nothing", assignee=agent.pk) for _ in range(count)], actor=ACTOR)


def add_layers(project: Project, layers: int, width: int) -> None:
    """Put a graph into a project in which each task below the first layer waits for two above it."""
    drafts = [
        TaskDraft(title="Nothing", ref=f"{layer}.{number}", depends_on=_parents(layer, number, width))
        for layer in range(layers)
        for number in range(width)
    ]
    create_graph(project, tasks=drafts, actor=ACTOR)


def _parents(layer: int, number: int, width: int) -> list[str]:
    above = layer - 1
    return [f"{above}.{number}", f"{above}.{(number + 1) % width}"] if layer else []


def run_all() -> int:
    """Have every task run that may, and what is approved land; return how many ran."""
    finished = 0
    while (count := run_some()) or landing.land_approved(actor=OWNER):
        finished += count
        give_way()  # as a scheduler does between two rounds
    return finished


def run_some() -> int:
    """Do one round; return how many runs it has finished."""
    room = planning.room()
    chosen = plan(planning.candidates(room), room).start[: planning.BATCH]
    runs = begin(chosen, owner=OWNER) if chosen else []
    if runs:
        _finish([_ending(run) for run in runs])
        landing.land_approved(actor=OWNER)
    return len(runs)


def _finish(endings: list[Ending]) -> None:
    if not finish_together(endings):  # a person has cancelled one of them
        for ending in endings:
            finish_run(ending.run, ending.record)


def _ending(run: TaskRun) -> Ending:
    """Return an end like any other's: a session, words and use of its own."""
    usage = Usage(token_in=100 + run.pk % 7, token_out=10, turns=1, request_count=1, worked_s=0.1)
    record = ExitRecord(outcome="finished", message=f"Did {run.pk}.", session_id=str(uuid.uuid4()), usage=usage)
    return Ending(run, record)
