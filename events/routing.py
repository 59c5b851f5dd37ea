"""Which WebSocket goes where."""

from __future__ import annotations

from django.urls import path

from events.consumers import EventConsumer

websocket_urlpatterns = [path("ws/events/", EventConsumer.as_asgi())]  # type: ignore[arg-type]
