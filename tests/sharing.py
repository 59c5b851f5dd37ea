"""Rows that are made once for all tests of a file: `shared_rows`, for fixtures of the whole file to ask for.

What a test does to them is undone after it, for each test has a savepoint in the file's transaction. Objects keep what was
done to them, so a test takes a copy (`copy.deepcopy`). Not for tests that commit (`transaction=True`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import transaction


@pytest.fixture(scope="module")
def shared_rows(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """Keep one transaction open for all tests of a file, and undo it after the last."""
    with django_db_blocker.unblock(), transaction.atomic():
        yield
        transaction.set_rollback(True)
