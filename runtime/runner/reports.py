"""Answer what the agent reports: finished (then the checks decide), blocked, or a question for a person."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path

from llm.contract import ToolAnswer, ToolHandlers
from runtime.runner import commands
from runtime.runner.commands import CommandResult
from runtime.runner.state import Ending, RunState

POLL_S = 0.1
_ALREADY = ToolAnswer(text="You have reported already. End your turn now.", is_error=True)


class Reports:
    """The handlers of the three tools by which an agent reports."""

    def __init__(self, state: RunState, *, environment: Mapping[str, str]) -> None:
        self._state = state
        self._environment = environment
        self._rounds = 0
        self._asked = 0
        self._checking = asyncio.Lock()

    def handlers(self) -> ToolHandlers:
        """Return what the client calls."""
        return ToolHandlers(finish=self.finish, block=self.block, ask=self.ask, is_over=lambda: self._state.is_over)

    async def finish(self, summary: str, evidence: str) -> ToolAnswer:
        """Run the checks; the work is finished when they pass, else their output goes back to the agent."""
        async with self._checking:
            if self._state.is_over:
                return _ALREADY
            self._state.journal.system("finish", summary=summary, evidence=evidence)
            with self._state.hold():
                failed = [result for result in await self._check() if not result.is_ok]
            if failed:
                return self._send_back(failed)
            self._state.accept(Ending(outcome="finished", message=summary))
            return ToolAnswer(text="The work is accepted. End your turn now.")

    async def block(self, reason: str, what_would_unblock: str) -> ToolAnswer:
        """Take note that the agent cannot go on."""
        if self._state.is_over:
            return _ALREADY
        message = f"{reason}\n\nWhat would unblock it: {what_would_unblock}" if what_would_unblock else reason
        self._state.journal.system("block", reason=message)
        self._state.accept(Ending(outcome="blocked", message=message))
        return ToolAnswer(text="Noted. End your turn now; you will go on in this session once it is unblocked.")

    async def ask(self, question: str, options: list[str]) -> ToolAnswer:
        """Put a question to a person. Waits a while for the answer, then has the run parked."""
        if self._state.is_over:
            return _ALREADY
        self._asked += 1
        ask_id = f"{self._state.request.epoch}.{self._asked}"
        self._state.journal.system("ask", ask_id=ask_id, question=question, options=options)
        with self._state.hold_for_person():
            answer = await self._answer(ask_id)
        if answer is None:
            self._state.accept(Ending(outcome="parked", message=ask_id))
            return ToolAnswer(text="Nobody has answered yet. End your turn now; the answer will be your next prompt.")
        self._state.journal.system("answer", ask_id=ask_id)
        return ToolAnswer(text=answer)

    async def _check(self) -> list[CommandResult]:
        results = []
        for command in self._state.request.checks:
            result = await commands.run_command(
                command,
                cwd=Path(self._state.request.workspace),
                environment=self._environment,
                launcher=commands.launcher(),
            )
            self._state.journal.system("check", command=command, exit_code=result.exit_code, text=result.text)
            results.append(result)
        return results

    def _send_back(self, failed: list[CommandResult]) -> ToolAnswer:
        said = "\n\n".join(f"$ {result.command}\nexit code {result.exit_code}\n{result.text}" for result in failed)
        left = self._state.request.max_check_rounds - self._rounds
        self._rounds += 1
        if left <= 0:
            self._state.accept(Ending(outcome="failed", code="checks_failed", message=said))
            return ToolAnswer(text=f"These checks still fail:\n\n{said}", is_error=True)
        advice = f"Mend it, then call finish_task again ({left} more tries)."
        return ToolAnswer(text=f"Not finished yet. These checks fail:\n\n{said}\n\n{advice}", is_error=True)

    async def _answer(self, ask_id: str) -> str | None:
        until = time.monotonic() + self._state.request.ask_wait_s
        while True:
            # Looked for once more after the wait: an answer that came in the last moment is not left unread.
            is_over = time.monotonic() >= until
            found = self._state.directory.received(f"answer-{ask_id}")
            if found is not None:
                return str(found.get("text", ""))
            if is_over:
                return None
            await asyncio.sleep(POLL_S)
