"""Sets Django up for the tests, in an environment of its own."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path

import django

from tests.environment import isolate

# pytest-xdist's workers inherit the environment of the process that started them.
if "PYTEST_XDIST_WORKER" not in os.environ:
    folder = Path(tempfile.mkdtemp(prefix="bbb-test-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    isolate(folder, BBB_PROFILE="test")
django.setup()

pytest_plugins = ["tests.selection", "tests.audit", "tests.counts", "tests.sharing", "tests.statics"]
