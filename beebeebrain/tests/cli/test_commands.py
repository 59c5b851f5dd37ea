from __future__ import annotations

import json

import pytest

from beebeebrain.cli.errors import ExitCode
from beebeebrain.tests.cli.program import Bbb
from inbox import services as inbox
from inbox.states import ItemType
from orchestration.models import Project, Task
from orchestration.states import TaskStatus
from orchestration.tests.factories import make_agent, make_task, set_status
from runtime.models import TaskRun


@pytest.fixture
def task(project: Project) -> Task:
    return make_task(project, title="Write the parser")


def in_review(project: Project) -> Task:
    task = set_status(make_task(project), TaskStatus.REVIEW)
    inbox.ask(ItemType.TASK_COMPLETED, task=task, title="Review", dedupe_key=f"review:{task.pk}", actor="agent:1")
    return task


def test_a_task_is_held_and_let_go(bbb: Bbb, task: Task) -> None:
    assert bbb("pause", task.key).out == f"{task.key}  todo (paused)  Write the parser\n"
    assert bbb("resume", str(task.pk), "--json").json["is_held"] is False


def test_a_task_is_cancelled_and_retried(bbb: Bbb, task: Task) -> None:
    assert bbb("cancel", str(task.pk), "--json").json["status"] == "cancelled"
    assert bbb("retry", str(task.pk), "--json").json["status"] == "todo"


def test_work_is_approved(bbb: Bbb, project: Project) -> None:
    task = in_review(project)
    assert f"{task.key}  review (approved)" in bbb("approve", str(task.pk)).out
    assert Task.objects.get(pk=task.pk).approved_at is not None


def test_a_refusal_says_how_the_task_is(bbb: Bbb, task: Task) -> None:
    done = bbb("approve", str(task.pk))
    assert done.code == ExitCode.CONFLICT
    assert "code invalid_transition · status todo" in done.err
    assert json.loads(bbb("approve", str(task.pk), "--json").err)["data"]["status"] == "todo"


def test_a_stale_command_is_refused(bbb: Bbb, task: Task) -> None:
    done = bbb("pause", str(task.pk), "--expected-version", "7", "--json")
    assert done.error == (ExitCode.CONFLICT, "version_conflict")
    assert bbb("pause", str(task.pk), "--expected-version", "1").code == 0


def test_a_task_is_run_at_once_by_whom_it_is_said(bbb: Bbb, project: Project, task: Task) -> None:
    make_agent(project, name="Ada")
    grace = make_agent(project, name="Grace")
    assert bbb("run", str(task.pk), "--agent", "grace").code == 0
    assert TaskRun.objects.get().agent == grace


def test_several_tasks_have_an_outcome_each(bbb: Bbb, project: Project, task: Task) -> None:
    done_task = set_status(make_task(project), TaskStatus.DONE)
    done = bbb("pause", str(task.pk), str(done_task.pk), "9999999")
    assert done.code == ExitCode.CONFLICT
    assert [line.split()[:2] for line in done.out.splitlines()[1:]] == [
        [str(task.pk), "applied"],
        [str(done_task.pk), "refused"],
        ["9999999", "refused"],
    ]
    assert "1 applied, 2 refused, 0 in conflict." in done.err
    assert Task.objects.get(pk=task.pk).is_held


def test_several_tasks_that_all_obey_are_a_success(bbb: Bbb, project: Project, task: Task) -> None:
    answer = bbb("cancel", str(task.pk), make_task(project).key, "--json").json
    assert (answer["command"], answer["applied"], answer["refused"]) == ("cancel", 2, 0)


def test_tasks_are_chosen_by_what_they_are(bbb: Bbb, project: Project, task: Task) -> None:
    agent = make_agent(project, name="Ada")
    assigned = make_task(project, assignee=agent)
    failed = set_status(make_task(project), TaskStatus.FAILED)
    answer = bbb("pause", "--assignee", "Ada", "-p", "hive", "--yes", "--json").json
    assert [result["task"] for result in answer["results"]] == [assigned.pk]
    answer = bbb("retry", "--status", "failed", "-y", "--json").json
    assert [result["task"] for result in answer["results"]] == [failed.pk]


