from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from beebeebrain.dashboard.reads import NAMED, NAMED_OF_TYPE
from beebeebrain.tests.rows import staff
from inbox.models import InboxItem
from inbox.services import ask
from inbox.states import ItemType
from llm.services import record_usage
from orchestration.models import Project, Task
from orchestration.services.agents import update_agent
from orchestration.services.projects import update_project
from orchestration.states import AgentStatus, TaskStatus
from orchestration.tests.factories import ACTOR, make_agent, make_project, make_task, set_status
from runtime.models import RunLog, SchedulerInstance, TaskRun
from runtime.services.finishing import finish_run
from runtime.states import RunStatus
from runtime.tests.factories import ending, running
from security.services import limit_access

pytestmark = pytest.mark.django_db


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_project(tmp_path / "repo", name="Hive", max_parallel_runs=50)


@pytest.fixture(autouse=True)
def alive() -> SchedulerInstance:
    now = timezone.now()
    return SchedulerInstance.objects.create(id="one", pid=1, pid_start_ticks=1, started_at=now, heartbeat_at=now)


def shown(client: Client) -> Any:
    return client.get(reverse("admin:index")).context


def sign(client: Client, title: str) -> Any:
    return next(sign for sign in shown(client)["signs"] if sign.title == title)


def notices(client: Client) -> list[str]:
    return [f"{notice.text} {', '.join(text for _, text in notice.links)}" for notice in shown(client)["notices"]]


def text_of(cell: object) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", str(cell)).split())


def rows_of(section: Any) -> list[list[str]]:
    return [[text_of(cell) for cell in row] for row in section.table["rows"]]


def item(task: Task, item_type: ItemType, title: str) -> InboxItem:
    return ask(item_type, task=task, title=title, dedupe_key=title, actor=ACTOR)


def test_open_items_stand_by_kind_and_the_oldest_first(project: Project, admin_client: Client) -> None:
    task = make_task(project)
    for title in ("First", "Second"):
        item(task, ItemType.ALERT, f"{title} alert")
        item(task, ItemType.AWAIT_USER_INPUT, f"{title} question")
    section = shown(admin_client)["inbox"]
    assert [row[:3] for row in rows_of(section)] == [
        ["Question", "First question", "Hive"],
        ["Question", "Second question", "Hive"],
        ["Alert", "First alert", "Hive"],
        ["Alert", "Second alert", "Hive"],
    ]
    assert [text for _, text in section.parts] == ["Questions: 2", "Alerts: 2"]


def test_an_item_leads_to_its_page(project: Project, admin_client: Client) -> None:
    made = item(make_task(project), ItemType.ALERT, "Look")
    content = admin_client.get(reverse("admin:index")).content.decode()
    assert reverse("admin:inbox_inboxitem_change", args=[made.pk]) in content


def test_of_many_items_the_oldest_are_named_and_all_are_counted(project: Project, admin_client: Client) -> None:
    task = make_task(project)
    for number in range(NAMED_OF_TYPE + 3):
        item(task, ItemType.ALERT, f"Alert {number}")
    section = shown(admin_client)["inbox"]
    assert [row[1] for row in rows_of(section)] == [f"Alert {number}" for number in range(NAMED_OF_TYPE)]
    assert section.more == f"All {NAMED_OF_TYPE + 3}"
    assert sign(admin_client, "Waiting for you").value == str(NAMED_OF_TYPE + 3)


def test_an_empty_inbox_is_said_to_be_empty(project: Project, admin_client: Client) -> None:
    assert "nothing waits for you" in admin_client.get(reverse("admin:index")).content.decode()


def test_what_is_blocked_or_failed_is_named_with_its_reason(project: Project, admin_client: Client) -> None:
    for status in TaskStatus:
        set_status(make_task(project, title=f"Is {status}"), status)
    Task.objects.update(status_reason="because")
    rows = rows_of(shown(admin_client)["stuck"])
    assert {(row[0], row[2]) for row in rows} == {("Is blocked", "because"), ("Is failed", "because")}
    assert sign(admin_client, "Blocked or failed").value == "2"


def test_tasks_are_counted_by_project_and_altogether(project: Project, tmp_path: Path, admin_client: Client) -> None:
    other = make_project(tmp_path / "repo", name="Meadow")
    set_status(make_task(project), TaskStatus.REVIEW)
    make_task(project)
    set_status(make_task(other), TaskStatus.REVIEW)
    table = shown(admin_client)["statuses"]
    review = table["headers"].index("Review")
    counted = {text_of(row[0]): text_of(row[review]) for row in table["rows"]}
    assert counted == {"Hive": "1", "Meadow": "1", "All projects": "2"}
    assert [text_of(row[1]) for row in table["rows"]] == ["1", "·", "1"]


