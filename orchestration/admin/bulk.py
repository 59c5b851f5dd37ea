"""One command to many rows: each in a transaction of its own, and each answered for."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

import structlog
from django.contrib import messages
from django.core.exceptions import ObjectDoesNotExist
from django.db import DatabaseError
from django.db.models import Model
from django.http import HttpRequest

from orchestration.exceptions import DomainError, Gone
from orchestration.services.locks import give_way
from security.identity import actor_of

M = TypeVar("M", bound=Model)

log = structlog.get_logger("bbb.orchestration")

# More than this is no work of one request.
MAX_ROWS = 1000
# So many refusals are spelled out; the rest are counted.
_SPELLED_OUT = 10


def command_rows(request: HttpRequest, rows: Iterable[M], command: Callable[..., object], done: str) -> None:
    """Give a command about each row, and tell the person how many it was applied to and why others refused it."""
    actor, chosen = actor_of(request), list(rows)
    if len(chosen) > MAX_ROWS:
        text = f"{len(chosen):,} are selected; one command reaches at most {MAX_ROWS:,}. Select fewer."
        messages.error(request, text)
        return
    refusals = [text for row in chosen if (text := _refusal(row, command, actor))]
    if applied := len(chosen) - len(refusals):
        messages.success(request, f"{applied} {done}.")
    for text in refusals[:_SPELLED_OUT]:
        messages.warning(request, text)
    if len(refusals) > _SPELLED_OUT:
        messages.warning(request, f"{len(refusals) - _SPELLED_OUT} more refused.")


def _refusal(row: M, command: Callable[..., object], actor: str) -> str:
    """Give the command about one row; return why it was refused, or nothing."""
    name = str(row)
    try:
        command(row, actor=actor)
    except DomainError as refusal:
        return f"{name}: {refusal}"
    except ObjectDoesNotExist:
        return f"{name}: {Gone.__doc__}"
    except DatabaseError:
        # A deadlock, or the database went away: what was done to the others is still to be told.
        log.exception("command_interrupted", row=name)
        return f"{name}: The database could not do it at this moment; nothing has changed. Give the command again."
    give_way()
    return ""
