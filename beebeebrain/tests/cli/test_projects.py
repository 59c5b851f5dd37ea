from __future__ import annotations

from pathlib import Path

from beebeebrain.cli.errors import ExitCode
from beebeebrain.tests.cli.program import Bbb
from orchestration.models import Agent, Project
from orchestration.tests.factories import make_agent, make_repository


class TestProjects:
    def test_a_project_is_made_and_shown(self, bbb: Bbb, tmp_path: Path) -> None:
        make_repository(tmp_path / "repo")
        words = ["--path", str(tmp_path / "repo" / ".." / "repo"), "--check", "true", "--daily-budget-usd", "5"]
        row = bbb("projects", "create", "Bee Hive", *words, "--json").json
        assert (row["slug"], row["root_path"], row["checks"]) == ("bee-hive", str(tmp_path / "repo"), ["true"])
        assert (
            bbb("projects", "show", "bee-hive", "--json").json == bbb("projects", "show", str(row["id"]), "--json").json
        )
        assert "daily budget usd" in bbb("projects", "show", "bee-hive").out

    def test_a_folder_that_is_no_repository_is_refused(self, bbb: Bbb, tmp_path: Path) -> None:
        assert bbb("projects", "create", "Hive", "--path", str(tmp_path)).code == ExitCode.REFUSED

    def test_projects_are_listed_with_their_state(self, bbb: Bbb, project: Project) -> None:
        assert bbb("projects", "list").out.splitlines()[1].split() == [
            str(project.pk),
            "hive",
            "active",
            "main",
            "Hive",
        ]
        assert bbb("projects", "pause", "hive", "--json").json["is_paused"] is True
        assert " paused " in bbb("projects", "list").out
        assert bbb("projects", "resume", str(project.pk), "--json").json["is_paused"] is False

    def test_fields_change(self, bbb: Bbb, project: Project) -> None:
        row = bbb("projects", "edit", "hive", "--name", "New", "--auto-approve", "--max-in-review", "3", "--json").json
        assert (row["name"], row["auto_approve"], row["max_in_review"]) == ("New", True, 3)
        stale = bbb("projects", "edit", "hive", "--name", "Old", "--expected-version", "1", "--json")
        assert stale.error == (ExitCode.CONFLICT, "version_conflict")

    def test_a_project_is_archived_taken_back_and_deleted(self, bbb: Bbb, project: Project) -> None:
        assert bbb("projects", "archive", "hive", "--json").json["is_archived"] is True
        assert bbb("projects", "list", "--json").json == []
        assert " archived " in bbb("projects", "list", "--archived").out
        assert bbb("projects", "unarchive", "hive", "--json").json["is_archived"] is False
        assert bbb("projects", "delete", "hive", "-y").out == "Deleted project hive.\n"
        assert not Project.objects.exists()

    def test_a_project_that_is_not_there_is_told(self, bbb: Bbb, project: Project) -> None:
        assert bbb("projects", "show", "honey", "--json").error == (ExitCode.NOT_FOUND, "not_found")
        assert bbb("projects", "show", "99", "--json").error == (ExitCode.NOT_FOUND, "not_found")


class TestAgents:
    def test_an_agent_is_made_from_flags_and_json(self, bbb: Bbb, project: Project) -> None:
        words = ["--provider", "noop", "--persona", "-", "--tool", "Read", "--tool", "Bash", "--max-cost-usd", "2"]
        row = bbb("agents", "create", "Ada", "-p", "hive", *words, "--json", stdin="Careful.\n").json
        assert (row["project"], row["persona"], row["enabled_tools"]) == (project.pk, "Careful.", ["Read", "Bash"])
        more = bbb("agents", "create", "--json-file", "-", "--json", stdin='{"name": "Grace", "provider": "noop"}')
        assert more.json["project"] == project.pk

    def test_agents_are_listed_and_shown_by_name(self, bbb: Bbb, project: Project) -> None:
        agent = make_agent(project, name="Ada")
        assert bbb("agents", "list").out.splitlines()[1].split()[:4] == [str(agent.pk), "hive", "active", "noop"]
        assert bbb("agents", "show", "ada", "--json").json["id"] == agent.pk
        assert bbb("agents", "health", "ada", "--json").json["agent"] == agent.pk

    def test_an_agent_is_paused_resumed_archived(self, bbb: Bbb, project: Project) -> None:
        make_agent(project, name="Ada")
        for command, status in (("pause", "paused"), ("resume", "active"), ("archive", "archived")):
            assert bbb("agents", command, "Ada", "--json").json["status"] == status
        assert bbb("agents", "list", "--status", "archived", "--json").json[0]["name"] == "Ada"

    def test_fields_change(self, bbb: Bbb, project: Project) -> None:
        make_agent(project, name="Ada")
        row = bbb("agents", "edit", "Ada", "--name", "Grace", "--max-turns", "7", "--json").json
        assert (row["name"], row["max_turns"]) == ("Grace", 7)

    def test_an_agent_is_deleted(self, bbb: Bbb, project: Project) -> None:
        make_agent(project, name="Ada")
        assert bbb("agents", "delete", "Ada", "-y").out == "Deleted agent Ada.\n"
        assert not Agent.objects.exists()

    def test_a_name_that_several_have_is_told_apart(self, bbb: Bbb, project: Project, tmp_path: Path) -> None:
        bbb("projects", "create", "Other", "--path", project.root_path)
        make_agent(project, name="Ada")
        make_agent(Project.objects.get(name="Other"), name="Ada")
        assert bbb("agents", "show", "Ada", "--json").error == (ExitCode.USAGE, "usage")
        assert bbb("agents", "show", "Ada", "-p", "other", "--json").json["project"] != project.pk
        assert Agent.objects.count() == 2
