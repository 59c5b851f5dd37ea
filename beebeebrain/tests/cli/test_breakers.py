from __future__ import annotations

from beebeebrain.cli.errors import ExitCode
from beebeebrain.tests.cli.program import Bbb
from llm.models import Breaker
from orchestration.models import Project
from orchestration.tests.factories import make_agent, make_task
from runtime.services.finishing import finish_run
from runtime.tests.factories import ending, running


def test_limit_is_listed_and_reset(bbb: Bbb, project: Project) -> None:
    run = running(make_task(project), make_agent(project))
    finish_run(run, ending("failed", code="usage_limited", retry_after_s=3600.0))
    breaker = Breaker.objects.get()
    line = bbb("breakers", "list").out.splitlines()[1].split()
    assert line[:4] == [str(breaker.pk), "noop", breaker.fingerprint, "open"]
    assert bbb("breakers", "reset", str(breaker.pk), "--json").json["state"] == "closed"
    assert bbb("breakers", "reset", "999").code == ExitCode.NOT_FOUND
