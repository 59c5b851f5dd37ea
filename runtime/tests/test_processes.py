from __future__ import annotations

import os
import select
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from runtime import processes
from runtime.processes import TAG
from runtime.tests.runners import CODE, is_gone, until

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start programs that print a first line when they are ready; whatever is left of them is killed afterwards."""
    tag = str(uuid.uuid4())
    started: list[subprocess.Popen[str]] = []

    def start(*argv: str) -> subprocess.Popen[str]:
        environment = {"PATH": os.environ["PATH"], TAG: tag}
        process = subprocess.Popen(argv, cwd=CODE, env=environment, stdout=subprocess.PIPE, text=True)
        started.append(process)
        return process

    yield start
    for pid in processes.tagged(tag):
        psutil.Process(pid).kill()
    for process in started:
        process.kill()
        process.communicate()


def shell(start: Start, script: str) -> subprocess.Popen[str]:
    return start("/bin/sh", "-c", script)


def python(start: Start, code: str) -> subprocess.Popen[str]:
    return start(sys.executable, "-c", f"import ctypes, os, signal, subprocess\nfrom runtime import processes\n{code}")


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def ticks_of(process: subprocess.Popen[str]) -> int:
    ticks = processes.start_ticks(process.pid)
    assert ticks is not None
    return ticks


def ended(start: Start) -> tuple[int, int]:
    """Return pid and start time of a process that has come and gone."""
    process = shell(start, "echo; exec sleep 60")
    ticks = ticks_of(process)
    process.kill()
    process.wait()
    return process.pid, ticks


# Which process a pid means


def test_a_process_is_the_one_that_was_seen(start: Start) -> None:
    process = shell(start, "exec sleep 60")
    assert processes.is_same_process(process.pid, ticks_of(process), processes.boot_id())


def test_a_process_that_is_gone_has_no_start_time(start: Start) -> None:
    pid, ticks = ended(start)
    assert processes.start_ticks(pid) is None
    assert not processes.is_same_process(pid, ticks, processes.boot_id())


def test_a_zombie_counts_as_gone(start: Start) -> None:
    process = shell(start, "read -r _ < /dev/null; exit 0")
    until(lambda: psutil.Process(process.pid).status() == psutil.STATUS_ZOMBIE, "the zombie")
    assert processes.start_ticks(process.pid) is None


def test_a_pid_that_was_used_again_is_another_process(start: Start) -> None:
    process = shell(start, "exec sleep 60")
    assert not processes.is_same_process(process.pid, ticks_of(process) - 1, processes.boot_id())


def test_nothing_lives_across_a_boot(start: Start) -> None:
    process = shell(start, "exec sleep 60")
    assert not processes.is_same_process(process.pid, ticks_of(process), "an-earlier-boot")


@pytest.mark.skipif(sys.platform != "linux", reason="renames itself through the kernel of Linux")
def test_a_process_that_calls_itself_a_zombie_is_none(start: Start) -> None:
    process = python(
        start, "ctypes.CDLL(None).prctl(15, b') Z 1 (', 0, 0, 0); print('ready', flush=True); signal.pause()"
    )
    before = ticks_of(process)
    assert line(process) == "ready"
    assert processes.start_ticks(process.pid) == before


# Who belongs to a run


def test_a_grandchild_that_became_a_daemon_is_found_by_its_tag() -> None:
    tag = str(uuid.uuid4())
    script = "setsid sh -c 'echo $$; exec sleep 60' &"
    done = subprocess.Popen(
        ["/bin/sh", "-c", script], env={"PATH": os.environ["PATH"], TAG: tag}, stdout=subprocess.PIPE, text=True
    )
    with done:
        daemon = int(line(done))
        done.wait()
        assert processes.tagged(tag) == [daemon]
        psutil.Process(daemon).kill()


def test_another_tag_finds_nothing(start: Start) -> None:
    shell(start, "exec sleep 60")
    assert processes.tagged(str(uuid.uuid4())) == []


def test_a_process_does_not_find_itself(start: Start) -> None:
    assert line(python(start, f"print(processes.tagged(os.environ['{TAG}']), flush=True)")) == "[]"


def test_children_of_children_are_descendants(start: Start) -> None:
    process = shell(start, "sh -c 'sleep 60 & echo $!; wait'; :")
    assert int(line(process)) in processes.descendants(process.pid)


def test_a_process_that_is_gone_has_no_descendants(start: Start) -> None:
    assert processes.descendants(ended(start)[0]) == []


# How they end


def test_a_process_is_asked_before_it_is_ended(start: Start, tmp_path: Path) -> None:
    process = shell(start, f"trap 'echo bye > {tmp_path}/said; exit 3' TERM; echo ready; while :; do sleep 0.05; done")
    assert line(process) == "ready"
    processes.end_processes([process.pid], grace_s=20)
    assert process.wait() == 3
    assert (tmp_path / "said").exists()


def test_a_process_that_does_not_listen_is_ended(start: Start) -> None:
    process = shell(start, "trap '' TERM; echo ready; while :; do sleep 0.05; done")
    assert line(process) == "ready"
    processes.end_processes([process.pid], grace_s=0.1)
    assert process.wait() == -9


def test_one_that_is_gone_keeps_nobody_from_ending_the_others(start: Start) -> None:
    other = shell(start, "exec sleep 60")
    processes.end_processes([ended(start)[0], other.pid], grace_s=20)
    assert other.wait() == -15


def is_readable(descriptor: int) -> bool:
    return bool(select.select([descriptor], [], [], 0)[0])


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="there are no pidfds")
def test_a_pidfd_becomes_readable_when_its_process_ends(start: Start) -> None:
    process = shell(start, "exec sleep 60")
    descriptor = processes.open_pidfd(process.pid, ticks_of(process))
    assert descriptor is not None
    try:
        assert not is_readable(descriptor)
        process.kill()
        until(lambda: is_readable(descriptor), "the end to be seen")
    finally:
        os.close(descriptor)


def test_there_is_no_pidfd_of_another_process_and_none_is_left_open(start: Start) -> None:
    process = shell(start, "exec sleep 60")
    before = psutil.Process().num_fds()
    assert processes.open_pidfd(process.pid, ticks_of(process) - 1) is None
    assert psutil.Process().num_fds() == before


def test_there_is_no_pidfd_of_a_process_that_is_gone(start: Start) -> None:
    assert processes.open_pidfd(*ended(start)) is None


@pytest.mark.skipif(sys.platform != "linux", reason="asks the kernel of Linux")
def test_a_child_that_asks_for_it_ends_with_its_parent(start: Start) -> None:
    code = """
