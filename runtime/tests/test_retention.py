from __future__ import annotations

from datetime import timedelta
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command
from django.utils import timezone
from pytest_django import Settings

from orchestration.models import Agent, Project
from orchestration.tests.factories import make_agent, make_project, make_task
from runtime import duties, retention
from runtime.models import DayUse, RunLog, TaskRun
from runtime.rundir import RunDirectory
from runtime.services.finishing import finish_run
from runtime.tests.factories import ending, running

pytestmark = pytest.mark.django_db

WHOLE = '{"seq": 1, "body": {}}\n{"seq": 2, "body": {"text": "honey"}}\n'


@pytest.fixture(autouse=True)
def days(settings: Settings, tmp_path: Path) -> None:
    settings.BBB_HOME = tmp_path / "home"
    settings.KEEP_RUN_LOGS_DAYS, settings.COMPRESS_RUN_FILES_DAYS, settings.KEEP_RUN_FILES_DAYS = 90, 1, 0


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_project(tmp_path / "repo")


@pytest.fixture
def agent(project: Project) -> Agent:
    return make_agent(project, max_parallel_runs=9)


def at_work(agent: Agent, lines: int = 3) -> TaskRun:
    """Return a run under way with lines in its log and a directory."""
    run = running(make_task(agent.project), agent)
    at = timezone.now() - timedelta(days=100)
    RunLog.objects.bulk_create(RunLog.of(run, seq=seq, at=at, kind="text", body={}) for seq in range(1, lines + 1))
    directory = directory_of(run)
    directory.path.mkdir(parents=True)
    directory.events_path.write_text(WHOLE)
    TaskRun.objects.filter(pk=run.pk).update(run_dir=str(directory.path), log_seq=lines)
    run.refresh_from_db()
    return run


def ended(agent: Agent, days: float) -> TaskRun:
    """Return a run that ended so many days ago."""
    run = at_work(agent)
    finish_run(run, ending("finished"))
    TaskRun.objects.filter(pk=run.pk).update(ended_at=timezone.now() - timedelta(days=days))
    run.refresh_from_db()
    return run


def directory_of(run: TaskRun) -> RunDirectory:
    return RunDirectory(retention._root() / run.tag)


def names(run: TaskRun) -> list[str]:
    return sorted(path.name for path in directory_of(run).path.glob("*"))


def told(*arguments: str) -> str:
    out = StringIO()
    call_command("prune_runs", *arguments, "--pause-s=0", stdout=out)
    return out.getvalue()


def lines_of(run: TaskRun) -> int:
    return run.lines.count()


def test_lines_go_long_after_the_end_of_their_run(agent: Agent) -> None:
    old, young = ended(agent, 91), ended(agent, 89)
    assert retention.prune_lines(batch=2, pause_s=0) == 3
    assert [lines_of(old), lines_of(young)] == [0, 3]


def test_lines_of_a_run_that_has_not_ended_stay_however_old_they_are(agent: Agent) -> None:
    run = at_work(agent)
    assert (retention.prune_lines(pause_s=0), lines_of(run)) == (0, 3)


def test_lines_go_in_batches_as_long_as_there_is_time(agent: Agent) -> None:
    run = ended(agent, 91)
    assert retention.prune_lines(batch=2, pause_s=0, within_s=0) == 2
    # The oldest first: what is left goes on to the end.
    assert list(run.lines.values_list("seq", flat=True)) == [3]


def test_0_days_keep_lines_for_ever(agent: Agent, settings: Settings) -> None:
    settings.KEEP_RUN_LOGS_DAYS = 0
    run = ended(agent, 1000)
    assert (retention.prune_lines(pause_s=0), lines_of(run)) == (0, 3)


def test_what_was_used_on_a_day_goes_after_a_month_and_today_stays() -> None:
    today = timezone.now().date()
    for days in (0, 1, 31, 32, 400):
        DayUse.objects.bulk_create(
            DayUse(key=key, day=today - timedelta(days=days), runs=1) for key in ("all", "agent:1")
        )
    duties.prune("scheduler:test")
    kept = DayUse.objects.order_by("-day").values_list("day", flat=True).distinct()
    assert [(today - day).days for day in kept] == [0, 1, 31]
    assert DayUse.objects.count() == 6


def test_what_was_said_is_compressed_after_a_day_and_read_as_before(agent: Agent) -> None:
    old, young, busy = ended(agent, 2), ended(agent, 0.5), at_work(agent)
    before = list(directory_of(old).lines())
    told()
    assert [names(old), names(young), names(busy)] == [["events.jsonl.gz"], ["events.jsonl"], ["events.jsonl"]]
    assert list(directory_of(old).lines()) == before
    assert list(directory_of(old).lines(before[0][1])) == before[1:]


def test_a_directory_goes_only_where_somebody_wants_that(agent: Agent, settings: Settings) -> None:
    old, young, busy = ended(agent, 31), ended(agent, 29), at_work(agent)
    told()
    assert all(directory_of(run).path.exists() for run in (old, young, busy))
    settings.KEEP_RUN_FILES_DAYS = 30
    told()
    assert [directory_of(run).path.exists() for run in (old, young, busy)] == [False, True, True]


def test_directories_of_earlier_starts_go_with_the_last(agent: Agent, settings: Settings) -> None:
    settings.KEEP_RUN_FILES_DAYS = 30
    run = ended(agent, 31)
    earlier = RunDirectory(directory_of(run).path.with_name(f"{run.pk}.0"))
    earlier.path.mkdir()
    told()
    assert not earlier.path.exists()


def test_what_another_installation_left_there_stays(agent: Agent, settings: Settings) -> None:
    settings.KEEP_RUN_FILES_DAYS = 30
    run = ended(agent, 31)
    TaskRun.objects.filter(pk=run.pk).update(run_dir="/elsewhere/runs/1.1")
    told()
    assert directory_of(run).path.exists()


def test_what_is_done_is_not_looked_for_again(agent: Agent) -> None:
    care = retention.cares()[0]
    ended(agent, 3), ended(agent, 2)
    assert [care.take(), care.take()] == [2, 0]
    later = ended(agent, 1.5)
    assert care.take() == 1
    assert names(later) == ["events.jsonl.gz"]


def test_it_is_done_by_and_by(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "_ENOUGH", 1)
    runs = [ended(agent, days) for days in (3, 2)]
    care = retention.cares()[0]
    assert care.take() == 1
    assert [names(run) for run in runs] == [["events.jsonl.gz"], ["events.jsonl"]]
    assert [care.take(), care.take()] == [1, 0]


def test_the_preview_changes_nothing(agent: Agent, settings: Settings) -> None:
    settings.KEEP_RUN_FILES_DAYS = 30
    run = ended(agent, 91)
    said = told("--dry-run")
    assert "3 lines would be removed." in said
    assert f"{directory_of(run).path} would be compressed" in said
    assert f"{directory_of(run).path} would be removed" in said
    assert (lines_of(run), names(run)) == (3, ["events.jsonl"])


def test_the_scheduler_does_it_as_duties(agent: Agent) -> None:
    run = ended(agent, 91)
    chores = {chore.name.partition(":")[0]: chore for chore in duties.chores()}
    for name in ("prune", "run_files"):
        chores[name].do("scheduler:one")
    assert (lines_of(run), names(run)) == (0, ["events.jsonl.gz"])


def test_half_a_line_stays_half_a_line_when_compressed(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)
    directory.events_path.write_text(WHOLE + '{"seq": 3')
    assert directory.compress() == len(WHOLE) + 9
    assert [line["seq"] for line, _ in directory.lines()] == [1, 2]
    assert directory.compress() == 0
