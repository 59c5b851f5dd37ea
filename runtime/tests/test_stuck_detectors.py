"""The detectors: what they say about traces made up here, and about those that were recorded."""

from __future__ import annotations

import itertools
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.stuck import errors, idle, repeats, traces
from runtime.stuck.findings import Finding, Kind, Thresholds
from runtime.stuck.fingerprints import fingerprint
from runtime.stuck.traces import Line, Step
from runtime.tests.runners import CODE
from runtime.tests.stuck_corpus import Labelled, corpus, found_in, score
from runtime.tests.trace_scripts import SCRIPTS

BEGIN = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
LIMITS = Thresholds()
TRACES = corpus()


class Log:
    """A run's log that is written by a test."""

    def __init__(self) -> None:
        self.lines: list[Line] = []

    def add(self, kind: str, **body: Any) -> Log:
        at = BEGIN + timedelta(seconds=len(self.lines))
        self.lines.append(Line(seq=len(self.lines) + 1, at=at, kind=kind, body=body))
        return self

    def call(self, command: str, result: str | None = "ok", *, name: str = "Bash", is_error: bool = False) -> Log:
        """Add a call and its result; with None it is still under way."""
        id_ = f"call-{len(self.lines)}"
        self.add("tool_call", id=id_, name=name, input={"command": command})
        return self if result is None else self.add("tool_result", id=id_, text=result, is_error=is_error)

    def calls(self, *pairs: tuple[str, str], is_error: bool = False) -> Log:
        for command, result in pairs:
            self.call(command, result, is_error=is_error)
        return self

    def repeat(self) -> Finding | None:
        return repeats.find(traces.read(self.lines), LIMITS)

    def errors(self) -> Finding | None:
        return errors.find(traces.read(self.lines), LIMITS)

    def idle(self, silence_s: float) -> Finding | None:
        return idle.find(traces.read(self.lines, silence_s=silence_s), LIMITS)


def step(command: str = "make", result: str = "ok", **fields: Any) -> Step:
    return Step(id="1", seq=1, at=BEGIN, name="Bash", input={"command": command}, text=result, **fields)


# The recorded runs


@pytest.mark.parametrize("trace", [trace for trace in TRACES if not trace.is_stuck], ids=lambda trace: trace.name)
def test_no_moment_of_a_healthy_run_raises_an_alarm(trace: Labelled) -> None:
    assert found_in(trace) == set(), trace.why


@pytest.mark.parametrize("trace", [trace for trace in TRACES if trace.is_stuck], ids=lambda trace: trace.name)
def test_a_stuck_run_is_found_as_what_it_is(trace: Labelled) -> None:
    assert found_in(trace) == trace.is_stuck, trace.why


@pytest.mark.parametrize("kind", list(Kind))
def test_precision_and_recall_of_each_detector_are_whole(kind: Kind) -> None:
    result = score(kind)
    assert (result.precision, result.recall) == (1.0, 1.0)
    assert result.hits >= 2


def test_the_corpus_is_what_the_scripts_say() -> None:
    said = {script.name: (script.why, frozenset(script.is_stuck)) for script in SCRIPTS}
    assert {trace.name: (trace.why, trace.is_stuck) for trace in TRACES} == said


def test_detectors_need_no_django() -> None:
    code = "import sys, runtime.stuck.detectors; sys.exit('django' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=CODE, check=False).returncode == 0


# Repeat


def test_the_same_call_with_the_same_result_is_a_loop() -> None:
    found = Log().calls(*[("make", "error 1")] * 12).repeat()
    assert found is not None
    assert found.evidence["calls"] == [{"call": 'Bash {"command": "make"}', "count": 12}]
    assert found.evidence["last_result"] == "error 1"
    assert found.seq == 24 and found.since == BEGIN


@pytest.mark.parametrize("length", [1, 2, 3, 4])
def test_a_cycle_is_found_whatever_its_length_up_to_a_third_of_the_window(length: int) -> None:
    cycle = itertools.islice(itertools.cycle([(f"step {n}", "same") for n in range(length)]), 12)
    assert Log().calls(*cycle).repeat() is not None


def test_a_call_whose_result_changes_is_no_loop() -> None:
    assert Log().calls(*[("tail -1 build.log", f"compiling cell {n}") for n in range(20)]).repeat() is None


def test_fewer_calls_than_the_window_holds_say_nothing() -> None:
    assert Log().calls(*[("make", "ok")] * 11).repeat() is None


def test_what_was_done_in_an_earlier_turn_does_not_count() -> None:
    log = Log().calls(*[("make", "ok")] * 11).add("system", type="session", session_id="s").calls(("make", "ok"))
    assert log.repeat() is None


