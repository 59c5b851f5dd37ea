"""What the API's description shows of tasks, agents at work, and runs. They belong to one small world: see `api.examples`."""

from __future__ import annotations

from typing import Any

from orchestration.serializers import examples

TASK: dict[str, Any] = examples.TASK | {"active_run": 12, "subtasks_total": 0, "subtasks_done": 0}
CHANGES: dict[str, Any] = {"changes": "Round the costs to whole cents.", "expected_version": 4}
RUN_REQUEST: dict[str, Any] = {"agent": 3, "expected_version": 4}

WAIT: dict[str, Any] = {
    "status": "todo",
    "reason": "dependency",
    "detail": "It waits for task 5 to be done.",
    "waits_until": None,
}

BROADCAST: dict[str, Any] = {"project": 1, "statuses": ["todo", "running"], "expected_versions": {"7": 4}}
BROADCAST_RESULT: dict[str, Any] = {
    "command": "pause",
    "applied": 1,
    "refused": 0,
    "conflicts": 1,
    "results": [
        {"task": 7, "outcome": "applied", "code": None, "detail": "", "status": "running", "version": 5},
        {
            "task": 8,
            "outcome": "conflict",
            "code": "version_conflict",
            "detail": "Somebody else changed it since you read it. Read it again and decide anew.",
            "status": "todo",
            "version": 3,
        },
    ],
}

HEALTH: dict[str, Any] = {
    "agent": 3,
    "status": "active",
    "client": "",
    "running": 1,
    "max_parallel_runs": 2,
    "queued": 0,
    "waiting": 4,
    "cost_today_usd": "1.250000",
    "last_failure": {"run": 11, "error_code": "timeout", "at": "2026-11-24T08:40:00.123456Z"},
}

RUN: dict[str, Any] = {
    "id": 12,
    "project": 1,
    "task": 7,
    "agent": 3,
    "attempt": 2,
    "retry_of": 11,
    "epoch": 1,
    "status": "succeeded",
    "trace_id": "8b6c0f3e1f2a4d5c9b7a6e5d4c3b2a10",
    "created_at": "2026-11-24T09:05:58.123456Z",
    "started_at": "2026-11-24T09:06:00.123456Z",
    "ended_at": "2026-11-24T09:14:31.123456Z",
    "next_retry_at": None,
    "session_id": "4f3c2b1a-0d9e-4c8b-9a7f-6e5d4c3b2a10",
    "workspace": "/var/lib/beebeebrain/worktrees/task-7",
    "branch": "bbb/task-7",
    "base_commit": "9fceb02d0ae598e95dc970b74767f19372d61af8",
    "head_commit": "e83c5163316f89bfbde7d9ab23ca2e25604af290",
    "merge_commit": "",
    "log_seq": 148,
    "summary": "The cart names the shipping costs; two tests cover them.",
    "error_code": "",
    "error_message": "",
    "token_in": 18204,
    "token_out": 5120,
    "token_cache_read": 240112,
    "token_cache_write": 20480,
    "cost_usd": "0.412300",
    "cost_cap_usd": "2.500000",
    "turns": 31,
    "worked_s": 498.2,
    "turn_cap": 80,
    "token_cap": None,
    "time_cap_s": None,
    "version": 6,
}
BREAKER: dict[str, Any] = {
    "id": 2,
    "provider": "claude_code",
    "fingerprint": "5b1f0c7de2a94813",
    "state": "open",
    "opened_at": "2026-11-24T09:14:31.123456Z",
    "reset_at": "2026-11-24T14:00:00Z",
    "code": "usage_limited",
    "message": "You've hit your session limit.",
    "trial_at": None,
    "version": 3,
}
LOG_PAGE: dict[str, Any] = {
    "lines": [
        {
            "seq": 1,
            "at": "2026-11-24T09:06:02.123456Z",
            "kind": "text",
            "body": {"text": "I begin with the cart's total."},
        }
    ],
    "next": 1,
}
DIFF: dict[str, Any] = {
    "base": RUN["base_commit"],
    "head": RUN["head_commit"],
    "text": "diff --git a/src/cart.ts b/src/cart.ts\n--- a/src/cart.ts\n+++ b/src/cart.ts\n@@ -48 +48 @@\n-  return items;\n+  return items + shipping;\n",
    "files": [
        {
            "path": "src/cart.ts",
            "status": "modified",
            "old_path": "",
            "additions": 1,
            "deletions": 1,
            "is_binary": False,
        }
    ],
    "is_truncated": False,
}
