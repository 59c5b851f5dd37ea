from __future__ import annotations

import socket
import subprocess
import sys

import pytest

from runtime.hosts import host_id
from runtime.models import TaskRun
from runtime.tests.runners import CODE


def test_every_process_of_a_machine_gives_it_the_same_name() -> None:
    code = "from runtime.hosts import host_id; print(host_id())"
    said = subprocess.run([sys.executable, "-c", code], cwd=CODE, capture_output=True, text=True, check=True).stdout
    assert said.strip() == host_id()


def test_machines_cloned_from_one_image_differ_by_their_names(monkeypatch: pytest.MonkeyPatch) -> None:
    here = host_id()
    monkeypatch.setattr(socket, "gethostname", lambda: "another-machine")
    assert host_id.__wrapped__() != here


def test_a_long_name_fits_its_column(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "x" * 253)
    assert len(host_id.__wrapped__()) == TaskRun._meta.get_field("host_id").max_length
