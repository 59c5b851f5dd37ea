"""Record the labelled traces: `python -m runtime.tests.record_traces [NAME …]`.

Each is a real run: the runner, the real client, and the stand-in that plays a script. What takes minutes in life takes
seconds here; gaps of a second and more are stretched afterwards, the client's own pace is left as it is.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

from llm.standin.scenario import parse
from llm.standin.server import StandIn
from runtime.tests.runners import Runner, request, started
from runtime.tests.stuck_corpus import FOLDER
from runtime.tests.trace_scripts import SCRIPTS, Script

_LIMIT_S = 60.0
_PAUSE_S = 1.0
_BEGIN = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
# What says nothing about the work, and is long.
_DROPPED = {"tools", "models"}

Json = dict[str, Any]


def main(names: list[str]) -> int:
    """Record the scripts of these names, or all."""
    chosen = [script for script in SCRIPTS if not names or script.name in names]
    for script in chosen:
        lines, ended = _record(script)
        path = FOLDER / f"{script.name}.jsonl"
        path.write_text("".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in _trace(script, lines, ended)))
        sys.stdout.write(f"{path.name}: {len(lines)} lines\n")
    return 0


def _record(script: Script) -> tuple[list[Json], datetime]:
    """Play a script, and return what the runner wrote and when that ended."""
    with tempfile.TemporaryDirectory(prefix="bbb-trace-") as name, StandIn(parse(script.text, name="default")) as it:
        folder = Path(name)
        wanted = request(folder, provider="claude_code", prompt=script.prompt, **script.request)
        for file, text in script.files.items():
            (Path(wanted.workspace) / file).write_text(text)
            (Path(wanted.workspace) / file).chmod(0o755)
        environment = {"ANTHROPIC_BASE_URL": it.url, "ANTHROPIC_API_KEY": "sk-none"}
        config = {"CLAUDE_CONFIG_DIR": str(folder / "home" / ".claude")}
        with started(folder, wanted, **environment, **config) as runner:
            lines, ended = _watch(script, runner)
        return json.loads(json.dumps(lines).replace(wanted.workspace, "/srv/hive").replace(name, "/srv")), ended


def _watch(script: Script, runner: Runner) -> tuple[list[Json], datetime]:
    """Wait for the end of a run; one that does not end by itself is stopped when it has shown enough."""
    deadline = time.monotonic() + _LIMIT_S
    has_shown_enough = _enough(script, runner)
    while runner.process.poll() is None:
        assert time.monotonic() < deadline, (script.name, runner.stderr())
        if has_shown_enough():
            seen, now = [line for line, _ in runner.directory.lines()], datetime.now(UTC)
            runner.directory.send("cancel", {})
            runner.wait()
            return seen, now
        time.sleep(0.05)
    seen = [line for line, _ in runner.directory.lines()]
    return seen, datetime.fromisoformat(seen[-1]["at"])


def _enough(script: Script, runner: Runner) -> Callable[[], bool]:
    asked_at = time.monotonic()

    def look() -> bool:
        nonlocal asked_at
        asks = runner.lines("system", "ask")
        if not asks:
            asked_at = time.monotonic()
        elif time.monotonic() - asked_at > script.answer_after_s:
            runner.directory.send(f"answer-{asks[0]['ask_id']}", {"text": "Blue."})
        if script.stop_after_calls:
            return len(runner.lines("tool_result")) >= script.stop_after_calls
        last = [line for line, _ in runner.directory.lines()][-1:]
        said_at = datetime.fromisoformat(last[0]["at"]) if last else datetime.now(UTC)
        silence_s = (datetime.now(UTC) - said_at).total_seconds()
        return bool(script.stop_after_silence_s) and silence_s > script.stop_after_silence_s

    return look


def _trace(script: Script, lines: list[Json], ended: datetime) -> list[Json]:
    """Return the file: a header, and the lines at times of another day."""
    times = [datetime.fromisoformat(line["at"]) for line in lines] + [ended]
    shown = [_BEGIN]
    for before, after in pairwise(times):
        gap = max(0.0, (after - before).total_seconds())
        shown.append(shown[-1] + timedelta(seconds=gap * (script.stretch if gap >= _PAUSE_S else 1)))
    header = {"why": script.why, "is_stuck": list(script.is_stuck), "ends_at": shown[-1].isoformat()}
    kept = [
        {
            **line,
            "at": at.isoformat(),
            "body": {name: line["body"][name] for name in line["body"] if name not in _DROPPED},
        }
        for line, at in zip(lines, shown, strict=False)
    ]
    return [header, *kept]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
