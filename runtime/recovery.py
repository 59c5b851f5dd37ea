"""Recover: what a dead scheduler left is adopted, finished or queued again. Recovery itself starts nothing."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from functools import cache

import structlog
from django.conf import settings
from django.db.models import F

from events import services as events
from events import trace
from inbox import services as inbox
from inbox.states import ItemType
from orchestration.services.locks import lock_tasks
from runtime import leases, processes, slots, supervision
from runtime.database import DATABASE_AWAY
from runtime.exceptions import StaleRun
from runtime.hosts import host_id
from runtime.models import RunQuerySet, SchedulerInstance, TaskRun
from runtime.rundir import FORMAT, ExitRecord, RunDirectory
from runtime.services.commands import cancel_at_once
from runtime.services.finishing import finish_run
from runtime.services.moves import record_move, record_stale, write_fenced
from runtime.starting import directory_of
from runtime.states import RunStatus
from runtime.supervision import Watch
from sql.prepared import PreparedQuery

log = structlog.get_logger("bbb.runtime")


def adopt_abandoned(
    *, owner: str, watched: Collection[int] = (), may_judge: Callable[[datetime], bool] = lambda _: True
) -> list[Watch]:
    """Take over the runs of schedulers that are gone; answer those whose runner lives.

    Our own runs that we do not watch are of that kind: the database went away while they were being started. `may_judge`
    tells whether a living scheduler whose lease has expired by a time counts as gone.
    """
    adopted = []
    for run in _abandoned(owner, watched, may_judge):
        if run.status == RunStatus.RUNNING and run.host_id != host_id():
            _look_for_lost_host(run, owner)
        elif not _is_beyond_us(run) and leases.take_over(run, owner=owner):
            with trace.bound(run.trace_id, run_id=run.pk, task_id=run.task_id, agent_id=run.agent_id):
                found = _settle_safely(run)
            adopted += [found] if found else []
    return adopted


def _settle_safely(run: TaskRun) -> Watch | None:
    try:
        return _settle(run)
    except StaleRun:
        record_stale(run, action="recover")
    except DATABASE_AWAY:
        raise
    except Exception as error:
        # What cannot be read must not keep every later scheduler from starting.
        log.exception("recovery_failed")
        supervision.give_up(run, directory_of(run), error)
    return None


def _abandoned(owner: str, watched: Collection[int], may_judge: Callable[[datetime], bool]) -> list[TaskRun]:
    """Return runs whose lease has expired, or whose scheduler on this host is provably dead, or forgot them."""
    if not _held_elsewhere(owner, watched):  # mostly
        return []
    runs = list(_not_watched(owner, watched).select_related("task__project", "agent").order_by("id"))
    schedulers = list(SchedulerInstance.objects.filter(pk__in={run.owner for run in runs}))
    gone = {scheduler.pk for scheduler in schedulers if _is_dead(scheduler)} | {owner}
    now = leases.now()
    # Who is not on the list any more has left, and needs no patience.
    spared = set() if may_judge(now) else {scheduler.pk for scheduler in schedulers}
    return [run for run in runs if run.owner in gone or (run.owner not in spared and _has_expired(run, now))]


def _not_watched(owner: str, watched: Collection[int]) -> RunQuerySet:
    """Return the runs of others, and those of ours that we do not watch."""
    return TaskRun.objects.holding_slots().exclude(owner=owner, pk__in=watched)


_held_elsewhere = PreparedQuery(lambda owner, watched: _not_watched(owner, watched).values_list("pk")[:1])


def _has_expired(run: TaskRun, now: datetime) -> bool:
    return run.lease_until is None or run.lease_until < now


def _is_dead(scheduler: SchedulerInstance) -> bool:
    """A process of this host is looked up; of another host nothing is known but its lease."""
    if scheduler.host_id != host_id():
        return False
    return not processes.is_same_process(scheduler.pid, scheduler.pid_start_ticks, scheduler.boot_id)


def _is_beyond_us(run: TaskRun) -> bool:
    """Tell whether a newer version has started a run in a way that this one cannot read. It is left to that one."""
    if run.status != RunStatus.RUNNING or directory_of(run).format() <= FORMAT:
        return False
    _tell_once(run.tag)
    return True


@cache
def _tell_once(tag: str) -> None:
    log.warning("run_of_a_newer_version", run=tag)


def _settle(run: TaskRun) -> Watch | None:
    if run.status == RunStatus.QUEUED:
        _release(run)
        return None
    directory = directory_of(run)
    record = directory.exit()
    started = directory.start()
    if record is None and started is not None and _matches(run, directory):
        log.info("run_adopted", epoch=run.epoch, pid=started.pid)
        return supervision.watch(run, directory)
    if record is None and started is not None:
        record = supervision.gone(run, directory)
    if record is None:
        finish_run(run, _never_started(run, directory))
        return None
    supervision.conclude(Watch(run=run, directory=directory), record)
    return None


def _matches(run: TaskRun, directory: RunDirectory) -> bool:
    """Tell whether the process named in start.json still is that process, and keep its identity."""
    started = directory.start()
    if started is None or not processes.is_same_process(started.pid, started.start_ticks, started.boot_id):
        return False
    write_fenced(run, pid=started.pid, pid_start_ticks=started.start_ticks, boot_id=started.boot_id)
    return True


def _never_started(run: TaskRun, directory: RunDirectory) -> ExitRecord:
    """The scheduler died between the handshake and the runner's first word: nothing was done, nothing is spent.

    It may also only be stalled, and go on with the start at any moment: the seal is there before we look.
    """
    try:
        directory.seal()
    except OSError:  # a full disk, say: then the fence alone has to do
        log.exception("start_not_sealed")
    processes.end_processes(processes.tagged(directory.tag), settings.STOP_GRACE_S)
    return directory.exit() or ExitRecord(outcome="interrupted", code="never_started", session_id=run.session_id)


@events.unit_of_work()
def _release(run: TaskRun) -> None:
    """Give a run that was claimed and not begun back to the queue; cancel it if that was asked for meanwhile."""
    held = slots.lock_for([run])
    run.task = task = lock_tasks([run.task_id])[run.task_id]
    ours = TaskRun.objects.owned(run.owner).filter(pk=run.pk, epoch=run.epoch)
    if not ours.update(owner="", lease_until=None, version=F("version") + 1):
        return
    slots.give_back(held)
    run.owner = ""
    record_move(run, before=RunStatus.QUEUED, actor="scheduler:recovery", reason="never_started")
    if task.cancel_requested_at is not None:
        cancel_at_once(task, actor="scheduler:recovery")


def _look_for_lost_host(run: TaskRun, owner: str) -> None:
    """Nobody here can tell whether the agent on another host still works: keep it, and ask.

    Who wants it cancelled does not have to wait for that host. When it comes back, it ends what is left there.
    """
    if run.lease_until is None or leases.now() - run.lease_until < timedelta(seconds=10 * settings.LEASE_S):
        return
    if run.task.cancel_requested_at is None:
        _ask_about_lost_host(run)
    elif leases.take_over(run, owner=owner):
        with trace.bound(run.trace_id, run_id=run.pk, task_id=run.task_id, agent_id=run.agent_id):
            finish_run(run, ExitRecord(outcome="cancelled", code="host_lost", session_id=run.session_id))


def _ask_about_lost_host(run: TaskRun) -> None:
    inbox.ask(
        ItemType.ALERT,
        task=run.task,
        title=f"Lost sight of a run: {run.task.title}",
        content=f"Its host {run.host_id} has not been heard of. Start a scheduler there, or cancel the task.",
        dedupe_key=f"lost-host:{run.pk}.{run.epoch}",
        run_id=run.pk,
        actor="scheduler:recovery",
        trace_id=run.trace_id,
    )
