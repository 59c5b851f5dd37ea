from __future__ import annotations

from pathlib import Path

import pytest

from beebeebrain.cli.errors import ExitCode
from beebeebrain.tests.cli.program import Bbb, Result
from orchestration.models import Project, Task
from orchestration.tests.factories import make_agent, make_task

PLAN = """\
# Word statistics

- [x] Decide the name {#name}
- [ ] Split a text {#split} !high @Ada
  Lower case, without punctuation.
  Acceptance: empty text, punctuation
  Check: true
  - [ ] Split Chinese
- [ ] Count the words (after: split, name)
- [ ] Show a table (after: count the words, #{existing})
"""


@pytest.fixture
def existing(project: Project) -> Task:
    make_agent(project, name="Ada")
    return make_task(project, title="There before")


def send(bbb: Bbb, text: str, *words: str) -> Result:
    (bbb.folder / "plan.md").write_text(text)
    return bbb("tasks", "import", str(bbb.folder / "plan.md"), *words)


def test_a_plan_becomes_tasks_with_what_they_wait_for(bbb: Bbb, existing: Task) -> None:
    done = send(bbb, PLAN.replace("{existing}", str(existing.pk)), "-p", "hive")
    assert (done.code, "Tasks created: 4." in done.err) == (0, True), done.err
    tasks = {task.title: task for task in Task.objects.exclude(pk=existing.pk)}
    assert list(tasks) == ["Split a text", "Split Chinese", "Count the words", "Show a table"]
    split = tasks["Split a text"]
    assert split.assignee is not None
    assert (split.priority, split.assignee.name, split.checks) == (1, "Ada", ["true"])
    assert split.description == "Lower case, without punctuation."
    assert split.acceptance_criteria == "empty text, punctuation"
    assert tasks["Split Chinese"].parent == split
    assert _waits_for(tasks["Count the words"]) == {split.pk}
    assert _waits_for(tasks["Show a table"]) == {tasks["Count the words"].pk, existing.pk}


def test_create_takes_a_plan_too(bbb: Bbb, project: Project) -> None:
    done = bbb("tasks", "create", "--plan", "-", "--json", stdin="- [ ] Only one")
    assert [task["ref"] for task in done.json["tasks"]] == ["line-1"]


def test_the_same_key_makes_a_plan_once(bbb: Bbb, project: Project) -> None:
    for _ in range(2):
        assert send(bbb, "- [ ] One\n- [ ] Two", "--idempotency-key", "release-2").code == 0
    assert Task.objects.count() == 2


def test_a_dry_run_sends_nothing(stranger: Bbb) -> None:
    done = send(stranger, PLAN.replace("{existing}", "7"), "--dry-run")
    assert (done.code, "would be made: 4. Ticked off and left out: 1." in done.err) == (0, True)
    assert done.out.splitlines()[1].split() == ["4", "split", "high", "Split", "a", "text"]
    bodies = send(stranger, PLAN.replace("{existing}", "7"), "--dry-run", "--json").json["tasks"]
    assert bodies[3]["depends_on"] == ["line-9", 7]


def test_mistakes_are_told_with_their_lines_and_nothing_is_sent(stranger: Bbb) -> None:
    done = send(stranger, "- [ ] One !hihg\n- [ ] Two (after: three)")
    assert done.code == ExitCode.USAGE
    assert "plan.md:1: !hihg is no priority" in done.err
    assert "plan.md:2: 'three' is no key" in done.err
    assert send(stranger, "- [ ] One !hihg", "--json").error == (ExitCode.USAGE, "invalid_plan")


def test_an_agent_that_is_not_there_is_told_with_its_line(bbb: Bbb, project: Project) -> None:
    done = send(bbb, "- [ ] One\n- [ ] Two @Nobody")
    assert (done.code, "plan.md:2: There is no agent 'Nobody'" in done.err) == (ExitCode.USAGE, True)
    assert not Task.objects.exists()


def test_a_server_that_is_away_is_no_mistake_of_the_plan(stranger: Bbb) -> None:
    stranger.environment = {"BBB_URL": "http://127.0.0.1:9", "BBB_TOKEN": "bbb_12345678"}
    assert send(stranger, "- [ ] One @Ada", "-p", "1").code == ExitCode.UNAVAILABLE


def test_what_the_server_refuses_is_told_with_its_line(bbb: Bbb, project: Project) -> None:
    done = send(bbb, f"- [ ] One\n\n- [ ] {'x' * 301}")
    assert (done.code, "plan.md:3: title: " in done.err) == (ExitCode.REFUSED, True), done.err
    assert not Task.objects.exists()


def test_a_file_that_is_no_text_is_refused(stranger: Bbb) -> None:
    Path(stranger.folder / "plan.md").write_bytes(b"\xff\xfe")
    done = stranger("tasks", "import", str(stranger.folder / "plan.md"))
    assert (done.code, "is not UTF-8 text" in done.err) == (ExitCode.USAGE, True)


def _waits_for(task: Task) -> set[int]:
    return set(task.dependencies.values_list("depends_on_id", flat=True))
