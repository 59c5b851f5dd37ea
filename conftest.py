"""Sets Django up for the tests, in an environment of its own."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path

import django
import hypothesis
from django.contrib import admin

from tests.environment import isolate

# pytest-xdist's workers inherit the environment of the process that started them.
if "PYTEST_XDIST_WORKER" not in os.environ:
    folder = Path(tempfile.mkdtemp(prefix="bbb-test-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    isolate(folder, BBB_PROFILE="test")
django.setup()
# As the web does it, before a test asks which pages there are.
admin.autodiscover()

# The same examples each time, however slow the machine is; `--hypothesis-profile=default` looks for new ones.
hypothesis.settings.register_profile("steady", derandomize=True, deadline=None, database=None)
hypothesis.settings.load_profile("steady")

pytest_plugins = [
    "tests.selection",
    "tests.audit",
    "tests.cleaning",
    "tests.counts",
    "tests.garbage",
    "tests.sharing",
    "tests.statics",
]
