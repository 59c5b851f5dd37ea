"""What Channels offers by itself: a consumer in a group, over the layer in memory. Served like ours.

A socket that sends `COUNT TEXT` has the text sent so often to the group, and hears `done`.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings

# Nothing may be dropped for want of room: then nothing would be compared.
_LAYER = {"BACKEND": "channels.layers.InMemoryChannelLayer", "CONFIG": {"capacity": 1_000_000, "expiry": 600}}
settings.configure(CHANNEL_LAYERS={"default": _LAYER})

from channels.generic.websocket import AsyncWebsocketConsumer  # noqa: E402  (it reads the settings)
from channels.routing import ProtocolTypeRouter  # noqa: E402

GROUP = "all"


class GroupConsumer(AsyncWebsocketConsumer):
    async def connect(self) -> None:
        await self.accept()
        await self.send(text_data="hello")
        await self.channel_layer.group_add(GROUP, self.channel_name)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        await self.channel_layer.group_discard(GROUP, self.channel_name)
        count, _, text = (text_data or "").partition(" ")
        for number in range(int(count)):
            told = text if number == int(count) - 1 else text.replace("LAST", "more")
            await self.channel_layer.group_send(GROUP, {"type": "tell", "text": told})
        await self.send(text_data="done")

    async def disconnect(self, code: int) -> None:
        await self.channel_layer.group_discard(GROUP, self.channel_name)

    async def tell(self, message: dict[str, Any]) -> None:
        await self.send(text_data=message["text"])


application = ProtocolTypeRouter({"websocket": GroupConsumer.as_asgi()})
