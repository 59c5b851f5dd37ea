"""The key that the first start of an installation makes."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from beebeebrain import settings


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("BBB_SECRET_KEY", raising=False)
    monkeypatch.setattr(settings, "BBB_HOME", tmp_path)
    return tmp_path


def test_the_first_start_makes_a_key_that_later_ones_find(home: Path) -> None:
    made = settings._secret_key()
    assert len(made) >= 40
    assert settings._secret_key() == made
    assert stat.S_IMODE((home / "secret_key").stat().st_mode) == 0o600
    assert [path.name for path in home.iterdir()] == ["secret_key"]


def test_the_second_of_two_first_starts_takes_the_key_of_the_first(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = os.link

    def overtaken(source: str, target: Path) -> None:
        target.write_text("the key of the first\n")
        link(source, target)

    monkeypatch.setattr(os, "link", overtaken)
    assert settings._secret_key() == "the key of the first"
