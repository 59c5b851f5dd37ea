from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from orchestration.tests.factories import make_agent, make_project, make_task
from runtime.admin.log import MAX_LINES, MAX_TEXT, SHOWN, entry_of, text_of, transcript
from runtime.admin.progress import Used, used, with_progress
from runtime.models import RunLog, TaskRun
from runtime.services.finishing import finish_run
from runtime.tests.factories import claim_all, ending, running

pytestmark = pytest.mark.django_db


@pytest.fixture
def run(tmp_path: Path) -> TaskRun:
    project = make_project(tmp_path / "repo")
    return running(make_task(project), make_agent(project))


def say(run: TaskRun, count: int, **body: Any) -> None:
    RunLog.objects.bulk_create(
        RunLog(run=run, seq=seq, at=timezone.now(), kind="text", body=body or {"text": f"line-{seq}-"})
        for seq in range(1, count + 1)
    )


def line(kind: str, **body: Any) -> RunLog:
    return RunLog(kind=kind, body=body)


def page_of(client: Client, run: TaskRun, query: str = "") -> str:
    return client.get(reverse("admin:runtime_taskrun_change", args=[run.pk]) + query).content.decode()


@pytest.mark.parametrize(
    ("kind", "body", "text"),
    [
        ("text", {"text": "Hello"}, "Hello"),
        ("tool_call", {"id": "1", "name": "Bash", "input": {"command": "ls"}}, "Bash ls"),
        ("tool_call", {"id": "1", "name": "TodoWrite", "input": {"todos": [1]}}, 'TodoWrite {"todos": [1]}'),
        ("tool_call", {"id": "1", "name": "Nothing", "input": {}}, "Nothing"),
        ("system", {"type": "block", "reason": "No key"}, "block reason: No key"),
        ("system", {"type": "idle"}, "idle"),
        ("stderr", {"text": "Oh"}, "Oh"),
    ],
)
def test_a_line_reads_as_text(kind: str, body: dict[str, Any], text: str) -> None:
    assert text_of(line(kind, **body)) == text


def test_arguments_of_a_tool_are_folded_and_readable() -> None:
    entry = entry_of(line("tool_call", name="Write", input={"file_path": "a.py", "content": "one\ntwo"}))
    assert entry.head == "Write a.py"
    assert entry.folded == "file_path: a.py\ncontent:\none\ntwo"


def test_a_command_of_many_lines_is_one_line_until_it_is_opened() -> None:
    entry = entry_of(line("tool_call", name="Bash", input={"command": "cat <<EOF\ntext\nEOF"}))
    assert entry.head == "Bash cat <<EOF…"
    assert "text\nEOF" in entry.folded


def test_a_long_output_is_cut_and_says_how_much_is_missing() -> None:
    entry = entry_of(line("tool_result", text="\n".join(map(str, range(MAX_LINES + 60)))))
    assert (len(entry.text.splitlines()), entry.cut) == (MAX_LINES, 60)


def test_a_single_long_line_is_cut_too() -> None:
    entry = entry_of(line("tool_result", text="x" * (MAX_TEXT + 1)))
    assert (len(entry.text), entry.cut) == (MAX_TEXT, 1)


def test_a_short_output_is_whole() -> None:
    assert entry_of(line("tool_result", text="a\nb\n")).cut == 0


@pytest.mark.parametrize(
    ("kind", "body", "is_error"),
    [
        ("tool_result", {"text": "No such file", "is_error": True}, True),
        ("tool_result", {"text": "Fine", "is_error": False}, False),
        ("system", {"type": "check", "command": "make", "exit_code": 1, "text": "1 failed"}, True),
        ("system", {"type": "check", "command": "make", "exit_code": 0, "text": ""}, False),
        ("stderr", {"text": "Oh"}, True),
        ("text", {"text": "Fine"}, False),
    ],
)
def test_what_went_wrong_stands_out(kind: str, body: dict[str, Any], is_error: bool) -> None:
    assert entry_of(line(kind, **body)).is_error == is_error


def test_a_transcript_ends_with_the_last_line(run: TaskRun) -> None:
    say(run, SHOWN + 50)
    shown = transcript(run)
    assert [entry.line.seq for entry in shown.entries] == list(range(51, SHOWN + 51))
    assert (shown.earlier, shown.later, shown.last_seq) == (51, None, SHOWN + 50)


def test_one_pages_to_the_first_line_and_back(run: TaskRun) -> None:
    say(run, 2 * SHOWN + 10)
    last = transcript(run)
    middle = transcript(run, before=last.earlier)
    first = transcript(run, before=middle.earlier)
    assert [entry.line.seq for entry in first.entries] == list(range(1, 11))
    assert first.earlier is None
    again = transcript(run, before=first.later)
    assert [entry.line.seq for entry in again.entries] == list(range(11, SHOWN + 11))
    assert transcript(run, before=middle.later).entries[-1].line.seq == last.entries[-1].line.seq


def test_an_empty_log_is_no_error(run: TaskRun, admin_client: Client) -> None:
    assert transcript(run).entries == []
    assert "has not said anything yet" in page_of(admin_client, run)


