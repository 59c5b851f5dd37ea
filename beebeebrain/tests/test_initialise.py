from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.contrib.auth import authenticate, get_user_model
from django.core.management import call_command

from beebeebrain.foreground import CODE
from beebeebrain.initialise import ADMIN, ensure_admin

pytestmark = pytest.mark.django_db


def test_the_first_start_makes_an_administrator_who_can_log_in() -> None:
    password = ensure_admin()
    user = authenticate(username=ADMIN, password=password)
    assert user is not None
    assert user.is_superuser


def test_the_password_is_shown_once() -> None:
    assert ensure_admin()
    assert ensure_admin() is None


def test_doing_it_twice_changes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("initialise")
    before = list(get_user_model().objects.values())
    call_command("initialise")
    assert list(get_user_model().objects.values()) == before
    assert capsys.readouterr().out.count("One-time password") == 1


def test_a_command_before_the_first_start_says_what_to_do(tmp_path: Path) -> None:
    environment = {**os.environ, "BBB_HOME": str(tmp_path), "DATABASE_URL": "", "BBB_PROFILE": "development"}
    command = [sys.executable, "manage.py", "create_token", "admin", "--name", "laptop", "--scope", "read"]
    done = subprocess.run(command, cwd=CODE, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "manage.py initialise" in done.stderr
    assert "Traceback" not in done.stderr
