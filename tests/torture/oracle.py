"""What has to be true when it is over, read from log, tables, processes and files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from django.db.models import Count, Max

from events.models import Event
from events.states import EventType
from orchestration.models import Task
from orchestration.states import TaskStatus
from runtime.models import RunLog, TaskRun
from runtime.processes import TAG
from runtime.states import RunStatus
from runtime.tests.replay import disagreements
from tests.torture.world import World, exceeded


def findings(world: World) -> list[str]:
    """Return all that is wrong; nothing, when every promise was kept."""
    return [
        *dict.fromkeys(world.breaches),
        *_ends(world),
        *_order(world),
        *_caps(),
        *_logs(),
        *_answers(world),
        *_doubles(world),
        *_strays(world),
        *disagreements(),
    ]


def _ends(world: World) -> Iterator[str]:
    """Every task is done, and was so once."""
    done = Counter(event.task_id for event in _task_moves() if event.payload["after"] == TaskStatus.DONE)
    for task in Task.objects.order_by("pk"):
        if task.status != TaskStatus.DONE or done[task.pk] != 1:
            yield f"task {task.pk} is {task.status}, and became done {done[task.pk]} times: {task.status_reason}"
    for task_id in Task.objects.exclude(runs__status=RunStatus.SUCCEEDED).values_list("pk", flat=True):
        yield f"task {task_id} is done without a run that has succeeded"


def _order(world: World) -> Iterator[str]:
    """Nothing began before what it waits for was done."""
    done: set[int] = set()
    for event in _task_moves():
        assert event.task_id is not None
        if event.payload["after"] == TaskStatus.DONE:
            done.add(event.task_id)
        if event.payload["after"] == TaskStatus.RUNNING and (early := set(world.parents[event.task_id]) - done):
            yield f"event {event.pk}: task {event.task_id} began before {sorted(early)}"


def _caps() -> Iterator[str]:
    """By the log, which tells more than samples: no cap was exceeded by runs that had begun."""
    of = {run.pk: (run.task.project_id, run.agent_id) for run in TaskRun.objects.select_related("task")}
    running: set[int] = set()
    for event in Event.objects.filter(type=EventType.RUN_STATUS_CHANGED).order_by("id"):
        assert event.run_id is not None
        (running.add if event.payload["after"] == RunStatus.RUNNING else running.discard)(event.run_id)
        yield from (f"event {event.pk}: {breach}" for breach in exceeded([of[run] for run in running]))


def _logs() -> Iterator[str]:
    """The lines of each run are numbered without a gap."""
    counted = RunLog.objects.values("run").annotate(lines=Count("pk"), last=Max("seq")).order_by("run")
    for row in counted:
        if row["lines"] != row["last"]:
            yield f"run {row['run']} has {row['lines']} lines, of which the last is {row['last']}"


def _answers(world: World) -> Iterator[str]:
    """What was answered as applied is on record; of what was not answered, nothing is known."""
    audits = Event.objects.filter(type=EventType.TASK_INTERVENTION_AUDIT, payload__outcome="applied")
    recorded = Counter((event.task_id, event.payload["command"]) for event in audits)
    for (task_id, command), count in world.answers.items():
        if recorded[task_id, command] < count:
            yield f"task {task_id}: {count} times {command} was answered, and {recorded[task_id, command]} are on record"


def _doubles(world: World) -> Iterator[str]:
    """No agent has met another one at the same task."""
    doubles = world.folder / "doubles"
    if doubles.exists():
        yield f"two agents at once: {doubles.read_text().splitlines()}"


def _strays(world: World) -> Iterator[str]:
    for process in world.site.processes():
        yield f"process {process.pid} is left: {process.cmdline()} {process.environ().get(TAG)}"


def _task_moves() -> Iterator[Event]:
    return Event.objects.filter(type=EventType.TASK_STATUS_CHANGED).order_by("id").iterator()


def counts() -> dict[str, int]:
    """Return figures about what has happened, for the summary."""
    moves = Event.objects.filter(type=EventType.RUN_STATUS_CHANGED)
    return {
        "attempts": TaskRun.objects.count(),
        "starts": moves.filter(payload__after=RunStatus.RUNNING).count(),
        "runs interrupted": moves.filter(payload__after=RunStatus.INTERRUPTED).count(),
        "claims given back": moves.filter(payload__reason="never_started").count(),
        "late writes refused": Event.objects.filter(type=EventType.RUN_STALE_WRITE_REJECTED).count(),
        "events": Event.objects.count(),
    }
