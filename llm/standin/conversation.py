"""Read a request: which part of the script it belongs to, how far the script has come, where the client works.

Nothing is remembered between requests. The whole conversation stands in every request, so a client that was killed
and resumed, or a stand-in that was restarted, goes on at the right step.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from llm.standin.scenario import Round, Scenario

# Stands in the ids of our tool calls and in our summaries: part, round, number of the answer within the round.
_MARK = re.compile(r"scripted_(\d+)_(\d+)_(\d+)")
_CWD = re.compile(r"(?:Primary working|Working) directory: (.+)")
_COMPACTION = "CRITICAL: Respond with TEXT ONLY"
# What the client writes into a history when it resumes, or is interrupted, in the middle of a turn.
_CUT_OFF = "No response requested."
_INTERRUPTED = "[Request interrupted by user"
# What the client adds to a prompt by itself; CLAUDE.md files stand there too.
_REMINDER = "<system-reminder>"

Json = dict[str, Any]


@dataclass(frozen=True)
class Position:
    """How far a conversation has come: indices of part and round, and the answers given in that round."""

    part: int
    round: int
    answered: int

    def mark(self) -> str:
        """Return the text by which `position` finds this place again."""
        return f"scripted_{self.part}_{self.round}_{self.answered}"


class NoPart(LookupError):
    """No part of the scenario is meant for this conversation."""


def position(scenario: Scenario, messages: list[Json]) -> Position:
    """Find where the conversation stands. Raises NoPart when its first prompt contains no part's `when`."""
    part = _part(scenario, _first_prompt(messages))
    walk = _Walk(part, scenario.parts[part].rounds)
    for message in messages:
        if message.get("role") == "assistant":
            walk.answer(message)
        elif message.get("role") == "user":
            walk.results(message)
            for prompt in prompts(message):
                walk.prompt(prompt)
    return walk.here


def due(script: Round, answered: int, served: Mapping[int, int]) -> int:
    """Return the index of the step to serve after so many answers. `served` counts the faults served, by index."""
    answers = [index for index, step in enumerate(script.steps) if step.fault is None]
    before = [-1, *answers][answered] if answered <= len(answers) else len(script.steps)
    for index in range(before + 1, len(script.steps) - 1):
        step = script.steps[index]
        if step.fault is None or served.get(index, 0) < step.times:
            return index
    return len(script.steps) - 1


def prompts(message: Json) -> list[str]:
    """Return what a person or the backend said in a user message: no tool results, no reminders."""
    return [text for text in _texts(message.get("content")) if not text.lstrip().startswith(_REMINDER)]


def working_directory(messages: list[Json], system: Any) -> str | None:
    """Return the directory the client says it works in, or None. The last word counts: a session can move."""
    for texts in [*map(_environment, reversed(messages)), _texts(system)]:
        found = [match for text in texts for match in _CWD.findall(text)]
        if found:
            return str(found[-1]).strip()
    return None


def _environment(message: Json) -> list[str]:
    """Return the client's own words in a message: older models get them as a reminder in the user's."""
    texts = _texts(message.get("content"))
    is_own = message.get("role") == "system"
    return [text for text in texts if is_own or text.lstrip().startswith(_REMINDER)]


def is_compaction(messages: list[Json]) -> bool:
    """Tell whether the client asks for a summary of the conversation rather than for its next step."""
    return bool(messages) and any(text.startswith(_COMPACTION) for text in _texts(messages[-1].get("content")))


def _part(scenario: Scenario, prompt: str) -> int:
    """The part whose marker stands earliest: a brief names its own task before those it depends on."""
    mark = _mark_in(prompt)
    if mark and mark.part < len(scenario.parts):
        # A summary of ours has taken the place of the first prompt.
        return mark.part
    found = [
        (prompt.find(part.when), -len(part.when), index)
        for index, part in enumerate(scenario.parts)
        if part.when is not None and part.when in prompt
    ]
    if found:
        return min(found)[2]
    for index, part in enumerate(scenario.parts):
        if part.when is None:
            return index
    raise NoPart(f"no part of {scenario.name!r} has a `when` that stands in this prompt: {prompt[:300]!r}")


def _first_prompt(messages: list[Json]) -> str:
    said = ("\n".join(prompts(message)) for message in messages if message.get("role") == "user")
    return next(filter(None, said), "")


class _Walk:
    """Follows a conversation from its first message on. `here` is the place it has reached."""

    def __init__(self, part: int, rounds: Sequence[Round]) -> None:
        self.here = Position(part, 0, 0)
        self._rounds = rounds
        self._failed: Position | None = None

    def answer(self, message: Json) -> None:
        calls = _blocks(message.get("content"), "tool_use")
        marks = [mark for call in calls if (mark := self._marked(call.get("id")))]
        text = "\n".join(_texts(message.get("content"))).strip()
        if marks:
            self.here, self._failed = marks[-1], None
        elif text == _CUT_OFF:
            self._step_back()
        elif text == self._expected():
            self.here = replace(self.here, answered=self.here.answered + 1)

    def results(self, message: Json) -> None:
        failed = [block for block in _blocks(message.get("content"), "tool_result") if block.get("is_error")]
        marks = [mark for block in failed if (mark := self._marked(block.get("tool_use_id")))]
        if marks:
            self._failed = replace(marks[-1], answered=marks[-1].answered - 1)

    def prompt(self, text: str) -> None:
        if text.startswith(_INTERRUPTED):
            self._step_back()
            return
        self.here = self._marked(text) or self.here
        asked = [index for index, later in enumerate(self._rounds) if later.when and later.when in text]
        if asked and asked[-1] > self.here.round:
            self.here = Position(self.here.part, asked[-1], 0)

    def _marked(self, text: Any) -> Position | None:
        mark = _mark_in(str(text))
        return mark if mark and mark.part == self.here.part and mark.round < len(self._rounds) else None

    def _step_back(self) -> None:
        """A tool call that failed because its turn was cut off is due again."""
        self.here, self._failed = self._failed or self.here, None

    def _expected(self) -> str | None:
        """The text of the answer that is due: other words in the history are the client's own, and no step."""
        answers = [step for step in self._rounds[self.here.round].steps if step.fault is None]
        return (answers[min(self.here.answered, len(answers) - 1)].text or "").strip() if answers else None


def _mark_in(text: str) -> Position | None:
    match = _MARK.search(text)
    return Position(int(match[1]), int(match[2]), int(match[3])) if match else None


def _texts(content: Any) -> list[str]:
    if isinstance(content, str):
        return [content]
    return [str(block.get("text", "")) for block in _blocks(content, "text")]


def _blocks(content: Any, kind: str) -> list[Json]:
    blocks = content if isinstance(content, list) else []
    return [block for block in blocks if isinstance(block, dict) and block.get("type") == kind]
