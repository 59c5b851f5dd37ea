"""Look through the logs of running runs for agents that get nowhere. Reads a bounded tail of each."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

import structlog
from django.conf import settings

from events import trace
from runtime import leases
from runtime.database import DATABASE_AWAY
from runtime.models import RunLog, StuckFinding, TaskRun
from runtime.stuck import episodes, traces
from runtime.stuck.detectors import DETECTORS
from runtime.stuck.findings import Finding, Kind, Thresholds
from runtime.stuck.traces import Line

log = structlog.get_logger("bbb.runtime")

Known = Mapping[tuple[int, str], StuckFinding]

# Lines that are read for each call of a window: the call, its result, what is said and counted between two.
_LINES_PER_CALL = 16
_LEAST_LINES = 200


@dataclass(frozen=True)
class Sight:
    """How far a log was when it was seen, and when that was first so on this process's own clock."""

    epoch: int
    seq: int
    heard_seq: int
    """The last line of the agent's own."""
    heard_at: float


@dataclass
class Scanner:
    """The scan, and what it remembers from one look to the next. All that must not be lost is in the database."""

    clock: Callable[[], float] = time.monotonic
    _seen: dict[int, Sight] = field(default_factory=dict)

    def scan(self, actor: str) -> int:
        """Look at every running run; return how many nudges and questions that led to."""
        runs = list(TaskRun.objects.at_work().select_related("task"))
        known = StuckFinding.objects.filter(run__in=runs)
        findings = {(row.run_id, row.kind): row for row in known}
        self._seen = {run.pk: self._seen[run.pk] for run in runs if run.pk in self._seen}
        now = leases.now()
        return sum(self._look_safely(run, findings, now, actor) for run in runs)

    def _look_safely(self, run: TaskRun, known: Known, now: datetime, actor: str) -> int:
        with trace.bound(run.trace_id, run_id=run.pk, task_id=run.task_id, agent_id=run.agent_id):
            try:
                return self._look_at(run, known, now, actor)
            except DATABASE_AWAY:
                raise
            except Exception:
                # One log that cannot be read must not keep a scheduler from looking after all others.
                log.exception("stuck_scan_failed")
                return 0

    def _look_at(self, run: TaskRun, known: Known, now: datetime, actor: str) -> int:
        before = self._seen.get(run.pk)
        is_news = before is None or (before.epoch, before.seq) != (run.epoch, run.log_seq)
        is_quiet = before is not None and self.clock() - before.heard_at > _shortest_s()
        # A start that has said nothing yet is being set up, which has a limit of its own.
        if run.log_offset == 0 or not (is_news or is_quiet):
            return 0
        lines = _tail(run)
        quiet_s = self._quiet_s(run, lines)
        found = find(run, lines, known, quiet_s=quiet_s, now=now)
        return sum(episodes.take_up(run, finding, actor=actor) is not None for finding in found)

    def _quiet_s(self, run: TaskRun, lines: list[Line]) -> float:
        """Note how far the log is, and return for how long we have heard nothing new of the agent."""
        before, last = self._seen.get(run.pk), traces.read(lines).last
        heard_seq = last.seq if last else 0
        is_same = before is not None and (before.epoch, before.heard_seq) == (run.epoch, heard_seq)
        heard_at = before.heard_at if before is not None and is_same else self.clock()
        self._seen[run.pk] = Sight(run.epoch, run.log_seq, heard_seq, heard_at)
        return self.clock() - heard_at


def find(run: TaskRun, lines: list[Line], known: Known, *, quiet_s: float, now: datetime) -> list[Finding]:
    """Return what is found in the tail of a run's log, behind what was judged before.

    Its silence is what both clocks allow: the times in the log, which another host may have written, and for how long
    we have heard nothing new. So neither a clock that was set, nor a machine that was asleep, nor a scheduler that has
    just begun to look makes an agent silent.
    """
    last = traces.read(lines).last
    if last is None:
        return []
    silence_s = min(quiet_s, (now - last.at).total_seconds())
    limits = thresholds()
    found = []
    for kind, detect in DETECTORS.items():
        judged = known.get((run.pk, kind))
        recent = lines
        if kind != Kind.IDLE and judged is not None and judged.epoch == run.epoch:
            recent = [line for line in lines if line.seq > judged.seq]
        finding = detect(traces.read(recent, silence_s=silence_s), limits)
        found += [finding] if finding else []
    return found


def thresholds() -> Thresholds:
    """Return where healthy ends, by the settings."""
    return Thresholds(
        idle_timeout_s=settings.STUCK_IDLE_TIMEOUT_S,
        tool_timeout_s=settings.STUCK_TOOL_TIMEOUT_S,
        repeat_window=settings.STUCK_REPEAT_WINDOW,
        repeat_threshold=settings.STUCK_REPEAT_THRESHOLD,
        error_window=settings.STUCK_ERROR_WINDOW,
        error_min_calls=settings.STUCK_ERROR_MIN_CALLS,
        error_rate_threshold=settings.STUCK_ERROR_RATE_THRESHOLD,
    )


def _shortest_s() -> float:
    return min(settings.STUCK_IDLE_TIMEOUT_S, settings.STUCK_TOOL_TIMEOUT_S)


def _tail(run: TaskRun) -> list[Line]:
    window = max(settings.STUCK_REPEAT_WINDOW, settings.STUCK_ERROR_WINDOW)
    begin = run.log_seq - max(_LEAST_LINES, _LINES_PER_CALL * window)
    rows = RunLog.objects.filter(run=run, seq__gt=begin).order_by("seq")
    return list(_lines(rows.values_list("seq", "at", "kind", "body").iterator()))


def _lines(rows: Iterator[tuple[int, datetime, str, dict[str, object]]]) -> Iterator[Line]:
    for seq, at, kind, body in rows:
        yield Line(seq=seq, at=at, kind=kind, body=body)
