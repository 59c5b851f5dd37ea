"""One breaker a credential: what the first usage-limit answer stops, and what lets it go again."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.db.models import F
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from events.models import Event
from events.states import EventType
from inbox.models import InboxItem
from llm.models import Breaker
from llm.states import BreakerState
from orchestration.exceptions import VersionConflict
from orchestration.models import Agent, Project, Task
from orchestration.scheduler import Choice
from orchestration.states import Reason, TaskStatus
from orchestration.tests.factories import ACTOR, make_agent, make_project, make_task
from orchestration.tests.races import race
from runtime import planning
from runtime.dispatcher import Dispatcher
from runtime.models import RunLog, TaskRun
from runtime.services import commands
from runtime.services.breaking import close_answered, reset_breaker
from runtime.services.finishing import finish_run
from runtime.services.promoting import promote_due
from runtime.states import LogKind, RunStatus
from runtime.tests.factories import OWNER, claim_all, ending
from runtime.tests.halves import claim
from runtime.tests.starts import begun, handshake, own_home, tick_until
from runtime.waiting import explain
from security.roles import Role
from security.services import limit_access
from security.tests.factories import make_user

pytestmark = pytest.mark.django_db

HOUR_S = 3600.0
# What the dialog of a detail action sends.
CONFIRMED = {"_form_submitted": "on"}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_project(tmp_path / "repo", max_parallel_runs=9)


@pytest.fixture
def agent(project: Project) -> Agent:
    return make_agent(project, max_parallel_runs=9)


@pytest.fixture
def run(project: Project, agent: Agent) -> TaskRun:
    return begun(make_task(project, title="First"), agent)


def limit(run: TaskRun, *, code: str = "usage_limited", retry_after_s: float | None = HOUR_S, **more: Any) -> Breaker:
    """End a run at the limit of its credential, and return the breaker."""
    message = "You've hit your weekly limit"
    finish_run(run, ending("failed", code=code, retry_after_s=retry_after_s, message=message, **more))
    return Breaker.objects.get()


def pass_reset_time() -> Breaker:
    """Let so much time go by that every reset time and retry is due."""
    past = timezone.now() - timedelta(seconds=1)
    Breaker.objects.update(reset_at=past)
    TaskRun.objects.filter(status=RunStatus.RETRY_SCHEDULED).update(next_retry_at=past)
    promote_due(actor="scheduler")
    return Breaker.objects.get()


def trial(project: Project, agent: Agent, run: TaskRun) -> TaskRun:
    """Let a run meet the limit, and another one be the one that tries after it."""
    limit(run)
    pass_reset_time()
    [tried] = claim_all()
    return tried


def open_alerts() -> list[InboxItem]:
    return list(InboxItem.objects.open().filter(dedupe_key__startswith="breaker:"))


def test_first_usage_limit_stops_every_start_on_the_credential(project: Project, agent: Agent, run: TaskRun) -> None:
    other = make_agent(project, name="Other")
    waiting = make_task(project, assignee=other)
    breaker = limit(run)
    assert breaker.state == BreakerState.OPEN
    assert breaker.reset_at is not None
    assert breaker.reset_at - timezone.now() > timedelta(minutes=59)
    assert claim_all() == []
    # Nor is it claimed by a plan that was made before.
    assert claim([Choice(waiting.pk, other.pk, None)], owner=OWNER) == []
    assert Task.objects.get(pk=waiting.pk).status == TaskStatus.TODO


def test_other_credentials_are_not_concerned(project: Project, agent: Agent, run: TaskRun) -> None:
    limit(run)
    Breaker.objects.update(fingerprint="another")
    make_task(project)
    assert len(claim_all()) == 1


def test_limit_counts_for_the_credential_the_run_was_started_with(run: TaskRun) -> None:
    TaskRun.objects.update(credential="of its start")
    run.refresh_from_db()
    assert limit(run).fingerprint == "of its start"


def test_why_says_when_the_limit_is_reset(project: Project, run: TaskRun) -> None:
    waiting = make_task(project)
    breaker = limit(run)
    told = explain(waiting)
    assert (told.reason, told.waits_until) == (Reason.USAGE_LIMIT, breaker.reset_at)
    assert f"{breaker.reset_at:%H:%M:%S} UTC" in told.detail


def test_queued_runs_wait_for_it_too(run: TaskRun) -> None:
    limit(run)
    past = timezone.now() - timedelta(seconds=1)
    TaskRun.objects.filter(status=RunStatus.RETRY_SCHEDULED).update(next_retry_at=past)
    assert promote_due(actor="scheduler") == 1
    assert claim_all() == []
    assert explain(Task.objects.get()).reason == Reason.USAGE_LIMIT


def test_loop_wakes_at_the_reset_time_when_something_waits(project: Project, run: TaskRun) -> None:
    limit(run, retry_after_s=600.0)
    TaskRun.objects.filter(status=RunStatus.RETRY_SCHEDULED).update(next_retry_at=timezone.now() + timedelta(days=1))
    due = planning.next_due()
    assert due is not None and due > HOUR_S
    make_task(project)
    due = planning.next_due()
    assert due is not None and 590 < due <= 600


def test_after_the_reset_time_one_run_tries_and_the_others_wait(project: Project, agent: Agent, run: TaskRun) -> None:
    for _ in range(3):
        make_task(project)
    tried = trial(project, agent, run)
    assert Breaker.objects.get().trial_run_id == tried.pk
    assert claim_all() == []
    told = explain(Task.objects.filter(status=TaskStatus.TODO)[0])
    assert (told.reason, told.waits_until) == (Reason.USAGE_LIMIT, None)
    assert "one run tries" in told.detail


@pytest.mark.django_db(transaction=True)
def test_of_two_racing_claimers_one_gets_the_trial(project: Project, agent: Agent, run: TaskRun) -> None:
    first, second = make_task(project), make_task(project)
    limit(run)
    Breaker.objects.update(reset_at=timezone.now() - timedelta(seconds=1))
    claimed = race(
        lambda: claim([Choice(first.pk, agent.pk, None)], owner="one"),
        lambda: claim([Choice(second.pk, agent.pk, None)], owner="two"),
    )
    assert sorted(len(runs) for runs in claimed if isinstance(runs, list)) == [0, 1]
    [tried] = [run for runs in claimed if isinstance(runs, list) for run in runs]
    assert Breaker.objects.get().trial_run_id == tried.pk


@pytest.mark.parametrize("outcome", ["finished", "unreported", "blocked", "parked"])
def test_trial_that_is_answered_closes_it(outcome: str, project: Project, agent: Agent, run: TaskRun) -> None:
    waiting = make_task(project)
    tried = trial(project, agent, run)
    finish_run(handshake(tried), ending(outcome))
    assert Breaker.objects.get().state == BreakerState.CLOSED
    assert open_alerts() == []
    assert explain(waiting).reason is None
    assert Event.objects.filter(type=EventType.BREAKER_CLOSED, payload__reason="trial").count() == 1


def test_answer_closes_it_before_the_trial_ends(project: Project, agent: Agent, run: TaskRun) -> None:
    tried = trial(project, agent, run)
    assert close_answered(actor="scheduler") == 0
    say_usage(tried, token_out=0)
    assert close_answered(actor="scheduler") == 0
    say_usage(tried, token_out=20)
    assert close_answered(actor="scheduler") == 1
    assert Breaker.objects.get().state == BreakerState.CLOSED


def test_what_a_run_was_answered_before_it_began_to_try_proves_nothing(
    project: Project, agent: Agent, run: TaskRun
) -> None:
    tried = trial(project, agent, run)
    say_usage(tried, token_out=20)
    RunLog.objects.update(at=timezone.now() - timedelta(hours=2))
    assert close_answered(actor="scheduler") == 0


def test_trial_that_meets_the_limit_again_opens_it_until_the_new_time(
    project: Project, agent: Agent, run: TaskRun
) -> None:
    tried = handshake(trial(project, agent, run))
    [before] = open_alerts()
    breaker = limit(tried, retry_after_s=2 * HOUR_S)
    assert (breaker.state, breaker.trial_run_id) == (BreakerState.OPEN, None)
    [alert] = open_alerts()
    assert alert.pk != before.pk
    assert f"{breaker.reset_at:%Y-%m-%d %H:%M:%S}" in alert.content


@pytest.mark.parametrize(
    ("outcome", "code"),
    [("interrupted", "never_started"), ("failed", "auth"), ("cancelled", ""), ("failed", "network")],
)
def test_trial_that_was_not_answered_leaves_its_turn_to_another(
    outcome: str, code: str, project: Project, agent: Agent, run: TaskRun
) -> None:
    tried = handshake(trial(project, agent, run))
    make_task(project)
    usage = ending(outcome).usage.__class__(turns=1)
    finish_run(tried, ending(outcome, code=code, usage=usage))
    assert Breaker.objects.get().state == BreakerState.HALF_OPEN
    [next_] = claim_all()
    assert Breaker.objects.get().trial_run_id == next_.pk


def test_run_that_was_under_way_does_not_close_it(project: Project, agent: Agent, run: TaskRun) -> None:
    other = begun(make_task(project), agent)
    limit(run)
    finish_run(other, ending("finished"))
    assert Breaker.objects.get().state == BreakerState.OPEN


def test_runs_that_meet_one_limit_together_make_one_alert(project: Project, agent: Agent, run: TaskRun) -> None:
    others = [begun(make_task(project), agent) for _ in range(3)]
    for met in [run, *others]:
        limit(met)
    [alert] = open_alerts()
    assert alert.task_id is None
    assert Event.objects.filter(type=EventType.BREAKER_OPENED).count() == 1


def test_alert_names_the_reset_time_and_what_to_do(run: TaskRun) -> None:
    breaker = limit(run)
    [alert] = open_alerts()
    assert f"{breaker.reset_at:%Y-%m-%d %H:%M:%S} UTC" in alert.content
    assert "weekly limit" in alert.content
    assert f"reset breaker {breaker.pk}" in alert.content


def test_alert_stays_when_its_task_is_cancelled(run: TaskRun) -> None:
    limit(run)
    commands.cancel_task(Task.objects.get(), actor=ACTOR)
    assert len(open_alerts()) == 1


def test_person_resets_it(project: Project, run: TaskRun) -> None:
    make_task(project)
    breaker = reset_breaker(limit(run), actor=ACTOR)
    assert breaker.state == BreakerState.CLOSED
    assert open_alerts() == []
    event = Event.objects.get(type=EventType.BREAKER_CLOSED)
    assert (event.actor, event.payload["reason"]) == (ACTOR, "reset")
    assert len(claim_all()) == 1


def test_reset_of_another_version_is_refused(run: TaskRun) -> None:
    breaker = limit(run)
    Breaker.objects.update(version=F("version") + 1)
    with pytest.raises(VersionConflict):
        reset_breaker(breaker, actor=ACTOR, expected_version=breaker.version)
    assert Breaker.objects.get().state == BreakerState.OPEN


def test_reset_of_a_closed_one_changes_nothing(run: TaskRun) -> None:
    breaker = reset_breaker(limit(run), actor=ACTOR)
    reset_breaker(breaker, actor=ACTOR)
    assert Event.objects.filter(type=EventType.BREAKER_CLOSED).count() == 1


def test_limit_without_a_reset_time_is_looked_at_again_later(run: TaskRun) -> None:
    breaker = limit(run, retry_after_s=None)
    assert breaker.reset_at is not None
    assert timedelta(minutes=14) < breaker.reset_at - timezone.now() <= timedelta(minutes=15)


def test_rate_limit_with_a_long_wait_opens_it_a_short_one_does_not(
    project: Project, agent: Agent, run: TaskRun
) -> None:
    finish_run(run, ending("failed", code="rate_limited", retry_after_s=30.0))
    assert not Breaker.objects.exists()
    assert limit(begun(make_task(project), agent), code="rate_limited", retry_after_s=90.0).state == BreakerState.OPEN


def test_limit_counts_though_the_run_is_paused_or_cancelled_meanwhile(run: TaskRun) -> None:
    Task.objects.update(cancel_requested_at=timezone.now())
    assert limit(run).state == BreakerState.OPEN
    assert TaskRun.objects.get().status == RunStatus.CANCELLED


def say_usage(run: TaskRun, *, token_out: int) -> None:
    body = {"type": "usage", "token_out": token_out}
    seq = RunLog.objects.filter(run=run).count() + 1
    RunLog.objects.create(run=run, seq=seq, at=timezone.now(), kind=LogKind.SYSTEM, body=body)


def test_admin_resets_it_over_the_api(run: TaskRun) -> None:
    breaker, client = limit(run), Client()
    client.force_login(make_user(Role.ADMIN))
    [row] = client.get("/api/v1/breakers?is_closed=false").json()["results"]
    assert (row["id"], row["state"], row["code"]) == (breaker.pk, "open", "usage_limited")
    answer = client.post(f"/api/v1/breakers/{breaker.pk}/reset", {}, "application/json")
    assert (answer.status_code, answer.json()["state"], answer.json()["reset_at"]) == (200, "closed", None)
    assert client.get("/api/v1/breakers?is_closed=false").json()["results"] == []


def test_who_is_limited_to_projects_sees_it_and_may_not_reset_it(project: Project, run: TaskRun) -> None:
    breaker, user = limit(run), make_user(Role.ADMIN)
    limit_access(user, project_ids=[project.pk], actor=ACTOR)
    client = Client()
    client.force_login(user)
    assert client.get(f"/api/v1/breakers/{breaker.pk}").json()["state"] == "open"
    assert client.post(f"/api/v1/breakers/{breaker.pk}/reset", {}, "application/json").status_code == 403
    assert Breaker.objects.get().state == BreakerState.OPEN


def test_admin_resets_it_on_its_page(admin_client: Client, run: TaskRun) -> None:
    breaker = limit(run)
    page = admin_client.get(reverse("admin:llm_breaker_change", args=[breaker.pk]))
    assert "Open" in page.content.decode()
    chosen = {"action": "reset", "_selected_action": [breaker.pk]}
    admin_client.post(reverse("admin:llm_breaker_changelist"), chosen)
    assert Breaker.objects.get().state == BreakerState.CLOSED
    assert open_alerts() == []


def test_admin_page_takes_the_reset_of_one(admin_client: Client, run: TaskRun) -> None:
    breaker = limit(run)
    admin_client.post(reverse("admin:llm_breaker_reset_one", args=[breaker.pk]), CONFIRMED)
    assert Breaker.objects.get().state == BreakerState.CLOSED


def test_run_of_a_scheduler_opens_the_breaker_of_the_credential_it_was_started_with(
    project: Project, agent: Agent, settings: Settings, tmp_path: Path
) -> None:
    with own_home(settings, tmp_path):
        limited = make_task(project, description="noop: fail usage_limited 3600")
        waiting = make_task(project, description="noop: finish")
        agent.max_parallel_runs = 1
        agent.save()
        dispatcher = Dispatcher()
        breaker = tick_until(dispatcher, Breaker.objects.first, "the breaker to open")
        assert not dispatcher.dispatch()
        assert explain(waiting).reason == Reason.USAGE_LIMIT
        reset_breaker(breaker, actor=ACTOR)
        tick_until(dispatcher, waiting.runs.filter(status=RunStatus.SUCCEEDED).exists, "the other run to succeed")
    assert "" != breaker.fingerprint == limited.runs.order_by("attempt")[0].credential


def test_scheduler_of_an_earlier_version_adds_attempts_without_the_newer_columns(run: TaskRun) -> None:
    fields = [
        str(field.column)
        for field in TaskRun._meta.concrete_fields
        if field.name not in {"id", "credential", "worked_s"}
    ]
    names = ", ".join(fields)
    changed = (
        names.replace("attempt,", "attempt + 1,")
        .replace("owner", "''")
        .replace("idempotency_key", "'another'")
        .replace("status", "'failed'")
    )
    with connection.cursor() as cursor:
        cursor.execute(f"INSERT INTO runtime_taskrun ({names}) SELECT {changed} FROM runtime_taskrun")  # noqa: S608  (our own names)
    assert [run_.credential for run_ in TaskRun.objects.all()] == ["", ""]
