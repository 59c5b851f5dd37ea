from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from llm import contract
from runtime.runner.journal import MAX_TEXT, Journal

SECRET = "sk-ant-api03-abcdefghijklmnop"


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def written(tmp_path: Path, kind: str, body: dict[str, Any]) -> dict[str, Any]:
    with Journal(tmp_path / "events.jsonl") as journal:
        journal.write(kind, body)
    found: dict[str, Any] = lines(tmp_path / "events.jsonl")[-1]["body"]
    return found


def test_lines_are_numbered_and_dated(tmp_path: Path) -> None:
    with Journal(tmp_path / "events.jsonl") as journal:
        journal.write("text", {"text": "one"})
        journal.system("notice", text="two")
    first, second = lines(tmp_path / "events.jsonl")
    assert (first["seq"], first["kind"], first["body"]) == (1, "text", {"text": "one"})
    assert (second["seq"], second["kind"], second["body"]) == (2, "system", {"type": "notice", "text": "two"})
    assert datetime.fromisoformat(first["at"]).tzinfo is not None


@pytest.mark.parametrize(
    ("update", "kind", "body"),
    [
        (contract.Text(text="a"), "text", {"text": "a"}),
        (contract.Thinking(text="a"), "thinking", {"text": "a"}),
        (contract.Stderr(text="a"), "stderr", {"text": "a"}),
        (
            contract.ToolCall(id="t", name="Read", input={"x": 1}),
            "tool_call",
            {"id": "t", "name": "Read", "input": {"x": 1}},
        ),
        (
            contract.ToolResult(id="t", text="a", is_error=True),
            "tool_result",
            {"id": "t", "is_error": True, "text": "a"},
        ),
        (contract.SystemNote(text="a"), "system", {"type": "notice", "text": "a"}),
        (
            contract.SessionStarted(session_id="s", model="m", tools=("Read",)),
            "system",
            {"type": "session", "session_id": "s", "model": "m", "tools": ["Read"]},
        ),
        (
            contract.PermissionDenied(tool_name="Read", message="no"),
            "system",
            {"type": "permission_denied", "tool_name": "Read", "message": "no"},
        ),
        (
            contract.ApiRetry(attempt=1, max_retries=3, delay_s=0.5, status=529, error="overloaded"),
            "system",
            {
                "type": "api_retry",
                "attempt": 1,
                "max_retries": 3,
                "delay_s": 0.5,
                "status": 529,
                "error": "overloaded",
            },
        ),
    ],
)
def test_each_update_has_its_line(tmp_path: Path, update: contract.Update, kind: str, body: dict[str, Any]) -> None:
    with Journal(tmp_path / "events.jsonl") as journal:
        journal.record(update)
    (line,) = lines(tmp_path / "events.jsonl")
    assert (line["kind"], line["body"]) == (kind, body)


def test_end_of_a_turn_leaves_no_line(tmp_path: Path) -> None:
    with Journal(tmp_path / "events.jsonl") as journal:
        journal.record(contract.TurnEnded())
    assert lines(tmp_path / "events.jsonl") == []


def test_usage_keeps_its_numbers(tmp_path: Path) -> None:
    usage = contract.Usage(token_in=5, cost_usd=0.5, models={"m": {"token_in": 5}})
    with Journal(tmp_path / "events.jsonl") as journal:
        journal.record(contract.UsageChanged(usage=usage))
    body = lines(tmp_path / "events.jsonl")[0]["body"]
    assert (body["token_in"], body["cost_usd"], body["models"]) == (5, 0.5, {"m": {"token_in": 5}})


def test_secrets_are_masked_however_deep(tmp_path: Path) -> None:
    body = written(tmp_path, "tool_call", {"input": {"env": [{"API_KEY": SECRET}], "command": f"curl -H {SECRET}"}})
    assert SECRET not in json.dumps(body)


def test_long_text_is_cut_and_says_so(tmp_path: Path) -> None:
    text = written(tmp_path, "text", {"text": "x" * (MAX_TEXT + 5)})["text"]
    assert len(text) < MAX_TEXT + 100
    assert text.endswith("more characters cut]")


def test_many_texts_share_one_limit(tmp_path: Path) -> None:
    body = written(tmp_path, "tool_call", {"input": ["x" * 1000] * 500})
    assert len(json.dumps(body)) < 2 * MAX_TEXT


def test_secret_at_the_cut_is_masked_all_the_same(tmp_path: Path) -> None:
    text = "x" * (MAX_TEXT - 10) + " " + SECRET
    assert "sk-ant" not in written(tmp_path, "text", {"text": text})["text"]


def test_text_that_is_no_text_is_written_all_the_same(tmp_path: Path) -> None:
    body = written(tmp_path, "text", {"text": "half a pair: \ud83d", "path": tmp_path})
    assert body["path"] == str(tmp_path)


@pytest.mark.parametrize("number", ["1e999", "-1e999", "NaN"])
def test_a_number_that_json_does_not_know_is_text(tmp_path: Path, number: str) -> None:
    given = written(tmp_path, "tool_call", {"input": {"limits": [json.loads(number), 1.5]}})["input"]
    assert given == {"limits": [str(float(number)), 1.5]}


def test_a_full_log_takes_only_what_is_about_the_run_itself_and_says_so_once(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    with Journal(path, max_bytes=500) as journal:
        for update in (contract.Text(text="x" * 600), contract.Text(text="more"), contract.Stderr(text="more")):
            journal.record(update)
        journal.record(contract.SystemNote(text="more"))
        journal.record(contract.UsageChanged(usage=contract.Usage(turns=3)))
        journal.system("finish", summary="Done.")
    kept = lines(path)
    assert [line["body"].get("type", line["kind"]) for line in kept] == ["text", "log_full", "usage", "finish"]
    assert [line["seq"] for line in kept] == [1, 2, 3, 4]


def test_without_a_limit_no_log_is_full(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    with Journal(path) as journal:
        for _ in range(20):
            journal.record(contract.Text(text="x" * MAX_TEXT))
    assert len(lines(path)) == 20
