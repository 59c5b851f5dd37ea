from __future__ import annotations

import json
from typing import Any

import pytest

from beebeebrain.cli.errors import ExitCode
from beebeebrain.tests.cli.program import Bbb
from orchestration.models import Project, Task
from orchestration.states import TaskStatus
from orchestration.tests.factories import make_agent, make_task, set_status


@pytest.fixture
def task(project: Project) -> Task:
    return make_task(project, title="Write the parser", description="Of lists.\nAnd maps.", priority=1)


def lines(shown: str) -> list[list[str]]:
    """Return the words of each line of a table, without its header."""
    return [line.split() for line in shown.splitlines()[1:]]


class TestList:
    def test_a_list_is_a_table_with_one_line_a_task(self, bbb: Bbb, project: Project, task: Task) -> None:
        agent = make_agent(project, name="Ada")
        make_task(project, title="Test  it\nall", assignee=agent, depends_on=[task])
        header, *rows = bbb("tasks", "list").out.splitlines()
        assert header.split() == ["ID", "STATE", "PRIORITY", "AGENT", "PROJECT", "TITLE"]
        assert rows[0].split() == [str(task.pk), "todo", "high", "hive", "Write", "the", "parser"]
        assert "todo (waits for 1)" in rows[1]
        assert rows[1].endswith("Ada    hive     Test it all")

    def test_json_is_what_the_api_answers(self, bbb: Bbb, task: Task) -> None:
        (row,) = bbb("tasks", "list", "--json").json
        assert (row["id"], row["assignee"], row["project"]) == (task.pk, None, task.project_id)

    def test_nothing_is_an_empty_array_and_a_word_on_the_side(self, bbb: Bbb) -> None:
        assert bbb("tasks", "list", "--json").json == []
        shown = bbb("tasks", "list")
        assert (shown.code, shown.out, shown.err) == (0, "", "No tasks.\n")

    def test_filters_narrow_the_list(self, bbb: Bbb, project: Project, task: Task) -> None:
        agent = make_agent(project, name="Ada")
        done = set_status(make_task(project, task_type="bug"), TaskStatus.DONE)
        waiting = make_task(project, assignee=agent, depends_on=[task], parent=done)

        def ids(*words: str) -> list[int]:
            return [row["id"] for row in bbb("tasks", "list", "--json", *words).json]

        assert ids("--status", "done", "--status", "review") == [done.pk]
        assert ids("--priority", "high") == [task.pk]
        assert ids("--type", "bug") == [done.pk]
        assert ids("--assignee", "ada", "-p", "hive") == [waiting.pk]
        assert ids("--blocked-by", task.key) == [waiting.pk]
        assert ids("--parent", f"#{done.pk}") == [waiting.pk]
        assert ids("--search", "PARSER") == [task.pk]
        assert ids("--ready") == [task.pk]
        assert ids("--order", "-id") == [waiting.pk, done.pk, task.pk]

    def test_a_filter_that_fits_nothing_known_is_an_error(self, bbb: Bbb, task: Task) -> None:
        assert bbb("tasks", "list", "-p", "honey", "--json").error == (ExitCode.NOT_FOUND, "not_found")
        assert bbb("tasks", "list", "-a", "Nobody", "--json").error == (ExitCode.NOT_FOUND, "not_found")
        assert bbb("tasks", "list", "--priority", "soon", "--json").error == (ExitCode.USAGE, "usage")
        assert bbb("tasks", "list", "--status", "ready").code == ExitCode.REFUSED

    def test_all_follows_the_pages(self, bbb: Bbb, project: Project) -> None:
        Task.objects.bulk_create(Task(project=project, title=f"Task {number}") for number in range(205))
        assert len(bbb("tasks", "list", "--all", "--json").json) == 205
        assert len(bbb("tasks", "list", "--limit", "203", "--json").json) == 203
        assert len(bbb("tasks", "list", "--json").json) == 50
        assert "the first 50" in bbb("tasks", "list").err
        assert bbb("tasks", "list", "--limit", "205").err == ""

    def test_a_project_may_be_set_for_all_commands(self, bbb: Bbb, task: Task) -> None:
        assert bbb("tasks", "list", BBB_PROJECT="honey").code == ExitCode.NOT_FOUND
        assert len(bbb("tasks", "list", "--json", BBB_PROJECT="hive").json) == 1


