"""What the API's description shows of the rows of this app. All of them belong to one small world: see `api.examples`."""

from __future__ import annotations

from typing import Any

_MADE_AT = "2026-11-24T09:00:00.123456Z"

NEW_PROJECT: dict[str, Any] = {
    "name": "Web shop",
    "root_path": "/srv/web-shop",
    "base_branch": "main",
    "setup_command": "npm ci",
    "checks": ["npm test"],
    "max_parallel_runs": 3,
    "daily_budget_usd": "40.00",
    "daily_limits": {"runs": 50},
}
PROJECT: dict[str, Any] = NEW_PROJECT | {
    "id": 1,
    "slug": "web-shop",
    "max_in_review": 5,
    "daily_budget_usd": "40.000000",
    "auto_approve": False,
    "is_paused": False,
    "is_archived": False,
    "created_at": _MADE_AT,
    "version": 2,
}
PROJECT_CHANGES: dict[str, Any] = {"is_paused": True, "expected_version": 2}

NEW_AGENT: dict[str, Any] = {
    "project": 1,
    "name": "Builder",
    "role": "Backend engineer",
    "provider": "claude_code",
    "model": "sonnet",
    "max_parallel_runs": 2,
    "max_cost_usd": "5.00",
    "daily_limits": {"tokens": 5000000},
}
AGENT: dict[str, Any] = NEW_AGENT | {
    "id": 3,
    "persona": "You write small, well tested changes.",
    "enabled_tools": ["Read", "Edit", "Write", "Glob", "Grep", "Bash"],
    "permission_mode": "acceptEdits",
    "timeout_s": 3600,
    "max_turns": 200,
    "max_tokens": 0,
    "max_cost_usd": "5.000000",
    "status": "active",
    "created_at": _MADE_AT,
    "version": 1,
}
AGENT_CHANGES: dict[str, Any] = {"status": "paused", "expected_version": 1}

TASK_FIELDS: dict[str, Any] = {
    "title": "Show the shipping costs in the cart",
    "description": "The cart shows the price of its items only.",
    "acceptance_criteria": "The total names the shipping costs.",
    "task_type": "feature",
    "phase": "build",
    "priority": 1,
    "assignee": 3,
    "parent": None,
    "due_at": "2026-12-01T17:00:00Z",
    "not_before": None,
    "max_attempts": 3,
    "checks": ["npm test -- cart"],
    "limits": {"turns": 80, "usd": 2.5},
}
NEW_TASK: dict[str, Any] = {"project": 1, **TASK_FIELDS, "depends_on": [5, 6]}
TASK: dict[str, Any] = NEW_TASK | {
    "id": 7,
    "key": "task-7",
    "status": "running",
    "status_reason": "",
    "unmet_dependencies": 0,
    "is_held": False,
    "cancel_requested_at": None,
    "approved_at": None,
    "is_archived": False,
    "created_at": _MADE_AT,
    "updated_at": "2026-11-24T09:06:00.123456Z",
    "version": 4,
}
TASK_CHANGES: dict[str, Any] = {"priority": 0, "assignee": None, "expected_version": 4}

DEPENDENCY: dict[str, Any] = {"id": 2, "task": 7, "depends_on": 5, "kind": "finish_to_start"}
NEW_DEPENDENCY: dict[str, Any] = {"task": 7, "depends_on": 5}

NEW_DOCUMENT: dict[str, Any] = {
    "project": 1,
    "path": "rules/style.md",
    "title": "How we write code",
    "doc_type": "rules",
    "body": "Functions stay below 20 lines.\n",
    "is_mandatory": True,
    "tags": ["style"],
}
DOCUMENT: dict[str, Any] = NEW_DOCUMENT | {
    "id": 4,
    "content_hash": "0711db67088eea0f29c6a6ac44c13f99f56e167f75c205ec19de1d0a3ba5ed46",
    "version": 1,
}
DOCUMENT_CHANGES: dict[str, Any] = {"body": "Functions stay below 10 lines.\n", "expected_version": 1}

NEW_COMMENT: dict[str, Any] = {
    "task": 7,
    "run": 12,
    "anchor": "src/cart.ts:48",
    "body": "What if the country is unknown?",
}
COMMENT: dict[str, Any] = NEW_COMMENT | {
    "id": 9,
    "document": None,
    "author": "ada",
    "status": "open",
    "created_at": _MADE_AT,
    "version": 1,
}
COMMENT_CHANGES: dict[str, Any] = {"status": "resolved", "expected_version": 1}

BULK: dict[str, Any] = {
    "project": 1,
    "tasks": [
        {"ref": "api", "title": "An endpoint for shipping costs", "depends_on": [5]},
        {"ref": "cart", "title": "Show them in the cart", "priority": 1, "depends_on": ["api"]},
    ],
}
BULK_RESULT: dict[str, Any] = {
    "tasks": [
        {"ref": "api", "id": 20, "key": "task-20", "version": 1},
        {"ref": "cart", "id": 21, "key": "task-21", "version": 1},
    ]
}


def _node(id_: int, title: str, status: str, **more: Any) -> dict[str, Any]:
    told = {"priority": 2, "is_held": False, "unmet_dependencies": 0, "parent": None} | more
    return {"id": id_, "key": f"task-{id_}", "title": title, "status": status, **told}


PROJECT_GRAPH: dict[str, Any] = {
    "project": 1,
    "nodes": [
        _node(5, "A table of shipping costs", "done"),
        _node(7, "Show the shipping costs in the cart", "running", priority=1),
        _node(8, "Say it in the release notes", "todo", unmet_dependencies=1),
    ],
    "edges": [{"task": 7, "depends_on": 5}, {"task": 8, "depends_on": 7}],
    "critical_path": [7, 8],
    "is_truncated": False,
}
TASK_GRAPH: dict[str, Any] = {
    "task": 7,
    "up": [_node(5, "A table of shipping costs", "done", distance=1)],
    "down": [_node(8, "Say it in the release notes", "todo", unmet_dependencies=1, distance=1)],
    "edges": [{"task": 7, "depends_on": 5}, {"task": 8, "depends_on": 7}],
    "critical_path": [7, 8],
    "is_truncated": False,
}
