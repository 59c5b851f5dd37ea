"""What a process of ours loads before it begins to work: every start pays for it, a person's and each test's."""

from __future__ import annotations

import subprocess
import sys

from django.core import checks

from tests.commands import ROOT

# What only the web needs, or nobody.
FOR_THE_WEB = [
    "beebeebrain.urls",
    "runtime.admin",
    "runtime.views",
    "rest_framework.serializers",
    "drf_spectacular.plumbing",
]
FOR_NOBODY = ["rich", "twisted"]


def loaded_by(code: str) -> set[str]:
    """Return the modules that a fresh interpreter has after `code`."""
    command = [sys.executable, "-c", f"{code}\nimport sys\nprint(*sys.modules)"]
    return set(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split())


def test_a_scheduler_loads_nothing_of_the_web() -> None:
    loaded = loaded_by("import django\ndjango.setup()\nimport runtime.management.commands.runscheduler")
    assert "runtime.dispatcher" in loaded
    assert loaded.isdisjoint([*FOR_THE_WEB, *FOR_NOBODY])


def test_a_runner_loads_no_library_that_it_does_not_use() -> None:
    loaded = loaded_by("import runtime.runner.__main__")
    assert "structlog" in loaded
    assert loaded.isdisjoint(FOR_NOBODY)


def test_what_a_log_has_hidden_can_be_imported_afterwards() -> None:
    assert {"rich", "twisted"} <= loaded_by("import beebeebrain.logs, rich, twisted")


def test_the_web_has_loaded_all_pages_before_the_first_request() -> None:
    assert {"beebeebrain.urls", "runtime.admin"} <= loaded_by("import beebeebrain.asgi")


def test_a_check_looks_at_all_pages() -> None:
    check = "import django\ndjango.setup()\nfrom django.core import checks\nchecks.run_checks(tags=[checks.Tags.admin])"
    assert "runtime.admin" in loaded_by(check)
    assert checks.run_checks(tags=[checks.Tags.admin]) == []


def test_runserver_is_daphnes() -> None:
    command = [sys.executable, "manage.py", "runserver", "--help"]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "--http_timeout" in said
