from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from beebeebrain import env

ROOT = Path(env.__file__).parent.parent


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in env.Environment.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.parametrize(
    ("name", "value", "hint"),
    [
        ("BBB_PROFILE", "prod", "'production'"),
        ("BBB_MAX_PARALLEL_RUNS", "-1", "greater than or equal to 0"),
        ("BBB_LEASE_S", "soon", "valid number"),
        ("DATABASE_URL", "mysql://x", "postgresql://"),
        ("LOG_LEVEL", "LOUD", "'WARNING'"),
        ("BBB_TRUSTED_ORIGINS", "example.org", "https://"),
        ("BBB_SECRET_KEY_FILE", "/no/such/file", ""),
    ],
)
def test_a_bad_value_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, name: str, value: str, hint: str) -> None:
    monkeypatch.setenv(name, value)
    if name == "BBB_SECRET_KEY_FILE":
        monkeypatch.setenv("BBB_PROFILE", "production")
    with pytest.raises(env.SettingRefused) as refusal:
        env.load()
    assert name in str(refusal.value)
    assert hint in str(refusal.value)


def test_a_refusal_never_repeats_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "mysql://bee:honeypot@db/hive")
    with pytest.raises(env.SettingRefused) as refusal:
        env.load()
    assert "honeypot" not in str(refusal.value)


def test_production_demands_a_secret_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BBB_PROFILE", "production")
    with pytest.raises(env.SettingRefused, match="BBB_SECRET_KEY"):
        env.load()


def test_a_secret_may_come_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("k" * 40 + "\n")
    monkeypatch.setenv("BBB_SECRET_KEY_FILE", str(tmp_path / "key"))
    assert env.load().secret_key() == "k" * 40


def test_lists_are_split_at_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BBB_ALLOWED_HOSTS", "a.example, b.example")
    assert env.load().bbb_allowed_hosts == ["a.example", "b.example"]


def test_the_page_of_settings_is_the_one_written_from_the_code() -> None:
    assert (ROOT / "docs" / "configuration.md").read_text() == env.document()


def test_a_command_with_a_bad_setting_says_so_in_one_line_and_exits_2(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), "check"],
        env={"PATH": "/usr/bin:/bin", "BBB_HOME": str(tmp_path), "BBB_MAX_PARALLEL_RUNS": "many"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("bbb: BBB_MAX_PARALLEL_RUNS: ")
