"""Take our guards away, one at a time, and see that a named test fails: `python -m tests.mutants [WORD ...]`.

Each mutant is applied to a copy of the tree; only its test runs there. A mutant that survives is a guard that nothing
proves. With words, only the mutants whose names contain one of them. The exit status is 0 when all were found.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tests.commands import ROOT, STOPPED

Vendor = Literal["sqlite", "postgresql"]

_FOUND, _SURVIVED = 1, 0  # as pytest exits: a test has failed, all have passed


@dataclass(frozen=True)
class Mutant:
    """A change of one place in a file, and the test that has to fail with it."""

    name: str
    path: str
    old: str
    new: str
    test: str
    """Such as `runtime/tests/test_claims.py::test_a_task_is_claimed_once`."""
    database: Vendor = "sqlite"
    """PostgreSQL for what SQLite's one writer makes impossible anyway."""

    def apply(self, root: Path) -> None:
        """Change the file below `root`. Raises Stale."""
        target = root / self.path
        text = target.read_text() if target.exists() else ""
        if text.count(self.old) != 1:
            raise Stale(f"{self.name}: {self.path} holds {self.old!r} {text.count(self.old)} times; once is expected.")
        target.write_text(text.replace(self.old, self.new))


class Stale(Exception):
    """The code has moved on from what a mutant changes. Bring the mutant up to it."""


_RACES = "runtime/tests/test_interventions_races.py"
_POINTS = "runtime/tests/test_race_points.py"
_LOCKS = "runtime/tests/test_race_points_locks.py"
_FINISHING = "runtime/tests/test_finishing.py"
_TOGETHER = "runtime/tests/test_finishing_together.py"

