"""Read a request: which part of the script it belongs to, how far the script has come, where the client works.

Nothing is remembered between requests. The whole conversation stands in every request, so a client that was killed
and resumed, or a stand-in that was restarted, goes on at the right step.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from llm.standin.scenario import Round, Scenario

# Stands in the ids of our tool calls and in our summaries: part, round, number of the answer within the round.
_MARK = re.compile(r"scripted_(\d+)_(\d+)_(\d+)")
_CWD = re.compile(r"(?:Primary working|Working) directory: (.+)")
_COMPACTION = "CRITICAL: Respond with TEXT ONLY"
# What the client adds to a prompt by itself; CLAUDE.md files stand there too.
_REMINDER = "<system-reminder>"


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


def position(scenario: Scenario, messages: list[dict[str, Any]]) -> Position:
    """Find where the conversation stands. Raises NoPart when its first prompt contains no part's `when`."""
    here = Position(_part(scenario, _first_prompt(messages)), 0, 0)
    rounds = scenario.parts[here.part].rounds
    for message in messages:
        if message.get("role") == "assistant":
            here = _after_answer(here, message)
        elif message.get("role") == "user":
            here = _after_prompt(here, rounds, "\n".join(prompts(message)))
    return here


def due(script: Round, answered: int, served: Mapping[int, int]) -> int:
    """Return the index of the step to serve after so many answers. `served` counts the faults served, by index."""
    answers = [index for index, step in enumerate(script.steps) if step.fault is None]
    before = [-1, *answers][answered] if answered <= len(answers) else len(script.steps)
    for index in range(before + 1, len(script.steps) - 1):
        step = script.steps[index]
        if step.fault is None or served.get(index, 0) < step.times:
            return index
    return len(script.steps) - 1


def prompts(message: dict[str, Any]) -> list[str]:
    """Return what a person or the backend said in a user message: no tool results, no reminders."""
    return [text for text in _texts(message.get("content")) if not text.lstrip().startswith(_REMINDER)]


def working_directory(body: dict[str, Any]) -> str | None:
    """Return the directory the client says it works in, or None. The last word counts: a session can move."""
    said = [message for message in body.get("messages", []) if message.get("role") == "system"]
    for content in [*(message.get("content") for message in reversed(said)), body.get("system")]:
        found = [match for text in _texts(content) for match in _CWD.findall(text)]
        if found:
            return str(found[-1]).strip()
    return None


def is_compaction(messages: list[dict[str, Any]]) -> bool:
    """Tell whether the client asks for a summary of the conversation rather than for its next step."""
    return bool(messages) and any(text.startswith(_COMPACTION) for text in _texts(messages[-1].get("content")))


def _part(scenario: Scenario, prompt: str) -> int:
    """The part whose marker stands earliest: a brief names its own task before those it depends on."""
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


def _first_prompt(messages: list[dict[str, Any]]) -> str:
    said = ("\n".join(prompts(message)) for message in messages if message.get("role") == "user")
    return next(filter(None, said), "")


def _after_answer(here: Position, message: dict[str, Any]) -> Position:
    blocks = message.get("content")
    ids = [str(block.get("id", "")) for block in blocks if isinstance(block, dict)] if isinstance(blocks, list) else []
    marked = [mark for text in ids if (mark := _marked(here.part, text))]
    return marked[-1] if marked else Position(here.part, here.round, here.answered + 1)


def _after_prompt(here: Position, rounds: list[Round], prompt: str) -> Position:
    here = _marked(here.part, prompt) or here
    asked = [index for index, later in enumerate(rounds) if index > here.round and later.when and later.when in prompt]
    return Position(here.part, asked[-1], 0) if asked else here


def _marked(part: int, text: str) -> Position | None:
    match = _MARK.search(text)
    if match is None or int(match[1]) != part:
        return None
    return Position(part, int(match[2]), int(match[3]))


def _texts(content: Any) -> Iterator[str]:
    if isinstance(content, str):
        yield content
    elif isinstance(content, list):
        yield from (str(block.get("text", "")) for block in content if _is_text(block))


def _is_text(block: Any) -> bool:
    return isinstance(block, dict) and block.get("type") == "text"
