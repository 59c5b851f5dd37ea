from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from beebeebrain.tests.cli.program import Bbb
from orchestration.models import Project
from orchestration.tests.factories import make_project
from security.roles import Role
from security.tests.factories import make_token, make_user


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Try the command line on one database: what the server behind it asks, the tests of the API ask on both."""
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker("one_database")


@pytest.fixture
def stranger(tmp_path: Path) -> Bbb:
    """Somebody who has not logged in."""
    return Bbb(tmp_path)


@pytest.fixture
def bbb(stranger: Bbb, live_server: Any) -> Bbb:
    """An administrator, with a token for a real server."""
    _, text = make_token(make_user(Role.ADMIN, username="ada"))
    stranger.environment = {"BBB_URL": live_server.url, "BBB_TOKEN": text}
    return stranger


@pytest.fixture
def project(tmp_path: Path, transactional_db: None) -> Project:
    return make_project(tmp_path / "repo", name="Hive", slug="hive")