def test_nobody_is_asked_where_nobody_can_answer(bbb: Bbb, task: Task) -> None:
    assert bbb("cancel", "--status", "todo", "--json").error == (ExitCode.USAGE, "usage")
    assert Task.objects.get().status == TaskStatus.TODO


def test_a_person_is_asked_before_many_tasks_are_cancelled(bbb: Bbb, task: Task) -> None:
    code, shown = bbb.on_terminal("cancel", "--status", "todo", says=["n"])
    assert (code, "Cancel all tasks that fit?" in shown) == (ExitCode.INTERRUPTED, True)
    assert Task.objects.get().status == TaskStatus.TODO
    code, _ = bbb.on_terminal("cancel", "--status", "todo", says=["y"])
    assert (code, Task.objects.get().status) == (0, TaskStatus.CANCELLED)


@pytest.mark.parametrize("words", [["pause"], ["run", "1", "2", "--agent", "1"], ["pause", "x"], ["approve", "1", "2"]])
def test_what_does_not_fit_is_not_sent(stranger: Bbb, words: list[str]) -> None:
    extra = ["--expected-version", "1"] if words[0] == "approve" else []
    client = {"BBB_URL": "http://127.0.0.1:9", "BBB_TOKEN": "bbb_12345678"}
    assert stranger(*words, *extra, "--json", **client).error == (ExitCode.USAGE, "usage")


class TestRequestChanges:
    def test_words_are_given_with_it(self, bbb: Bbb, project: Project) -> None:
        task = in_review(project)
        assert bbb("request-changes", str(task.pk), "-m", "Shorter", "--json").json["status"] == "todo"
        assert task.comments.get().body == "Shorter"

    def test_words_come_from_a_file(self, bbb: Bbb, project: Project) -> None:
        tasks = [in_review(project), in_review(project)]
        ids = [str(task.pk) for task in tasks]
        assert bbb("request-changes", *ids, "-F", "-", "--json", stdin="Both\nshorter\n").json["applied"] == 2
        assert {task.comments.get().body for task in tasks} == {"Both\nshorter"}

    def test_words_are_written_in_an_editor(self, bbb: Bbb, project: Project) -> None:
        task = in_review(project)
        editor = bbb.folder / "editor"
        editor.write_text('#!/bin/sh\n{ echo "From the editor"; cat "$1"; } > "$1.new"; mv "$1.new" "$1"\n')
        editor.chmod(0o755)
        code, shown = bbb.on_terminal("request-changes", str(task.pk), EDITOR=str(editor))
        assert code == 0, shown
        assert task.comments.get().body == "From the editor"

    def test_an_editor_left_empty_sends_nothing(self, bbb: Bbb, project: Project) -> None:
        task = in_review(project)
        code, shown = bbb.on_terminal("request-changes", str(task.pk), EDITOR="true")
        assert (code, "nothing was sent" in shown) == (ExitCode.USAGE, True)
        assert Task.objects.get(pk=task.pk).status == TaskStatus.REVIEW

    @pytest.mark.parametrize("editor", ["false", "/no/such/editor"])
    def test_an_editor_that_fails_sends_nothing(self, bbb: Bbb, project: Project, editor: str) -> None:
        code, shown = bbb.on_terminal("request-changes", str(in_review(project).pk), EDITOR=editor)
        assert (code, "The editor" in shown) == (ExitCode.USAGE, True)

    def test_without_words_and_without_a_terminal_nothing_is_sent(self, bbb: Bbb, project: Project) -> None:
        done = bbb("request-changes", str(in_review(project).pk))
        assert (done.code, "--message" in done.err) == (ExitCode.USAGE, True)
