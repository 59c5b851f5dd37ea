"""Which end of a turn is that of the prompt: the client, with an SDK that says what a test wants it to say."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from claude_agent_sdk import ResultMessage

from llm import operator_settings
from llm.claude_code import client
from llm.claude_code.client import ClaudeCodeClient
from llm.contract import ClientSetup, ToolAnswer, ToolHandlers, TurnEnded

DEADLINE_S = 30.0


class FakeSDK:
    """Stands where the SDK's client would: it hears messages, and has results to tell."""

    def __init__(self, options: object) -> None:
        self.heard: list[str] = []
        self._results: asyncio.Queue[ResultMessage] = asyncio.Queue()

    async def connect(self) -> None: ...

    async def disconnect(self) -> None: ...

    async def query(self, lines: AsyncIterator[dict[str, Any]]) -> None:
        self.heard += [line["uuid"] async for line in lines]

    async def receive_messages(self) -> AsyncIterator[ResultMessage]:
        while True:
            yield await self._results.get()

    def end_turn(self, text: str, heard: list[str] | None, *, is_error: bool = False) -> None:
        """End a turn in which these messages were heard."""
        said = ResultMessage(
            subtype="success",
            duration_ms=1,
            duration_api_ms=1,
            is_error=is_error,
            num_turns=1,
            session_id="s",
            result=text,
            user_message_uuids=heard,
        )
        self._results.put_nowait(said)


class Talk:
    """A client in a turn: prompted once, and told something since."""

    def __init__(self, tmp_path: Path) -> None:
        self.is_over = False
        setup = ClientSetup(
            workspace=tmp_path,
            scratch=tmp_path,
            launcher=(),
            model="",
            system_append="",
            session_id="s",
            is_resumed=False,
            permission_mode="dontAsk",
            allowed_tools=(),
            max_turns=0,
            max_cost_usd=0,
            session_cost_usd=0,
        )
        handlers = ToolHandlers(finish=_no, block=_no, ask=_no, is_over=lambda: self.is_over)
        self.client = ClaudeCodeClient(setup, handlers, _allow)

    async def begin(self) -> FakeSDK:
        await self.client.start()
        await self.client.prompt("Do it.")
        await self.client.remark("Try something else.")
        sdk = self.client._sdk
        assert isinstance(sdk, FakeSDK)
        return sdk

    async def turn(self) -> str:
        """Return what was said at the end of the prompt's turn, or what failed."""
        async with asyncio.timeout(DEADLINE_S):
            async for update in self.client.updates():
                if isinstance(update, TurnEnded):
                    return update.failure.message if update.failure else update.text
        raise AssertionError("the client has gone")


async def _no(*_given: object) -> ToolAnswer:
    return ToolAnswer(text="")


async def _allow(_tool: str, _given: object) -> None: ...


@pytest.fixture
def talk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Talk:
    monkeypatch.setattr(client, "ClaudeSDKClient", FakeSDK)
    monkeypatch.setattr(operator_settings, "client_path", lambda: tmp_path / "claude")
    return Talk(tmp_path)


def test_turn_of_a_remark_does_not_end_that_of_the_prompt(talk: Talk) -> None:
    async def said() -> str:
        sdk = await talk.begin()
        prompt, remark = sdk.heard
        sdk.end_turn("I hear you.", [remark])
        sdk.end_turn("Done.", [prompt])
        return await talk.turn()

    assert asyncio.run(said()) == "Done."


def test_turn_that_took_in_prompt_and_remark_is_the_prompts(talk: Talk) -> None:
    async def said() -> str:
        sdk = await talk.begin()
        sdk.end_turn("Both heard.", list(reversed(sdk.heard)))
        return await talk.turn()

    assert asyncio.run(said()) == "Both heard."


def test_turn_that_names_nobody_is_the_prompts(talk: Talk) -> None:
    async def said() -> str:
        sdk = await talk.begin()
        sdk.end_turn("An older client.", None)
        return await talk.turn()

    assert asyncio.run(said()) == "An older client."


def test_who_reports_in_the_turn_of_a_remark_is_not_waited_for_any_longer(talk: Talk) -> None:
    async def said() -> str:
        sdk = await talk.begin()
        talk.is_over = True
        sdk.end_turn("Reported.", [sdk.heard[1]])
        return await talk.turn()

    assert asyncio.run(said()) == "Reported."


def test_provider_that_fails_in_the_turn_of_a_remark_has_failed(talk: Talk) -> None:
    async def said() -> str:
        sdk = await talk.begin()
        sdk.end_turn("Overloaded.", [sdk.heard[1]], is_error=True)
        return await talk.turn()

    assert asyncio.run(said()) == "Overloaded."
