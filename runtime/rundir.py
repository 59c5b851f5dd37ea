"""The run directory: all that the scheduler and a runner ever say to each other.

A run directory is `$BBB_HOME/runs/<run>.<epoch>/` and holds

    request.json      what to do, written once by the scheduler; never a secret
    start.json        who does it: pid, start time, boot; written by the runner before the client starts
    events.jsonl      numbered lines: what the client said and did; appended by the runner alone. Long after the end of the
                      run it becomes events.jsonl.gz
    control/          requests and answers from the scheduler, one file each
    exit.json         how it ended; written last, by the runner
    stdout, stderr    of the runner process

Every file but events.jsonl appears by rename, so a reader never sees half of one. This module imports
neither Django nor the ORM: both sides use it.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from typing import IO, Any, Literal, TypeVar, cast

from security.redaction import redact

Outcome = Literal["finished", "blocked", "unreported", "interrupted", "parked", "cancelled", "failed"]


FORMAT = 1
"""Of what stands in a run directory. Raised when an older scheduler could not make sense of it, not for a new field."""


_COMPRESSED = "events.jsonl.gz"


class RunDirectoryExists(Exception):
    """Somebody has started this run and epoch already."""


@dataclass(frozen=True, kw_only=True)
class RunRequest:
    """What a runner is asked to do. Holds no secret: those travel by environment."""

    run_id: int
    epoch: int
    task_id: int
    agent_id: int = 0
    """0 in a request of a scheduler from before there was this field."""
    trace_id: str
    provider: str
    model: str
    """Empty: the operator's own default model."""
    prompt: str
    system_append: str
    workspace: str
    session_id: str
    """A UUID: the client session to begin, or to resume when `is_resumed`."""
    is_resumed: bool
    setup_command: str
    """Shell command for a fresh worktree; empty when there is none or it ran already."""
    checks: list[str]
    """Shell commands that must pass before the work counts as finished."""
    permission_mode: str
    allowed_tools: list[str]
    max_turns: int
    max_cost_usd: float
    """0: no cap. Holds for this process, on top of `session_cost_usd`."""
    session_cost_usd: float
    """What the session had cost before this process; the client counts on from there."""
    timeout_s: float
    idle_timeout_s: float
    ask_wait_s: float
    """How long a question waits in place for its answer before the run is parked."""
    max_check_rounds: int
    max_tokens: int = 0
    """Of this process, those in, out and written to the cache; 0: no cap."""
    time_cap_s: float = 0.0
    """What task and day leave; unlike `timeout_s` it is not tried again. 0: no cap."""
    max_log_bytes: int = 0
    """After so many bytes in events.jsonl the agent is not written down any more; 0: no cap."""
    format: int = FORMAT


@dataclass(frozen=True, kw_only=True)
class StartRecord:
    """Which process owns the run. `start_ticks` and `boot_id` make the pid trustworthy."""

    pid: int
    start_ticks: int
    boot_id: str
    pgid: int


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What this process used, the session's earlier cost taken off."""

    token_in: int = 0
    token_out: int = 0
    token_cache_read: int = 0
    token_cache_write: int = 0
    cost_usd: float = 0.0
    turns: int = 0
    request_count: int = 0
    models: dict[str, dict[str, float]] = field(default_factory=dict)
    """The same per model name: token_in, token_out, token_cache_read, token_cache_write, cost_usd."""
    worked_s: float = 0.0
    """How long the process worked; waiting for a person is no work."""

    @property
    def tokens(self) -> int:
        """The tokens that caps count: not those read from the cache, which each turn reads again."""
        return self.token_in + self.token_out + self.token_cache_write


@dataclass(frozen=True, kw_only=True)
class ExitRecord:
    """How a run ended, as its runner saw it."""

    outcome: Outcome
    code: str = ""
    """Stable error code where `outcome` is failed: rate_limited, overloaded, timeout, network, crashed, …"""
    message: str = ""
    """Summary of finished work, what would unblock it, or what went wrong."""
    retry_after_s: float | None = None
    session_id: str = ""
    usage: Usage = field(default_factory=Usage)
    ended_at: str = ""

    @classmethod
    def unexpected(cls, error: Exception, *, session_id: str = "") -> ExitRecord:
        """Return the record of a run that an error of ours has ended."""
        message = redact(f"{type(error).__name__}: {error}")
        return cls(outcome="failed", code="protocol", message=message, session_id=session_id)


Record = TypeVar("Record", RunRequest, StartRecord, ExitRecord, Usage)


