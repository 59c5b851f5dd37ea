"""What is done to a run in its life, one deed at a time: how a task comes to where the deed is due, and the deed itself.

A deed finds all it needs by its task, so that it can be done by a process that knows nothing else, and done again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from django.utils import timezone

from inbox import services as inbox
from inbox.models import InboxItem
from inbox.states import ItemType
from orchestration.models import Task
from orchestration.scheduler import Choice
from orchestration.services.dependencies import add_dependency
from orchestration.tests.factories import ACTOR, make_task
from runtime import landing, leases, recovery, supervision
from runtime.exceptions import StaleRun
from runtime.models import StuckFinding, TaskRun
from runtime.rundir import RunDirectory
from runtime.services import commands
from runtime.services.answers import deliver_answers
from runtime.services.broadcasting import COMMANDS
from runtime.services.completing import Ending
from runtime.services.finishing import finish_run, finish_together
from runtime.services.handshakes import begin
from runtime.services.promoting import promote_due
from runtime.starting import directory_of
from runtime.stuck import delivery, episodes
from runtime.stuck.findings import Finding, Kind
from runtime.supervision import Watch
from runtime.tests import runners
from runtime.tests.factories import ending
from runtime.tests.hands import Hands
from runtime.tests.starts import handshake, say

OWNER, OTHER = "one", "two"


@dataclass(frozen=True)
class Deed:
    """`arrange` brings a fresh task to where the deed is due."""

    arrange: Callable[[Task, Hands], object]
    act: Callable[[Task], object]


def run_of(task: Task) -> TaskRun:
    """Return the last run of a task."""
    return TaskRun.objects.select_related("task__project", "agent").filter(task=task).latest("attempt")


def _begin_next(task: Task) -> None:
    waiting = TaskRun.objects.unowned().filter(task=task).first()
    agent = task.project.agents.order_by("id")[0]
    begin([Choice(task.pk, agent.pk, waiting.pk if waiting else None)], owner=OWNER)


def _finish(outcome: str, code: str = "") -> Callable[[Task], object]:
    def act(task: Task) -> None:
        run = run_of(task)
        record = ending(outcome, code=code, message="1" if outcome == "parked" else "Done.")
        finish_run(run, record, head_commit=run.base_commit)

    return act


def _finish_together(task: Task) -> None:
    """Finish the run and that of the task made after it, which is done already when the deed is done again."""
    runs = [run_of(each) for each in Task.objects.filter(project=task.project, pk__in=[task.pk, task.pk + 1])]
    if not finish_together([Ending(run, ending("finished"), run.base_commit) for run in runs]):
        raise StaleRun


def _begin_two(task: Task, hands: Hands) -> None:
    hands.begin(task)
    hands.begin(make_task(task.project))


def _end(outcome: str, code: str = "") -> Callable[[Task, Hands], object]:
    return lambda task, hands: hands.finish(hands.begin(task), outcome, code)


def _nothing(task: Task, hands: Hands) -> None:
    """It is due as it is."""


def _begin(task: Task, hands: Hands) -> None:
    hands.begin(task)


def _begin_and(command: Callable[..., object]) -> Callable[[Task, Hands], object]:
    def arrange(task: Task, hands: Hands) -> None:
        hands.begin(task)
        command(task, actor=ACTOR)

    return arrange


def _begin_with_a_child(task: Task, hands: Hands) -> None:
    add_dependency(make_task(task.project), depends_on=task, actor=ACTOR)
    hands.begin(task)


def _approve(task: Task, hands: Hands) -> None:
    _begin_with_a_child(task, hands)
    hands.finish(run_of(task), "finished")
    inbox.approve_task(task, actor=ACTOR)


def _answer(ending_: str) -> Callable[[Task, Hands], object]:
    def arrange(task: Task, hands: Hands) -> None:
        _end(ending_)(task, hands)
        _close(task)

    return arrange


def _close(task: Task) -> None:
    """Close what waits for an answer; what is closed already is refused."""
    item = InboxItem.objects.filter(task=task, item_type=ItemType.AWAIT_USER_INPUT).latest("pk")
    inbox.close_item(item, actor=ACTOR, user_input="Blue")


def _lose(task: Task) -> None:
    """Let the lease of the run be over: any other scheduler may take it."""
    TaskRun.objects.filter(task=task).update(lease_until=leases.now())


def _lose_claimed(task: Task, hands: Hands) -> None:
    hands.take(task)
    _lose(task)


def _lose_claimed_and_cancel(task: Task, hands: Hands) -> None:
    hands.take(task)
    commands.cancel_task(task, actor=ACTOR)
    _lose(task)


def _lose_begun(task: Task, hands: Hands) -> None:
    """The scheduler died after the handshake: there is no run directory."""
    handshake(hands.take(task))
    _lose(task)


def _lose_ended(outcome: str) -> Callable[[Task, Hands], object]:
    def arrange(task: Task, hands: Hands) -> None:
        run = handshake(hands.take(task))
        workspace = Path(directory_of(run).path).parent.parent
        directory = RunDirectory.create(
            directory_of(run).path, runners.request(workspace, run_id=run.pk, epoch=run.epoch)
        )
        directory.write_exit(ending(outcome))
        _lose(task)

    return arrange


def _say(task: Task, hands: Hands) -> None:
    """Its agent has asked something, and said something after it."""
    run = handshake(hands.take(task))
    home = Path(directory_of(run).path).parent.parent
    directory = RunDirectory.create(directory_of(run).path, runners.request(home, run_id=run.pk, epoch=run.epoch))
    say(directory, ("system", {"type": "ask", "ask_id": "1.1", "question": "Which?"}), ("text", {"text": "Hm."}))


def _carry_over(task: Task) -> None:
    run = run_of(task)
    supervision.follow(Watch(run=run, directory=directory_of(run)))


def _take_up(task: Task) -> None:
    """Take up that the agent goes in circles."""
    finding = Finding(kind=Kind.REPEAT, message="Again and again.", seq=1, since=timezone.now())
    episodes.take_up(run_of(task), finding, actor=f"scheduler:{OWNER}")


def _begin_and_nudge(task: Task, hands: Hands) -> None:
    hands.begin(task)
    _take_up(task)
    StuckFinding.objects.filter(run__task=task).update(nudged_at=leases.now() - timedelta(days=1))


def _begin_and_say_end(task: Task, hands: Hands) -> None:
    _begin_and_nudge(task, hands)
    _take_up(task)
    item = InboxItem.objects.get(task=task)
    inbox.close_item(item, actor=ACTOR, action="answer", user_input=episodes.END)


def _recover(_: Task) -> None:
    recovery.adopt_abandoned(owner=OTHER)


def _command(name: str, **given: Any) -> Callable[[Task], object]:
    return partial(COMMANDS[name], actor=ACTOR, **given)


def _cancel_run(task: Task) -> None:
    commands.cancel_run(run_of(task), actor=ACTOR)


_CANCELLED = _begin_and(commands.cancel_task)
_PAUSED = _begin_and(commands.pause_task)

DEEDS: dict[str, Deed] = {
    "begin": Deed(_nothing, _begin_next),
    "begin again": Deed(_end("interrupted"), _begin_next),
    "finish finished": Deed(_begin, _finish("finished")),
    "finish together": Deed(_begin_two, _finish_together),
    "finish unreported": Deed(_begin, _finish("unreported")),
    "finish blocked": Deed(_begin, _finish("blocked")),
    "finish parked": Deed(_begin, _finish("parked")),
    "finish interrupted": Deed(_begin, _finish("interrupted")),
    "finish retryable": Deed(_begin, _finish("failed", "overloaded")),
    "finish fatal": Deed(_begin_with_a_child, _finish("failed", "auth")),
    "finish cancelled": Deed(_CANCELLED, _finish("cancelled")),
    "finish though cancelled": Deed(_CANCELLED, _finish("finished")),
    "finish paused": Deed(_PAUSED, _finish("interrupted")),
    "promote": Deed(_end("failed", "overloaded"), lambda _: promote_due(actor=f"scheduler:{OWNER}")),
    "deliver": Deed(_answer("blocked"), lambda _: deliver_answers(owner=OWNER)),
    "land": Deed(_approve, lambda _: landing.land_approved(actor=f"scheduler:{OWNER}")),
    "release": Deed(_lose_claimed, _recover),
    "release and cancel": Deed(_lose_claimed_and_cancel, _recover),
    "recover what never started": Deed(_lose_begun, _recover),
    "recover what has ended": Deed(_lose_ended("blocked"), _recover),
    "carry over": Deed(_say, _carry_over),
    "nudge": Deed(_begin, _take_up),
    "ask whether to go on": Deed(_begin_and_nudge, _take_up),
    "end what goes in circles": Deed(_begin_and_say_end, lambda _: delivery.deliver(owner=OWNER)),
    "pause": Deed(_begin, _command("pause")),
    "resume": Deed(_answer("blocked"), _command("resume")),
    "resume what is held": Deed(lambda task, _: commands.pause_task(task, actor=ACTOR), _command("resume")),
    "retry": Deed(_end("failed", "auth"), _command("retry")),
    "retry what is blocked": Deed(_end("blocked"), _command("retry")),
    "cancel": Deed(_end("failed", "overloaded"), _command("cancel")),
    "cancel a process": Deed(_begin, _command("cancel")),
    "cancel a run": Deed(_end("interrupted"), _cancel_run),
    "run": Deed(_end("blocked"), _command("run")),
    "run with a key": Deed(_nothing, _command("run", idempotency_key="once")),
    "approve": Deed(_end("finished"), _command("approve")),
    "request changes": Deed(_end("finished"), _command("request-changes", changes="Blue")),
    "answer": Deed(_end("blocked"), _close),
}


def signature(task: Task) -> dict[str, Any]:
    """Return all that a deed leads to, without ids and times."""
    task.refresh_from_db()
    runs = task.runs.order_by("attempt")
    items = InboxItem.objects.filter(task=task).order_by("pk")
    return {
        "task": (task.status, task.is_held, task.cancel_requested_at is None, task.approved_at is None, task.version),
        "runs": [(run.status, run.attempt, run.epoch, run.owner, run.error_code, float(run.cost_usd)) for run in runs],
        "items": [(item.item_type, item.status, item.resolution, item.delivered_at is None) for item in items],
        "lines": list(runs.values_list("log_seq", "lines__seq").order_by("attempt", "lines__seq")),
        "findings": [
            (found.nudged_at is None, found.item_id is None, found.muted_until is None)
            for found in StuckFinding.objects.filter(run__task=task)
        ],
        "comments": task.comments.count(),
        "children": list(task.dependents.values_list("task__unmet_dependencies", flat=True)),
    }
