from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests import __main__ as checks
from tests.commands import ROOT

LIMIT_S = 60.0


def beside_postgres(*code: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.postgres", "--", "python", "-c", "\n".join(code)]
    return subprocess.Popen(command, cwd=ROOT)


def wait_for(path: Path) -> str:
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        if path.exists() and (text := path.read_text()).endswith("\n"):
            return text.strip()
        time.sleep(0.02)
    raise AssertionError(f"{path} was not written")


def test_a_command_finds_a_database_and_hands_its_status_on(tmp_path: Path) -> None:
    note = tmp_path / "note"
    command = beside_postgres(
        "import os, psycopg, sys",
        "with psycopg.connect(os.environ['DATABASE_URL']) as connection:",
        "    name = connection.execute('SELECT current_database()').fetchone()[0]",
        f"open({str(note)!r}, 'w').write(name + '\\n')",
        "sys.exit(7)",
    )
    assert command.wait(LIMIT_S) == 7
    assert wait_for(note) == "beebeebrain"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_the_server_ends_with_the_command_that_wanted_it(tmp_path: Path, number: signal.Signals) -> None:
    note = tmp_path / "note"
    command = beside_postgres(
        "import json, os, psycopg, time",
        "with psycopg.connect(os.environ['DATABASE_URL']) as connection:",
        "    name = connection.execute('SHOW data_directory').fetchone()[0]",
        f"open({str(note)!r}, 'w').write(json.dumps([name, os.getpid()]) + '\\n')",
        "time.sleep(600)",
    )
    folder, child = json.loads(wait_for(note))
    server = psutil.Process(int((Path(folder) / "postmaster.pid").read_text().split()[0]))
    os.kill(command.pid, number)
    if number == signal.SIGINT:
        os.kill(child, number)  # as a terminal does
    command.wait(LIMIT_S)
    psutil.wait_procs([server], timeout=LIMIT_S)
    if number == signal.SIGKILL:
        os.kill(child, number)
        shutil.rmtree(Path(folder).parent)
    else:
        assert not Path(folder).exists()
    assert not server.is_running() or server.status() == psutil.STATUS_ZOMBIE


def test_a_part_that_is_not_there_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert checks.main(["nonsense"]) == 2
    assert "no such part: nonsense" in capsys.readouterr().err


def test_every_part_runs_and_one_failure_fails_all(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    bad, good = ["python", "-c", "raise SystemExit(3)"], ["python", "-c", "print('here')"]
    monkeypatch.setattr(checks, "PARTS", {"bad": [bad], "good": [good]})
    assert checks.main([]) == 3
    said = capfd.readouterr().out
    assert "here" in said
    assert said.endswith("checks: 1 passed, 1 failed\n")


@pytest.mark.parametrize("beside", ["types", "sqlite"])
def test_parts_side_by_side_are_shown_whole_and_one_failure_fails_all(
    beside: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    # Each ends only when it has seen that the other runs.
    meet = "import pathlib, sys, time; own, other = map(pathlib.Path, sys.argv[1:3]); own.touch(); print(own.name, 'begins')"
    wait = (
        "deadline = time.monotonic() + 60\nwhile not other.exists() and time.monotonic() < deadline: time.sleep(0.02)"
    )
    end = "print(own.name, 'ends'); sys.exit(0 if other.exists() and own.name == 'good' else 3)"
    names = {"lint": ("good", "bad"), beside: ("bad", "good")}
    code = "\n".join([meet, wait, end])
    commands = {
        part: [["python", "-c", code, *(str(tmp_path / name) for name in pair)]] for part, pair in names.items()
    }
    monkeypatch.setattr(checks, "PARTS", commands)
    assert checks.main([]) == 3
    said = capfd.readouterr().out
    assert "good begins\ngood ends\n" in said and "bad begins\nbad ends\n" in said
    assert "lint         ok" in said and f"{beside:<12} FAILED (3)" in said
    assert said.endswith("checks: 1 passed, 1 failed\n")
