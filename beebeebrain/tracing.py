"""The trace of a request: taken from `X-Trace-ID` or made, bound to its log lines and events, and sent back."""

from __future__ import annotations

from collections.abc import Callable

import structlog
from django.http import HttpRequest, HttpResponseBase

from events import trace

HEADER = "X-Trace-ID"


class TraceMiddleware:
    """Bind the trace for the time of a request. Stands behind django-structlog's, which clears what is bound."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        trace_id = trace.accepted(request.headers.get(HEADER))
        structlog.contextvars.bind_contextvars(trace_id=trace_id)
        response = self._get_response(request)
        response.headers[HEADER] = trace_id
        return response
