"""Threads for requests that stay, each with its connection to the database.

Django gives each request a thread of its own, and with it a connection of its own: to open one takes longer than most requests.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from asgiref.sync import ThreadSensitiveContext

# More at once than that are seldom, and then have a thread for themselves as with Django alone.
KEPT = 16


class KeptThreads:
    """Runs an ASGI application whose synchronous code runs in one of a few threads, a request at a time."""

    def __init__(self, application: Any) -> None:
        self._application = application
        self._idle = [ThreadPoolExecutor(max_workers=1, thread_name_prefix="request") for _ in range(KEPT)]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if not self._idle:
            await self._application(scope, receive, send)
            return
        # The one used last: its connection is the least likely to have been closed meanwhile.
        loan = [self._idle.pop()]

        async def send_on(message: Any) -> None:
            await send(message)
            if message["type"] == "http.response.body" and message.get("more_body"):
                # What follows may take days, and needs the thread for moments only: others may use it in between.
                self._take_back(loan)

        try:
            async with ThreadSensitiveContext(executor=loan[0]):
                await self._application(scope, receive, send_on)
        finally:
            self._take_back(loan)

    def _take_back(self, loan: list[ThreadPoolExecutor]) -> None:
        while loan:
            self._idle.append(loan.pop())