def test_a_count_leads_to_just_those_tasks(project: Project, admin_client: Client) -> None:
    set_status(make_task(project), TaskStatus.REVIEW)
    make_task(project)
    links = re.findall(r'href="([^"]+)"', "".join(map(str, shown(admin_client)["statuses"]["rows"][0])))
    url = next(link for link in links if "review" in link).replace("&amp;", "&")
    assert [task.status for task in admin_client.get(url).context["cl"].result_list] == [TaskStatus.REVIEW]


def test_what_is_archived_is_not_counted(project: Project, admin_client: Client) -> None:
    done = set_status(make_task(project), TaskStatus.DONE)
    Task.objects.filter(pk=done.pk).update(is_archived=True)
    assert text_of(shown(admin_client)["statuses"]["rows"][0][5]) == "·"
    update_project(project, is_archived=True, actor=ACTOR)
    assert shown(admin_client)["statuses"] is None


def test_a_run_under_way_shows_what_it_has_used(project: Project, admin_client: Client) -> None:
    run = running(make_task(project, title="Collect pollen"), make_agent(project, name="Maya", max_cost_usd=3))
    TaskRun.objects.filter(pk=run.pk).update(turns=7, cost_usd=Decimal("0.5"))
    report = {"type": "usage", "request_count": 2, "turns": 0, "cost_usd": 0.25}
    RunLog.objects.create(run=run, seq=1, at=timezone.now(), kind="system", body=report)
    (row,) = rows_of(shown(admin_client)["running"])
    assert row[:5] == ["Collect pollen", "Hive", "Maya", "9", "$0.75 of $3.00"]


def test_a_run_that_failed_lately_is_named_with_its_error(project: Project, admin_client: Client) -> None:
    agent = make_agent(project, name="Maya", max_parallel_runs=50)
    task = make_task(project, title="Collect pollen", max_attempts=1)
    finish_run(running(task, agent), ending("failed", code="overloaded"))
    (row,) = rows_of(shown(admin_client)["failed"])
    assert row[:3] == ["Collect pollen", "overloaded", "Maya"]
    TaskRun.objects.update(ended_at=timezone.now() - timedelta(hours=25))
    assert shown(admin_client)["failed"] is None


def test_of_many_failures_the_last_are_named_and_all_are_counted(project: Project, admin_client: Client) -> None:
    agent = make_agent(project, max_parallel_runs=50)
    for _ in range(NAMED + 2):
        finish_run(running(make_task(project, max_attempts=1), agent), ending("failed", code="crashed"))
    section = shown(admin_client)["failed"]
    assert (len(rows_of(section)), section.more) == (NAMED, f"All {NAMED + 2}")


def test_cost_of_today_stands_against_the_budget(project: Project, admin_client: Client) -> None:
    update_project(project, daily_budget_usd=Decimal(10), actor=ACTOR)
    running(make_task(project), make_agent(project, max_cost_usd=Decimal(3)))
    today = timezone.now().date()
    for day, cost in ((today, 4), (today - timedelta(days=1), 100)):
        record_usage(day=day, provider="noop", model="none", project_id=project.pk, cost_usd=Decimal(cost))
    (cost,) = shown(admin_client)["costs"]
    assert (cost["text"], cost["reserved"]) == ("$4.00 of $10.00", "$3.00")
    assert [part["value"] for part in cost["bar"]] == [40, 30]
    assert (sign(admin_client, "Cost today").value, sign(admin_client, "Cost today").more) == (
        "$4.00",
        "and $3.00 reserved",
    )


def test_a_project_whose_budget_is_used_up_is_named(project: Project, admin_client: Client) -> None:
    update_project(project, daily_budget_usd=Decimal(1), actor=ACTOR)
    record_usage(day=timezone.now().date(), provider="noop", model="none", project_id=project.pk, cost_usd=Decimal(1))
    assert notices(admin_client) == ["Nothing new starts today, the budget is used up or reserved: Hive"]


def test_all_is_well_with_a_scheduler(project: Project, admin_client: Client) -> None:
    assert notices(admin_client) == []


