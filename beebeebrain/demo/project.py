"""The demo's project: a small git repository, and the tasks that grow it."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

NAME = "Word statistics"
BRANCH = "main"
CHECK = "python3 -m unittest discover -s tests -q"

FILES = {
    ".gitignore": "__pycache__/\n",
    "README.md": "# wordstats\n\nStatistics about the words of a text.\n",
    "wordstats/__init__.py": '"""Statistics about the words of a text."""\n\n__version__ = "0.1.0"\n',
    "tests/__init__.py": "",
    "tests/test_package.py": (
        "import unittest\n\nimport wordstats\n\n\n"
        "class PackageTest(unittest.TestCase):\n"
        "    def test_it_has_a_version(self):\n"
        '        self.assertEqual(wordstats.__version__, "0.1.0")\n'
    ),
}

AGENTS: list[dict[str, Any]] = [
    {"name": "Ada", "role": "developer", "model": "claude-sonnet-5", "persona": "You write small, tested modules."},
    {
        "name": "Grace",
        "role": "developer",
        "model": "claude-haiku-4-5",
        "persona": "You care about the person who reads.",
    },
]

# `after` names the tasks that have to be done before. The title leads the stand-in to its part of the script.
TASKS: list[dict[str, Any]] = [
    {
        "title": "Split a text into words",
        "description": "Add wordstats/words.py with split(text): the words of a text in lower case, punctuation left out.",
        "acceptance_criteria": "tests/test_words.py covers punctuation, case and the empty text.",
        "agent": "Ada",
        "priority": 1,
    },
    {
        "title": "Count the words",
        "description": "Add wordstats/counts.py with count(text): how often each word occurs.",
        "acceptance_criteria": "tests/test_counts.py covers it.",
        "agent": "Ada",
        "after": ["Split a text into words"],
    },
    {
        "title": "Show the counts as a table",
        "description": "Add wordstats/table.py with render(counts): one line per word. Ask which order is wanted.",
        "acceptance_criteria": "tests/test_table.py covers the order.",
        "agent": "Grace",
        "after": ["Split a text into words"],
    },
    {
        "title": "Add a command line",
        "description": "`python -m wordstats FILE` prints the table of a file.",
        "acceptance_criteria": "tests/test_main.py runs it.",
        "agent": "Ada",
        "after": ["Count the words", "Show the counts as a table"],
    },
    {
        "title": "Explain it in the README",
        "description": "Say what the package does, for somebody who has never seen it.",
        "agent": "Grace",
        "task_type": "docs",
        "priority": 3,
    },
]


def make(path: Path) -> None:
    """Make the repository, unless it is there."""
    if (path / ".git").exists():
        return
    for name, text in FILES.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(text)
    git(path, "init", "--quiet", "--initial-branch", BRANCH)
    git(path, "add", "--all")
    git(path, "commit", "--quiet", "--message", "Begin")


def git(path: Path, *args: str) -> str:
    """Run git on the demo's repository and return what it prints. Raises CalledProcessError."""
    identity = ("-c", "user.name=BeeBeeBrain demo", "-c", "user.email=demo@localhost")
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    command = ["git", *identity, "-C", str(path), *args]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)  # noqa: S603  (ours)
    return done.stdout.strip()


def is_merged(path: Path, commit: str) -> bool:
    """Tell whether the base branch holds a commit."""
    try:
        git(path, "merge-base", "--is-ancestor", commit, BRANCH)
    except subprocess.CalledProcessError:
        return False
    return True


def run_tests(path: Path) -> tuple[bool, str]:
    """Run the project's own tests on what the base branch holds, in a fresh checkout; return how it went and the output."""
    with tempfile.TemporaryDirectory(prefix="bbb-demo-") as folder:
        git(path, "clone", "--quiet", "--branch", BRANCH, str(path), f"{folder}/checkout")
        command = [sys.executable, *CHECK.split()[1:]]
        done = subprocess.run(command, cwd=f"{folder}/checkout", capture_output=True, text=True, check=False)  # noqa: S603
    return done.returncode == 0, (done.stdout + done.stderr).strip()
