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

import psutil

from tests.commands import STOPPED, run, run_together

MANAGE = ["python", "manage.py"]
# The longest of these uses one core only, so they run side by side, and beside the first tests.
TOGETHER = ("types", "lint", "imports", "migrations")
FIRST_TESTS = "sqlite"
CORES = psutil.cpu_count(logical=False) or os.cpu_count() or 1
# Half as many again as there are cores, for many a test waits for processes. The variable is that of pytest's own `auto`.
WORKERS = os.environ.get("PYTEST_XDIST_AUTO_NUM_WORKERS") or str(CORES + (CORES + 1) // 2)
TESTS = ["pytest", "-n", WORKERS, "--dist", "worksteal", "-q"]
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
    together = [name for name in names if name in TOGETHER]
    if together and FIRST_TESTS in names:
        together.append(FIRST_TESTS)
    with tempfile.TemporaryDirectory(prefix="bbb-check-") as home:
        try:
            _run_together(together, more, home, results)
            for name in names:
                if name not in together:
                    results[name] = _run_part(name, more, home)
        except KeyboardInterrupt:
            results[next((name for name in names if name not in results), names[-1])] = (STOPPED, 0.0)
    _report(results)
    return max(status for status, _ in results.values())


def _run_together(names: list[str], more: list[str], home: str, results: dict[str, tuple[int, float]]) -> None:
    """Run parts side by side, and note for each the worst exit status and the seconds until its last command ended."""
    began = time.monotonic()
    commands = [(name, command) for name in names for command in _commands(name, more)]
    # To each a home of its own: the first start of an installation is made by one process alone.
    jobs = [
        (command, _environment(name) | {"BBB_HOME": f"{home}/{number}"})
        for number, (name, command) in enumerate(commands)
    ]
    # Whoever waits for tests wants to see how far they are.
    shown = {number for number, (name, _) in enumerate(commands) if name not in TOGETHER}
    for index, status in run_together(jobs, shown_at_once=shown):
        name = commands[index][0]
        worst = max(status, results.get(name, (0, 0.0))[0])
        results[name] = (worst, time.monotonic() - began)


def _run_part(name: str, more: list[str], home: str) -> tuple[int, float]:
    """Run a part's commands; return the worst exit status and the seconds it took."""
    sys.stdout.write(f"\n── {name} {'─' * (76 - len(name))}\n")
    began = time.monotonic()
    environment = _environment(name) | {"BBB_HOME": home}
    status = max(run(command, environment) for command in _commands(name, more))
    return status, time.monotonic() - began


def _commands(name: str, more: list[str]) -> list[list[str]]:
    return PARTS[name] if name in TOGETHER else [[*command, *more] for command in PARTS[name]]


def _environment(name: str) -> dict[str, str | None]:
    database: dict[str, str | None] = {} if name == "postgres" else {"DATABASE_URL": None}
    quick = {"PYTHONDONTWRITEBYTECODE": None} if name in TOGETHER else {"PYTHONDEVMODE": "1", **QUICK}
    return {"BBB_PROFILE": "test", **database, **quick}


def _report(results: Mapping[str, tuple[int, float]]) -> None:
    lines = [f"{name:<12} {_verdict(status):<12} {took:7.1f} s" for name, (status, took) in results.items()]
    failed = sum(1 for status, _ in results.values() if status)
    summary = f"checks: {len(results) - failed} passed, {failed} failed"
    sys.stdout.write("\n".join(["", *lines, "", summary, ""]))


def _verdict(status: int) -> str:
    return "ok" if status == 0 else "stopped" if status == STOPPED else f"FAILED ({status})"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
