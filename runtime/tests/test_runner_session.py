"""How a run ends when its client does not do its part: in this process, with clients that are made for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from llm import contract
from llm.contract import AgentClient, ClientSetup, PermissionPolicy, SystemNote, ToolHandlers, TurnEnded, Update
from runtime.rundir import RunDirectory
from runtime.runner import session, watch
from runtime.runner.journal import Journal
from runtime.runner.session import Session
from runtime.runner.state import Ending, RunState
from runtime.tests.runners import request

DEADLINE_S = 10.0


class _Client:
    """A client whose agent does what a test says in `_play`, and whose turn ends only if that says so."""

    prompts: list[str]

    def __init__(self, setup: ClientSetup, handlers: ToolHandlers, policy: PermissionPolicy) -> None:
        self.handlers = handlers
        self.prompts = []
        self._said: asyncio.Queue[Update | None] = asyncio.Queue()
        self._playing: set[asyncio.Task[None]] = set()

    async def start(self) -> None: ...

    async def prompt(self, text: str) -> None:
        self.prompts.append(text)
        self._playing.add(asyncio.create_task(self._play()))

    async def remark(self, text: str) -> None: ...

    async def updates(self) -> AsyncIterator[Update]:
        while (update := await self._said.get()) is not None:
            yield update

    async def interrupt(self) -> None: ...

    async def stop(self) -> None:
        for task in self._playing:
            task.cancel()
        self.say(None)

    def say(self, update: Update | None) -> None:
        self._said.put_nowait(update)

    async def _play(self) -> None:
        raise NotImplementedError


class _Silent(_Client):
    async def _play(self) -> None:
        await self.handlers.finish("All done.", "")


class _Chatty(_Client):
    async def _play(self) -> None:
        await self.handlers.finish("All done.", "")
        while True:
            self.say(SystemNote(text="One more thing …"))
            await asyncio.sleep(0.01)


class _Asking(_Client):
    async def _play(self) -> None:
        await asyncio.gather(self.handlers.ask("Is it?", []), self.handlers.finish("All done.", ""))
        self.say(TurnEnded())


@pytest.mark.parametrize("client", [_Silent, _Chatty, _Asking])
def test_who_has_reported_is_through_whether_the_turn_ends_or_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, client: type[AgentClient]
) -> None:
    monkeypatch.setattr(watch, "REPORTED_S", 0.05)
    monkeypatch.setattr(session, "TURN_END_S", 0.05)
    assert _ending(tmp_path, monkeypatch, client) == Ending(outcome="finished", message="All done.")


def _ending(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, client: type[AgentClient]) -> Ending:
    """Run a run that nothing else would end for a long time."""
    monkeypatch.setattr(contract, "client_class", lambda _provider: client)
    patient = {"timeout_s": 3600.0, "idle_timeout_s": 3600.0, "ask_wait_s": 3600.0}
    wanted = request(tmp_path, **patient)
    directory = RunDirectory.create(tmp_path / "runs" / "7.1", wanted)

    async def run() -> Ending:
        async with asyncio.timeout(DEADLINE_S):
            return await Session(RunState(request=wanted, directory=directory, journal=journal), environment={}).run()

    with Journal(directory.events_path) as journal:
        return asyncio.run(run())