class TestShow:
    def test_a_task_is_shown_by_id_or_key(self, bbb: Bbb, task: Task) -> None:
        for name in (str(task.pk), f"#{task.pk}", task.key):
            shown = bbb("tasks", "show", name).out
            assert shown.startswith(f"{task.key}  Write the parser\n")
            assert "\nOf lists.\nAnd maps.\n" in shown

    def test_json_is_what_the_api_answers(self, bbb: Bbb, task: Task) -> None:
        assert bbb("tasks", "show", str(task.pk), "--json").json["description"] == "Of lists.\nAnd maps."

    def test_a_task_that_is_not_there_has_its_own_status(self, bbb: Bbb) -> None:
        done = bbb("tasks", "show", "99")
        assert (done.code, "code not_found" in done.err) == (ExitCode.NOT_FOUND, True)

    def test_what_is_no_task_is_not_asked_for(self, stranger: Bbb) -> None:
        client = {"BBB_URL": "http://127.0.0.1:9", "BBB_TOKEN": "bbb_12345678"}
        assert stranger("tasks", "show", "honey", "--json", **client).error == (ExitCode.USAGE, "usage")

    def test_why_it_does_not_start_is_a_sentence(self, bbb: Bbb, task: Task) -> None:
        assert bbb("tasks", "why", str(task.pk)).out == "Its project has no agent. (no_agent)\n"
        assert bbb("tasks", "why", str(task.pk), "--json").json["reason"] == "no_agent"

    def test_a_graph_shows_stages_and_the_longest_chain(self, bbb: Bbb, project: Project, task: Task) -> None:
        middle = make_task(project, title="Middle", depends_on=[task])
        last = make_task(project, title="Last", depends_on=[task, middle])
        for words in (["tasks", "graph", middle.key], ["projects", "graph", "hive"]):
            shown = bbb(*words).out
            stages = {words[-1]: words[0] for words in lines(shown)[:3]}
            assert stages == {"parser": "1", "Middle": "2", "Last": "3"}
            assert f"Longest chain: {task.pk} → {middle.pk} → {last.pk}" in shown
        assert bbb("projects", "graph", "hive", "--json").json["critical_path"] == [task.pk, middle.pk, last.pk]
        assert bbb("tasks", "graph", str(task.pk), "--json").json["task"] == task.pk


class TestEdit:
    def test_fields_change(self, bbb: Bbb, project: Project, task: Task) -> None:
        agent = make_agent(project, name="Ada")
        words = ["--title", "New", "-d", "-", "--priority", "low", "--check", "true", "-a", "Ada", "--type", "bug"]
        row = bbb("tasks", "edit", str(task.pk), *words, "--json", stdin="From stdin\n").json
        assert (row["title"], row["description"], row["priority"]) == ("New", "From stdin", 3)
        assert (row["checks"], row["assignee"], row["task_type"]) == (["true"], agent.pk, "bug")

    def test_a_task_that_is_not_there_is_named(self, bbb: Bbb) -> None:
        told = bbb("tasks", "edit", "task-999", "--title", "New")
        assert told.code == ExitCode.NOT_FOUND
        assert told.err.startswith("Error: There is no task 999, or none that you may see.")

    def test_what_was_changed_is_shown_as_a_person_reads_it(self, bbb: Bbb, task: Task) -> None:
        shown = bbb("tasks", "edit", str(task.pk), "--priority", "low", "--due", "2026-12-24T18:00Z").out
        assert shown.startswith(f"{task.key}  Write the parser")
        assert ["priority", "low"] in [line.split() for line in shown.splitlines()]
        assert "2026-12-24 18:00:00" in shown

    def test_json_can_take_a_value_away(self, bbb: Bbb, project: Project, task: Task) -> None:
        assigned = make_task(project, assignee=make_agent(project))
        row = bbb("tasks", "edit", str(assigned.pk), "--json-file", "-", "--json", stdin='{"assignee": null}').json
        assert row["assignee"] is None

    def test_another_version_is_a_conflict(self, bbb: Bbb, task: Task) -> None:
        done = bbb("tasks", "edit", str(task.pk), "--title", "New", "--expected-version", "7", "--json")
        assert done.error == (ExitCode.CONFLICT, "version_conflict")
        assert json.loads(done.err)["data"]["version"] == task.version

    def test_a_version_that_fits_changes(self, bbb: Bbb, task: Task) -> None:
        assert bbb("tasks", "edit", str(task.pk), "--title", "New", "--expected-version", "1").code == 0


class TestPutAway:
    def test_a_task_that_is_over_is_archived_and_taken_back(self, bbb: Bbb, task: Task) -> None:
        set_status(task, TaskStatus.DONE)
        assert bbb("tasks", "archive", task.key, "--json").json["is_archived"] is True
        assert bbb("tasks", "list", "--json").json == []
        assert [row["id"] for row in bbb("tasks", "list", "--archived", "--json").json] == [task.pk]
        assert bbb("tasks", "unarchive", task.key, "--json").json["is_archived"] is False

    def test_a_task_is_deleted(self, bbb: Bbb, task: Task) -> None:
        stale = bbb("tasks", "delete", str(task.pk), "-y", "--expected-version", "9", "--json")
        assert stale.error == (ExitCode.CONFLICT, "precondition_failed")
        assert bbb("tasks", "delete", str(task.pk)).code == ExitCode.USAGE
        done = bbb("tasks", "delete", str(task.pk), "--yes", "--json")
        assert (done.code, done.out, Task.objects.exists()) == (0, "", False)

    def test_a_task_that_others_wait_for_is_kept(self, bbb: Bbb, task: Task) -> None:
        make_task(task.project, depends_on=[task])
        assert bbb("tasks", "delete", str(task.pk), "-y").code == ExitCode.CONFLICT


