"""The event log as the guards' audit trail."""

from __future__ import annotations

from contextlib import AbstractContextManager

from events import services
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
        services.append(
            EventType.SECURITY_AUDIT_TOKEN,
            project_id=None,
            actor=actor,
            action=action,
            resource=resource,
            outcome=outcome,
            reason=reason,
            ip=ip,
        )
