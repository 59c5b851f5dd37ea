from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from runtime.runner.policy import WorktreePolicy


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "worktree"
    (root / "src").mkdir(parents=True)
    (root / "link").symlink_to(tmp_path)
    return root


def judge(root: Path, tool: str, **given: Any) -> str | None:
    return asyncio.run(WorktreePolicy(root)(tool, given))


@pytest.mark.parametrize(
    ("tool", "given"),
    [
        ("Read", {"file_path": "src/a.py"}),
        ("Read", {"file_path": ".env.example"}),
        ("Write", {"file_path": "new/deep/a.py"}),
        ("Edit", {"file_path": "src/../src/a.py"}),
        ("Glob", {"pattern": "**/*.py"}),
        ("Glob", {"pattern": "*.py", "path": "src"}),
        ("Grep", {"pattern": "../secret .env"}),
        ("Grep", {"pattern": "x", "glob": "*.{ts,tsx}"}),
        ("Bash", {"command": "ls"}),
        ("mcp__bbb__finish_task", {"summary": "/etc/passwd"}),
        ("Read", {}),
    ],
)
def test_work_in_the_worktree_is_allowed(root: Path, tool: str, given: dict[str, Any]) -> None:
    assert judge(root, tool, **given) is None


def test_absolute_path_inside_is_allowed(root: Path) -> None:
    assert judge(root, "Read", file_path=str(root / "src/a.py")) is None
    assert judge(root, "Glob", pattern=f"{root}/src/*.py") is None


@pytest.mark.parametrize(
    ("tool", "given"),
    [
        ("Read", {"file_path": "/etc/passwd"}),
        ("Read", {"file_path": "../other/a.py"}),
        ("Read", {"file_path": "~/.ssh/config"}),
        ("Read", {"file_path": "link/x"}),
        ("Read", {"file_path": "a\0b"}),
        ("Read", {"file_path": 7}),
        ("Read", {"file_path": ".env"}),
        ("Read", {"file_path": "config/.ENV.production"}),
        ("Write", {"file_path": "keys/id_rsa"}),
        ("Edit", {"file_path": "server.pem"}),
        ("NotebookEdit", {"notebook_path": "../a.ipynb"}),
        ("Glob", {"pattern": "../**/*.py"}),
        ("Glob", {"pattern": "/etc/*"}),
        ("Glob", {"pattern": "*", "path": "/etc"}),
        ("Glob", {"pattern": "**/.env*"}),
        ("Glob", {"pattern": 7}),
        ("Grep", {"pattern": "x", "path": ".."}),
        ("Grep", {"pattern": "x", "glob": "*.pem"}),
        ("LS", {"path": "/"}),
    ],
)
def test_what_leads_out_or_holds_secrets_is_refused(root: Path, tool: str, given: dict[str, Any]) -> None:
    assert judge(root, tool, **given)
