"""The audit trail as the guards see it.

Security is a leaf and knows no event log. Whoever keeps the trail, above, takes the place here when it is ready.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Literal, Protocol

Outcome = Literal["allowed", "denied"]


class Trail(Protocol):
    """Keeps what the guards have done, in the transaction of what they did."""

    def unit_of_work(self) -> AbstractContextManager[None]:
        """Run a block in one transaction, together with what is recorded in it."""

    def record_token(
        self, *, action: str, resource: str, outcome: Outcome, actor: str, reason: str = "", ip: str = ""
    ) -> None:
        """Record what was done with a credential. Only inside a unit of work."""

    def record_access(
        self, *, action: str, resource: str, outcome: Outcome, actor: str, reason: str = "", ip: str = ""
    ) -> None:
        """Record what was done with somebody's rights, or refused for want of them. Only inside a unit of work."""


class NoTrail(RuntimeError):
    """Nobody keeps the audit trail; nothing that must be on record may happen."""


_trail: Trail | None = None


def use(kept: Trail) -> None:
    """Let `kept` keep the trail from now on."""
    global _trail  # noqa: PLW0603  (set once, when the apps are ready)
    _trail = kept


def trail() -> Trail:
    """Return who keeps the trail. Raises NoTrail."""
    if _trail is None:
        raise NoTrail(NoTrail.__doc__)
    return _trail
