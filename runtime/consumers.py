"""The log of one run over WebSocket: what it has said, then what it says, until it is over."""

from __future__ import annotations

import asyncio

from channels.db import database_sync_to_async
from django.http import QueryDict

from events import hub
from events.consumers import StreamConsumer
from events.frames import text_of
from events.hub import Watch
from events.relay import BAD_QUERY, Heart, Refused
from events.relay import rights_of as rights_in_watch
from events.subscribing import Cursor, NotUnderstood, Query
from runtime.logtail import LogTail, Standing, Viewer, looking_at
from runtime.models import TaskRun
from security.access import Rights, visible

NOT_FOUND = 4404
_NOT_FOUND = (NOT_FOUND, "not_found", "There is no such run, or none that you may see.")


class LogQuery(Query):
    """Which lines: those behind `after`; of these, if `tail` is given, the last so many, and what follows."""

    after: Cursor = 0
    tail: Cursor | None = None


class RunLogConsumer(StreamConsumer):
    """Sends the lines of a run, as `GET /runs/{id}/logs` shows them."""

    async def stream(self) -> None:
        woken = asyncio.Event()
        async with self.watched(woken) as watch:
            project, standing = await self._find(rights_in_watch(watch))
            after = self._after(standing.log_seq)
            async with looking_at(self._run_id, standing, woken) as tail:
                await self._tell_hello(tail)
                await self._send_all(Viewer(tail, after=after), watch, project, woken)
                await self.tell(text_of({"type": "end", "seq": tail.ring.cursor, "status": tail.standing.status}))
        await self.close(code=1000)

    @property
    def _run_id(self) -> int:
        run_id: int = self.scope["url_route"]["kwargs"]["run_id"]
        return run_id

    async def _find(self, rights: Rights) -> tuple[int, Standing]:
        """Return the project of the run, and where the run is. Raises Refused."""
        found = await _seen_run(self._run_id, rights)
        if found is None:
            raise Refused(*_NOT_FOUND)
        return found

    def _after(self, last: int) -> int:
        """Return the line behind which to begin. Raises Refused."""
        try:
            query = LogQuery.of_query(QueryDict(self.scope["query_string"]))
        except NotUnderstood as why:
            raise Refused(BAD_QUERY, "bad_query", str(why)) from None
        # Beyond the end there is nothing yet that could be known.
        after = min(query.after, last)
        return after if query.tail is None else max(after, last - query.tail)

    async def _tell_hello(self, tail: LogTail) -> None:
        told = {"seq": tail.standing.log_seq, "status": tail.standing.status, "heartbeat_s": hub.HEARTBEAT_S}
        await self.tell(text_of({"type": "hello", "run": self._run_id, **told}))

    async def _send_all(self, viewer: Viewer, watch: Watch, project: int, woken: asyncio.Event) -> None:
        heart = Heart(woken)
        try:
            while not viewer.is_done:
                woken.clear()
                _require(rights_in_watch(watch), project)
                lines = await viewer.next()
                for line in lines:
                    await self.tell(line.text)
                if heart.is_due():
                    await self.tell(text_of({"type": "heartbeat", "seq": viewer.cursor}))
                if not lines and not viewer.is_done:
                    await woken.wait()
        finally:
            heart.stop()


def _require(rights: Rights, project: int) -> None:
    """Refuse to go on when the run may no longer be seen. Raises Refused."""
    if rights.projects is not None and project not in rights.projects:
        raise Refused(*_NOT_FOUND)


@database_sync_to_async
def _seen_run(run_id: int, rights: Rights) -> tuple[int, Standing] | None:
    runs = visible(TaskRun.objects.filter(pk=run_id), "task__project", rights.projects)
    found = runs.values_list("task__project", "status", "log_seq").first()
    return None if found is None else (found[0], Standing(found[1], found[2]))