@given(st.lists(st.from_regex(r"[a-z]{6,12}", fullmatch=True), min_size=1, max_size=60, unique=True), st.booleans())
def test_a_trace_whose_results_all_differ_never_repeats(words: list[str], is_error: bool) -> None:
    assert Log().calls(*[("make", word) for word in words], is_error=is_error).repeat() is None


@given(st.lists(st.booleans(), min_size=13, max_size=60))
def test_as_long_as_less_than_the_share_fails_errors_are_no_finding(outcomes: list[bool]) -> None:
    log = Log()
    for number, is_error in enumerate(outcomes):
        log.call(f"step {number}", is_error=is_error)
    assert (log.errors() is not None) == (sum(outcomes[-10:]) >= 8)


# What makes two steps the same


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Ran 8 tests in 0.012s", "Ran 8 tests in 1.4s"),
        ("built at 2026-01-05T09:00:00Z", "built at 2026-01-05T09:01:30.123+01:00"),
        ("Wed Nov 25 22:43:03 UTC 2026", "Wed Nov 25 22:43:59 UTC 2026"),
        ("done in 3 minutes", "done in 12 minutes"),
        ("pid 4711 exited", "pid 815 exited"),
        ("[1] 4711", "[1] 815"),
        ("/tmp/tmpab12cd34/a.log", "/tmp/tmpzz98yy76/a.log"),
        ("<object at 0x7f2a10c3>", "<object at 0x7f2a99ff>"),
        ("id 6b1f0c8e-3c1d-4b8e-9f55-0123456789ab", "id 00000000-3c1d-4b8e-9f55-0123456789ab"),
        ("\x1b[31mfailed\x1b[0m", "failed"),
        ("a  b\n", "a b"),
    ],
)
def test_what_varies_without_meaning_makes_no_difference(one: str, other: str) -> None:
    assert fingerprint(step(result=one)) == fingerprint(step(result=other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("7 failed", "6 failed"),
        ("[3/20] cell_3.c", "[4/20] cell_4.c"),
        ("42%", "43%"),
        ("/tmp/reports/1.txt", "/tmp/reports/2.txt"),
        ("line 12", "line 13"),
        ("v1.2.3", "v1.2.4"),
    ],
)
def test_what_means_something_makes_a_difference(one: str, other: str) -> None:
    assert fingerprint(step(result=one)) != fingerprint(step(result=other))


def test_what_an_agent_says_about_its_call_makes_no_difference() -> None:
    one, other = ({"command": "make  all", "description": words} for words in ("First.", "Again."))
    bare = {"command": "make all"}
    prints = {fingerprint(Step(id="1", seq=1, at=BEGIN, name="Bash", input=it, text="")) for it in (one, other, bare)}
    assert len(prints) == 1


def test_failing_and_succeeding_are_not_the_same() -> None:
    assert fingerprint(step()) != fingerprint(step(is_error=True))


# Errors


def test_nearly_only_failures_are_found() -> None:
    log = Log().calls(*[(f"guess {n}", "no such file") for n in range(9)], is_error=True).call("ls")
    found = log.errors()
    assert found is not None and found.evidence["share"] == 0.9


def test_a_few_failures_at_the_start_are_not_enough() -> None:
    assert Log().calls(*[(f"guess {n}", "no") for n in range(7)], is_error=True).errors() is None


def test_failures_amid_successes_are_no_finding() -> None:
    log = Log()
    for number in range(30):
        log.call(f"step {number}", is_error=number % 3 != 0)
    assert log.errors() is None


# Idle


def test_silence_is_found_when_it_is_longer_than_allowed() -> None:
    log = Log().call("make")
    assert log.idle(300) is None
    found = log.idle(301)
    assert found is not None and found.evidence["silence_s"] == 301


def test_a_tool_that_is_under_way_may_be_silent_for_longer() -> None:
    log = Log().call("make", None)
    assert log.idle(660) is None
    found = log.idle(661)
    assert found is not None and "while Bash is under way" in found.message


@pytest.mark.parametrize("name", ["mcp__bbb__request_input", "request_input", "mcp__bbb__finish_task"])
def test_who_waits_for_a_person_or_for_checks_is_never_idle(name: str) -> None:
    assert Log().call("x", None, name=name).idle(100_000) is None


def test_a_call_that_was_cut_off_in_an_earlier_start_is_not_under_way() -> None:
    log = Log().call("make", None).add("system", type="session", session_id="s")
    assert log.idle(301) is not None


def test_what_we_told_the_agent_is_no_sign_of_life() -> None:
    log = Log().call("make").add("system", type="nudge", text="Wake up.")
    found = log.idle(301)
    assert found is not None and found.seq == 2


def test_a_run_that_has_said_nothing_at_all_is_left_to_its_setup() -> None:
    assert Log().idle(100_000) is None
