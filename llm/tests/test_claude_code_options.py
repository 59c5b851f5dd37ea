from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from claude_agent_sdk import ClaudeAgentOptions

from llm.claude_code import options
from llm.contract import ClientFailed, ClientSetup


@pytest.fixture
def setup(tmp_path: Path) -> ClientSetup:
    return ClientSetup(
        workspace=tmp_path,
        scratch=tmp_path,
        launcher=("env", "LAUNCHED=yes, it was"),
        model="",
        system_append="You are careful.",
        session_id="0b5b2f2e-54a4-4b0e-9d3a-2f1c5e0a7f11",
        is_resumed=False,
        permission_mode="dontAsk",
        allowed_tools=(),
        max_turns=0,
        max_cost_usd=0.0,
        session_cost_usd=0.0,
    )


def build(setup: ClientSetup, client: Path = Path("/bin/true"), **environ: str) -> ClaudeAgentOptions:
    server = {"type": "sdk", "name": "bbb", "instance": None}
    return options.build(
        setup,
        client=client,
        server=server,  # type: ignore[arg-type]
        hooks={},
        stderr=lambda line: None,
        environ=environ,
    )


def test_nothing_but_the_operators_settings_is_loaded(setup: ClientSetup) -> None:
    built = build(setup)
    assert built.setting_sources == ["user"]
    assert built.strict_mcp_config
    assert built.verbatim_prompts
    assert isinstance(built.mcp_servers, dict)
    assert list(built.mcp_servers) == ["bbb"]


def test_appendix_comes_on_top_of_the_clients_own_prompt(setup: ClientSetup) -> None:
    assert build(setup).system_prompt == {"type": "preset", "preset": "claude_code", "append": "You are careful."}


def test_new_session_gets_its_id_and_a_resumed_one_is_resumed(setup: ClientSetup) -> None:
    fresh, resumed = build(setup), build(replace(setup, is_resumed=True))
    assert (fresh.session_id, fresh.resume) == (setup.session_id, None)
    assert (resumed.session_id, resumed.resume) == (None, setup.session_id)


def test_zero_is_no_cap(setup: ClientSetup) -> None:
    assert (build(setup).max_turns, build(setup).max_budget_usd, build(setup).model) == (None, None, None)
    capped = build(replace(setup, max_turns=3, max_cost_usd=0.5, session_cost_usd=9.0, model="m"))
    assert (capped.max_turns, capped.max_budget_usd, capped.model) == (3, 0.5, "m")


def test_allow_list_also_says_which_tools_there_are(setup: ClientSetup) -> None:
    built = build(replace(setup, allowed_tools=("Read", "Bash(git *)", "Bash(make)", "mcp__other__x")))
    assert built.tools == ["Read", "Bash", "Bash"]
    assert built.allowed_tools == ["Read", "Bash(git *)", "Bash(make)", "mcp__other__x", "mcp__bbb"]


def test_without_a_list_there_is_a_default_one(setup: ClientSetup) -> None:
    built = build(setup)
    assert isinstance(built.tools, list)
    assert {"Read", "Edit", "Write", "Bash"} <= set(built.tools)
    assert not {"WebFetch", "Agent", "Task", "CronCreate"} & set(built.tools)


def test_secret_files_are_denied_and_their_examples_are_not(setup: ClientSetup) -> None:
    denied = build(setup).disallowed_tools
    assert {"Read(**/.env)", "Read(**/id_rsa*)", "Read(**/.env.production)"} <= set(denied)
    assert "Read(**/.env.*)" not in denied


def test_users_settings_cannot_undo_what_we_rely_on(setup: ClientSetup) -> None:
    built = build(setup)
    assert built.settings is not None
    assert json.loads(built.settings)["env"] == built.env
    assert built.env["CLAUDE_CODE_DISABLE_BACKGROUND_TASKS"] == "1"
    assert built.env["ENABLE_TOOL_SEARCH"] == "false"


def test_retries_are_few_unless_the_operator_says_otherwise(setup: ClientSetup) -> None:
    assert build(setup).env["CLAUDE_CODE_MAX_RETRIES"] == "3"
    assert build(setup, CLAUDE_CODE_MAX_RETRIES="0").env["CLAUDE_CODE_MAX_RETRIES"] == "0"


def test_unknown_permission_mode_is_refused(setup: ClientSetup) -> None:
    with pytest.raises(ClientFailed, match="dontAsk") as caught:
        build(replace(setup, permission_mode="yolo"))
    assert caught.value.failure.code == "permission"


def test_client_starts_through_the_launcher_with_its_arguments(setup: ClientSetup, tmp_path: Path) -> None:
    client = tmp_path / "a client"
    client.write_text('#!/bin/sh\nprintf "%s|" "$LAUNCHED" "$@"\n')
    client.chmod(0o700)
    script = build(setup, client=client).cli_path
    assert script is not None
    done = subprocess.run([script, "--a b", "$c"], capture_output=True, text=True, check=True)
    assert done.stdout == "yes, it was|--a b|$c|"
