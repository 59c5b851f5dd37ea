"""Which WebSocket goes where."""

from __future__ import annotations

from django.urls import path

from runtime.consumers import RunLogConsumer

websocket_urlpatterns = [path("ws/runs/<int:run_id>/logs/", RunLogConsumer.as_asgi())]  # type: ignore[arg-type]
