"""What the doing side refuses."""

from __future__ import annotations

from orchestration.exceptions import Conflict, Invalid


class StaleRun(Conflict):
    """This start of the run was superseded, and nothing of it is written any more. Look at the run as it is now."""

    code = "stale_run"


class RunNotActive(Conflict):
    """The run has ended. Retry its task to begin another one."""

    code = "run_not_active"


class NothingToResume(Conflict):
    """Nothing waits to go on. Retry the task instead."""

    code = "nothing_to_resume"


class DependenciesUnmet(Conflict):
    """It waits for tasks that are not done. Finish them, or remove the dependencies."""

    code = "dependencies_unmet"


class NoAgent(Conflict):
    """The project has no active agent. Add one, or activate one."""

    code = "no_agent"


class AgentPaused(Conflict):
    """The agent takes no tasks. Activate it, or name another one."""

    code = "agent_paused"


class NothingSelected(Invalid):
    """Nothing says which tasks are meant. Give ids, statuses, an agent or a project."""

    code = "nothing_selected"


class TooMany(Invalid):
    """So many tasks are not commanded at once. Select fewer."""

    code = "too_many"


class NoDiff(Conflict):
    """The run has changed nothing yet that could be shown. Ask again when it has."""

    code = "no_diff"


class DiffUnavailable(Conflict):
    """The repository does not have the commits of this run any more. Retry its task to do the work again."""

    code = "diff_unavailable"


class UnknownProvider(Invalid):
    """There is no such provider. Choose one that `detail` names."""

    code = "unknown_provider"


class UnknownModel(Invalid):
    """The provider has no such model. Choose one that it has, or none for the default."""

    code = "unknown_model"


class ClientUnavailable(Invalid):
    """The provider's client cannot work on this host. Install it, or log in."""

    codes = {
        "client_missing": "The provider's client is not installed on the server. Install it; the answer says how.",
        "client_login_missing": "The provider's client has no login on the server. Log in there, or set a key.",
        "client_settings_invalid": "The operator's settings of the provider's client cannot be used. Repair them.",
    }

    def __init__(self, message: str, *, code: str, field: str) -> None:
        super().__init__(message, field=field)
        self.code = code


class StartFailed(Exception):
    """A run could not be started. `code` is one of the runner's failure codes."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
