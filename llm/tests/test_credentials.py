from __future__ import annotations

import json
from pathlib import Path

import pytest
from pytest_django import Settings

from llm.credentials import fingerprint

KEY = "sk-ant-of-the-operator-0123456789"


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """The environment of an operator who has set up nothing."""
    (tmp_path / ".claude").mkdir()
    return {"HOME": str(tmp_path), "PATH": "/bin"}


def mark(environ: dict[str, str], **more: str) -> str:
    return fingerprint("claude_code", {**environ, **more})


def write(environ: dict[str, str], name: str, body: object) -> None:
    (Path(environ["HOME"]) / name).write_text(body if isinstance(body, str) else json.dumps(body))


def test_equal_credentials_have_equal_marks_and_others_have_others(home: dict[str, str]) -> None:
    assert mark(home, ANTHROPIC_API_KEY=KEY) == mark(home, ANTHROPIC_API_KEY=KEY, PATH="/other")
    marks = {
        mark(home),
        mark(home, ANTHROPIC_API_KEY=KEY),
        mark(home, ANTHROPIC_API_KEY=f"{KEY}1"),
        mark(home, ANTHROPIC_AUTH_TOKEN=KEY),
        mark(home, ANTHROPIC_API_KEY=KEY, ANTHROPIC_BASE_URL="https://gateway.example"),
        mark(home, CLAUDE_CODE_USE_BEDROCK="1", AWS_PROFILE="one"),
        mark(home, CLAUDE_CODE_USE_BEDROCK="1", AWS_PROFILE="two"),
        fingerprint("noop", home),
    }
    assert len(marks) == 8


def test_settings_file_goes_before_the_environment_as_it_does_for_the_client(home: dict[str, str]) -> None:
    write(home, ".claude/settings.json", {"env": {"ANTHROPIC_API_KEY": "of the file"}})
    assert mark(home, ANTHROPIC_API_KEY=KEY) == mark(home)


def test_login_is_its_account_however_often_its_tokens_change(home: dict[str, str]) -> None:
    write(home, ".claude.json", {"oauthAccount": {"accountUuid": "one"}})
    write(home, ".claude/.credentials.json", {"claudeAiOauth": {"accessToken": "first"}})
    before = mark(home)
    write(home, ".claude/.credentials.json", {"claudeAiOauth": {"accessToken": "second"}})
    assert mark(home) == before
    write(home, ".claude.json", {"oauthAccount": {"accountUuid": "two"}})
    assert mark(home) != before


def test_mark_does_not_tell_the_credential(home: dict[str, str], settings: Settings) -> None:
    found = mark(home, ANTHROPIC_API_KEY=KEY)
    assert len(found) == 16
    assert KEY[:8] not in found
    # Nor can it be found out by trying: that takes the installation's own secret.
    settings.SECRET_KEY = "another installation's"
    assert mark(home, ANTHROPIC_API_KEY=KEY) != found


def test_settings_that_cannot_be_read_have_no_mark(home: dict[str, str]) -> None:
    write(home, ".claude/settings.json", "{")
    assert mark(home, ANTHROPIC_API_KEY=KEY) == ""
