"""The event log as the guards' audit trail."""

from __future__ import annotations

from contextlib import AbstractContextManager

from events import services
from events.schemas import SecurityAudit
from events.states import EventType
from security.audit import Outcome


class EventTrail:
    """Keeps in the event log what the guards have done."""

    def unit_of_work(self) -> AbstractContextManager[None]:
        """Run a block in one transaction, together with what is recorded in it."""
        return services.unit_of_work()

    def record_token(
        self, *, action: str, resource: str, outcome: Outcome, actor: str, reason: str = "", ip: str = ""
    ) -> None:
        """Record what was done with a credential. Raises EventOutsideUnitOfWork."""
        payload = SecurityAudit(action=action, resource=resource, outcome=outcome, reason=reason, ip=ip)
        _record(EventType.SECURITY_AUDIT_TOKEN, payload, actor=actor)

    def record_access(
        self, *, action: str, resource: str, outcome: Outcome, actor: str, reason: str = "", ip: str = ""
    ) -> None:
        """Record what was done with somebody's rights. Raises EventOutsideUnitOfWork."""
        payload = SecurityAudit(action=action, resource=resource, outcome=outcome, reason=reason, ip=ip)
        _record(EventType.SECURITY_AUDIT_ACCESS, payload, actor=actor)


def _record(type_: EventType, payload: SecurityAudit, *, actor: str) -> None:
    services.append(type_, project_id=None, actor=actor, **payload.model_dump())
