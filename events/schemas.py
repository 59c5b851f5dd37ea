"""What the payload of each event type holds. `append` refuses anything else; who reads ignores what it does not know."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from events.states import EventType as T
from events.states import Level


class Payload(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    def severity(self) -> Level:
        """Return how loud the event is."""
        return Level.INFO


class _Judged(Payload):
    """Something that was let through or refused."""

    def severity(self) -> Level:
        return Level.INFO if getattr(self, "outcome", "") in {"allowed", "applied"} else Level.WARNING


class _Alarming(Payload):
    def severity(self) -> Level:
        return Level.WARNING


class Created(Payload):
    """A row came to be. `version` orders what a client applies."""

    id: int
    version: int
    title: str = ""


class Updated(Payload):
    """Fields of a row changed."""

    id: int
    version: int
    fields: list[str]


class Deleted(Payload):
    """A row is gone."""

    id: int


_LOUD = {"failed": Level.ERROR, "blocked": Level.WARNING, "interrupted": Level.WARNING}


class TaskStatusChanged(Payload):
    """A task moved on. `version` orders what a client applies."""

    before: str
    after: str
    version: int
    reason: str = ""

    def severity(self) -> Level:
        return _LOUD.get(self.after, Level.INFO)


class RunStatusChanged(Payload):
    """A run moved on. `before` is empty when the run was made by this event."""

    before: str
    after: str
    attempt: int
    epoch: int
    reason: str = ""
    error_code: str = ""
    next_retry_at: str | None = None

    def severity(self) -> Level:
        return _LOUD.get(self.after, Level.INFO)


class RunProgress(Payload):
    """Where a run is: one event for many lines of its log, `seq` being the last of them."""

    epoch: int
    seq: int
    kind: str
    text: str = Field(max_length=500)
    turns: int = 0
    token_out: int = 0
    cost_usd: float = 0.0


class RunLogged(Payload):
    """A line about a run that an outside tool has written. The run's own log is not in the event log."""

    epoch: int
    level: Literal["debug", "info", "warning", "error"]
    text: str = Field(max_length=4000)
    source: str = Field(max_length=100)

    def severity(self) -> Level:
        return Level.of(self.level)


class LoadProbe(Payload):
    """One of many events that `bbb load events` writes to see how they arrive. It tells of nothing."""

    test: str
    number: int

    def severity(self) -> Level:
        return Level.DEBUG


class StaleWrite(_Alarming):
    """A superseded attempt tried to write."""

    epoch: int
    owner: str
    action: str


class ItemCreated(Payload):
    """A person is asked for something."""

    item_id: int
    item_type: str
    title: str


class ItemClosed(Payload):
    """What a person was asked for is settled."""

    item_id: int
    item_type: str
    resolution: str


class UserInput(Payload):
    """What a person said."""

    item_id: int
    user_input: str


class Alert(_Alarming):
    """Something that a person should know. `kind` says for programs what it is."""

    kind: str
    message: str
    details: dict[str, Any] = {}


class BreakerOpened(_Alarming):
    """A usage limit is reached: nothing starts with this credential before `reset_at`."""

    breaker_id: int
    provider: str
    version: int
    reset_at: str
    error_code: str


class BreakerClosed(Payload):
    """What the usage limit kept may start again."""

    breaker_id: int
    provider: str
    version: int
    reason: Literal["trial", "reset"]


class Intervention(_Judged):
    """A person's command to a task: what was asked, and what became of it."""

    command: str
    outcome: Literal["applied", "refused", "conflict"]
    reason: str = ""
    status: str = ""


class ToolCommand(_Judged):
    """An agent wanted to use a tool that the policy does not settle by itself."""

    tool: str
    outcome: Literal["allowed", "denied"]
    reason: str = ""


class SecurityAudit(_Judged):
    """What a guard let through or refused. Shown to admins only."""

    action: str
    resource: str
    outcome: Literal["allowed", "denied"]
    reason: str = ""
    ip: str = ""


class Pruned(Payload):
    """The oldest control events were removed, as the settings say: the audit chain goes on behind `chain_seq`."""

    count: int
    cursor: int
    chain_seq: int
    chain_hash: str


SCHEMAS: dict[T, type[Payload]] = {
    T.TASK_STATUS_CHANGED: TaskStatusChanged,
    T.TASK_INTERVENTION_AUDIT: Intervention,
    T.RUN_STATUS_CHANGED: RunStatusChanged,
    T.RUN_PROGRESS: RunProgress,
    T.RUN_LOG: RunLogged,
    T.LOAD_PROBE: LoadProbe,
    T.RUN_STALE_WRITE_REJECTED: StaleWrite,
    T.INBOX_ITEM_CREATED: ItemCreated,
    T.INBOX_ITEM_CLOSED: ItemClosed,
    T.USER_INPUT_SUBMITTED: UserInput,
    T.ALERT_RAISED: Alert,
    T.BREAKER_OPENED: BreakerOpened,
    T.BREAKER_CLOSED: BreakerClosed,
    T.TOOL_COMMAND_AUDIT: ToolCommand,
    T.SECURITY_AUDIT_ACCESS: SecurityAudit,
    T.SECURITY_AUDIT_TOKEN: SecurityAudit,
    T.SECURITY_AUDIT_PATH: SecurityAudit,
    T.LOG_PRUNED: Pruned,
    **{type_: Created for type_ in T if type_.endswith(".created") and type_ != T.INBOX_ITEM_CREATED},
    **{type_: Updated for type_ in T if type_.endswith(".updated")},
    **{type_: Deleted for type_ in T if type_.endswith(".deleted")},
}