class TestCreate:
    def test_a_title_is_enough_where_there_is_one_project(self, bbb: Bbb, project: Project) -> None:
        done = bbb("tasks", "create", "Write it")
        task = Task.objects.get()
        assert (done.code, done.out, task.project_id) == (0, f"Created {task.key}: Write it\n", project.pk)

    def test_flags_say_the_rest(self, bbb: Bbb, project: Project, task: Task) -> None:
        agent = make_agent(project, name="Ada")
        words = ["-p", "hive", "-d", "Words", "--acceptance", "It works", "--priority", "0", "--type", "test"]
        words += ["--phase", "verify", "-a", "ada", "--parent", task.key, "--after", str(task.pk), "--check", "true"]
        words += ["--check", "false", "--not-before", "2030-01-02T03:04Z", "--max-usd", "1.5"]
        row = bbb("tasks", "create", "Test it", *words, "--json").json
        assert (row["description"], row["acceptance_criteria"], row["priority"]) == ("Words", "It works", 0)
        assert (row["task_type"], row["phase"], row["assignee"]) == ("test", "verify", agent.pk)
        assert (row["parent"], row["depends_on"], row["checks"]) == (task.pk, [task.pk], ["true", "false"])
        assert (row["not_before"], row["limits"]["usd"]) == ("2030-01-02T03:04:00Z", 1.5)

    def test_one_task_comes_from_json_and_flags_go_before(self, bbb: Bbb, project: Project) -> None:
        body = json.dumps({"project": project.pk, "title": "Old", "max_attempts": 7})
        row = bbb("tasks", "create", "New", "--json-file", "-", "--json", stdin=body).json
        assert (row["title"], row["max_attempts"]) == ("New", 7)

    @pytest.mark.parametrize("wrap", [lambda tasks: tasks, lambda tasks: {"tasks": tasks}], ids=["array", "object"])
    def test_many_tasks_come_from_json(self, bbb: Bbb, project: Project, wrap: Any) -> None:
        tasks = [{"ref": "a", "title": "First"}, {"ref": "b", "title": "Second", "depends_on": ["a"]}]
        done = bbb("tasks", "create", "-p", "hive", "--json-file", "-", stdin=json.dumps(wrap(tasks)))
        assert (done.code, "Second" in done.out, "Tasks created: 2." in done.err) == (0, True, True)
        assert Task.objects.get(title="Second").unmet_dependencies == 1

    def test_a_key_makes_one_task_however_often_it_is_sent(self, bbb: Bbb, project: Project) -> None:
        first = bbb("tasks", "create", "Write it", "--idempotency-key", "k1", "--json").json
        assert bbb("tasks", "create", "Write it", "--idempotency-key", "k1", "--json").json["id"] == first["id"]
        reused = bbb("tasks", "create", "Another", "--idempotency-key", "k1", "--json")
        assert reused.error == (ExitCode.REFUSED, "idempotency_key_reused")
        assert Task.objects.count() == 1

    def test_several_projects_have_to_be_told_apart(self, bbb: Bbb, project: Project, tmp_path: Any) -> None:
        assert bbb("projects", "create", "Other", "--path", project.root_path).code == 0
        done = bbb("tasks", "create", "Write it", "--json")
        assert done.error == (ExitCode.USAGE, "usage")
        assert bbb("tasks", "create", "Write it", BBB_PROJECT="hive").code == 0

    def test_without_a_project_the_way_to_one_is_told(self, bbb: Bbb) -> None:
        done = bbb("tasks", "create", "Write it")
        assert (done.code, "There is no project yet" in done.err) == (ExitCode.USAGE, True)

    @pytest.mark.parametrize(
        ("words", "stdin", "told"),
        [
            ([], "", "Give a title"),
            (["--json-file", "-"], "{", "-:1:2: this is no JSON"),
            (["--json-file", "-"], "7", "a JSON object or array is wanted"),
            (["--json-file", "/nowhere"], "", "/nowhere cannot be read"),
            (["Title", "--json-file", "-"], "[]", "holds several tasks"),
            (["Title", "--plan", "plan.md"], "", "A plan says all about its tasks"),
            (["Title", "--priority", "soon"], "", "'soon' is no priority"),
        ],
    )
    def test_what_does_not_fit_is_not_sent(self, stranger: Bbb, words: list[str], stdin: str, told: str) -> None:
        client = {"BBB_URL": "http://127.0.0.1:9", "BBB_TOKEN": "bbb_12345678"}
        done = stranger("tasks", "create", *words, stdin=stdin, **client)
        assert (done.code, told in done.err) == (ExitCode.USAGE, True), done.err

    def test_what_the_server_refuses_names_the_field(self, bbb: Bbb, project: Project) -> None:
        done = bbb("tasks", "create", "x" * 301)
        assert (done.code, "title" in done.err) == (ExitCode.REFUSED, True)
