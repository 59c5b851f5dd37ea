"""What tests of streams begin with."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from events.tests.streams import Headers, session_headers, settle
from security.roles import Role
from security.tests.factories import make_user


@pytest_asyncio.fixture
async def settled(transactional_db: None) -> AsyncIterator[None]:
    """Wait at the end until nothing of a stream is left that would touch the next test's database."""
    yield
    await settle()


@pytest.fixture
def viewer(transactional_db: None) -> Headers:
    """What a logged-in viewer's browser sends."""
    return session_headers(make_user(Role.VIEWER))