@dataclass(frozen=True)
class RunDirectory:
    """One run directory on disk."""

    path: Path

    @property
    def tag(self) -> str:
        """The mark in the environment of every process of this start: two installations on a host share no path."""
        return str(self.path)

    @classmethod
    def create(cls, path: Path, request: RunRequest) -> RunDirectory:
        """Make the directory and its request. `mkdir` is the lock: raises RunDirectoryExists for the second."""
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            path.mkdir(mode=0o700)
        except FileExistsError:
            raise RunDirectoryExists(str(path)) from None
        (path / "control").mkdir(mode=0o700)
        directory = cls(path)
        directory._write("request.json", asdict(request))
        return directory

    @property
    def events_path(self) -> Path:
        return self.path / "events.jsonl"

    def request(self) -> RunRequest:
        """Return what to do. Raises OSError, ValueError or TypeError when there is nothing usable.

        Here and below, fields that this version does not know are left out: schedulers and runners of two versions work
        side by side while the code is upgraded.
        """
        return _record(RunRequest, json.loads((self.path / "request.json").read_bytes()))

    def format(self) -> int:
        """Return which FORMAT the directory has; 0 when that cannot be told, as of a start that was never made."""
        try:
            found = json.loads((self.path / "request.json").read_bytes())
            return int(found.get("format", 1))
        except (OSError, ValueError, TypeError, AttributeError):
            return 0

    def seal(self) -> None:
        """Keep a start that was not made by now from being made after all. Raises OSError.

        Whoever still means to make it finds its directory taken, or its runner finds that it is to end at once.
        """
        (self.path / "control").mkdir(parents=True, exist_ok=True, mode=0o700)
        self.send("cancel", {"reason": "superseded"})

    def write_start(self, record: StartRecord) -> None:
        self._write("start.json", asdict(record))

    def start(self) -> StartRecord | None:
        """Return who owns the run, or None while nobody has started."""
        found = self._read("start.json")
        return _record(StartRecord, found) if found else None

    def write_exit(self, record: ExitRecord) -> None:
        self._write("exit.json", asdict(record))

    def exit(self) -> ExitRecord | None:
        """Return how the run ended, or None while it has not."""
        found = self._read("exit.json")
        if not found:
            return None
        return replace(_record(ExitRecord, found), usage=_record(Usage, found["usage"]))

    def usage(self) -> Usage:
        """Return what the journal says was used, of a runner that left no exit record."""
        said: dict[str, Any] = {}
        times = []
        for line, _ in self.lines():
            times.append(line["at"])
            said = line["body"] if line["body"].get("type") == "usage" else said
        worked = datetime.fromisoformat(times[-1]) - datetime.fromisoformat(times[0]) if times else timedelta()
        return replace(_record(Usage, said), worked_s=worked.total_seconds())

    def send(self, name: str, body: dict[str, Any]) -> None:
        """Leave a control message for the runner: `interrupt`, `cancel`, or `answer-<ask id>`."""
        self._write(f"control/{name}.json", body)

    def add_message(self, name: str, body: dict[str, Any]) -> None:
        """Leave the next of several control messages: `nudge-1`, `nudge-2`, … Raises FileNotFoundError."""
        numbered = (f"{name}-{number}" for number in count(1))
        self.send(next(free for free in numbered if not (self.path / f"control/{free}.json").exists()), body)

    def received(self, name: str) -> dict[str, Any] | None:
        """Return a control message, or None while there is none."""
        return self._read(f"control/{name}.json")

    def lines(self, offset: int = 0) -> Iterator[tuple[dict[str, Any], int]]:
        """Yield each whole line of events.jsonl from a byte offset, with the offset behind it."""
        stream = self._open_events()
        if stream is None:
            return
        with stream:
            stream.seek(offset)
            for raw in stream:
                if not raw.endswith(b"\n"):
                    return  # half a line: the runner is still writing it
                offset += len(raw)
                yield _parse(raw), offset

    def compress(self) -> int:
        """Compress what was said, and return how many bytes that was; 0 where it is done already. Only for a run that is over."""
        target = self.path / _COMPRESSED
        draft = target.with_name(f".{target.name}.{os.getpid()}")
        try:
            source = self.events_path.open("rb")
        except FileNotFoundError:
            return 0
        with source, draft.open("wb") as stream:
            with gzip.GzipFile(fileobj=stream, mode="wb", filename="events.jsonl") as packed:
                shutil.copyfileobj(source, packed)
            stream.flush()
            os.fsync(stream.fileno())
            size = source.tell()
        draft.replace(target)
        self.events_path.unlink()
        return size

    def remove(self) -> None:
        """Remove the directory with all that is in it. Only for a run that is over: its place could be taken anew."""
        shutil.rmtree(self.path)

    def _open_events(self) -> IO[bytes] | None:
        with contextlib.suppress(FileNotFoundError):
            return self.events_path.open("rb")
        with contextlib.suppress(FileNotFoundError):
            return cast(IO[bytes], gzip.open(self.path / _COMPRESSED, "rb"))
        return None

    def _read(self, name: str) -> dict[str, Any] | None:
        try:
            return _parse((self.path / name).read_bytes())
        except FileNotFoundError:
            return None

    def _write(self, name: str, body: dict[str, Any]) -> None:
        target = self.path / name
        draft = target.with_name(f".{target.name}.{os.getpid()}")
        with draft.open("wb") as stream:
            # Half a surrogate pair, as an agent may say it, has no bytes.
            stream.write(json.dumps(body, ensure_ascii=False).encode(errors="replace"))
            stream.flush()
            os.fsync(stream.fileno())
        draft.replace(target)


def _record(kind: type[Record], found: dict[str, Any]) -> Record:
    known = {field.name for field in fields(kind)}
    return kind(**{name: value for name, value in found.items() if name in known})


def _parse(raw: bytes) -> dict[str, Any]:
    """Return the JSON without NUL, which an agent may well have read somewhere and PostgreSQL does not store."""
    found: dict[str, Any] = json.loads(raw)
    return _without_nul(found) if rb"\u0000" in raw else found


def _without_nul(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\0", "\N{REPLACEMENT CHARACTER}")
    if isinstance(value, dict):
        return {_without_nul(name): _without_nul(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_without_nul(item) for item in value]
    return value
