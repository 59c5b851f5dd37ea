"""Build the client's options: what it may load, what it may do, and that nothing else tells it otherwise."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast, get_args

from claude_agent_sdk import ClaudeAgentOptions, HookMatcher, PermissionMode
from claude_agent_sdk.types import HookEvent, McpServerConfig

from llm.contract import ClientFailed, ClientSetup, Failure
from security.paths import SENSITIVE

SERVER = "bbb"
DEFAULT_TOOLS = (
    "Read",
    "Edit",
    "Write",
    "NotebookEdit",
    "Glob",
    "Grep",
    "Bash",
    "TaskCreate",
    "TaskUpdate",
    "TaskList",
)
# A retry of the client's holds a slot and tells nobody; our own backoff comes on top and is on record.
MAX_RETRIES = "3"
_DAY_MS = str(24 * 3600 * 1000)
# One message of the client may carry a whole picture.
_MAX_MESSAGE = 64 * 1024 * 1024
# The client's own fence behind our policy: it also keeps these files out of what Grep finds and `cat` shows. It
# knows no exception to a rule, so `.env.*` is spelled out: `.env.example` is there to be read.
_NEVER_READ = (
    *(name for name in SENSITIVE if name != ".env.*"),
    ".env.local",
    ".env.*.local",
    ".env.development",
    ".env.production",
    ".env.staging",
    ".env.test",
)
_ENVIRONMENT = {
    "CLAUDE_CODE_DISABLE_BACKGROUND_TASKS": "1",
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "DISABLE_AUTOUPDATER": "1",
    "DISABLE_TELEMETRY": "1",
    "DISABLE_ERROR_REPORTING": "1",
    # The tools by which the agent reports have to be before its eyes, not behind a search.
    "ENABLE_TOOL_SEARCH": "false",
    # They wait for people and for test suites; both have limits of our own.
    "MCP_TOOL_TIMEOUT": _DAY_MS,
}


def build(
    setup: ClientSetup,
    *,
    client: Path,
    server: McpServerConfig,
    hooks: dict[HookEvent, list[HookMatcher]],
    stderr: Callable[[str], None],
    environ: Mapping[str, str],
) -> ClaudeAgentOptions:
    """Return the options for this setup. Raises ClientFailed for a permission mode the client does not know."""
    tools = list(setup.allowed_tools or DEFAULT_TOOLS)
    environment = _ENVIRONMENT | {"CLAUDE_CODE_MAX_RETRIES": environ.get("CLAUDE_CODE_MAX_RETRIES", MAX_RETRIES)}
    return ClaudeAgentOptions(
        cwd=setup.workspace,
        cli_path=_start_script(setup, client),
        model=setup.model or None,
        system_prompt={"type": "preset", "preset": "claude_code", "append": setup.system_append},
        # Not the project's: a repository must not configure, redirect or start anything.
        setting_sources=["user"],
        strict_mcp_config=True,
        mcp_servers={SERVER: server},
        permission_mode=_permission_mode(setup.permission_mode),
        tools=[_name(rule) for rule in tools if not rule.startswith("mcp__")],
        allowed_tools=[*tools, f"mcp__{SERVER}"],
        disallowed_tools=[f"Read(**/{name})" for name in _NEVER_READ],
        hooks=hooks,
        resume=setup.session_id if setup.is_resumed else None,
        session_id=None if setup.is_resumed else setup.session_id,
        max_turns=setup.max_turns or None,
        # The client holds this against what its process has cost, also in a session that is resumed.
        max_budget_usd=setup.max_cost_usd or None,
        # A prompt holds text of other people: no @path is opened, no slash command run.
        verbatim_prompts=True,
        env=environment,
        # Once more as settings, because a user's settings file overrides the environment.
        settings=json.dumps({"env": environment}),
        stderr=stderr,
        max_buffer_size=_MAX_MESSAGE,
    )


def _start_script(setup: ClientSetup, client: Path) -> Path:
    """Write the one executable the SDK can start, which starts the client through the launcher."""
    script = setup.scratch / "client"
    script.write_text(f'#!/bin/sh\nexec {shlex.join([*setup.launcher, str(client)])} "$@"\n')
    script.chmod(0o700)
    return script


def _name(rule: str) -> str:
    return rule.partition("(")[0].strip()


def _permission_mode(mode: str) -> PermissionMode:
    known: tuple[Any, ...] = get_args(PermissionMode)
    if mode not in known:
        message = f"Claude Code has no permission mode {mode!r}; it has: {', '.join(known)}."
        raise ClientFailed(Failure(code="permission", message=message))
    return cast(PermissionMode, mode)
