from __future__ import annotations

import json
from pathlib import Path

import pytest

from llm.claude_code import sessions
from llm.claude_code.sessions import Baseline
from llm.claude_code.usage import UsageMeter

MODEL = "claude-opus-5-5"


def counted(token_in: int, token_out: int, cost: float) -> dict[str, dict[str, float]]:
    return {MODEL: {"inputTokens": token_in, "outputTokens": token_out, "costUSD": cost}}


def test_result_counts_what_came_on_top_of_the_session() -> None:
    meter = UsageMeter(Baseline(0.012, counted(2000, 200, 0.012)))
    meter.result(counted(3000, 300, 0.018), 0.018, 2)
    usage = meter.usage()
    assert (usage.token_in, usage.token_out, usage.turns) == (1000, 100, 2)
    assert usage.cost_usd == pytest.approx(0.006)
    assert usage.models[MODEL]["cost_usd"] == pytest.approx(0.006)


def test_second_result_replaces_the_first_and_adds_its_turns() -> None:
    meter = UsageMeter(Baseline())
    meter.result(counted(1000, 100, 0.006), 0.006, 2)
    meter.result(counted(2000, 200, 0.012), 0.012, 3)
    usage = meter.usage()
    assert (usage.token_in, usage.turns, usage.cost_usd) == (2000, 5, 0.012)


def test_counter_that_began_anew_is_never_negative() -> None:
    meter = UsageMeter(Baseline(1.0, counted(90_000, 9_000, 1.0)))
    meter.result(counted(1000, 100, 0.006), 0.006, 1)
    usage = meter.usage()
    assert (usage.token_in, usage.token_out, usage.cost_usd) == (0, 0, 0)


def test_messages_give_an_estimate_until_the_result() -> None:
    meter = UsageMeter(Baseline())
    used = {"input_tokens": 1000, "cache_read_input_tokens": 500, "output_tokens": 1}
    assert meter.message("msg_1", MODEL, used, "x" * 40)
    assert not meter.message("msg_1", MODEL, used, "x" * 40)
    usage = meter.usage()
    assert (usage.token_in, usage.token_cache_read, usage.token_out, usage.request_count) == (1000, 500, 20, 1)
    assert usage.cost_usd == pytest.approx(1000 * 4e-6 + 500 * 0.2e-6 + 20 * 20e-6)
    meter.result(counted(1000, 100, 0.0061), 0.0061, 1)
    assert (meter.usage().token_out, meter.usage().cost_usd) == (100, 0.0061)


def test_estimate_comes_on_top_of_the_last_result() -> None:
    meter = UsageMeter(Baseline())
    meter.result(counted(1000, 100, 0.006), 0.006, 1)
    meter.message("msg_2", MODEL, {"input_tokens": 500}, "")
    usage = meter.usage()
    assert usage.token_in == 1500
    assert usage.cost_usd == pytest.approx(0.008)


def test_model_without_a_price_is_estimated_in_tokens_only() -> None:
    meter = UsageMeter(Baseline())
    meter.message("msg_1", "who-knows", {"input_tokens": 500}, "")
    assert (meter.usage().token_in, meter.usage().cost_usd) == (500, 0)


def test_baseline_is_the_last_cost_state_of_the_transcript(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    lines = [
        {"type": "cost-state", "totalCostUSD": 0.1, "modelUsage": counted(1, 1, 0.1)},
        {"type": "user", "message": 'says "cost-state"'},
        {"type": "cost-state", "totalCostUSD": 0.2, "modelUsage": counted(2, 2, 0.2)},
        {"type": "assistant"},
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = sessions.baseline(path)
    assert (found.cost_usd, found.models) == (0.2, counted(2, 2, 0.2))


def test_baseline_is_found_behind_megabytes_of_later_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "_BLOCK", 100)
    path = tmp_path / "s.jsonl"
    first = json.dumps({"type": "cost-state", "totalCostUSD": 0.3, "modelUsage": counted(3, 3, 0.3)})
    later = json.dumps({"type": "user", "text": "x" * 250})
    path.write_text(f"{later}\n{first}\n" + f"{later}\n" * 20)
    assert sessions.baseline(path).cost_usd == 0.3


@pytest.mark.parametrize("text", ["", "\n", "not json\n", '{"type": "cost-state"', '{"type": "user"}\n'])
def test_transcript_without_a_cost_state_counts_from_nothing(tmp_path: Path, text: str) -> None:
    path = tmp_path / "s.jsonl"
    path.write_text(text)
    assert sessions.baseline(path) == Baseline()


def test_transcript_is_found_whatever_folder_it_was_begun_in(tmp_path: Path) -> None:
    path = tmp_path / "projects" / "-some-where" / "abc.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text("")
    assert sessions.transcript(tmp_path, "abc") == path
    assert sessions.transcript(tmp_path, "def") is None
