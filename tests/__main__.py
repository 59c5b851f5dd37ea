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

from tests.commands import STOPPED, run

MANAGE = ["python", "manage.py"]
TESTS = ["pytest", "-n", "auto", "--dist", "worksteal", "-q"]
# A server that is there already (DATABASE_URL in CI) is used; otherwise one is started for the occasion.
ON_POSTGRES = [] if os.environ.get("DATABASE_URL") else ["python", "-m", "tests.postgres", "--"]

PARTS: dict[str, list[list[str]]] = {
    "lint": [["ruff", "check", "."], ["ruff", "format", "--check", "."]],
    "types": [["mypy", "."]],
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
            for name in names:
                results[name] = _run_part(name, more, {"BBB_HOME": home, "BBB_PROFILE": "test"})
        except KeyboardInterrupt:
            results[name] = (STOPPED, 0.0)
    _report(results)
    return max(status for status, _ in results.values())


def _run_part(name: str, more: list[str], environment: Mapping[str, str | None]) -> tuple[int, float]:
    """Run a part's commands; return the worst exit status and the seconds it took."""
    sys.stdout.write(f"\n── {name} {'─' * (76 - len(name))}\n")
    began = time.monotonic()
    database = {} if name == "postgres" else {"DATABASE_URL": None}
    extra, strict = (more, {"PYTHONDEVMODE": "1"}) if name in ("sqlite", "postgres") else ([], {})
    status = max(run([*command, *extra], {**environment, **database, **strict}) for command in PARTS[name])
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
