"""All checks, or the named parts of them: `python -m tests [PART ...] [-- PYTEST ARGUMENTS]`.

Every part runs, also after one has failed; a table at the end says how each went. The exit status is 0 when all passed,
130 when a person stopped it.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Mapping

from tests.commands import STOPPED, run, run_together

MANAGE = ["python", "manage.py"]
# The longest of these uses one core only, so they run side by side.
TOGETHER = ("types", "lint", "imports", "migrations")
TESTS = ["pytest", "-n", "auto", "--dist", "worksteal", "-q"]
# What only costs time: sources compiled anew by each of the many processes that tests start, and a check of C code's memory.
QUICK: dict[str, str | None] = {"PYTHONDONTWRITEBYTECODE": None, "PYTHONMALLOC": "pymalloc"}
# A server that is there already (DATABASE_URL in CI) is used; otherwise one is started for the occasion.
ON_POSTGRES = [] if os.environ.get("DATABASE_URL") else ["python", "-m", "tests.postgres", "--"]

PARTS: dict[str, list[list[str]]] = {
    "lint": [["ruff", "check", "."], ["ruff", "format", "--check", "."]],
    # From nothing, as CI does: with its cache mypy has missed an error that it finds without.
    "types": [["mypy", "--no-incremental", "."]],
    "imports": [["lint-imports", "--no-logo"]],
    "migrations": [
        [*MANAGE, "makemigrations", "--check", "--dry-run"],
        [*MANAGE, "check", "--fail-level", "WARNING"],
    ],
    "sqlite": [TESTS],
    "postgres": [[*ON_POSTGRES, *TESTS, "--only-database"]],
}


def main(arguments: list[str]) -> int:
    """Run the parts and print the table."""
    cut = arguments.index("--") if "--" in arguments else len(arguments)
    names, more = arguments[:cut] or list(PARTS), arguments[cut + 1 :]
    if unknown := [name for name in names if name not in PARTS]:
        sys.stderr.write(f"no such part: {', '.join(unknown)}; there are {', '.join(PARTS)}\n")
        return 2
    results: dict[str, tuple[int, float]] = {}
    with tempfile.TemporaryDirectory(prefix="bbb-check-") as home:
        try:
            _run_together([name for name in names if name in TOGETHER], home, results)
            for name in names:
                if name not in TOGETHER:
                    results[name] = _run_part(name, more, {"BBB_HOME": home, "BBB_PROFILE": "test"})
        except KeyboardInterrupt:
            results[next((name for name in names if name not in results), names[-1])] = (STOPPED, 0.0)
    _report(results)
    return max(status for status, _ in results.values())


def _run_together(names: list[str], home: str, results: dict[str, tuple[int, float]]) -> None:
    """Run parts side by side, and note for each the worst exit status and the seconds until its last command ended."""
    began = time.monotonic()
    commands = [(name, command) for name in names for command in PARTS[name]]
    environment: dict[str, str | None] = {"BBB_PROFILE": "test", "DATABASE_URL": None, "PYTHONDONTWRITEBYTECODE": None}
    # To each a home of its own: the first start of an installation is made by one process alone.
    jobs = [(command, {**environment, "BBB_HOME": f"{home}/{number}"}) for number, (_, command) in enumerate(commands)]
    for index, status in run_together(jobs):
        name = commands[index][0]
        worst = max(status, results.get(name, (0, 0.0))[0])
        results[name] = (worst, time.monotonic() - began)


def _run_part(name: str, more: list[str], environment: Mapping[str, str | None]) -> tuple[int, float]:
    """Run a part's commands; return the worst exit status and the seconds it took."""
    sys.stdout.write(f"\n── {name} {'─' * (76 - len(name))}\n")
    began = time.monotonic()
    database = {} if name == "postgres" else {"DATABASE_URL": None}
    strict = {"PYTHONDEVMODE": "1", **QUICK}
    status = max(run([*command, *more], {**environment, **database, **strict}) for command in PARTS[name])
    return status, time.monotonic() - began


def _report(results: Mapping[str, tuple[int, float]]) -> None:
    lines = [f"{name:<12} {_verdict(status):<12} {took:7.1f} s" for name, (status, took) in results.items()]
    failed = sum(1 for status, _ in results.values() if status)
    summary = f"checks: {len(results) - failed} passed, {failed} failed"
    sys.stdout.write("\n".join(["", *lines, "", summary, ""]))


def _verdict(status: int) -> str:
    return "ok" if status == 0 else "stopped" if status == STOPPED else f"FAILED ({status})"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