def test_the_page_shows_the_end_of_a_long_log_and_leads_to_the_rest(run: TaskRun, admin_client: Client) -> None:
    say(run, SHOWN + 1)
    page = page_of(admin_client, run)
    assert "line-1-" not in page
    assert page.index("line-2-") < page.index(f"line-{SHOWN + 1}-")
    assert "line-1-" in page_of(admin_client, run, "?before=2")


@pytest.mark.parametrize("before", ["nonsense", "-1", "²", "9" * 30, ""])
def test_a_page_that_means_nothing_is_the_last_one(before: str, run: TaskRun, admin_client: Client) -> None:
    say(run, 3)
    assert "line-3-" in page_of(admin_client, run, f"?before={before}")


def test_a_huge_log_costs_no_more_than_a_long_one(run: TaskRun, admin_client: Client) -> None:
    def cost() -> tuple[int, int]:
        with CaptureQueriesContext(connection) as queries:
            page = page_of(admin_client, run)
        return len(queries), page.count("bbb-line")

    say(run, SHOWN)
    long = cost()
    RunLog.objects.all().delete()
    say(run, 20 * SHOWN)
    assert cost() == long


def test_what_an_agent_said_is_escaped(run: TaskRun, admin_client: Client) -> None:
    say(run, 1, text="<script>alert(1)</script>")
    page = page_of(admin_client, run)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<script>alert(1)" not in page
    assert "<script>alert(1)" not in admin_client.get(reverse("admin:runtime_runlog_changelist")).content.decode()


def test_arguments_are_escaped(run: TaskRun, admin_client: Client) -> None:
    body = {"name": "<b>Bash</b>", "input": {"command": "<b>ls</b>"}}
    RunLog.objects.create(run=run, seq=1, at=timezone.now(), kind="tool_call", body=body)
    assert "<b>" not in page_of(admin_client, run)


def test_a_cut_line_leads_to_all_of_it(run: TaskRun, admin_client: Client) -> None:
    say(run, 1, text="\n".join(f"row-{number}-" for number in range(MAX_LINES + 1)))
    url = reverse("admin:runtime_runlog_change", args=[RunLog.objects.get().pk])
    page = page_of(admin_client, run)
    assert url in page and f"row-{MAX_LINES}-" not in page
    assert f"row-{MAX_LINES}-" in admin_client.get(url).content.decode()


def test_the_page_leads_to_the_events_of_its_trace(run: TaskRun, admin_client: Client) -> None:
    page = page_of(admin_client, run)
    url = next(url for url in re.findall(r'href="([^"]+)"', page) if run.trace_id in url)
    events = admin_client.get(url).context["cl"].result_list
    assert {event.trace_id for event in events} == {run.trace_id}


def test_the_attempts_of_a_task_lead_to_each_other(run: TaskRun, admin_client: Client) -> None:
    finish_run(run, ending("failed", code="overloaded"))
    TaskRun.objects.filter(status="retry_scheduled").update(status="queued", next_retry_at=None)
    (again,) = claim_all()
    page = page_of(admin_client, again)
    assert again.attempt == 2
    assert reverse("admin:runtime_taskrun_change", args=[run.pk]) in page
    assert "overloaded" in page


def test_the_text_of_one_run_is_searched(run: TaskRun, admin_client: Client) -> None:
    say(run, 20)
    call = {"name": "Bash", "input": {"command": "find pollen"}}
    RunLog.objects.create(run=run, seq=21, at=timezone.now(), kind="tool_call", body=call)

    def found(**query: Any) -> list[int]:
        page = admin_client.get(reverse("admin:runtime_runlog_changelist"), query)
        return [line.seq for line in page.context["cl"].result_list]

    assert found(run__id__exact=run.pk, q="line-7-") == [7]
    assert found(run__id__exact=run.pk, q="pollen") == [21]
    assert found(q="pollen") == []
    assert len(found(q=run.trace_id)) == 21


def report(run: TaskRun, seq: int, type_: str, **usage: Any) -> None:
    RunLog.objects.create(run=run, seq=seq, at=timezone.now(), kind="system", body={"type": type_, **usage})


def spent(run: TaskRun) -> Used:
    return used(with_progress(TaskRun.objects.all()).get(pk=run.pk))


def test_what_a_start_has_reported_is_added_to_what_is_settled(run: TaskRun) -> None:
    TaskRun.objects.update(turns=5, token_out=100, cost_usd=Decimal(1))
    report(run, 1, "session")
    report(run, 2, "usage", turns=0, request_count=2, token_in=10, token_out=20, cost_usd=0.2)
    report(run, 3, "usage", turns=0, request_count=3, token_in=15, token_out=30, cost_usd=0.25)
    assert spent(run) == Used(turns=8, token_in=15, token_out=130, cost_usd=Decimal("1.25"))


def test_what_an_earlier_start_has_reported_is_settled_already(run: TaskRun) -> None:
    report(run, 1, "session")
    report(run, 2, "usage", turns=3, cost_usd=0.2)
    report(run, 3, "session")
    assert spent(run).cost_usd == 0


def test_of_a_run_that_has_ended_only_what_is_settled_counts(run: TaskRun) -> None:
    report(run, 1, "usage", turns=3, cost_usd=0.2)
    finish_run(run, ending("finished"))
    assert spent(run).cost_usd == Decimal("0.01")
