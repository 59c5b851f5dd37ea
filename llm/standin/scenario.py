"""Scenario files: what the stand-in answers, step by step, as TOML.

A file has parts, a part has rounds, a round has steps; a level that is not needed is left out, so the smallest
file is one `[[step]]`. A step is one answer (`text`, `thinking`, `[[tool]]`s) or one fault (`fault = "..."`).
README.md beside this file shows the format by example.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

# Faults that are an answer with an error status; the others break the connection or the protocol.
STATUSES = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
Fault = Literal[
    "invalid_request_error",
    "authentication_error",
    "billing_error",
    "permission_error",
    "not_found_error",
    "request_too_large",
    "rate_limit_error",
    "api_error",
    "timeout_error",
    "overloaded_error",
    "drop",
    "drop_mid_stream",
    "silence",
    "silence_after_headers",
    "silence_mid_stream",
    "error_mid_stream",
    "malformed",
    "html",
]
StopReason = Literal["end_turn", "max_tokens", "tool_use", "refusal", "pause_turn", "model_context_window_exceeded"]
Count = Annotated[int, Field(ge=0)]
Marker = Annotated[str, Field(min_length=1)]


class InvalidScenario(ValueError):
    """A scenario file cannot be used; the message names the file, the step and what is wrong."""


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Usage(_Table):
    """The numbers the client computes its cost from. What is left out is estimated from the sizes."""

    input_tokens: Count | None = None
    output_tokens: Count | None = None
    cache_read_input_tokens: Count | None = None
    cache_creation_input_tokens: Count | None = None


class Tool(_Table):
    """One tool call. `{cwd}` in any string of the input becomes the client's working directory."""

    name: Marker
    input: dict[str, Any] = {}


class Step(_Table):
    """One answer, or one fault. With a mid-stream fault the content is what is sent before it."""

    text: str | None = None
    thinking: str | None = None
    tools: list[Tool] = Field(default=[], alias="tool")
    usage: Usage = Usage()
    stop_reason: StopReason | None = None
    delay_s: float = Field(default=0, ge=0, le=3600)
    fault: Fault | None = None
    status: int | None = Field(default=None, ge=400, le=599)
    message: str | None = None
    retry_after_s: Count | None = None
    times: int = Field(default=1, ge=1)

    @model_validator(mode="after")
    def _is_an_answer_or_a_fault(self) -> Self:
        said = self.text is not None or self.thinking is not None or bool(self.tools)
        only_errors = {"status", "message", "retry_after_s"} & self.model_fields_set
        if self.fault is None and not said:
            raise ValueError("a step needs text, thinking, a tool or a fault")
        if self.fault is None and only_errors | ({"times"} & self.model_fields_set):
            raise ValueError("status, message, retry_after_s and times belong to a fault")
        if self.fault is not None and self.fault not in STATUSES and only_errors:
            raise ValueError(f"status, message and retry_after_s belong to a fault that answers, not to {self.fault}")
        if said and self.fault is not None and not self.fault.endswith("_mid_stream"):
            raise ValueError(f"nothing is said before a {self.fault}: only mid-stream faults have content")
        return self


class Round(_Table):
    """The steps that answer from one prompt on. `when` is what that prompt contains."""

    when: Marker | None = None
    steps: list[Step] = Field(alias="step", min_length=1)

    @model_validator(mode="after")
    def _is_sound(self) -> Self:
        _check_last(self.steps)
        return self


class Part(_Table):
    """The script of the conversations whose first prompt contains `when`; without it, of any other."""

    name: str = ""
    when: Marker | None = None
    plain_steps: list[Step] = Field(default=[], alias="step")
    given_rounds: list[Round] = Field(default=[], alias="round")

    @cached_property
    def rounds(self) -> list[Round]:
        """Return the rounds; steps without rounds are one."""
        return self.given_rounds or [Round(step=self.plain_steps)]

    @model_validator(mode="after")
    def _is_sound(self) -> Self:
        _check_one_of(step=self.plain_steps, round=self.given_rounds)
        _check_last(self.plain_steps)
        _check_rounds(self.given_rounds)
        return self


