from __future__ import annotations

import io
import json
import logging
import logging.config
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from django.conf import settings

from beebeebrain.logs import configuration
from events import trace

SECRET = "sk-ant-api03-abcdefghijklmnop"


@pytest.fixture
def stream(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """The log of this process as production writes it, into memory."""
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    root = logging.getLogger()
    before = list(root.handlers), root.level
    logging.config.dictConfig(configuration(level="INFO", style="json", file=None))
    yield stream
    logging.config.dictConfig(settings.LOGGING)
    root.handlers[:], root.level = before


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_of_any_library_is_json_and_masked(stream: io.StringIO) -> None:
    logging.getLogger("some.library").warning("the key is %s", SECRET)
    [line] = lines(stream)
    assert (line["logger"], line["level"], line["event"]) == ("some.library", "warning", "the key is [redacted]")


def test_our_lines_carry_what_is_bound(stream: io.StringIO) -> None:
    with trace.bound("my-trace", run_id=7, task_id=3, agent_id=1):
        structlog.get_logger("bbb.runtime").info("run_started", epoch=2)
    [line] = lines(stream)
    found = {name: line[name] for name in ("event", "trace_id", "run_id", "task_id", "agent_id", "epoch", "logger")}
    assert list(found.values()) == ["run_started", "my-trace", 7, 3, 1, 2, "bbb.runtime"]


def test_secrets_in_a_traceback_are_masked(stream: io.StringIO) -> None:
    try:
        raise ValueError(SECRET)
    except ValueError:
        structlog.get_logger("bbb.api").exception("it_failed")
    assert SECRET not in stream.getvalue()
    assert "ValueError" in lines(stream)[0]["exception"]


def test_django_prints_no_line_twice(stream: io.StringIO) -> None:
    logging.getLogger("django.request").warning("Not Found: /nowhere")
    assert len(lines(stream)) == 1
