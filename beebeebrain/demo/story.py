"""What happens, as lines to read: the event log, and in `--once` the person of the demo, who answers and approves."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

from beebeebrain.demo.api import Api, Json

ANSWER = "By count."
CHANGES = "Please also say how to run the tests."
# The task whose first result is sent back.
SENT_BACK = "Explain it in the README"
FINAL = {"done", "failed", "cancelled"}


def say(text: str) -> None:
    """Write a line at once, also into a pipe."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


class Story:
    """Follows the event log from a cursor and tells what is worth telling."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._cursor = 0
        self._titles: dict[int, str] = {}

    def begin(self) -> None:
        """Tell only what happens from now on."""
        self._cursor = self._api.get("events/cursor")["cursor"]

    def go_on(self) -> None:
        """Tell what has happened since the last time."""
        for event in self._api.all("events", after=self._cursor):
            self._cursor = event["id"]
            if line := self._line(event):
                say(f"{event['at'][11:19]}  {line}")

    def _line(self, event: Json) -> str:
        tellers: dict[str, Callable[[Json], str]] = {
            "task.status.changed": _status,
            "run.progress": _progress,
            "run.status.changed": _run,
            "inbox.item.created": lambda payload: f"inbox: {payload['title']}",
            "user.input.submitted": lambda payload: f"a person says: {payload['user_input']}",
        }
        teller = tellers.get(event["type"])
        told = teller(event["payload"]) if teller else ""
        return f"{self._title(event['task_id']):<28} {told}" if told else ""

    def _title(self, task_id: int | None) -> str:
        if task_id is None:
            return ""
        if task_id not in self._titles:
            self._titles[task_id] = self._api.get(f"tasks/{task_id}")["title"]
        return self._titles[task_id]


def _status(payload: Json) -> str:
    reason = f" ({payload['reason']})" if payload["reason"] else ""
    return f"{payload['before']} → {payload['after']}{reason}"


def _progress(payload: Json) -> str:
    shown = {"text": "says: ", "tool_call": "uses "}
    return f"{shown[payload['kind']]}{payload['text'][:90]}" if payload["kind"] in shown else ""


def _run(payload: Json) -> str:
    if payload["after"] == "retry_scheduled":
        return f"attempt {payload['attempt']} is due at {payload['next_retry_at'][11:19]}"
    return f"attempt {payload['attempt']} failed: {payload['error_code']}" if payload["after"] == "failed" else ""


class Person:
    """Does through the API what a person does in the inbox. A refusal means that somebody was faster."""

    def __init__(self, api: Api, project: int) -> None:
        self._api = api
        self._project = project

    def look(self) -> None:
        """Close what is open."""
        for item in self._api.all("inbox", project=self._project, status="open"):
            self._close(item)

    def _close(self, item: Json) -> None:
        close: dict[str, Any] = {"expected_version": item["version"]}
        if item["item_type"] == "await_user_input":
            close |= {"action": "answer", "user_input": ANSWER}
        elif item["item_type"] == "task_completed":
            close |= {"action": "approve"}
            if SENT_BACK in item["title"] and not self._has_been_sent_back(item["task"]):
                close |= {"action": "request_changes", "user_input": CHANGES}
        else:
            close |= {"action": "dismiss"}
        self._api.post(f"inbox/{item['id']}/close", **close)

    def _has_been_sent_back(self, task: int) -> bool:
        reviews = self._api.all("inbox", task=task, item_type="task_completed", status="closed")
        return any(item["resolution"] == "changes_requested" for item in reviews)


def is_over(api: Api, project: int) -> bool:
    """Tell whether no task of the demo goes on by itself or by an answer."""
    return all(task["status"] in FINAL for task in api.all("tasks", project=project))


def wait(until: Callable[[], bool], step: Callable[[], None], stopped: Callable[[float], bool], seconds: float) -> bool:
    """Do `step` until something holds (True), somebody stops us, or the time is over (False)."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        step()
        if until():
            return True
        if stopped(0.3):
            return False
    return False
