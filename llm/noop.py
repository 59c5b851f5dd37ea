"""An agent that is a script: no client, no model, no network. For benchmarks and for tests of what is around a client.

It does what the lines of its prompt that begin with `noop:` say, in order, and then calls finish_task unless a line
ended the turn. So a task's description is its script:

    noop: say TEXT              say something
    noop: sleep SECONDS         do nothing for a while
    noop: write FILE [TEXT]     write a file in the worktree, as a tool call that the policy may refuse
    noop: run COMMAND           run a shell command in the worktree, as a tool call
    noop: ask QUESTION          call request_input; what it answers is said
    noop: cost USD              have used so much money, one request and a few tokens
    noop: finish [SUMMARY]      call finish_task; the script goes on when a check fails
    noop: block REASON          call block_task, and end the turn
    noop: silent                end the turn without a report, this one and each that follows
    noop: fail CODE [RETRY_S]   fail as the provider may: `overloaded`, `rate_limited 30`, `auth`
    noop: crash                 the client dies
    noop: kill                  the runner's own process is killed, as by the kernel
    noop: hang                  never end, say nothing

A prompt without such a line finishes at once; so does a session that is resumed with an answer.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any

from llm.contract import (
    ClientSetup,
    Failure,
    PermissionDenied,
    PermissionPolicy,
    SessionStarted,
    Text,
    ToolAnswer,
    ToolCall,
    ToolHandlers,
    ToolResult,
    TurnEnded,
    Update,
    Usage,
    UsageChanged,
)

MODEL = "noop"
_PREFIX = "noop:"


class NoopClient:
    """A client that plays the script in its prompt."""

    def __init__(self, setup: ClientSetup, handlers: ToolHandlers, policy: PermissionPolicy) -> None:
        self._setup = setup
        self._handlers = handlers
        self._policy = policy
        self._said: asyncio.Queue[Update | None] = asyncio.Queue()
        self._turn: asyncio.Task[None] | None = None
        self._usage = Usage()
        self._calls = 0
        self._is_silent = False

    async def start(self) -> None:
        """Nothing has to be started."""

    async def prompt(self, text: str) -> None:
        self._say(SessionStarted(session_id=self._setup.session_id, model=MODEL, tools=("Write", "Bash")))
        self._turn = asyncio.create_task(self._play(_script(text)))

    async def remark(self, text: str) -> None:
        """Repeat it, as a sign that it was heard."""
        self._say(Text(text=text))

    async def updates(self) -> AsyncIterator[Update]:
        while (update := await self._said.get()) is not None:
            yield update

    async def interrupt(self) -> None:
        if self._turn is not None and not self._turn.done():
            self._turn.cancel()
            await asyncio.wait({self._turn})
            self._say(TurnEnded(is_interrupted=True))

    async def stop(self) -> None:
        if self._turn is not None:
            self._turn.cancel()
            await asyncio.wait({self._turn})
        self._said.put_nowait(None)

    def _say(self, update: Update) -> None:
        self._said.put_nowait(update)

    async def _play(self, script: list[tuple[str, str]]) -> None:
        self._use(turns=1)
        try:
            last = ("silent", "") if self._is_silent else ("finish", "Nothing to do.")
            for verb, rest in [*script, last]:
                ending = await self._do(verb, rest)
                if ending is not None or self._handlers.is_over():
                    self._say(ending or TurnEnded(text="The turn is over."))
                    return
        except (OSError, ValueError) as error:
            self._say(TurnEnded(failure=Failure(code="invalid_request", message=str(error))))
            return
        self._say(TurnEnded(text="The script is over."))

    async def _do(self, verb: str, rest: str) -> TurnEnded | None:
        """Do one line. An answer ends the turn."""
        steps: dict[str, Callable[[str], Awaitable[TurnEnded | None]]] = {
            "say": self._do_say,
            "sleep": self._do_sleep,
            "write": self._do_write,
            "run": self._do_run,
            "ask": self._do_ask,
            "cost": self._do_cost,
            "finish": self._do_finish,
            "block": self._do_block,
            "silent": self._do_silent,
            "fail": self._do_fail,
            "crash": self._do_crash,
            "kill": self._do_kill,
            "hang": self._do_hang,
        }
        if verb not in steps:
            return TurnEnded(failure=Failure(code="invalid_request", message=f"No such noop step: {verb!r}."))
        return await steps[verb](rest)

    async def _do_say(self, text: str) -> None:
        self._say(Text(text=text))

    async def _do_sleep(self, seconds: str) -> None:
        await asyncio.sleep(float(seconds))

    async def _do_write(self, rest: str) -> None:
        name, _, text = rest.partition(" ")
        target = self._setup.workspace / name

        async def write() -> ToolAnswer:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(f"{text}\n")
            return ToolAnswer(text=f"Wrote {name}.")

        await self._call("Write", {"file_path": str(target), "content": f"{text}\n"}, write)

    async def _do_run(self, command: str) -> None:
        async def run() -> ToolAnswer:
            argv = [*self._setup.launcher, "/bin/sh", "-c", command]
            process = await asyncio.create_subprocess_exec(
                *argv,
                cwd=self._setup.workspace,
                start_new_session=True,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
            output, _ = await process.communicate()
            return ToolAnswer(text=output.decode(errors="replace"), is_error=process.returncode != 0)

        await self._call("Bash", {"command": command}, run)

    async def _do_ask(self, question: str) -> None:
        answer = await self._report("request_input", {"question": question}, self._handlers.ask(question, []))
        self._say(Text(text=answer.text))

    async def _do_cost(self, usd: str) -> None:
        self._use(cost_usd=float(usd), request_count=1, token_in=100, token_out=10)

    async def _do_finish(self, summary: str) -> TurnEnded | None:
        answer = await self._report("finish_task", {"summary": summary}, self._handlers.finish(summary, ""))
        return None if answer.is_error else TurnEnded(text=summary)

    async def _do_block(self, reason: str) -> TurnEnded:
        await self._report("block_task", {"reason": reason}, self._handlers.block(reason, ""))
        return TurnEnded(text=reason)

    async def _do_silent(self, _: str) -> TurnEnded:
        self._is_silent = True
        return TurnEnded(text="I have nothing to say.")

    async def _do_fail(self, rest: str) -> TurnEnded:
        code, _, retry_after_s = rest.partition(" ")
        after = float(retry_after_s) if retry_after_s else None
        return TurnEnded(failure=Failure(code=code, message="As the script says.", retry_after_s=after))

    async def _do_crash(self, _: str) -> TurnEnded:
        return TurnEnded(failure=Failure(code="crashed", message="The client died, as the script says."))

    async def _do_kill(self, _: str) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    async def _do_hang(self, _: str) -> None:
        await asyncio.Event().wait()

    async def _call(self, name: str, given: dict[str, Any], act: Callable[[], Awaitable[ToolAnswer]]) -> None:
        refusal = await self._policy(name, given)
        if refusal is None:
            await self._report(name, given, act())
            return
        self._say(PermissionDenied(tool_name=name, message=refusal))

    async def _report(self, name: str, given: dict[str, Any], answer: Awaitable[ToolAnswer]) -> ToolAnswer:
        self._calls += 1
        call = f"noop_{self._calls}"
        self._say(ToolCall(id=call, name=name, input=given))
        await asyncio.sleep(0)  # so that whoever listens hears of the call before of what it does
        said = await answer
        self._say(ToolResult(id=call, text=said.text, is_error=said.is_error))
        return said

    def _use(self, **more: float) -> None:
        changed: dict[str, Any] = {name: getattr(self._usage, name) + value for name, value in more.items()}
        usage = replace(self._usage, **changed)
        tokens = ("token_in", "token_out", "token_cache_read", "token_cache_write", "cost_usd")
        self._usage = replace(usage, models={MODEL: {name: getattr(usage, name) for name in tokens}})
        self._say(UsageChanged(usage=self._usage))


def _script(text: str) -> list[tuple[str, str]]:
    lines = (line.strip() for line in text.splitlines())
    steps = (line.removeprefix(_PREFIX).strip() for line in lines if line.startswith(_PREFIX))
    split = (step.partition(" ") for step in steps if step)
    return [(verb, rest.strip()) for verb, _, rest in split]
