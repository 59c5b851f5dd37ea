from __future__ import annotations

import json
import re

import pytest

from beebeebrain.cli import output, tables
from beebeebrain.tests.cli.program import Bbb
from orchestration.models import Project, Task
from orchestration.states import TaskStatus
from orchestration.tests.factories import make_agent, make_task, set_status

EVIL = "Title \x1b[2J\x9b31m\u202etxet\x07 [red]end[/red]"
# What steers a terminal, besides the colours that rich makes of statuses.
STEERING = re.compile("[\x07\x9b\u202e]|\x1b\\[2J")


@pytest.fixture
def evil(project: Project) -> Task:
    task = make_task(project, title="x", description=EVIL)
    Task.objects.filter(pk=task.pk).update(title=EVIL)
    return task


def test_what_an_agent_wrote_does_not_steer_a_terminal(bbb: Bbb, evil: Task) -> None:
    for words in (["tasks", "list"], ["tasks", "show", str(evil.pk)], ["events"], ["tasks", "list", "--json"]):
        plain = bbb(*words)
        assert (plain.code, STEERING.search(plain.out)) == (0, None)
        _, shown = bbb.on_terminal(*words)
        assert STEERING.search(shown) is None


def test_json_keeps_every_character(bbb: Bbb, evil: Task) -> None:
    assert bbb("tasks", "show", str(evil.pk), "--json").json["title"] == EVIL


def test_markup_in_a_title_is_only_text(bbb: Bbb, evil: Task) -> None:
    _, shown = bbb.on_terminal("tasks", "list", COLUMNS="200")
    assert "[red]end[/red]" in shown


def test_a_terminal_shows_colours_unless_it_should_not(bbb: Bbb, project: Project) -> None:
    set_status(make_task(project), TaskStatus.FAILED)
    _, coloured = bbb.on_terminal("tasks", "list")
    assert "\x1b[31mfailed" in coloured
    _, plain = bbb.on_terminal("tasks", "list", NO_COLOR="1")
    assert "failed" in plain
    assert "\x1b[31m" not in plain
    assert "\x1b" not in bbb("tasks", "list").out


def test_columns_stand_below_each_other_in_chinese_too(bbb: Bbb, project: Project) -> None:
    make_task(project, title="One", assignee=make_agent(project, name="蜜蜂"))
    make_task(project, title="Two", assignee=make_agent(project, name="Ada"))
    _, one, two = bbb("tasks", "list", PYTHONIOENCODING="utf-8").out.splitlines()
    assert "蜜蜂   hive" in one
    assert "Ada    hive" in two


def test_a_language_that_a_terminal_cannot_show_is_no_failure(bbb: Bbb, project: Project) -> None:
    make_task(project, title="解析器")
    assert "解析器" in bbb("tasks", "list", PYTHONIOENCODING="utf-8").out
    done = bbb("tasks", "list", PYTHONIOENCODING="ascii")
    assert (done.code, "\\u89e3" in done.out) == (0, True)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, ""),
        (True, "yes"),
        (False, "no"),
        (0, "0"),
        ([1, "b", None], "1, b, "),
        ({"usd": 1.5, "turns": None}, "usd 1.5"),
        ("2026-99-02T03:04:05Z", "2026-99-02T03:04:05Z"),
        ("2026-01", "2026-01"),
    ],
)
def test_a_value_is_put_into_words(value: object, words: str) -> None:
    assert tables.words(value) == words


def test_a_time_is_told_in_the_time_zone_of_the_machine(bbb: Bbb, project: Project) -> None:
    task = make_task(project)
    Task.objects.filter(pk=task.pk).update(not_before="2030-01-02T03:04:05Z")
    shown = bbb("tasks", "show", str(task.pk), TZ="Asia/Shanghai").out
    assert "2030-01-02 11:04:05" in shown


def test_every_character_survives_being_made_harmless(capsys: pytest.CaptureFixture[str]) -> None:
    text = "".join(map(chr, range(0x2100))) + "\ud800"
    output.data({"text": text})
    assert json.loads(capsys.readouterr().out)["text"] == text
