from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from llm import operator_settings
from llm.operator_settings import (
    ClientLoginMissing,
    ClientMissing,
    OperatorSettingsError,
)

SECRET = "sk-ant-very-secret-indeed"


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"HOME": str(tmp_path), "PATH": "/bin"}


def write(tmp_path: Path, settings: Any, folder: str = ".claude") -> None:
    (tmp_path / folder).mkdir(exist_ok=True)
    text = settings if isinstance(settings, str) else json.dumps(settings)
    (tmp_path / folder / "settings.json").write_text(text)


def test_nothing_set_up_is_all_empty(environ: dict[str, str]) -> None:
    found = operator_settings.load(environ)
    assert (found.model, found.base_url, found.token) == ("", "", "")


def test_environment_is_read(environ: dict[str, str]) -> None:
    given = {"ANTHROPIC_MODEL": "m", "ANTHROPIC_BASE_URL": "http://x", "ANTHROPIC_API_KEY": SECRET}
    found = operator_settings.load(environ | given)
    assert (found.model, found.base_url, found.token) == ("m", "http://x", SECRET)


def test_settings_file_overrides_the_environment_as_in_the_client(tmp_path: Path, environ: dict[str, str]) -> None:
    write(tmp_path, {"model": "m", "env": {"ANTHROPIC_BASE_URL": "http://file", "ANTHROPIC_AUTH_TOKEN": SECRET}})
    found = operator_settings.load(environ | {"ANTHROPIC_BASE_URL": "http://environment"})
    assert (found.model, found.base_url, found.token) == ("m", "http://file", SECRET)


def test_config_dir_is_respected(tmp_path: Path, environ: dict[str, str]) -> None:
    write(tmp_path, {"model": "elsewhere"}, folder="other")
    write(tmp_path, {"model": "home"})
    assert operator_settings.load(environ | {"CLAUDE_CONFIG_DIR": str(tmp_path / "other")}).model == "elsewhere"


def test_numbers_and_booleans_of_the_file_become_text(tmp_path: Path, environ: dict[str, str]) -> None:
    write(tmp_path, {"env": {"ANTHROPIC_BASE_URL": 7, "X": True}})
    assert operator_settings.load(environ).base_url == "7"


def test_broken_file_is_named_with_the_line(tmp_path: Path, environ: dict[str, str]) -> None:
    write(tmp_path, '{\n "model": "m",\n oops\n}')
    with pytest.raises(OperatorSettingsError, match=r"settings\.json is not valid JSON \(line 3\)") as caught:
        operator_settings.load(environ)
    assert caught.value.code == "client_settings_invalid"


@pytest.mark.parametrize("settings", [["a list"], {"env": SECRET}, {"env": [SECRET]}, {"model": {"token": SECRET}}])
def test_file_of_the_wrong_shape_is_refused_without_its_values(
    tmp_path: Path, environ: dict[str, str], settings: Any
) -> None:
    write(tmp_path, settings)
    with pytest.raises(OperatorSettingsError, match=r"settings\.json") as caught:
        operator_settings.load(environ)
    assert SECRET not in str(caught.value)


def test_token_is_not_in_the_repr(environ: dict[str, str]) -> None:
    assert SECRET not in repr(operator_settings.load(environ | {"ANTHROPIC_API_KEY": SECRET}))


@pytest.mark.parametrize(
    "name", ["ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN", "CLAUDE_CODE_USE_BEDROCK"]
)
def test_key_in_the_environment_is_a_login(environ: dict[str, str], name: str) -> None:
    assert operator_settings.missing_login(environ)
    assert not operator_settings.missing_login(environ | {name: "1"})


@pytest.mark.parametrize("settings", [{"env": {"ANTHROPIC_AUTH_TOKEN": "t"}}, {"apiKeyHelper": "/bin/key"}])
def test_key_or_helper_in_the_file_is_a_login(tmp_path: Path, environ: dict[str, str], settings: Any) -> None:
    write(tmp_path, settings)
    assert not operator_settings.missing_login(environ)


def test_saved_login_is_a_login(tmp_path: Path, environ: dict[str, str]) -> None:
    (tmp_path / ".claude").mkdir()
    (tmp_path / ".claude" / ".credentials.json").write_text("{}")
    assert not operator_settings.missing_login(environ)


def test_saved_key_is_a_login(tmp_path: Path, environ: dict[str, str]) -> None:
    (tmp_path / ".claude.json").write_text(json.dumps({"primaryApiKey": SECRET}))
    assert not operator_settings.missing_login(environ)


def test_keychain_of_a_mac_is_taken_for_a_login(monkeypatch: pytest.MonkeyPatch, environ: dict[str, str]) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not operator_settings.missing_login(environ)


def test_environment_of_the_client_is_an_explicit_list(environ: dict[str, str]) -> None:
    given = environ | {
        "ANTHROPIC_API_KEY": SECRET,
        "ANTHROPIC_BASE_URL": "http://x",
        "CLAUDE_CONFIG_DIR": "/c",
        "LC_ALL": "C.UTF-8",
        "HTTPS_PROXY": "http://proxy",
        "DATABASE_URL": "postgres://u:p@h/d",
        "DJANGO_SECRET_KEY": "s",
        "AWS_SECRET_ACCESS_KEY": "s",
        "PYTHONPATH": "/evil",
        "LD_PRELOAD": "/evil.so",
        "VIRTUAL_ENV": "/venv",
        "CLAUDECODE": "1",
    }
    kept = operator_settings.client_environment(given)
    assert set(given) - set(kept) == {
        "DATABASE_URL",
        "DJANGO_SECRET_KEY",
        "AWS_SECRET_ACCESS_KEY",
        "PYTHONPATH",
        "LD_PRELOAD",
        "VIRTUAL_ENV",
        "CLAUDECODE",
    }
    assert all(given[name] == value for name, value in kept.items())


def test_keys_of_a_cloud_are_kept_only_where_that_cloud_is_chosen(environ: dict[str, str]) -> None:
    given = environ | {"CLAUDE_CODE_USE_BEDROCK": "1", "AWS_REGION": "eu", "GOOGLE_CLOUD_PROJECT": "p"}
    kept = operator_settings.client_environment(given)
    assert kept["AWS_REGION"] == "eu"
    assert "GOOGLE_CLOUD_PROJECT" not in kept


def test_other_providers_get_no_credentials_and_need_none(environ: dict[str, str]) -> None:
    given = environ | {"ANTHROPIC_API_KEY": SECRET}
    assert operator_settings.client_environment(given, provider="noop") == environ


def test_missing_login_is_said_before_a_start(environ: dict[str, str]) -> None:
    with pytest.raises(ClientLoginMissing) as caught:
        operator_settings.client_environment(environ)
    assert caught.value.code == "client_login_missing"
    assert "ANTHROPIC_API_KEY" in str(caught.value)


def test_missing_client_is_said_before_a_start(monkeypatch: pytest.MonkeyPatch, environ: dict[str, str]) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ClientMissing) as caught:
        operator_settings.client_environment(environ | {"ANTHROPIC_API_KEY": SECRET})
    assert caught.value.code == "client_missing"


def test_bundled_client_is_found() -> None:
    assert operator_settings.client_path().name == "claude"


def test_commands_of_the_project_get_only_the_plain_environment(environ: dict[str, str]) -> None:
    given = environ | {"ANTHROPIC_API_KEY": SECRET, "HTTPS_PROXY": "http://u:p@proxy", "CLAUDE_CONFIG_DIR": "/c"}
    assert operator_settings.plain_environment(given) == environ
