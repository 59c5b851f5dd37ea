"""Which tests run, and in which order.

`--only-database`: the tests that ask a database. The others had their turn on the first one, and would say the same; so would
those marked `one_database`, which `--also-one-database` brings back.
"""

from __future__ import annotations

import pytest

_FIXTURES = {"db", "transactional_db"}

# The files that take longest begin first, so that at the end no core waits for another. The order is random apart from that.
_LONG = {
    "beebeebrain/tests/test_schemathesis.py",
    "llm/tests/test_standin_client.py",
    "runtime/tests/test_dispatcher.py",
    "runtime/tests/test_runner_claude_code.py",
    "runtime/tests/test_state_machine.py",
    "tests/test_access.py",
    "tests/test_caps.py",
    "tests/test_demo.py",
    "tests/test_idempotency_killed.py",
    "tests/test_kill_anywhere.py",
    "tests/test_main_job.py",
    "tests/test_scheduler_lapse.py",
    "tests/test_scheduler_process.py",
    "tests/test_streams.py",
    "tests/test_up.py",
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
    items.sort(key=lambda item: item.nodeid.partition("::")[0] not in _LONG)


def uses_database(item: pytest.Item) -> bool:
    """Tell whether a test is marked `django_db`, or one of its fixtures asks for the database."""
    return item.get_closest_marker("django_db") is not None or bool(_FIXTURES & set(getattr(item, "fixturenames", ())))


def _says_the_same(item: pytest.Item) -> bool:
    return item.get_closest_marker("one_database") is not None
