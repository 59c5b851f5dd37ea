"""What the payload of each event type holds. `append` refuses anything else."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from events.states import EventType as T


class Payload(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


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
    id: int


class TaskStatusChanged(Payload):
    before: str
    after: str
    version: int
    reason: str = ""


class RunStatusChanged(Payload):
    before: str
    """Empty when the run was made by this event."""
    after: str
    attempt: int
    epoch: int
    reason: str = ""
    error_code: str = ""
    next_retry_at: str | None = None


class RunProgress(Payload):
    epoch: int
    seq: int
    kind: str
    text: str = Field(max_length=500)
    turns: int = 0
    token_out: int = 0
    cost_usd: float = 0.0


class StaleWrite(Payload):
    """A superseded attempt tried to write."""

    epoch: int
    owner: str
    action: str


class ItemCreated(Payload):
    item_id: int
    item_type: str
    title: str


class ItemClosed(Payload):
    item_id: int
    item_type: str
    resolution: str


class UserInput(Payload):
    item_id: int
    user_input: str


class Alert(Payload):
    kind: str
    message: str
    details: dict[str, Any] = {}


class BreakerOpened(Payload):
    """A usage limit is reached: nothing starts with this credential before `reset_at`."""

    breaker_id: int
    provider: str
    version: int
    reset_at: str
    error_code: str


class BreakerClosed(Payload):
    breaker_id: int
    provider: str
    version: int
    reason: Literal["trial", "reset"]


class Intervention(Payload):
    """A person's command to a task: what was asked, and what became of it."""

    command: str
    outcome: Literal["applied", "refused", "conflict"]
    reason: str = ""
    status: str = ""


class ToolCommand(Payload):
    tool: str
    outcome: Literal["allowed", "denied"]
    reason: str = ""


class SecurityAudit(Payload):
    action: str
    resource: str
    outcome: Literal["allowed", "denied"]
    reason: str = ""
    ip: str = ""


SCHEMAS: dict[T, type[Payload]] = {
    T.TASK_STATUS_CHANGED: TaskStatusChanged,
    T.TASK_INTERVENTION_AUDIT: Intervention,
    T.RUN_STATUS_CHANGED: RunStatusChanged,
    T.RUN_PROGRESS: RunProgress,
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
    **{type_: Created for type_ in T if type_.endswith(".created") and type_ != T.INBOX_ITEM_CREATED},
    **{type_: Updated for type_ in T if type_.endswith(".updated")},
    **{type_: Deleted for type_ in T if type_.endswith(".deleted")},
}
