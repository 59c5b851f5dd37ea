"""The caps a task may carry: turns, tokens, minutes, USD. Each one missing means: the agent's own."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from orchestration.exceptions import Invalid


class Limits(BaseModel):
    """Caps of one task."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    turns: int | None = Field(None, ge=1, le=100_000)
    tokens: int | None = Field(None, ge=1, le=10**12)
    minutes: float | None = Field(None, gt=0, le=60 * 24 * 30)
    usd: float | None = Field(None, gt=0, le=1_000_000)

    @classmethod
    def parse(cls, raw: Any) -> Limits:
        """Return the limits. Raises Invalid."""
        try:
            return cls.model_validate(raw)
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join(["limits", *map(str, first["loc"])])
            raise Invalid(f"{name}: {first['msg']}.", field="limits") from None
