from __future__ import annotations

import pytest

from llm.prompts import BudgetTooSmall, Section, build, tokens

TASK = Section("task", "Write the parser.", 0)
RULES = Section("rules", "Never use eval.", 0)
HISTORY = Section("dependencies", "x" * 4000, 3)
SAID = Section("feedback", "y" * 400, 2)


def test_sections_appear_under_their_headings() -> None:
    text = build([TASK, RULES], phase="build", task_type="feature").text
    assert "# Task\n\nWrite the parser." in text
    assert "# Rules of the project\n\nNever use eval." in text


def test_empty_sections_leave_no_heading() -> None:
    assert "# What was said" not in build([TASK, Section("feedback", " ", 2)], phase="build", task_type="bug").text


def test_the_least_important_section_is_cut_first_and_named() -> None:
    prompt = build([TASK, HISTORY, SAID], phase="build", task_type="feature", budget_tokens=300)
    assert prompt.cut == ("dependencies",)
    assert "y" * 400 in prompt.text


def test_the_budget_is_never_exceeded() -> None:
    assert tokens(build([TASK, HISTORY, SAID], phase="build", task_type="feature", budget_tokens=60).text) <= 60


def test_what_must_not_be_cut_is_not() -> None:
    with pytest.raises(BudgetTooSmall):
        build([TASK, RULES], phase="build", task_type="feature", budget_tokens=3)


def test_text_of_a_section_is_never_run_as_a_template() -> None:
    text = build([Section("task", "{{ 7 * 7 }}", 0)], phase="build", task_type="feature").text
    assert "{{ 7 * 7 }}" in text
