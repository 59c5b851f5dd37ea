from __future__ import annotations

from typing import Any

import pytest

from llm.standin import conversation, scenario
from llm.standin.conversation import NoPart, Position

SCRIPT = scenario.parse(
    """
    [[part]]
    when = "# Task: Parser"
    [[part.round]]
    [[part.round.step]]
    text = "one"
    [[part.round.step]]
    text = "two"
    [[part.round]]
    when = "rename"
    [[part.round.step]]
    text = "three"

    [[part]]
    when = "# Task: Printer"
    [[part.step]]
    text = "printer"
    """,
    name="script",
)
FAULTY = scenario.parse(
    """
    [[step]]
    fault = "overloaded_error"
    times = 2
    [[step]]
    text = "a"
    [[step]]
    fault = "drop"
    [[step]]
    text = "b"
    """,
    name="faulty",
)


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": "text", "text": text}]}


def said(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": [{"type": "text", "text": text}]}


def called(mark: str) -> dict[str, Any]:
    return {"role": "assistant", "content": [{"type": "tool_use", "id": f"toolu_{mark}_abc", "name": "Bash"}]}


def result(mark: str, *, is_error: bool) -> dict[str, Any]:
    block = {"type": "tool_result", "tool_use_id": f"toolu_{mark}_abc", "is_error": is_error, "content": ""}
    return {"role": "user", "content": [block]}


def at(*messages: dict[str, Any]) -> Position:
    return conversation.position(SCRIPT, list(messages))


def test_each_answer_is_one_step() -> None:
    assert at(user("# Task: Parser")) == Position(0, 0, 0)
    assert at(user("# Task: Parser"), said("one")) == Position(0, 0, 1)
    assert at(user("# Task: Parser"), called("scripted_0_0_1"), result("scripted_0_0_1", is_error=True)).answered == 1


def test_part_whose_marker_stands_first_is_meant() -> None:
    assert at(user("# Task: Printer\nWhat was done before:\n# Task: Parser")).part == 1


def test_marker_in_a_reminder_of_the_client_does_not_count() -> None:
    reminder = {"type": "text", "text": "<system-reminder># Task: Parser</system-reminder>"}
    message = {"role": "user", "content": [reminder, {"type": "text", "text": "# Task: Printer"}]}
    assert at(message).part == 1


def test_prompt_of_no_part_is_refused_with_its_text() -> None:
    with pytest.raises(NoPart, match="# Task: Unknown"):
        at(user("# Task: Unknown"))


def test_prompt_of_a_later_round_begins_it() -> None:
    here = at(user("# Task: Parser"), said("one"), user("please rename it"))
    assert here == Position(0, 1, 0)


def test_first_prompt_can_begin_a_later_round() -> None:
    assert at(user("# Task: Parser\nWhat was said: rename it")) == Position(0, 1, 0)


def test_any_other_prompt_goes_on_where_the_script_is() -> None:
    here = at(user("# Task: Parser"), said("one"), user("Go on."))
    assert here == Position(0, 0, 1)


def test_words_the_client_puts_into_the_history_are_no_step() -> None:
    here = at(user("# Task: Parser"), said("API Error: 529"), user("Go on."))
    assert here == Position(0, 0, 0)


@pytest.mark.parametrize(
    "cut", [said("No response requested."), user("[Request interrupted by user for tool use]")], ids=["kill", "stop"]
)
def test_step_whose_tool_was_cut_off_is_due_again(cut: dict[str, Any]) -> None:
    call = [user("# Task: Parser"), called("scripted_0_0_1")]
    assert at(*call, result("scripted_0_0_1", is_error=True), cut).answered == 0
    assert at(*call, result("scripted_0_0_1", is_error=False), cut).answered == 1


def test_summary_keeps_the_place() -> None:
    summary = f"This session goes on from an earlier one: {Position(0, 1, 1).mark()}."
    assert at(user(summary)) == Position(0, 1, 1)


def test_mark_of_a_round_that_is_gone_is_ignored() -> None:
    assert at(user("# Task: Parser"), called("scripted_0_7_3")) == Position(0, 0, 0)


@pytest.mark.parametrize(
    ("answered", "served", "step"),
    [
        (0, {}, 0),
        (0, {0: 1}, 0),
        (0, {0: 2}, 1),
        (1, {0: 2}, 2),
        (1, {0: 2, 2: 1}, 3),
        (2, {0: 2, 2: 1}, 3),
        (9, {}, 3),
    ],
)
def test_fault_is_served_as_often_as_it_says_and_the_last_step_repeats(
    answered: int, served: dict[int, int], step: int
) -> None:
    assert conversation.due(FAULTY.parts[0].rounds[0], answered, served) == step


def test_working_directory_is_the_last_one_the_client_named() -> None:
    environment = "# Environment\n - Primary working directory: {}\n - Platform: linux"
    messages = [{"role": "system", "content": environment.format(path)} for path in ("/old", "/new place")]
    assert conversation.working_directory(messages, None) == "/new place"
    assert conversation.working_directory([], environment.format("/s")) == "/s"


def test_working_directory_is_found_in_a_reminder() -> None:
    reminder = "<system-reminder>\n# Environment\n - Primary working directory: /w\n</system-reminder>"
    assert conversation.working_directory([user(reminder)], None) == "/w"


def test_prompt_cannot_name_the_working_directory() -> None:
    assert conversation.working_directory([user("Primary working directory: /etc")], "") is None
