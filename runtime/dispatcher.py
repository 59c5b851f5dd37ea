"""The dispatch loop: recover, promote, land, deliver, plan, claim, start, supervise; then sleep until a hint."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping

import structlog
from django.conf import settings
from django.db import connection
from django.db.models import Q

from events import trace
from events.wakeup import Listener
from orchestration.exceptions import Conflict
from orchestration.models import Task
from orchestration.scheduler import plan
from orchestration.services.locks import give_way
from orchestration.states import TaskStatus
from runtime import (
    agenda,
    calls,
    clients,
    landing,
    planning,
    processes,
    recovery,
    schedulers,
    starting,
    supervision,
    versions,
)
from runtime.agenda import Agenda
from runtime.database import DATABASE_AWAY, reconnect
from runtime.duties import Chore, Duties, chores
from runtime.exceptions import StaleRun, StartFailed
from runtime.executors import local
from runtime.heartbeat import Heartbeat
from runtime.models import TaskRun
from runtime.rundir import ExitRecord
from runtime.services.alerts import alert_missing_clients
from runtime.services.answers import deliver_answers
from runtime.services.breaking import close_answered
from runtime.services.completing import COMPLETED
from runtime.services.finishing import finish_run
from runtime.services.handshakes import begin
from runtime.services.moves import record_stale
from runtime.services.promoting import promote_due
from runtime.strays import Strays
from runtime.stuck import delivery
from runtime.stuck.scanning import Scanner
from runtime.supervision import Watch

log = structlog.get_logger("bbb.runtime")

# On SQLite, how soon it looks whether somebody has committed what was just written, and how often where nobody tells of
# writes and all is quiet. On PostgreSQL it is told.
LOOK_S, QUIET_LOOK_S = 0.001, 0.05
# After a round that found nothing to do it rests so many times as long as that took of the processor, and at most so long
# in seconds, however often others commit.
RESTS, REST_S = 4, 0.05
# After so many starts it looks after those that run, before it starts more.
STARTS = 8
# How long a scheduler that was told to leave waits to be told a second time, which means: and the agents too.
SECOND_CALL_S = 2.0


def _stuck_scan() -> list[Chore]:
    interval_s = settings.STUCK_SCAN_INTERVAL_S
    return [Chore("stuck_scan", interval_s, Scanner().scan)] if interval_s else []


def _look_after(watched: Watch) -> bool:
    """Carry over what a run says, and see whether it has ended; True when there was something to do."""
    if watched.ending is not None:
        return True  # the database went away before it was finished
    more = supervision.follow(watched)
    record = supervision.ended(watched)
    if record is not None:
        supervision.wrap_up(watched, record)
    return more or record is not None


def _is_completed(watched: Watch) -> bool:
    return watched.ending is not None and watched.ending.record.outcome in COMPLETED


def _finish_alone(watched: Watch) -> bool:
    if watched.ending is not None:
        supervision.finish(watched.ending)
    return True


class Dispatcher:
    """One scheduler. Each step does its share of work; `run` repeats them."""

    def __init__(self, *, max_runs: int | None = None, stop_agents: bool = False) -> None:
        self._scheduler = schedulers.register()
        self._owner = self._scheduler.pk
        self._watched: dict[int, Watch] = {}
        self._starts_left = max_runs
        self._stop_agents = stop_agents
        # No Event: the handler of a signal may come while the loop holds an Event's lock.
        self._is_draining = False
        self._heartbeat = Heartbeat(self._scheduler, lambda: self._is_draining)
        self._strays = Strays()
        self._duties = Duties([*chores(), *_stuck_scan()], owner=self._owner)
        self._missing: set[str] = set()
        self._was_newer = False
        self._agenda = Agenda()

    @property
    def actor(self) -> str:
        return f"scheduler:{self._owner}"

    def run(self, *, once: bool = False) -> None:
        """Tick until a signal, or with `once` until nothing is left that this scheduler could do."""
        with calls.heard(self.drain) as heard, Listener(poll_s=LOOK_S, rest_s=QUIET_LOOK_S) as hints, self._heartbeat:
            log.info("scheduler_started", owner=self._owner)
            # Listening comes first: what is committed from now on wakes the loop.
            while not self._is_draining:
                began = time.thread_time()
                nap_s = self._round(once=once)
                if nap_s is None:
                    break
                if nap_s == 0:
                    give_way()
                else:
                    rested = time.monotonic() + min(REST_S, RESTS * (time.thread_time() - began))
                    hints.wait(nap_s, heard + [fd for watched in self._watched.values() if (fd := watched.pidfd)])
                    time.sleep(max(0.0, rested - time.monotonic()))  # on no lock that the handler takes as well
            self._leave()

    def tick(self) -> bool:
        """Do one round of every step; True when something was done and another round may find more."""
        self.heartbeat()
        done = [self.recover(), self.supervise(), self._work_off(agenda.look(self._owner))]
        self._strays.end()
        self._duties.run_due()
        return any(done)

    def _work_off(self, found: Agenda) -> bool:
        """Do the steps that may find something; the first of them may let tasks become ready."""
        self._agenda = found
        steps = ((self.promote, found.promote), (self.deliver, found.deliver), (self.land, found.land))
        done = [step() for step, is_due in steps if is_due]
        if found.dispatch or any(done):
            done.append(self.dispatch())
        return any(done)

    def heartbeat(self) -> None:
        """Keep the leases. Where that has failed for longer than one lasts, give up all runs; recovery says which are left."""
        self._heartbeat.keep()
        if not self._heartbeat.is_trusted:
            log.warning("leases_lapsed", owner=self._owner, runs=sorted(self._watched))
            for watched in list(self._watched.values()):
                self._forget(watched)
            self._heartbeat.took_note()

    def recover(self) -> bool:
        """Adopt what dead schedulers left."""
        judge = self._heartbeat.may_judge
        adopted = recovery.adopt_abandoned(owner=self._owner, watched=list(self._watched), may_judge=judge)
        self._watched |= {watched.run.pk: watched for watched in adopted}
        return bool(adopted)

    def promote(self) -> bool:
        return promote_due(actor=self.actor) + close_answered(actor=self.actor) > 0

    def deliver(self) -> bool:
        return deliver_answers(owner=self._owner) + delivery.deliver(owner=self._owner) > 0

    def land(self) -> bool:
        return landing.land_approved(actor=self.actor) > 0

    def dispatch(self) -> bool:
        """Plan, begin what the plan says, and launch it after the commit."""
        missing = clients.missing()
        if self._is_news(missing):
            log.warning("clients_missing", **{provider: str(error) for provider, error in missing.items()})
        if missing:
            alert_missing_clients(missing, actor=self.actor)
        room = planning.room(missing=missing)
        chosen = plan(planning.candidates(room), room).start[: self._batch()]
        if chosen and self._is_outdated():
            return False
        started = begin(chosen, owner=self._owner) if chosen else []
        if self._starts_left is not None:
            self._starts_left -= len(started)
        for number, run in enumerate(started, start=1):
            self.heartbeat()  # a start may take its time
            self._start(run)
            if number % STARTS == 0:
                self.supervise()
        return bool(started)

    def _is_outdated(self) -> bool:
        """Tell whether a newer version is there, which is to begin what is begun from now on."""
        is_newer = versions.is_database_newer()
        if is_newer and not self._was_newer:
            log.warning("database_is_newer", owner=self._owner, runs=sorted(self._watched))
        self._was_newer = is_newer
        return is_newer

    def _is_news(self, missing: Mapping[str, Exception]) -> bool:
        """Tell whether providers cannot work that could at the last look."""
        before, self._missing = self._missing, set(missing)
        return bool(self._missing - before)

    def supervise(self) -> bool:
        """Look after every run of this scheduler."""
        local.reap()
        self._pass_on_intents()
        return self._look_after_all()

    def _look_after_all(self) -> bool:
        # Every one of them has its turn, also after the first that had something.
        outcomes = [self._safely(_look_after, watched) for watched in list(self._watched.values())]
        self._finish([watched for watched in self._watched.values() if watched.ending is not None])
        return any(outcomes)

    def _finish(self, ended: list[Watch]) -> None:
        """Finish what is wrapped up: together what the agents have done, else one by one."""
        completed = [watched for watched in ended if _is_completed(watched)]
        for batch in [completed[first : first + planning.BATCH] for first in range(0, len(completed), planning.BATCH)]:
            endings = [watched.ending for watched in batch if watched.ending is not None]
            if len(batch) > 1 and self._heartbeat.is_trusted and supervision.finish_all(endings):
                for watched in batch:
                    self._forget(watched)
            give_way()
        for watched in [watched for watched in ended if watched.run.pk in self._watched]:
            if self._safely(_finish_alone, watched):
                self._forget(watched)
            give_way()

    def _safely(self, step: Callable[[Watch], bool], watched: Watch) -> bool:
        """Do a step for a run. What is wrong with one run must not stop the scheduler, and with it all others."""
        run = watched.run
        with trace.bound(run.trace_id, run_id=run.pk, task_id=run.task_id, agent_id=run.agent_id):
            return self._safely_bound(step, watched)

    def _safely_bound(self, step: Callable[[Watch], bool], watched: Watch) -> bool:
        if not self._heartbeat.is_trusted:
            return False  # the next round gives it up
        try:
            return step(watched)
        except StaleRun:
            record_stale(watched.run, action="supervise")
            self._forget(watched)
            return True
        except DATABASE_AWAY:
            raise
        except Exception as error:
            log.exception("supervision_failed")
            supervision.give_up(watched.run, watched.directory, error)
            self._forget(watched)
            return True

    def _pass_on_intents(self) -> None:
        if not self._watched:
            return
        tasks = Task.objects.filter(pk__in=[watched.run.task_id for watched in self._watched.values()])
        asked = {task.pk: task for task in tasks if task.cancel_requested_at or task.is_held}
        for watched in self._watched.values():
            if watched.run.task_id in asked:
                supervision.pass_on_intents(watched, asked[watched.run.task_id])

    def _start(self, run: TaskRun) -> None:
        with trace.bound(run.trace_id, run_id=run.pk, task_id=run.task_id, agent_id=run.agent_id):
            try:
                if self._is_to_stop(run):
                    self._end_unstarted(run, ExitRecord(outcome="interrupted", code="never_started"))
                    return
                directory = starting.launch(run)
            except StartFailed as error:
                log.warning("run_not_started", code=error.code, error=str(error))
                self._end_unstarted(run, ExitRecord(outcome="failed", code=error.code, message=str(error)))
            except Conflict:
                record_stale(run, action="start")
            except DATABASE_AWAY:
                raise
            except Exception as error:
                log.exception("start_failed")
                self._end_unstarted(run, ExitRecord.unexpected(error))
            else:
                self._watched[run.pk] = supervision.watch(run, directory)

    def _is_to_stop(self, run: TaskRun) -> bool:
        """Tell whether a person wants it stopped that has shaken hands and not begun: others were started before it."""
        asked = Q(cancel_requested_at__isnull=False) | Q(is_held=True)
        return Task.objects.filter(asked, pk=run.task_id).exists()

    def _end_unstarted(self, run: TaskRun, record: ExitRecord) -> None:
        try:
            finish_run(run, record)
        except StaleRun:  # it took longer than the lease
            record_stale(run, action="start")

    def _forget(self, watched: Watch) -> None:
        watched.close()
        self._watched.pop(watched.run.pk, None)

    def _batch(self) -> int:
        left = planning.BATCH if self._starts_left is None else self._starts_left
        return max(0, min(planning.BATCH, left))

    def _is_exhausted(self) -> bool:
        """Tell whether `max_runs` are started and ended."""
        return self._starts_left is not None and self._starts_left <= 0 and not self._watched

    def _is_idle(self) -> bool:
        """Tell whether only people, or other schedulers, could bring more work."""
        landing_due = Task.objects.filter(approved_at__isnull=False, status=TaskStatus.REVIEW)
        return not self._watched and not landing_due.exists() and planning.next_due() is None

    def _nap_s(self) -> float:
        """Return how long to sleep at most: short while agents write, else until something comes due."""
        due = planning.next_due() if self._agenda.is_timed else None
        longest = settings.POLL_S if self._watched else settings.TICK_S
        return max(0.01, min(longest, due if due is not None else longest))

    def _round(self, *, once: bool) -> float | None:
        """Tick, and return for how long to sleep then; None when this was the last round.

        While the database is away claim nothing, let the agents work, and try again.
        """
        reconnect()
        try:
            if self.tick():
                return 0.0
            return None if self._is_exhausted() or (once and self._is_idle()) else self._nap_s()
        except DATABASE_AWAY as error:
            log.error("database_unavailable", error=str(error))
            connection.close()
            return min(settings.TICK_S, 1.0)

    def _leave(self) -> None:
        """Stop, leaving the agents to the next scheduler unless they are to stop as well."""
        if self._is_draining and self._watched:
            self._await_second_call()
        if self._stop_agents:
            self._end_agents()
        self._heartbeat.stop()  # it would enter us again
        log.info("scheduler_stopped", owner=self._owner, agents_left=len(self._watched))
        with contextlib.suppress(*DATABASE_AWAY):
            schedulers.leave(self._scheduler)
        for watched in self._watched.values():
            watched.close()

    def _await_second_call(self) -> None:
        log.info("scheduler_draining", owner=self._owner, agents_left=len(self._watched))
        with contextlib.suppress(*DATABASE_AWAY):
            self._heartbeat.beat()  # for everybody to see
        until = time.monotonic() + SECOND_CALL_S
        while not self._stop_agents and time.monotonic() < until:
            time.sleep(0.05)

    def _end_agents(self) -> None:
        """Ask every runner to stop at a safe point and carry over how they ended."""
        for watched in self._watched.values():
            supervision.tell(watched, "interrupt")
        deadline = time.monotonic() + 2 * settings.STOP_GRACE_S
        while self._watched and time.monotonic() < deadline:
            with contextlib.suppress(*DATABASE_AWAY):
                self._look_after_all()
            time.sleep(settings.POLL_S)
        for watched in self._watched.values():
            processes.end_processes(processes.tagged(watched.directory.tag), settings.STOP_GRACE_S)

    def drain(self) -> None:
        """First call: stop claiming and leave. Second: stop the agents too."""
        self._stop_agents = self._stop_agents or self._is_draining
        self._is_draining = True
