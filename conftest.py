"""The environment of every test: a data folder and a home of its own, and nothing of the machine's configuration.

DATABASE_URL alone is kept: it chooses PostgreSQL (`python -m tests.postgres -- pytest ...`).
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path

import django

# What would change the product's, git's or the agent client's behaviour behind a test's back.
FOREIGN = ("ANTHROPIC_", "BBB_", "CLAUDE", "DJANGO_", "GIT_", "LOG_")


def _isolate() -> None:
    """Give this process and its children a clean environment; pytest-xdist's workers inherit it."""
    for name in [name for name in os.environ if name.startswith(FOREIGN)]:
        del os.environ[name]
    home = Path(tempfile.mkdtemp(prefix="bbb-test-"))
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    (home / "user").mkdir()
    os.environ |= {
        "BBB_HOME": str(home / "data"),
        "BBB_PROFILE": "test",
        "DJANGO_SETTINGS_MODULE": "beebeebrain.settings",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_SYSTEM": os.devnull,
        "HOME": str(home / "user"),
    }


if "PYTEST_XDIST_WORKER" not in os.environ:
    _isolate()
django.setup()
