from __future__ import annotations

from typing import Any

import pytest
from channels.testing import WebsocketCommunicator

from beebeebrain.asgi import application
from events.tests.streams import PATIENCE_S, Headers, connected, frame_of, session_headers, settle
from security.roles import Role
from security.tests.factories import make_user

pytestmark = pytest.mark.django_db(transaction=True)

routes: Any = application


@pytest.fixture
def viewer(transactional_db: None) -> Headers:
    return session_headers(make_user(Role.VIEWER))


async def test_the_stream_of_events_has_its_address(viewer: Headers) -> None:
    async with connected("", viewer, application=routes) as stream:
        assert (await frame_of(stream))["type"] == "hello"
    await settle()


async def test_other_addresses_lead_nowhere(viewer: Headers) -> None:
    communicator = WebsocketCommunicator(routes, "/ws/honey/", headers=viewer)
    is_accepted, _ = await communicator.connect(timeout=PATIENCE_S)
    assert not is_accepted
    await communicator.disconnect(timeout=PATIENCE_S)
    await settle()