def test_a_scheduler_that_was_not_seen_lately_is_said(
    project: Project, alive: SchedulerInstance, admin_client: Client
) -> None:
    SchedulerInstance.objects.update(heartbeat_at=timezone.now() - timedelta(hours=2))
    assert notices(admin_client)[0].startswith("No scheduler has been seen for 2")
    SchedulerInstance.objects.all().delete()
    assert notices(admin_client)[0].startswith("No scheduler has been seen yet")


def test_a_scheduler_that_is_being_stopped_is_said(project: Project, admin_client: Client) -> None:
    SchedulerInstance.objects.update(is_draining=True)
    assert notices(admin_client)[0].startswith("The scheduler is being stopped")


def test_interrupted_runs_are_said(project: Project, admin_client: Client) -> None:
    run = running(make_task(project), make_agent(project))
    TaskRun.objects.filter(pk=run.pk).update(status=RunStatus.INTERRUPTED, owner="", started_at=timezone.now())
    assert notices(admin_client)[0].startswith("1 run is interrupted, the first started")


def test_a_paused_agent_that_tasks_wait_for_is_said(project: Project, admin_client: Client) -> None:
    idle, busy = make_agent(project, name="Idle"), make_agent(project, name="Busy")
    for agent in (idle, busy):
        update_agent(agent, status=AgentStatus.PAUSED, actor=ACTOR)
    make_task(project, assignee=busy)
    assert notices(admin_client) == ["Tasks wait for agents that are paused: Busy of Hive (1)"]


def test_a_paused_project_is_said(project: Project, admin_client: Client) -> None:
    update_project(project, is_paused=True, actor=ACTOR)
    assert notices(admin_client) == ["Nothing new starts in projects that are paused: Hive"]


def test_who_may_add_a_project_is_told_to_when_there_is_none(admin_client: Client) -> None:
    assert "There is no project yet" in notices(admin_client)[0]
    assert notices(staff("viewer")) == []


def test_a_viewer_sees_the_dashboard(project: Project) -> None:
    assert shown(staff("viewer"))["has_dashboard"]


def test_staff_without_a_role_see_no_dashboard(project: Project) -> None:
    page = staff("nobody").get(reverse("admin:index"))
    assert "You have no role here" in page.content.decode()
    assert "signs" not in page.context


def test_who_is_limited_sees_only_what_concerns_the_own_projects(project: Project, tmp_path: Path) -> None:
    hidden = make_project(tmp_path / "repo", name="Secret meadow", daily_budget_usd=Decimal(1))
    client = staff("viewer")
    limit_access(User.objects.get(username="viewer"), project_ids=[project.pk], actor=ACTOR)
    agent = make_agent(hidden, name="Secret bee", max_parallel_runs=9)
    finish_run(running(make_task(hidden, max_attempts=1), agent), ending("failed", code="crashed"))
    item(set_status(make_task(hidden), TaskStatus.BLOCKED), ItemType.ALERT, "Secret alert")
    running(make_task(hidden), agent)
    make_task(hidden, assignee=agent)
    update_agent(agent, status=AgentStatus.PAUSED, actor=ACTOR)
    record_usage(day=timezone.now().date(), provider="noop", model="none", project_id=hidden.pk, cost_usd=Decimal(2))
    content = client.get(reverse("admin:index")).content.decode()
    assert "Hive" in content
    assert "Secret" not in content


def test_what_an_agent_said_is_escaped(project: Project, admin_client: Client) -> None:
    item(make_task(project), ItemType.ALERT, "<img src=x onerror=alert(1)>")
    assert "<img src=x" not in admin_client.get(reverse("admin:index")).content.decode()


def test_the_dashboard_brings_no_script_of_its_own(project: Project, admin_client: Client) -> None:
    content = admin_client.get(reverse("admin:index")).content.decode()
    ours = content[content.index('class="bbb-dashboard"') :].split("</main>")[0].split('id="modal')[0]
    assert not re.search(r"\son\w+=", ours[: ours.index("Tasks by status")])
    assert "<script" not in ours[: ours.index("Tasks by status")]


def test_the_database_is_asked_the_same_however_much_there_is(project: Project, admin_client: Client) -> None:
    agent = make_agent(project)

    def fill(count: int) -> int:
        for number in range(count):
            status = list(TaskStatus)[number % len(TaskStatus)]
            task = set_status(make_task(project, assignee=agent), status)
            item(task, list(ItemType)[number % len(ItemType)], f"Item of task {task.pk}")
        with CaptureQueriesContext(connection) as queries:
            admin_client.get(reverse("admin:index"))
        return len(queries)

    few = fill(10)
    assert few <= 25
    assert fill(190) == few
