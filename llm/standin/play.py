"""Decide what a request gets: the step of the script that is due, or a word outside the script."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass
from typing import Any

from llm.standin import answers, conversation
from llm.standin.conversation import Position
from llm.standin.scenario import Scenario, Step

Json = dict[str, Any]


@dataclass(frozen=True)
class Reply:
    """What to send: the message, and the step that says how (None outside the script)."""

    message: Json
    step: Step | None
    place: str


class Play:
    """A scenario being played. The only state is how often each fault was served; it is shared by all conversations."""

    def __init__(self, scenario: Scenario) -> None:
        """Begin at no faults served."""
        self.scenario = scenario
        self._lock = threading.Lock()
        self._served: Counter[tuple[int, int, int]] = Counter()

    def reply(self, body: Json, *, asked: int) -> Reply:
        """Choose the reply to a request of `asked` bytes. Raises NoPart or NoWorkingDirectory."""
        messages = _tables(body.get("messages"))
        if not body.get("tools"):
            # Titles, quota checks and the like are no step of the work.
            return self._aside("Scripted.", asked)
        here = conversation.position(self.scenario, messages)
        if conversation.is_compaction(messages):
            return self._aside(f"<summary>Scripted summary, at {here.mark()}.</summary>", asked)
        step, number = self._due(here)
        after = Position(here.part, here.round, here.answered + 1)
        usage = answers.usage(step.usage, self.scenario.usage, asked=asked, said=answers.size(step))
        message = answers.message(
            step, after, cwd=conversation.working_directory(messages, body.get("system")), usage=usage
        )
        return Reply(message, step, f"part {here.part + 1} round {here.round + 1} step {number + 1}")

    def _due(self, here: Position) -> tuple[Step, int]:
        part = self.scenario.parts[here.part]
        with self._lock:
            served = {key[2]: count for key, count in self._served.items() if key[:2] == (here.part, here.round)}
            number = conversation.due(part.rounds[here.round], here.answered, served)
            step = part.rounds[here.round].steps[number]
            if step.fault is not None:
                self._served[here.part, here.round, number] += 1
        return step, number

    def _aside(self, text: str, asked: int) -> Reply:
        usage = answers.usage(self.scenario.usage, self.scenario.usage, asked=asked, said=len(text))
        content = [{"type": "text", "text": text}]
        return Reply(answers.plain(content, stop_reason="end_turn", usage=usage), None, "aside")


def _tables(value: Any) -> list[Json]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
