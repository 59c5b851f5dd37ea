"""Commands that may be sent twice: one Idempotency-Key, one effect, one answer.

The answer is stored in the transaction of the effect, so a crash leaves both or neither. A key belongs to a user and is
kept for a day (draft-ietf-httpapi-idempotency-key-header: 400 for a key that is none, 409 while the first is under way,
422 for a key that was used for something else). Only a POST has one: PATCH and DELETE have If-Match.

SQLite has one writer: there the second request waits for the first. PostgreSQL takes the key as an advisory lock before
every other lock and never waits for it, so no deadlock can come of it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from django.db import connection
from django.utils import timezone
from rest_framework.exceptions import APIException
from rest_framework.request import Request
from rest_framework.response import Response

from api.answers import KEPT_FOR, forget_expired
from api.renderers import JSONRenderer
from security import audit
from security.access import projects_of
from security.models import IdempotentCommand

HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
_KEY = re.compile(r"[\x21-\x7e]{1,255}")
# Answers that say nothing about the command: another try with the same key may end otherwise.
_PASSING = {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.TOO_MANY_REQUESTS}


class InvalidKey(APIException):
    status_code = HTTPStatus.BAD_REQUEST
    default_code = "invalid_idempotency_key"
    default_detail = "Idempotency-Key: 1 to 255 printable ASCII characters without spaces are accepted."


class KeyInUse(APIException):
    status_code = HTTPStatus.CONFLICT
    default_code = "idempotency_key_in_use"
    default_detail = "A request with this Idempotency-Key is still being carried out. Send it again in a moment."
    wait = 1


class KeyReused(APIException):
    status_code = HTTPStatus.UNPROCESSABLE_ENTITY
    default_code = "idempotency_key_reused"
    default_detail = "This Idempotency-Key was used for another request. Send a new key with a new request."


class NotStored(Exception):
    """Takes an answer past the transaction, which it rolls back."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status_code)
        self.response = response


def once(
    request: Request, prepare: Callable[[], None], respond: Callable[[], Response], kept: Callable[[Any], Any]
) -> Response:
    """Answer a request with a key: by carrying it out, or with what was answered the first time.

    `prepare` does what need not be in the transaction; what it refuses is not stored. `respond` carries the request out, and
    turns what it raises into an answer. `kept` says what of a body may be stored. Raises InvalidKey, KeyInUse, KeyReused.
    """
    command = _command(request)
    if (answer := _replay(command)) is not None:
        return answer
    prepare()
    try:
        with audit.trail().unit_of_work():
            _lock(command)
            if (answer := _replay(command)) is not None:
                return answer
            response = respond()
            if response.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR or response.status_code in _PASSING:
                raise NotStored(response)
            _store(command, response, kept)
            return response
    except NotStored as passed:
        return passed.response


def _command(request: Request) -> IdempotentCommand:
    key = request.headers[HEADER]
    if not _KEY.fullmatch(key):
        raise InvalidKey
    return IdempotentCommand(scope=f"user:{request.user.pk}", key=key, fingerprint=_fingerprint(request))


def _fingerprint(request: Request) -> str:
    """Return what is the same for the same command: its address, what its body says, whatever the spacing, and for which version.

    Who may see other projects now (with another token, say) has another command: the answer might show too much.
    """
    projects = projects_of(request)
    seen = None if projects is None else sorted(projects)
    told = [request.get_full_path(), request.data, request.headers.get("If-Match"), seen]
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def _lock(command: IdempotentCommand) -> None:
    if connection.vendor != "postgresql":
        return
    with connection.cursor() as cursor:
        name = f"{command.scope}|{command.key}"
        cursor.execute("SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 42))", [name])
        if not cursor.fetchone()[0]:
            raise KeyInUse


def _replay(command: IdempotentCommand) -> Response | None:
    """Return the answer that is stored. One that has expired is forgotten here, where nothing is locked that others wait for."""
    stored = IdempotentCommand.objects.filter(scope=command.scope, key=command.key).first()
    if stored is None:
        return None
    if stored.expires_at <= timezone.now():
        stored.delete()
        return None
    if stored.fingerprint != command.fingerprint:
        raise KeyReused
    headers = stored.headers | {REPLAYED: "true"}
    body = json.loads(stored.body) if stored.body else None
    return Response(body, status=stored.status_code, headers=headers, content_type=headers.get("Content-Type"))


def _store(command: IdempotentCommand, response: Response, kept: Callable[[Any], Any]) -> None:
    forget_expired()
    command.status_code, command.expires_at = response.status_code, timezone.now() + KEPT_FOR
    # Its own Content-Type is no more than a guess before it is rendered.
    command.headers = {name: value for name, value in response.headers.items() if name != "Content-Type"}
    if response.content_type:
        command.headers["Content-Type"] = response.content_type
    if response.data is not None:
        # Text, since PostgreSQL's JSON does not keep the order of names.
        command.body = JSONRenderer().render(kept(response.data)).decode()
    command.save(force_insert=True)
