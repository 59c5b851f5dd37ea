"""Pass on to the agent what is said to it in the middle of its turn: nudges, and words of a person."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from llm.contract import AgentClient, ClientFailed
from runtime.runner.state import RunState
from runtime.runner.watch import POLL_S


async def pass_on(state: RunState, client: AgentClient) -> None:
    """Say each message once, in the order in which they were left. Ends when it is cancelled."""
    number = 1
    while True:
        found = state.directory.received(f"nudge-{number}")
        if found is None:
            await asyncio.sleep(POLL_S)
            continue
        number += 1
        if state.is_over:
            continue
        text = str(found.get("text", ""))
        state.journal.system("nudge", text=text)
        state.remarks += 1
        # A client that is gone ends the run by itself.
        with suppress(ClientFailed):
            await client.remark(text)
