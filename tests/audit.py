"""After each test that uses the database the auditor has to find nothing, whatever the test did.

Tests of the apps below `runtime` put tasks into statuses by hand, since the runs that would lead there are not known to
them; they answer for the graph alone. A test that breaks rows on purpose is marked `breaks_invariants`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator

import pytest
from django.db import connection

from inbox.models import InboxItem
from orchestration.models import Task
from runtime.invariants import Difference, differences, graph_differences
from runtime.models import Slot
from tests.selection import uses_database

_AUDITORS: dict[str, Callable[[], list[Difference]]] = {
    "orchestration": graph_differences,
    "inbox": graph_differences,
    "runtime": differences,
    "tests": differences,
}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    result = yield
    auditor = _AUDITORS.get(item.path.relative_to(item.config.rootpath).parts[0])
    if auditor is not None and _can_be_audited(item) and item.get_closest_marker("breaks_invariants") is None:
        found = auditor()
        assert not found, "After the test the auditor finds:\n" + "\n".join(map(str, found))
    return result


def _can_be_audited(item: pytest.Item) -> bool:
    """Tell whether there is anything to look at, and still a transaction that can be asked."""
    return uses_database(item) and not connection.needs_rollback and _are_there_rows()


def _are_there_rows() -> bool:
    """Tell whether the auditor's answer is open: all that it compares belongs to a task, a slot or an item."""
    return any(model._default_manager.exists() for model in (Task, Slot, InboxItem))
