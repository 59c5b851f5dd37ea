"""The caps that people set as JSON: for a whole task, and for a day of a project or an agent. What is missing is not capped."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from orchestration.exceptions import Invalid


class Caps(BaseModel):
    """Caps that hold everywhere. Tokens are those in, out and written to the cache; reading the cache is not counted."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    turns: int | None = Field(None, ge=1, le=10**9)
    tokens: int | None = Field(None, ge=1, le=10**12)
    minutes: float | None = Field(None, gt=0, le=60 * 24 * 365)

    @classmethod
    def parse(cls, raw: Any, *, field: str = "limits") -> Self:
        """Return the limits. Raises Invalid, which names `field`."""
        try:
            return cls.model_validate(raw)
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join([field, *map(str, first["loc"])])
            raise Invalid(f"{name}: {first['msg']}.", field=field) from None

    def amounts(self) -> dict[str, Decimal]:
        """Return the caps that are set, by unit."""
        return {unit: Decimal(str(cap)) for unit, cap in self.model_dump(exclude_none=True).items()}


class Limits(Caps):
    """Caps of one task, over all its runs."""

    usd: float | None = Field(None, gt=0, le=1_000_000)


class ProjectDay(Caps):
    """Caps of a project for one day (UTC). Its money has a field of its own, `daily_budget_usd`."""

    runs: int | None = Field(None, ge=1, le=1_000_000)


class AgentDay(ProjectDay):
    """Caps of an agent for one day (UTC)."""

    usd: float | None = Field(None, gt=0, le=1_000_000)


def check_daily_limits(kind: type[Caps], fields: Mapping[str, Any]) -> None:
    """Refuse daily limits that are none. Raises Invalid."""
    kind.parse(fields.get("daily_limits", {}), field="daily_limits")