class Scenario(_Table):
    """A whole file. `usage` holds for every step that gives no numbers of its own."""

    name: Marker
    title: str = ""
    usage: Usage = Usage()
    plain_steps: list[Step] = Field(default=[], alias="step")
    given_rounds: list[Round] = Field(default=[], alias="round")
    given_parts: list[Part] = Field(default=[], alias="part")

    @cached_property
    def parts(self) -> list[Part]:
        """Return the parts; a file without parts is one."""
        return self.given_parts or [Part(step=self.plain_steps, round=self.given_rounds)]

    @model_validator(mode="after")
    def _is_sound(self) -> Self:
        _check_one_of(step=self.plain_steps, round=self.given_rounds, part=self.given_parts)
        _check_last(self.plain_steps)
        _check_rounds(self.given_rounds)
        markers = [part.when for part in self.given_parts]
        if len(set(markers)) != len(markers):
            raise ValueError("two parts have the same when, or none")
        return self


def _check_one_of(**tables: Sequence[_Table]) -> None:
    if sum(map(bool, tables.values())) != 1:
        raise ValueError(f"give exactly one kind of table here: {', '.join(f'[[{name}]]' for name in tables)}")


def _check_last(steps: Sequence[Step]) -> None:
    if steps and "times" in steps[-1].model_fields_set:
        raise ValueError(f"step {len(steps)}: times has no meaning on the last step, which repeats")


def _check_rounds(rounds: Sequence[Round]) -> None:
    if rounds and rounds[0].when is not None:
        raise ValueError("round 1: the first round has no when, it answers the first prompt")
    for number, later in enumerate(rounds[1:], start=2):
        if later.when is None:
            raise ValueError(f"round {number}: every round after the first needs a when")


def parse(text: str, *, name: str, source: str = "") -> Scenario:
    """Read one scenario. `source` is the file errors name. Raises InvalidScenario."""
    source = source or name
    try:
        return Scenario.model_validate({"name": name, **tomllib.loads(text)})
    except tomllib.TOMLDecodeError as error:
        raise InvalidScenario(f"{source}: {error}") from error
    except ValidationError as error:
        raise InvalidScenario("\n".join(_explain(source, line) for line in error.errors())) from error


def load(path: Path) -> dict[str, Scenario]:
    """Read a file, or every `*.toml` of a directory, by name. Raises InvalidScenario."""
    files = sorted(path.glob("*.toml")) if path.is_dir() else [path]
    if not files:
        raise InvalidScenario(f"{path}: no *.toml file in this directory")
    return by_name(_read(file) for file in files)


def by_name(scenarios: Iterable[Scenario]) -> dict[str, Scenario]:
    """Return the scenarios under their names. Raises InvalidScenario when two have the same."""
    found: dict[str, Scenario] = {}
    for scenario in scenarios:
        if scenario.name in found:
            raise InvalidScenario(f"two scenarios are called {scenario.name!r}")
        found[scenario.name] = scenario
    return found


def _read(file: Path) -> Scenario:
    try:
        return parse(file.read_text(encoding="utf-8"), name=file.stem, source=str(file))
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidScenario(f"{file}: {error}") from error


def _explain(source: str, error: Any) -> str:
    message = str(error["msg"]).removeprefix("Value error, ")
    return ": ".join(part for part in (source, _place(error["loc"]), message) if part)


def _place(loc: Sequence[str | int]) -> str:
    """Return `part 2, step 1, text` for ("part", 1, "step", 0, "text")."""
    words: list[str] = []
    for item in loc:
        if isinstance(item, int):
            words[-1] += f" {item + 1}"
        else:
            words.append(item)
    return ", ".join(words)
