"""Only the stream: `/events` is served by runtime/views/events.py, where it is known what events are about."""

from __future__ import annotations

from django.urls import path

from events.stream import StreamView

urlpatterns = [path("events/stream", StreamView.as_view(), name="event-stream")]
