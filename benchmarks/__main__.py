"""Measure: `python -m benchmarks [GROUP ...]`.

Prints one line per figure and leaves the same in `.results/latest.jsonl`. The exit status is 1 when a benchmark broke;
a figure that falls short of its goal says so in its verdict.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path

import django
from django.core.management import call_command

from benchmarks import harness
from tests.commands import STOPPED, run
from tests.environment import isolate

RESULTS = Path(__file__).parent / ".results" / "latest.jsonl"
INSIDE = "--inside"


def main(arguments: list[str]) -> int:
    """Run the groups one after the other, each in a process of its own."""
    names = arguments or harness.groups()
    if unknown := [name for name in names if name not in harness.groups()]:
        sys.stderr.write(f"no such group: {', '.join(unknown)}; there are {', '.join(harness.groups())}\n")
        return 2
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text("")
    try:
        statuses = [run(command, {}) for name in names for command in _commands(name)]
    except KeyboardInterrupt:
        return STOPPED
    return _report(sum(1 for status in statuses if status))


def _commands(group: str) -> list[list[str]]:
    """Return what measures a group: on the database of the environment, and for some on a PostgreSQL of their own as well."""
    command = [sys.executable, "-m", "benchmarks", INSIDE, group]
    on_postgres = [sys.executable, "-m", "tests.postgres", "--durable", "--", *command]
    return [command, on_postgres] if group in harness.ON_BOTH and "DATABASE_URL" not in os.environ else [command]


def inside(group: str) -> int:
    """Measure one group in this process."""
    with tempfile.TemporaryDirectory(prefix="bbb-bench-", ignore_cleanup_errors=True) as folder:
        isolate(Path(folder), LOG_LEVEL="WARNING")
        django.setup()
        call_command("migrate", verbosity=0)
        harness.measure(group, RESULTS)
    return 0


def _report(broken: int) -> int:
    verdicts = [json.loads(line)["verdict"] for line in RESULTS.read_text().splitlines()]
    short = verdicts.count("short")
    sys.stdout.write(f"\n{len(verdicts)} figures, {short} short of their goal, {broken} groups broken; see {RESULTS}\n")
    return 1 if broken else 0


if __name__ == "__main__":
    given = sys.argv[1:]
    sys.exit(inside(given[1]) if given[:1] == [INSIDE] else main(given))
