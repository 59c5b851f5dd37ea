from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ASK = "import django\ndjango.setup()\nfrom django.db import connection\nprint(*connection.cursor().execute('PRAGMA synchronous').fetchone())"


@pytest.mark.parametrize(("profile", "synchronous"), [("development", "2"), ("production", "2"), ("test", "0")])
def test_what_is_committed_is_on_the_disk_unless_it_is_a_tests(tmp_path: Path, profile: str, synchronous: str) -> None:
    own = {"BBB_PROFILE": profile, "BBB_HOME": str(tmp_path), "DATABASE_URL": ""}
    production = {"BBB_SECRET_KEY": "k" * 60, "BBB_ALLOWED_HOSTS": "localhost"}
    done = subprocess.run(
        [sys.executable, "-c", ASK],
        cwd=ROOT,
        env={**os.environ, **own, **production},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == synchronous
