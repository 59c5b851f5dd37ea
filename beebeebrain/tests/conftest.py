from __future__ import annotations

import pytest
from django.contrib.auth.models import User

from beebeebrain.tests.world import make_world


@pytest.fixture(scope="module")
def admin(shared_rows: None, tmp_path_factory: pytest.TempPathFactory) -> User:
    """Make a small world and its admin, which are there for all tests of a file."""
    return make_world(tmp_path_factory.mktemp("world") / "repo")
