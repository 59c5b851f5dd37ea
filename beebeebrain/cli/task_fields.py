"""The fields of a task as options, and as the API wants them."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from beebeebrain.cli.options import given_fields, text_of
from beebeebrain.cli.references import priority_number, task_id

Description = Annotated[str | None, typer.Option("--description", "-d", help="More about it; - is stdin.")]
Acceptance = Annotated[str | None, typer.Option(help="When it counts as done; - is stdin.")]
Priority = Annotated[str | None, typer.Option("--priority", help="urgent, high, normal, low, lowest.")]
Type = Annotated[str | None, typer.Option("--type", help="feature, bug, refactor, test, docs, research, chore.")]
Phase = Annotated[str | None, typer.Option(help="plan, build, verify or release.")]
Parent = Annotated[str | None, typer.Option(help="The task it is part of.")]
After = Annotated[list[str] | None, typer.Option(help="A task that must be done before; may be repeated.")]
Check = Annotated[list[str] | None, typer.Option(help="Command that must pass; may be repeated.")]
NotBefore = Annotated[str | None, typer.Option(help="Do not start before, such as 2026-12-01T08:00Z.")]
Due = Annotated[str | None, typer.Option(help="To be done by, such as 2026-12-24T18:00Z.")]
MaxUsd = Annotated[float | None, typer.Option(min=0, help="What it may cost.")]


def task_fields(
    *,
    description: str | None,
    acceptance_criteria: str | None,
    priority_word: str | None,
    parent: str | None,
    depends_on: list[str] | None = None,
    max_usd: float | None = None,
    **fields: Any,
) -> dict[str, Any]:
    """Return what was given, as the API wants it. Raises Misuse."""
    return given_fields(
        **fields,
        description=text_of(description),
        acceptance_criteria=text_of(acceptance_criteria),
        priority=priority_number(priority_word),
        parent=task_id(parent) if parent else None,
        depends_on=[task_id(other) for other in depends_on or []],
        limits=None if max_usd is None else {"usd": max_usd},
    )