MUTANTS = [
    Mutant(
        "a move of a run is not fenced by its epoch",
        "runtime/services/moves.py",
        "status__in=sources(to), epoch=run.epoch)",
        "status__in=sources(to))",
        f"{_FINISHING}::test_an_older_epoch_blocks_nothing",
    ),
    Mutant(
        "a move of a run is not fenced by its owner",
        "runtime/services/moves.py",
        "rows = rows.filter(owner=run.owner)",
        "rows = rows.all()",
        f"{_FINISHING}::test_another_owner_blocks_nothing",
    ),
    Mutant(
        "the end of completed work is not fenced by its epoch",
        "runtime/services/completing.py",
        'for name in ("id", *_FENCE))',
        'for name in ("id", "owner"))',
        f"{_FINISHING}::test_an_older_epoch_finishes_nothing",
    ),
    Mutant(
        "the end of completed work is not fenced by its owner",
        "runtime/services/completing.py",
        'for name in ("id", *_FENCE))',
        'for name in ("id", "epoch"))',
        f"{_FINISHING}::test_another_owner_finishes_nothing",
    ),
    Mutant(
        "of several ends one may be lost",
        "runtime/services/completing.py",
        "if cursor.rowcount < len(ordered):",
        "if not cursor.rowcount:",
        f"{_TOGETHER}::test_nothing_is_written_when_one_was_superseded",
    ),
    Mutant(
        "of several handshakes one may be lost",
        "runtime/services/handshakes.py",
        "owner, *here) < len(alike):",
        "owner, *here) < 1:",
        f"{_TOGETHER}::test_a_handshake_is_made_by_all_or_none",
    ),
    Mutant(
        "several ends honour nothing that was asked for",
        "runtime/services/finishing.py",
        "if _honouring_intents(run, run.task, record).outcome not in COMPLETED:",
        "if record.outcome not in COMPLETED:",
        f"{_TOGETHER}::test_a_cancel_is_honoured_though_the_others_end_together",
    ),
    Mutant(
        "what was cancelled since its handshake is started all the same",
        "runtime/dispatcher.py",
        "if self._is_to_stop(run):",
        "if self._is_to_stop(run) is None:",
        "runtime/tests/test_dispatcher.py::test_a_task_that_is_cancelled_while_another_is_started_is_not_started",
    ),
    Mutant(
        "what a step lets go on waits for a hint that came before",
        "runtime/dispatcher.py",
        "if found.dispatch or any(done):",
        "if found.dispatch:",
        "runtime/tests/test_dispatcher.py::test_what_an_answer_lets_go_on_is_started_in_the_same_round",
    ),
    Mutant(
        "a file that took the place of the database's is not noticed",
        "runtime/database.py",
        "if before is None or before != _known.file:",
        "if _known.file is None:",
        "runtime/tests/test_database.py::test_a_file_that_took_the_place_of_the_one_before_is_what_is_read",
    ),
    Mutant(
        "work that changed nothing lands in the name of any approval",
        "orchestration/services/tasks.py",
        "task.approved_at is not None and task.approved_at == read.approved_at",
        "True",
        "runtime/tests/test_landing.py::test_an_approval_that_was_taken_back_lands_nothing_and_keeps_no_other",
    ),
    Mutant(
        "a move of a run does not look at its status",
        "runtime/services/moves.py",
        "pk=run.pk, status=before, status__in=sources(to),",
        "pk=run.pk,",
        f"{_POINTS}::test_a_retry_that_was_cancelled_just_before_is_not_promoted",
    ),
    Mutant(
        "what a run says is not fenced by its epoch",
        "runtime/services/moves.py",
        ".filter(pk=run.pk, epoch=run.epoch)",
        ".filter(pk=run.pk)",
        "runtime/tests/test_supervision.py::test_an_older_epoch_carries_nothing_over",
    ),
    Mutant(
        "tasks are locked in any order",
        "orchestration/services/locks.py",
        '.filter(pk__in=ids).order_by("id")',
        '.filter(pk__in=ids).order_by("-id")',
        f"{_LOCKS}::test_whoever_locks_several_tasks_begins_with_the_lowest_id",
        "postgresql",
    ),
    Mutant(
        "slots are locked in any order",
        "runtime/slots.py",
        '.filter(key__in=keys).order_by("key")',
        '.filter(key__in=keys).order_by("-key")',
        f"{_LOCKS}::test_whoever_locks_several_slots_begins_with_the_first_key",
        "postgresql",
    ),
    Mutant(
        "a claim looks at the status only",
        "runtime/services/claims.py",
        "return is_free and task.unmet_dependencies == 0 and not task.is_held",
        "return is_free",
        f"{_POINTS}::test_a_task_that_was_held_since_the_plan_is_not_claimed",
    ),
    Mutant(
        "a claim does not look at dependencies",
        "runtime/services/claims.py",
        "return is_free and task.unmet_dependencies == 0 and not task.is_held",
        "return is_free and not task.is_held",
        f"{_POINTS}::test_a_task_that_was_given_a_dependency_since_the_plan_is_not_claimed",
    ),
    Mutant(
        "a claim does not look at the reviews that wait",
        "runtime/services/claims.py",
        "return left is None or left > 0",
        "return True",
        "runtime/tests/test_claims.py::test_the_cap_of_reviews_holds_though_another_scheduler_has_claimed_since_the_plan",
    ),
    Mutant(
        "slots are taken without a lock",
        "runtime/slots.py",
        'Slot.objects.select_for_update().filter(key__in=keys).order_by("key")',
        'Slot.objects.filter(key__in=keys).order_by("key")',
        f"{_LOCKS}::test_the_last_slot_is_given_once_though_both_want_it",
        "postgresql",
    ),
    Mutant(
        "a hint is sent before the commit",
        "events/services.py",
        "transaction.on_commit(wakeup.hint, robust=True)",
        "wakeup.hint()",
        f"{_LOCKS}::test_a_hint_comes_behind_the_commit_and_none_for_what_is_undone",
    ),
    Mutant(
        "the log is written without its lock",
        "events/services.py",
        'cursor.execute(f"SET CONSTRAINTS ALL IMMEDIATE; SELECT pg_advisory_xact_lock({_LOG_LOCK})")',
        "pass",
        f"{_LOCKS}::test_an_event_is_not_overtaken_between_its_id_and_its_commit",
        "postgresql",
    ),
    Mutant(
        "the stream is read by id, and the log written without its lock",
        "events/services.py",
        'cursor.execute(f"SET CONSTRAINTS ALL IMMEDIATE; SELECT pg_advisory_xact_lock({_LOG_LOCK})")',
        "pass",
        "events/tests/test_consumers.py::test_eight_writers_with_rollbacks_are_delivered_as_committed",
        "postgresql",
    ),
    Mutant(
        "a cursor is not held against the floor while the log is read",
        "events/subscriptions.py",
        "if floor(selection.wants) > after:",
        "if False:",
        "events/tests/test_subscribing.py::test_who_falls_behind_retention_while_reading_is_told_so",
    ),
    Mutant(
        "open streams do not hear that rights have changed",
        "events/hub.py",
        "watch.expire()",
        "pass",
        "events/tests/test_hub.py::test_a_revoked_token_ends_the_stream_at_once",
    ),
    Mutant(
        "rights that changed while the tail began are not asked anew",
        "events/tail.py",
        "Ring(floor=end, rights_cursor=end)",
        "Ring(floor=end)",
        "events/tests/test_hub.py::test_rights_that_change_before_the_first_reading_are_noticed",
    ),
    Mutant(
        "who listens dies with its connection",
        "events/wakeup.py",
        "with wrapper.wrap_database_errors:  # what",
        "if True:  # what",
        "tests/test_faults.py::test_who_listens_outlives_the_end_of_its_connection",
        "postgresql",
    ),
    Mutant(
        "to be told of a write is taken for a commit",
        "events/wakeup.py",
        "inotify.drain(self._watch)",
        "return True",
        "events/tests/test_wakeup.py::test_to_be_told_of_a_write_is_no_hint_without_a_commit",
    ),
    Mutant(
        "the audit chain is made without the log's lock",
        "events/services.py",
        'cursor.execute(f"SET CONSTRAINTS ALL IMMEDIATE; SELECT pg_advisory_xact_lock({_LOG_LOCK})")',
        "pass",
        "events/tests/test_chain_concurrent.py::test_writers_at_the_same_time_make_one_chain",
        "postgresql",
    ),
    Mutant(
        "the end of the audit chain is pruned",
        "events/retention.py",
        ".filter(chain_seq__lt=chain.head().seq)",
        "",
        "events/tests/test_retention.py::test_the_end_of_the_chain_stays",
    ),
    Mutant(
        "events are pruned and the floor stays",
        "events/retention.py",
        "    _raise_floor(rule.types, last)\n",
        "",
        "events/tests/test_retention.py::test_the_floor_is_the_newest_event_that_is_gone",
    ),
    Mutant(
        "what is undone within a unit of work leaves its events",
        "events/services.py",
        "del pending[mark:]",
        "pass",
        "events/tests/test_services.py::test_a_nested_unit_that_fails_takes_only_its_own_with_it",
    ),
    Mutant(
        "a take-over does not look at the lease",
        "runtime/leases.py",
        "owner=run.owner, lease_until=run.lease_until)",
        "owner=run.owner)",
        "runtime/tests/test_leases.py::test_a_scheduler_that_comes_back_in_time_keeps_its_run",
    ),
    Mutant(
        "a take-over does not look at the epoch",
        "runtime/leases.py",
        "pk=run.pk, epoch=run.epoch, owner=run.owner",
        "pk=run.pk, owner=run.owner",
        "runtime/tests/test_leases.py::test_another_start_of_the_run_is_not_taken_over",
    ),
    Mutant(
        "the end of a run does not honour what was asked for",
        "runtime/services/finishing.py",
        "_honouring_intents(run, task, record))",
        "record)",
        f"{_POINTS}::test_a_cancel_that_comes_before_the_end_decides_it",
    ),
    Mutant(
        "the end of a run keeps its slots",
        "runtime/services/finishing.py",
        "slots.give_back(held)",
        "pass",
        f"{_FINISHING}::test_slots_are_free_after_every_outcome",
    ),
    Mutant(
        "the next start has the same epoch",
        "runtime/services/claims.py",
        'epoch=F("epoch") + 1',
        'epoch=F("epoch")',
        f"{_FINISHING}::test_resume_continues_the_same_run_with_the_next_epoch",
    ),
    Mutant(
        "a task moves whatever its status",
        "orchestration/services/tasks.py",
        "pk=task.pk, status=task.status, status__in=sources(to)",
        "pk=task.pk",
        "orchestration/tests/test_tasks.py::test_second_of_two_stale_callers_loses",
    ),
    Mutant(
        "a command sees the task as it was read",
        "orchestration/services/interventions.py",
        "refuse_archived(lock_task(task))",
        "refuse_archived(task)",
        f"{_RACES}::test_a_cancel_during_a_claim_asks_the_process_to_stop",
        "postgresql",
    ),
    Mutant(
        "the graph is changed without its lock",
        "orchestration/services/locks.py",
        'cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [_GRAPH_LOCK, project_id % 2**31])',
        "pass",
        "orchestration/tests/test_graph_races.py::test_a_parent_finished_while_an_edge_to_it_is_made_releases_it",
        "postgresql",
    ),
    Mutant(
        "work lands in the name of any approval",
        "runtime/landing.py",
        "where=Q(approved_at=task.approved_at)",
        "where=Q()",
        "runtime/tests/test_landing.py::test_merged_work_does_not_end_a_task_that_was_approved_anew_meanwhile",
    ),
    Mutant(
        "a key may run a task twice",
        "runtime/services/running.py",
        "if key and task.runs.filter(idempotency_key=key).exists():",
        "if False:",
        f"{_RACES}::test_the_same_key_runs_a_task_once_however_many_use_it",
    ),
    Mutant(
        "a process is known by its pid alone",
        "runtime/processes.py",
        "return start_ticks(pid) == ticks",
        "return start_ticks(pid) is not None",
        "runtime/tests/test_recovery.py::test_a_process_that_is_not_the_runner_is_neither_adopted_nor_touched",
    ),
    Mutant(
        "a process is known whatever the boot",
        "runtime/processes.py",
        "if boot != boot_id():",
        "if False:",
        "tests/test_faults.py::test_after_another_boot_nothing_is_adopted_and_nothing_signalled",
    ),
    Mutant(
        "a run directory may be used twice",
        "runtime/rundir.py",
        "            path.mkdir(mode=0o700)\n",
        "            path.mkdir(mode=0o700, exist_ok=True)\n",
        "runtime/tests/test_starting.py::test_a_run_directory_that_is_there_is_somebody_elses",
    ),
    Mutant(
        "what a runner wrote last is not looked for again",
        "runtime/supervision.py",
        "if record := directory.exit():  # its last word",
        "if record := None:  # its last word",
        f"{_POINTS}::test_a_runner_that_ends_while_it_is_adopted_is_finished_once",
    ),
    Mutant(
        "the turn of a remark that came late is taken for the prompt's",
        "llm/claude_code/client.py",
        "bool(heard) and self._open not in heard",
        "False",
        "llm/tests/test_claude_code_client.py::test_turn_of_a_remark_does_not_end_that_of_the_prompt",
    ),
    Mutant(
        "who has reported is waited for as long as it talks",
        "runtime/runner/watch.py",
        "now - state.reported > REPORTED_S",
        "now - state.heard > REPORTED_S",
        "runtime/tests/test_runner_session.py::test_who_has_reported_is_through_whether_the_turn_ends_or_not",
    ),
    Mutant(
        "answers that cannot be left hide the others",
        "runtime/services/answers.py",
        "while not told and (page := list(found.filter(pk__gt=last)[:PAGE])):",
        "if page := list(found[:PAGE]):",
        "runtime/tests/test_answers.py::test_answers_that_cannot_be_left_do_not_keep_others_from_it",
    ),
]


