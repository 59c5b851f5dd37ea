"""A process that writes beside others: `python -m benchmarks.inline drain | logs | write TASK_ID`, over the database of the environment."""

from __future__ import annotations

import itertools
import json
import sys
import time

import django

SECONDS = 3.0
LINES = 500


def drain() -> None:
    """Have all tasks run, a few at a time."""
    from django.conf import settings

    from benchmarks.inline import rounds as inline

    settings.MAX_PARALLEL_RUNS = inline.FEW
    inline.run_all()


def logs() -> None:
    """Carry over what an agent says, 500 lines at once, until it is told to stop."""
    from django.conf import settings

    from benchmarks.inline import rounds as inline
    from events import services as events
    from orchestration.scheduler import Choice
    from orchestration.services.locks import give_way
    from orchestration.tests.factories import make_task
    from runtime import starting, supervision
    from runtime.rundir import RunDirectory
    from runtime.runner.journal import Journal
    from runtime.tests.halves import claim, shake_hands

    project, agent = inline.staffed(settings.BBB_HOME / "talkative", name="Talkative")
    settings.MAX_PARALLEL_RUNS += 1  # those that drain may have taken all the others
    with events.unit_of_work():  # or they would take this one as well
        task = make_task(project, assignee=agent)
        [run] = claim([Choice(task.pk, agent.pk, None)], owner="talkative")
    shake_hands([run])
    path = starting.directory_of(run).path
    path.mkdir(parents=True)
    watched = supervision.Watch(run=run, directory=RunDirectory(path))
    with Journal(watched.directory.events_path) as journal:
        while True:
            for number in range(LINES):
                journal.write("text", {"text": f"Line {number} of many, as long as lines of an agent mostly are."})
            while supervision.follow(watched):
                give_way()
            time.sleep(0.25)  # as often as a scheduler looks


def write(task_id: int) -> None:
    """Give one command after the other for a while, and tell how many."""
    from orchestration.models import Task
    from orchestration.services.locks import give_way
    from orchestration.tests.factories import ACTOR
    from runtime.services import commands

    task, count, began = Task.objects.get(pk=task_id), 0, time.monotonic()
    for command in itertools.cycle((commands.pause_task, commands.resume_task)):
        if time.monotonic() - began > SECONDS:
            break
        command(task, actor=ACTOR)
        count += 1
        give_way()
    sys.stdout.write(json.dumps(count))


if __name__ == "__main__":
    django.setup()
    if sys.argv[1] == "write":
        write(int(sys.argv[2]))
    else:
        {"drain": drain, "logs": logs}[sys.argv[1]]()
