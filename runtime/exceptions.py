"""What the doing side refuses."""

from __future__ import annotations

from orchestration.exceptions import Conflict


class StaleRun(Conflict):
    """This start of the run was superseded; nothing of it is written any more."""

    code = "stale_run"


class RunNotActive(Conflict):
    """The run has ended."""

    code = "run_not_active"


class NothingToResume(Conflict):
    """Nothing waits to go on. Retry the task instead."""

    code = "nothing_to_resume"


class StartFailed(Exception):
    """A run could not be started. `code` is one of the runner's failure codes."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