child = os.fork()
if child == 0:
    processes.die_with_parent()
    print(os.getpid(), flush=True)
signal.pause()
"""
    parent = python(start, code)
    child = psutil.Process(int(line(parent)))
    parent.kill()
    until(lambda: is_gone(child), "the child to end")


@pytest.mark.skipif(sys.platform != "linux", reason="asks the kernel of Linux")
def test_orphans_come_to_the_subreaper(start: Start) -> None:
    code = """
processes.become_subreaper()
print(subprocess.check_output(["/bin/sh", "-c", "sleep 60 >/dev/null & echo $!"], text=True), end="", flush=True)
signal.pause()
"""
    reaper = python(start, code)
    assert psutil.Process(int(line(reaper))).ppid() == reaper.pid


@pytest.mark.parametrize("look", [processes.tagged, lambda tag: processes.tagged_below(Path(tag).parent).get(tag, [])])
def test_a_process_is_found_whoever_had_its_pid_at_the_last_look(
    tmp_path: Path, look: Callable[[str], list[int]]
) -> None:
    tag = f"{tmp_path}/7.1"
    process = subprocess.Popen(["sleep", "600"], env={"PATH": os.environ["PATH"], TAG: tag})
    try:
        [remembered] = [known for known in psutil.process_iter() if known.pid == process.pid]
        vars(remembered)["_ident"] = (process.pid, 0.0)  # as of one that was started at another time
        assert look(tag) == [process.pid]
    finally:
        process.kill()
        process.wait()
