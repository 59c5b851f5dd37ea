from __future__ import annotations

from textwrap import dedent
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beebeebrain.cli import plans
from beebeebrain.cli.checklists import PlanError


def bodies(text: str) -> list[dict[str, Any]]:
    return plans.read(dedent(text), name="plan.md").bodies({})


def only(text: str) -> dict[str, Any]:
    (found,) = bodies(text)
    return found


def faults(text: str) -> list[str]:
    with pytest.raises(PlanError) as raised:
        plans.read(dedent(text), name="plan.md")
    *told, code = raised.value.lines()
    assert code == "code invalid_plan"
    return told


@pytest.mark.parametrize("bullet", ["-", "*", "+", "1.", "12)"])
def test_an_item_with_an_open_box_is_a_task(bullet: str) -> None:
    assert only(f"{bullet} [ ] Write the parser") == {"ref": "line-1", "title": "Write the parser"}


def test_what_is_around_the_items_is_not_part_of_them() -> None:
    found = bodies(
        """\
        # Release

        Some words.
        - a point of its own

        - [ ] One
        ## Then
        - [ ] Two

        More words.
        """
    )
    assert [task["title"] for task in found] == ["One", "Two"]
    assert all(task.keys() == {"ref", "title"} for task in found)


def test_ticked_items_are_left_out() -> None:
    plan = plans.read("- [x] One\n- [X] Two\n- [ ] Three", name="p")
    assert ([task.title for task in plan.tasks], plan.done) == (["Three"], 2)


def test_a_plan_that_is_done_makes_nothing() -> None:
    assert bodies("- [x] One") == []


def test_a_nested_item_is_a_part() -> None:
    found = bodies(
        """\
        - [ ] One {#one}
          - [ ] Inner
            - [ ] Innermost
          - [ ] Second
        - [ ] Two
        """
    )
    assert [task.get("parent") for task in found] == [None, "one", "line-2", "one", None]


def test_a_part_of_what_is_done_stands_alone() -> None:
    assert only("- [x] One {#one}\n  - [ ] Inner") == {"ref": "line-2", "title": "Inner"}


def test_parts_wait_for_what_the_whole_waits_for() -> None:
    found = bodies(
        """\
        - [ ] First {#first}
        - [ ] Whole (after: first, inner, #7) {#whole}
          - [ ] Inner {#inner}
            - [ ] Innermost (after: #8)
          - [ ] Second (after: inner)
        """
    )
    assert [task.get("depends_on", []) for task in found] == [
        [],
        ["first", "inner", 7],
        ["first", 7],
        [8, "first", 7],
        ["inner", "first", 7],
    ]


def test_tabs_nest_too() -> None:
    assert bodies("- [ ] One {#one}\n\t- [ ] Inner")[1]["parent"] == "one"


@pytest.mark.parametrize(("word", "number"), [("urgent", 0), ("high", 1), ("low", 3), ("lowest", 4)])
def test_a_priority_stands_behind_the_title(word: str, number: int) -> None:
    assert only(f"- [ ] Write it !{word}")["priority"] == number


def test_what_stands_behind_the_title_may_come_in_any_order() -> None:
    one = bodies("- [ ] A\n- [ ] B {#b} !high @Ada (after: A)")[1]
    assert one == bodies("- [ ] A\n- [ ] B (After: A) @Ada !high {#b}")[1]
    assert one == {"ref": "b", "title": "B", "priority": 1, "assignee": "Ada", "depends_on": ["line-1"]}


def test_a_title_keeps_what_only_looks_like_it() -> None:
    assert only("- [ ] Mail a@b.c about !important rules")["title"] == "Mail a@b.c about !important rules"


def test_a_dependency_is_named_by_key_by_title_or_by_number() -> None:
    found = bodies(
        """\
        - [ ] Split a text {#split}
        - [ ] Count the words
        - [ ] Show (after: split, count THE words, #17, task-18)
        """
    )
    assert found[2]["depends_on"] == ["split", "line-2", 17, 18]


def test_a_key_goes_before_a_title() -> None:
    assert bodies("- [ ] b {#a}\n- [ ] a {#b}\n- [ ] C (after: a)")[2]["depends_on"] == ["a"]


def test_a_dependency_may_come_later_in_the_plan() -> None:
    assert bodies("- [ ] A (after: B)\n- [ ] B")[0]["depends_on"] == ["line-2"]


def test_what_is_done_is_not_waited_for() -> None:
    assert "depends_on" not in only("- [x] A {#a}\n- [ ] B (after: a)")


def test_a_dependency_named_twice_counts_once() -> None:
    assert bodies("- [ ] A {#a}\n- [ ] B (after: a, A)")[1]["depends_on"] == ["a"]


def test_indented_text_describes() -> None:
    found = only(
        """\
        - [ ] One
          First line,
            indented more.

          - a point
          Last line.
        """
    )
    assert found["description"] == "First line,\n  indented more.\n\n- a point\nLast line."


def test_text_behind_a_part_belongs_to_the_whole() -> None:
    found = bodies("- [ ] One\n  - [ ] Inner\n    inner words\n  outer words\n")
    assert [task["description"] for task in found] == ["outer words", "inner words"]


def test_acceptance_and_checks_are_told_apart() -> None:
    found = only(
        """\
        - [ ] One
          Words.
          Acceptance: it works
          - with Unicode
          - fast
          Check: pytest -q
          check: ruff check .
        """
    )
    assert found["description"] == "Words."
    assert found["acceptance_criteria"] == "it works\n- with Unicode\n- fast"
    assert found["checks"] == ["pytest -q", "ruff check ."]


