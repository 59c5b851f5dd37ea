from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from beebeebrain.cli.app import PLACES, app
from beebeebrain.cli.errors import MEANINGS, ExitCode
from beebeebrain.tests.cli.program import ROOT, Bbb

FOREIGN = {
    "django",
    "rest_framework",
    "channels",
    "pydantic",
    "api",
    "runtime",
    "inbox",
    "orchestration",
    "llm",
    "events",
    "security",
    "sql",
}
COMMANDS = list(PLACES)


def loaded(code: str) -> set[str]:
    """Return the packages that a fresh process has loaded after some code."""
    code += "\nimport sys, json; print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


def leaves(command: Any, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    """Return every command with its words."""
    context = typer.Context(command)
    if not hasattr(command, "list_commands"):
        return {path: command}
    found: dict[tuple[str, ...], Any] = {}
    for name in command.list_commands(context):
        found |= leaves(command.get_command(context, name), (*path, name))
    return found


def test_nothing_of_the_server_is_loaded() -> None:
    modules = [f"import beebeebrain.cli.{path.stem}" for path in (ROOT / "beebeebrain/cli").glob("[a-z]*.py")]
    assert not loaded("\n".join(modules)) & FOREIGN


def test_help_loads_no_client_and_no_tables() -> None:
    assert not loaded("from beebeebrain.cli.__main__ import main; main(['--help'])") & {
        "httpx",
        "rich",
        "ssl",
        "django",
    }


def test_a_command_loads_no_tables_where_nobody_looks_at_them() -> None:
    code = "from beebeebrain.cli.__main__ import main; main(['tasks', 'list'])"
    client = "import os; os.environ |= {'BBB_URL': 'http://127.0.0.1:9', 'BBB_TOKEN': 'bbb_' + 'x' * 20}\n"
    modules = loaded(client + code)
    assert "httpx" in modules
    assert not modules & {"rich", "pygments", "pydantic", "django"}


def test_help_lists_every_command_and_every_exit_status(stranger: Bbb) -> None:
    for words in ([], ["--help"], ["-h"]):
        shown = stranger(*words)
        assert shown.code == 0
        assert [name for name in COMMANDS if f"\n  {name} " not in shown.out] == []
        assert [code for code, meaning in MEANINGS.items() if f"{code:>5}  {meaning}" not in shown.out] == []


def test_every_exit_status_is_in_the_documentation() -> None:
    page = (ROOT / "docs/cli.md").read_text()
    assert [code for code, meaning in MEANINGS.items() if f"| {code} | {meaning} |" not in page] == []


def test_every_command_takes_json() -> None:
    found = leaves(typer.main.get_command(app))
    assert len(found) > 40
    without = [words for words, command in found.items() if not any("--json" in p.opts for p in command.params)]
    assert without == []


def test_every_command_says_what_it_does() -> None:
    found = leaves(typer.main.get_command(app))
    assert [words for words, command in found.items() if not command.help] == []


def test_every_command_is_in_the_documentation() -> None:
    page = (ROOT / "docs/cli.md").read_text()
    told = {words: f"`bbb {' '.join(words)}" in page for words in leaves(typer.main.get_command(app))}
    assert [words for words, is_told in told.items() if not is_told] == []


@pytest.mark.parametrize(
    "words", [["honey"], ["tasks"], ["tasks", "honey"], ["tasks", "show"], ["inbox", "show", "x"], ["tasks", "--what"]]
)
def test_a_misuse_says_what_to_do(stranger: Bbb, words: list[str]) -> None:
    done = stranger(*words)
    assert done.code == ExitCode.USAGE
    assert "--help` says what it takes." in done.err
    assert "code usage" in done.err


def test_a_misuse_with_json_is_json(stranger: Bbb) -> None:
    assert stranger("tasks", "show", "--json").error == (ExitCode.USAGE, "usage")


def test_a_command_misspelt_is_guessed(stranger: Bbb) -> None:
    assert "Did you mean 'tasks'" in stranger("taks").err


def test_it_says_its_version(stranger: Bbb) -> None:
    assert stranger("--version").out.startswith("bbb 0.")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_gets_its_completion(stranger: Bbb, shell: str) -> None:
    # With this variable the shell is told, not guessed from the processes around.
    done = stranger("--show-completion", shell, _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")
    assert (done.code, "_BBB_COMPLETE" in done.out) == (0, True), done.err


def test_completion_knows_nouns_verbs_and_options(stranger: Bbb) -> None:
    def completed(line: str, word: int) -> list[str]:
        done = stranger(_BBB_COMPLETE="complete_bash", COMP_WORDS=line, COMP_CWORD=str(word))
        assert done.code == 0, done.err
        return done.out.split()

    assert completed("bbb ta", 1) == ["tasks"]
    assert "import" in completed("bbb tasks ", 2)
    assert completed("bbb tasks list --re", 3) == ["--ready"]


def test_a_clone_has_the_command_from_anywhere(tmp_path: Path) -> None:
    (tmp_path / "typer.py").write_text("raise SystemExit('loaded from the folder it was called in')")
    (tmp_path / "bbb").symlink_to(ROOT / "bbb")
    if not (ROOT / ".venv/bin/python").exists():
        pytest.skip("the tests run in another environment than a clone's own")
    done = subprocess.run(["./bbb", "--version"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout[:4]) == (0, "bbb "), done.stderr


def test_a_clone_without_packages_says_how_to_get_them(tmp_path: Path) -> None:
    (tmp_path / "bbb").write_text((ROOT / "bbb").read_text())
    done = subprocess.run(["sh", str(tmp_path / "bbb")], capture_output=True, text=True, check=False)
    assert (done.returncode, "make run" in done.stderr) == (ExitCode.UNAVAILABLE, True)
