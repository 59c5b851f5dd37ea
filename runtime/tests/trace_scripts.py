"""What the agents of the labelled traces do, as scripts for the stand-in."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from runtime.stuck.findings import Kind

_USAGE = "[usage]\ninput_tokens = 1000\noutput_tokens = 100\n"
_TESTS = """import unittest
import prices

class Prices(unittest.TestCase):
"""


@dataclass(frozen=True, kw_only=True)
class Script:
    """One run: what is played, and what is true of it."""

    name: str
    why: str
    steps: list[str]
    is_stuck: tuple[Kind, ...] = ()
    files: dict[str, str] = field(default_factory=dict)
    request: dict[str, Any] = field(default_factory=dict)
    stretch: float = 1.0
    """How much longer than here a pause is in life."""
    stop_after_calls: int = 0
    stop_after_silence_s: float = 0
    answer_after_s: float = 0

    @property
    def text(self) -> str:
        return _USAGE + "\n".join(self.steps)

    @property
    def prompt(self) -> str:
        return "Work on the hive."


def step(*tools: tuple[str, dict[str, Any]], text: str = "", delay_s: float = 0, fault: str = "") -> str:
    """Return a step of a scenario."""
    given = {"text": text, "delay_s": delay_s, "fault": fault}
    lines = ["[[step]]", *(f"{name} = {json.dumps(value)}" for name, value in given.items() if value)]
    for name, arguments in tools:
        lines += ["[[step.tool]]", f"name = {json.dumps(name)}", "[step.tool.input]"]
        lines += [f"{key} = {json.dumps(value)}" for key, value in arguments.items()]
    return "\n".join(lines) + "\n"


def bash(command: str, **more: Any) -> tuple[str, dict[str, Any]]:
    return "Bash", {"command": command, **more}


def read(file: str) -> tuple[str, dict[str, Any]]:
    return "Read", {"file_path": f"{{cwd}}/{file}"}


def edit(file: str, old: str, new: str) -> tuple[str, dict[str, Any]]:
    return "Edit", {"file_path": f"{{cwd}}/{file}", "old_string": old, "new_string": new}


def write(file: str, content: str) -> tuple[str, dict[str, Any]]:
    return "Write", {"file_path": f"{{cwd}}/{file}", "content": content}


FINISH = step(("mcp__bbb__finish_task", {"summary": "Done.", "evidence": "The tests pass."}))
RUN_TESTS = "python3 -m unittest -q test_prices"


def each(calls: Iterable[tuple[str, dict[str, Any]]]) -> list[str]:
    return [step(call) for call in calls]


def _prices(count: int, wrong: int) -> str:
    return "".join(f"def p{n}():\n    return {'None' if n < wrong else n}\n\n" for n in range(count))


def _tests(count: int) -> str:
    return _TESTS + "".join(
        f"    def test_{n}(self):\n        self.assertEqual(prices.p{n}(), {n})\n\n" for n in range(count)
    )


def _test_fix_test(cycles: int) -> list[str]:
    mended = [
        (bash(RUN_TESTS), edit("prices.py", f"def p{n}():\n    return None", f"def p{n}():\n    return {n}"))
        for n in range(cycles)
    ]
    return [step(read("prices.py")), *each(call for pair in mended for call in pair), *each([bash(RUN_TESTS)])]


_PROJECT = {"prices.py": _prices(8, 8), "test_prices.py": _tests(8)}
_STATUS = """#!/bin/sh
n=$(( $(cat .n 2>/dev/null || echo 0) + 1 )); echo $n > .n
echo "[$n/20] compiling cell_$n.c"
"""

HEALTHY = [
    Script(
        name="healthy_parser",
        why="Reads, writes, tests, finishes.",
        files={"README.md": "# Hive\n"},
        steps=[
            step(read("README.md"), text="I look around."),
            step(bash("ls -la"), bash("cat README.md")),
            step(write("parser.py", "def parse(text):\n    return text.split()\n"), text="I write the parser."),
            step(bash("python3 -c 'import parser'")),
            FINISH,
        ],
    ),
    Script(
        name="healthy_many_reads",
        why="Near miss: one tool fifteen times, each time another file.",
        files={f"cell_{n}.py": f"CELL = {n}\n" for n in range(15)},
        steps=[
            *(step(*(read(f"cell_{n}.py") for n in range(start, start + 3))) for start in range(0, 15, 3)),
            FINISH,
        ],
    ),
    Script(
        name="healthy_test_fix_test",
        why="Near miss: the same test command again and again; each time one failure less.",
        files=_PROJECT,
        steps=[*_test_fix_test(8), FINISH],
    ),
    Script(
        name="healthy_same_check_between_edits",
        why="Near miss: the same look, with the same result, after each of many different changes.",
        files={"notes.md": "notes\n"},
        steps=[
            *each(
                call
                for n in range(8)
                for call in (bash(f"echo 'cell {n}' >> notes.md"), bash("wc -l < test_prices.py 2>/dev/null; ls"))
            ),
            FINISH,
        ],
    ),
    Script(
        name="healthy_polls_a_build",
        why="Near miss: asks for the state of a build sixteen times, which goes on all the while.",
        files={"status": _STATUS},
        steps=[*each(bash("./status") for _ in range(16)), FINISH],
    ),
    Script(
        name="healthy_some_failures",
        why="Near miss: a third of the calls fail.",
        files={"README.md": "# Hive\n"},
        steps=[
            *each(
                call
                for n in range(6)
                for call in (bash(f"cat cell_{n}.py"), bash(f"echo 'x={n}' > cell_{n}.py"), read(f"cell_{n}.py"))
            ),
            FINISH,
        ],
    ),
    Script(
        name="healthy_mostly_failures",
        why="Near miss: two of three calls fail on the way to what works.",
        files={"README.md": "# Hive\n"},
        steps=[
            *each(
                call
                for n in range(6)
                for call in (bash(f"./build-{n}"), bash(f"cat {n}.out"), bash(f"echo {n} | tee {n}.out"))
            ),
            FINISH,
        ],
    ),
    Script(
        name="healthy_three_failures",
        why="Near miss: everything so far has failed, but that is three calls.",
        files={},
        steps=[*each(bash(f"cat missing_{n}.txt") for n in range(3)), step(bash("ls")), FINISH],
    ),
]
SLOW = [
    Script(
        name="slow_thinking",
        why="Four minutes of silence before each step, and each is another.",
        stretch=150,
        steps=[*(step(bash(f"echo {n} > cell_{n}"), delay_s=1.5) for n in range(5)), FINISH],
    ),
    Script(
        name="slow_long_build",
        why="A build of nine minutes that says nothing.",
        stretch=140,
        steps=[step(bash("perl -e 'sleep 4'; echo built", timeout=600000)), step(bash("ls")), FINISH],
    ),
    Script(
        name="slow_checks",
        why="The checks that run when the agent is done take twenty minutes.",
        stretch=400,
        request={"checks": ["perl -e 'sleep 3'"]},
        steps=[step(bash("echo done > done.txt")), FINISH],
    ),
    Script(
        name="slow_answer",
        why="A question waits half an hour for a person.",
        stretch=600,
        answer_after_s=3,
        steps=[
            step(("mcp__bbb__request_input", {"question": "Which colour?"})),
            step(bash("echo blue > colour.txt")),
            FINISH,
        ],
    ),
]
STUCK = [
    Script(
        name="loop_of_one",
        why="Asks for the status over and over.",
        is_stuck=(Kind.REPEAT,),
        stop_after_calls=16,
        steps=[step(bash("ls -1; echo nothing to do"))],
    ),
    Script(
        name="loop_of_failing_tests",
        why="Runs the same failing tests, as if they would mend themselves; only the time they take differs.",
        is_stuck=(Kind.REPEAT, Kind.ERRORS),
        files=_PROJECT,
        stop_after_calls=16,
        steps=[step(bash("python3 -m unittest test_prices"))],
    ),
    Script(
        name="loop_of_two",
        why="A, B, A, B; with the time and a process id in what comes back.",
        is_stuck=(Kind.REPEAT,),
        files={"notes.md": "notes\n"},
        stop_after_calls=18,
        steps=[
            *each(
                call
                for n in range(12)
                for call in (bash("date; echo pid $$; cat notes.md"), bash("ls", description=f"Look once more, {n}."))
            )
        ],
    ),
    Script(
        name="loop_of_three",
        why="A, B, C, A, B, C; with the name of a temporary folder.",
        is_stuck=(Kind.REPEAT,),
        files={"notes.md": "notes\n"},
        stop_after_calls=18,
        steps=[
            *each(
                call
                for _ in range(8)
                for call in (
                    bash("d=$(mktemp -d /tmp/tmp.XXXXXXXX); echo $d; rmdir $d"),
                    bash("cat  notes.md"),
                    bash("python3 -c 'import time; print(time.time())'"),
                )
            )
        ],
    ),
    Script(
        name="loop_of_one_edit",
        why="Tries the same edit, which cannot be made.",
        is_stuck=(Kind.REPEAT, Kind.ERRORS),
        files={"notes.md": "notes\n"},
        stop_after_calls=15,
        steps=[step(read("notes.md")), step(edit("notes.md", "honey", "wax"))],
    ),
    Script(
        name="errors_all_different",
        why="Guesses at names, each of them wrong.",
        is_stuck=(Kind.ERRORS,),
        stop_after_calls=14,
        steps=[*each(bash(f"python3 -c 'import hive_{n}'") for n in range(30))],
    ),
    Script(
        name="errors_with_a_success",
        why="One call in ten works; it is the one that changes nothing.",
        is_stuck=(Kind.ERRORS,),
        files={"README.md": "# Hive\n"},
        stop_after_calls=16,
        steps=[
            step(read("README.md")),
            *each(
                bash(f"echo {n}") if n % 10 == 5 else read(f"cell_{n}.py") if n % 2 else bash(f"./build-{n}")
                for n in range(30)
            ),
        ],
    ),
    Script(
        name="idle_provider_silent",
        why="The provider never answers.",
        is_stuck=(Kind.IDLE,),
        stretch=150,
        stop_after_silence_s=3,
        steps=[step(bash("ls")), step(fault="silence")],
    ),
    Script(
        name="idle_tool_hangs",
        why="A command waits for something that never comes.",
        is_stuck=(Kind.IDLE,),
        stretch=150,
        stop_after_silence_s=6,
        steps=[step(bash("ls")), step(bash("perl -e 'sleep 60'", timeout=600000)), FINISH],
    ),
]

SCRIPTS = [*HEALTHY, *SLOW, *STUCK]
