from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import transaction

from beebeebrain.tests.world import make_world


@pytest.fixture(scope="module")
def admin(django_db_setup: None, django_db_blocker: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[User]:
    """Make a small world and its admin, which are there for all tests of a file; each test undoes what it did to them."""
    with django_db_blocker.unblock(), transaction.atomic():
        yield make_world(tmp_path_factory.mktemp("world") / "repo")
        transaction.set_rollback(True)
