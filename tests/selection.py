"""Which tests run, and in which order.

`--only-database`: the tests that ask a database. The others had their turn on the first one, and would say the same; so would
those marked `one_database`, which `--also-one-database` brings back.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import TypeVar

import pytest

T = TypeVar("T")

_FIXTURES = {"db", "transactional_db"}

# The files that take longest begin first, with each worker, so that at the end no core waits for another. The order is random
# apart from that.
_LONG = {
    "beebeebrain/tests/test_schemathesis.py",
    "llm/tests/test_standin_client.py",
    "runtime/tests/test_dispatcher.py",
    "runtime/tests/test_provider_faults.py",
    "runtime/tests/test_runner.py",
    "runtime/tests/test_runner_claude_code.py",
    "runtime/tests/test_runner_nudges.py",
    "runtime/tests/test_state_machine.py",
    "tests/test_access.py",
    "tests/test_caps.py",
    "tests/test_demo.py",
    "tests/test_idempotency_killed.py",
    "tests/test_kill_anywhere.py",
    "tests/test_load.py",
    "tests/test_main_job.py",
    "tests/test_runweb.py",
    "tests/test_scheduler_lapse.py",
    "tests/test_scheduler_process.py",
    "tests/test_streams.py",
    "tests/test_up.py",
    "tests/test_upgrade.py",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--only-database", action="store_true", help="leave out the tests that use no database")
    parser.addoption(
        "--also-one-database", action="store_true", help="with --only-database: also those that say the same"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--only-database"):
        is_all = config.getoption("--also-one-database")
        wanted = [item for item in items if uses_database(item) and (is_all or not _says_the_same(item))]
        config.hook.pytest_deselected(items=[item for item in items if item not in set(wanted)])
        items[:] = wanted
    items[:] = spread(items, _file, _LONG, workers=int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")))


def spread(items: Sequence[T], file_of: Callable[[T], str], long: set[str], *, workers: int) -> list[T]:
    """Return the items so that each of as many stretches as there are workers begins with some of the long files.

    pytest-xdist (`worksteal`) begins by giving each worker a stretch of the list, all of nearly the same length.
    """
    files = [list(group) for name, group in groupby(items, file_of) if name in long]
    others = [item for item in items if file_of(item) not in long]
    found: list[T] = []
    for number in range(workers):
        share = [item for file in files[number::workers] for item in file]
        size = (len(items) - len(found)) // (workers - number)
        rest = max(0, size - len(share))
        found += share + others[:rest]
        others = others[rest:]
    return found + others


def _file(item: pytest.Item) -> str:
    return item.nodeid.partition("::")[0]


def uses_database(item: pytest.Item) -> bool:
    """Tell whether a test is marked `django_db`, or one of its fixtures asks for the database."""
    return item.get_closest_marker("django_db") is not None or bool(_FIXTURES & set(getattr(item, "fixturenames", ())))


def _says_the_same(item: pytest.Item) -> bool:
    return item.get_closest_marker("one_database") is not None