def has_test(root: Path, test: str) -> bool:
    """Tell whether there is a test of this name."""
    path, _, name = test.partition("::")
    source = root / path
    return source.exists() and bool(re.search(rf"^(?:async )?def {name}\(", source.read_text(), re.MULTILINE))


@contextmanager
def copied() -> Iterator[Path]:
    """Give a copy of the tree, as git sees it: what is committed and what is new."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    with tempfile.TemporaryDirectory(prefix="bbb-mutants-") as name:
        root = Path(name)
        for path in filter(None, listed.stdout.split("\0")):
            if (ROOT / path).is_file():
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / path, root / path)
        yield root


def check(root: Path, tests: Iterable[str], environment: Mapping[str, str]) -> tuple[int, str]:
    """Run tests in a copy; return how pytest exits and what it says."""
    arguments = ["-q", "-x", "-p", "no:cacheprovider", "--timeout", "90", "--tb", "line", "--show-capture", "no"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *arguments, *tests],
        check=False,
        cwd=root,
        env={**environment, "BBB_PROFILE": "test", "PYTHONDONTWRITEBYTECODE": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return done.returncode, done.stdout


def try_out(mutant: Mutant, root: Path, environment: Mapping[str, str]) -> str:
    """Apply a mutant to the copy, run its test, and put the file back. Return the verdict: `found` is what is wanted."""
    target = root / mutant.path
    whole = target.read_text()
    try:
        mutant.apply(root)
        status, output = check(root, [mutant.test], environment)
    except Stale as error:
        return f"stale: {error}"
    finally:
        target.write_text(whole)
    return {_FOUND: "found", _SURVIVED: "SURVIVED"}.get(status) or f"broken ({status}): {output[-600:]}"


@contextmanager
def environments(vendors: set[Vendor]) -> Iterator[dict[Vendor, dict[str, str]]]:
    """Give the environment for the tests on each database, with a server of PostgreSQL where one is wanted."""
    from tests.postgres import server

    plain = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    if "postgresql" not in vendors:
        yield {"sqlite": plain}
        return
    with server() as url:
        yield {"sqlite": plain, "postgresql": plain | {"DATABASE_URL": url}}


def main(words: list[str]) -> int:
    """Try the mutants out and print the table."""
    chosen = [mutant for mutant in MUTANTS if not words or any(word in mutant.name for word in words)]
    with copied() as root, environments({mutant.database for mutant in chosen}) as places:
        for vendor, environment in places.items():
            tests = {mutant.test for mutant in chosen if mutant.database == vendor}
            status, output = check(root, sorted(tests), environment) if tests else (0, "")
            if status:
                sys.stdout.write(f"Without any mutant these tests fail on {vendor} already:\n{output[-3000:]}\n")
                return 1
        verdicts = {mutant.name: _try_aloud(mutant, root, places[mutant.database]) for mutant in chosen}
    survivors = [name for name, verdict in verdicts.items() if verdict != "found"]
    sys.stdout.write(f"\nmutants: {len(verdicts) - len(survivors)} found, {len(survivors)} not\n")
    return 1 if survivors or not chosen else 0


def _try_aloud(mutant: Mutant, root: Path, environment: Mapping[str, str]) -> str:
    began = time.monotonic()
    verdict = try_out(mutant, root, environment)
    line = f"{verdict:<9} {mutant.name:<64} {mutant.database:<11} {time.monotonic() - began:5.1f} s  {mutant.test}\n"
    sys.stdout.write(line)
    sys.stdout.flush()
    return verdict


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(STOPPED)