def test_acceptance_may_begin_on_the_next_line() -> None:
    assert only("- [ ] One\n  Acceptance:\n  - a\n    - b")["acceptance_criteria"] == "- a\n  - b"


def test_a_block_of_code_is_kept_as_it_is() -> None:
    text = """\
        - [ ] One
          ```
          - [ ] no task
          Check: no check

        at the margin
          ```
          Check: true
        - [ ] Two
        """
    first, second = bodies(text)
    assert first["description"] == "  ```\n  - [ ] no task\n  Check: no check\n\nat the margin\n  ```"
    assert (first["checks"], second["title"]) == (["true"], "Two")


def test_a_block_of_code_keeps_its_tabs() -> None:
    assert only("- [ ] One\n  ```\n  all:\n  \tmake\n  ```")["description"] == "```\nall:\n\tmake\n```"
    assert only("- [ ] One\n\twords\n\t\tmore")["description"] == "words\n\tmore"


def test_a_block_of_code_between_items_holds_no_tasks() -> None:
    assert only("~~~\n- [ ] no task\n```\n~~~\n\n- [ ] One")["title"] == "One"


@pytest.mark.parametrize("text", ["- [ ] One\r\n  words\r\n", "\n\n- [ ] One   \n  words   "])
def test_ends_of_lines_do_not_matter(text: str) -> None:
    assert (only(text)["title"], only(text)["description"]) == ("One", "words")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Only words.", "plan.md:1: there is no item with a box"),
        ("- [] One", "plan.md:1: a box is [ ] or [x], not []"),
        ("- [-] One", "plan.md:1: a box is [ ] or [x], not [-]"),
        ("- [ ]", "plan.md:1: this item has no title"),
        ("- [ ] !high", "plan.md:1: this item has no title"),
        ("- [ ] One\ntext", "plan.md:2: this belongs to no item"),
        ("- [ ] One\n- Two", "plan.md:2: this belongs to no item"),
        ("- [ ] One !hihg", "plan.md:1: !hihg is no priority; there are !urgent, !high, !normal, !low, !lowest"),
        ("- [ ] One !low !high", "plan.md:1: a priority is given twice"),
        ("- [ ] One {#a} {#b}", "plan.md:1: a key is given twice"),
        ("- [ ] One {#1a}", "plan.md:1: '1a' is no key"),
        ("- [ ] One {#line-7}", "plan.md:1: 'line-7' is no key"),
        ("- [ ] One {#task-7}", "plan.md:1: 'task-7' is no key"),
        ("- [ ] One {#a}\n- [x] Two {#a}", "plan.md:2: the key 'a' is taken by line 1"),
        ("- [ ] One (after: )", "plan.md:1: (after: …) names nothing"),
        ("- [ ] One (after: two", "plan.md:1: {#key} and (after: …) stand at the end of the title"),
        ("- [ ] One (after: two) more", "plan.md:1: {#key} and (after: …) stand at the end of the title"),
        ("- [ ] One (after: two)", "plan.md:1: 'two' is no key and no title of this plan"),
        ("- [ ] One (after: 7)", "plan.md:1: '7' is no key and no title of this plan; #7 would be the task"),
        ("- [ ] A\n- [ ] A\n- [ ] B (after: A)", "plan.md:3: 'A' fits several titles; give the one you mean a {#key}"),
        ("- [ ] A {#a} (after: a)", "plan.md:1: these wait for each other: a (line 1) → a (line 1)"),
        ("- [ ] A {#a} (after: b)\n- [ ] B {#b} (after: a)", "plan.md:1: these wait for each other"),
        ("- [ ] One\n  ```\n- [ ] Two", "plan.md:2: this block of code has no end"),
    ],
)
def test_a_mistake_is_told_with_its_line(text: str, expected: str) -> None:
    (told,) = faults(text)
    assert told.startswith(expected)


def test_all_mistakes_are_told_at_once() -> None:
    assert [told.split(":")[1] for told in faults("- [ ] A !x\n- [ ] B (after: z)\n- [ ] C {#1}")] == ["1", "2", "3"]


def test_an_error_has_its_lines_as_data() -> None:
    with pytest.raises(PlanError) as raised:
        plans.read("- [ ]", name="plan.md")
    problem = raised.value.problem()
    assert (problem["code"], problem["errors"]) == (
        "invalid_plan",
        [{"code": "invalid_plan", "detail": "this item has no title", "line": 1}],
    )


def test_thousands_of_items_are_read_at_once() -> None:
    text = "\n".join(
        ["- [ ] Task 0", *(f"- [ ] Task {number} (after: task {number - 1})" for number in range(1, 5000))]
    )
    assert bodies(text)[-1]["depends_on"] == ["line-4999"]


@given(st.text(alphabet=" \t\n-*[]xX`~{}#()!@:,aé\u2028\x0b", max_size=60))
def test_any_text_is_a_plan_or_a_mistake_with_a_line(text: str) -> None:
    found: list[int] = []
    try:
        plan = plans.read(text, name="p")
    except PlanError as error:
        found = [fault.line for fault in error.faults]
    else:
        assert all(task.title.strip() for task in plan.tasks)
        assert len({task.ref for task in plan.tasks}) == len(plan.tasks)
    assert all(1 <= line <= text.count("\n") + 1 for line in found)
