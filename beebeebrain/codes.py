"""Every stable code that an answer may carry, with what it means and what to do.

`docs/errors.md` is written from this file and the errors it finds (`manage.py describe_errors`); tests keep them equal,
and look for codes that are missing here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from http import HTTPStatus
from typing import Any, NamedTuple, TypeVar

from rest_framework import exceptions as drf
from rest_framework.exceptions import APIException

from api import problems
from api.idempotency import InvalidKey, KeyInUse, KeyReused
from api.parsing import BodyTooLarge
from beebeebrain import errors
from inbox import exceptions as inbox
from orchestration.exceptions import DomainError
from runtime import exceptions as runtime
from security.exceptions import SecurityError, TokenExpired, TokenInvalid

T = TypeVar("T")


class Code(NamedTuple):
    """A code, the status it comes with, and what is to be known about it."""

    code: str
    status: int
    meaning: str


# What is said for each class of DRF, and of ours that extend it; code and status are its own.
PROTOCOL: dict[type[APIException], str] = {
    drf.ParseError: "The body is no JSON, nests too deep, or holds characters that no text can hold. Send valid JSON.",
    drf.NotAuthenticated: "There is no login. Send `Authorization: Bearer bbb_…`, or log in.",
    drf.AuthenticationFailed: "The login is not valid. Send another token, or log in again.",
    drf.PermissionDenied: "The role does not suffice. Ask an administrator.",
    drf.NotFound: "There is no such address or row, or it is in a project one may not see.",
    drf.MethodNotAllowed: "The address does not know the method; `Allow` names those it knows.",
    drf.NotAcceptable: "`Accept` excludes `application/json`. Accept it.",
    drf.UnsupportedMediaType: "The body is not declared as JSON. Send `Content-Type: application/json`.",
    drf.Throttled: "Too many requests. Wait as long as `Retry-After` says.",
    InvalidKey: "The `Idempotency-Key` is none: 1 to 255 printable ASCII characters without spaces are accepted.",
    KeyInUse: "A request with this `Idempotency-Key` is still being carried out. Send it again after `Retry-After`.",
    KeyReused: "The `Idempotency-Key` was sent before, with another body or address. Take a new key for a new request.",
    BodyTooLarge: "The body is larger than is accepted. Send less at once.",
    APIException: "A mistake of ours. Look into the log for the answer's `trace_id`.",
}
_ELSEWHERE = [
    Code(problems.SEVERAL, 400, "There are several errors; `errors` has each of them with a code of its own."),
    Code("bad_request", 400, "The request is malformed: its headers or its address cannot be used."),
    Code(
        "host_not_allowed",
        400,
        "The server does not go by the name in the `Host` header. Use its own name, or add this one to BBB_ALLOWED_HOSTS.",
    ),
    Code("csrf_failed", 403, "A browser's change came without its CSRF token. Send `csrftoken` as `X-CSRFToken`."),
    Code("precondition_failed", 412, "The row has another version than `If-Match` says. Read it again; decide anew."),
    Code("conflict", 409, "Somebody else was faster with the same values. Read again and decide anew."),
    Code("in_use", 409, "Other rows need it. Archive it instead, or delete those first."),
    Code("unavailable", 503, "The database does not answer in time. Send the request again after `Retry-After`."),
]
FIELDS: dict[str, str] = {
    "required": "It is missing. Send it.",
    "null": "It may not be null. Send a value, or leave it out.",
    "blank": "It may not be empty. Write something.",
    "empty": "The list may not be empty. Put something into it.",
    "invalid": "It is not what is expected here, or does not fit to the rest; `detail` says what does.",
    "invalid_choice": "It is none of the accepted values. Choose one of those the description lists.",
    "incorrect_type": "It is no id. Send a whole number.",
    "does_not_exist": "There is no row with this id, or it is in a project one may not see.",
    "not_a_list": "It is no list. Send `[…]`.",
    "not_a_dict": "It is no object. Send `{…}`.",
    "min_length": "It is too short, or the list has too few entries; `detail` has the limit.",
    "max_length": "It is too long, or the list has too many entries; `detail` has the limit.",
    "min_value": "It is too small; `detail` has the limit.",
    "max_value": "It is too large; `detail` has the limit.",
    "max_digits": "The number has too many digits; `detail` has the limit.",
    "max_decimal_places": "The number has too many digits behind the point; `detail` has the limit.",
    "max_whole_digits": "The number has too many digits before the point; `detail` has the limit.",
    "max_string_length": "The number is written with too many characters.",
    "in_the_past": "The time is over. Give one to come.",
    "search_too_wide": "The text would be looked for in too much. Say in which task, run or trace, or within which day.",
    "overflow": "The time is out of range.",
    "make_aware": "The time does not exist in its time zone.",
    "date": "It is a date without a time. Send both.",
    "invalid_list": "It is no list of accepted values.",
    "null_characters_not_allowed": "The text holds the character NUL. Leave it out.",
    "surrogate_characters_not_allowed": "The text holds half a character. Send valid Unicode.",
    "unknown_field": "There is no such field that could be set here. Check its name, or leave it out.",
    "unknown_parameter": "There is no such parameter in the query; `detail` names those there are.",
}
BROADCAST: dict[str, str] = {
    "not_found": "There is no such task, or it is in a project one may not see.",
    "not_selected": "The task was named, but the other selectors leave it out.",
    "not_saved": "The database could not do it at this moment; nothing has changed. Send the command again.",
}
STREAM: dict[str, str] = {
    "bad_query": "4400 | A parameter of the address is not accepted; `detail` says which, and why.",
    "not_authenticated": "4401 | There is no login any more, or it has no role. Log in, or send another token.",
    "not_found": "4404 | There is no such run, or it is in a project one may not see.",
    "throttled": "4429 | More streams were opened than are accepted in a minute. Wait before you open the next one.",
    "too_many_messages": "4429 | More messages came than are carried out. Wait for answers.",
    "bad_message": " | The message is none that is known, or a parameter in it is not accepted; `detail` says which, and why.",
    "name_taken": " | There is a subscription of this name on the socket. End it first, or take another name.",
    "not_subscribed": " | There is no subscription of this name on the socket. Nothing needs to be done.",
    "too_many_subscriptions": " | The socket has as many subscriptions as it may. End one, or open another socket.",
    "resync": " | The log does not reach back, or not as far, as the cursor. Load what you show anew; the stream goes on.",
}
# These two are raised while logging in, and become DRF's AuthenticationFailed.
_AT_LOGIN: dict[type, HTTPStatus] = {TokenInvalid: HTTPStatus.UNAUTHORIZED, TokenExpired: HTTPStatus.UNAUTHORIZED}
# Importing them declares their errors.
_DECLARED_IN = (inbox, runtime)


def protocol() -> list[Code]:
    """Return the codes that any request may meet, whatever it asks."""
    own = [Code(cls.default_code, cls.status_code, meaning) for cls, meaning in PROTOCOL.items()]
    return sorted([*own, *_ELSEWHERE])


def domain() -> list[Code]:
    """Return the codes of what the present state, the rules or the guards refuse."""
    return sorted(code for base in (DomainError, SecurityError) for cls in below(base) for code in _of(cls))


def listed() -> dict[str, set[int]]:
    """Return every code that an error answer may have, with its statuses."""
    found: dict[str, set[int]] = {code: {400} for code in FIELDS}
    for code, status, _ in (*protocol(), *domain()):
        found.setdefault(code, set()).add(status)
    return found


def below(cls: type[T]) -> Iterator[type[T]]:
    """Return all classes that extend `cls`."""
    for child in cls.__subclasses__():
        yield child
        yield from below(child)


def _of(cls: type[Any]) -> Iterable[Code]:
    statuses: dict[type, HTTPStatus] = {**errors.STATUS, **_AT_LOGIN}
    status = next(statuses[each] for each in cls.__mro__ if each in statuses)
    told = getattr(cls, "codes", {}) or {cls.code: " ".join((cls.__doc__ or "").split())}
    return [Code(code, int(status), meaning) for code, meaning in told.items()]


def document() -> str:
    """Return docs/errors.md."""
    parts = [
        _HEAD,
        *_table(protocol()),
        _OF_FIELDS,
        *(f"| `{code}` | {meaning} |" for code, meaning in sorted(FIELDS.items())),
        _OF_DOMAIN,
        *_table(domain()),
        _OF_BROADCASTS,
        *(f"| `{code}` | {meaning} |" for code, meaning in sorted(BROADCAST.items())),
        _OF_STREAM,
        *(f"| `{code}` | {meaning} |" for code, meaning in sorted(STREAM.items())),
        _OF_HEALTH,
    ]
    return "\n".join([*parts, ""])


def _table(codes: Iterable[Code]) -> Iterator[str]:
    return (f"| `{code}` | {status} | {meaning} |" for code, status, meaning in codes)


_HEAD = """# Errors

Every answer with a status of 400 or more is a problem document (RFC 9457, `application/problem+json`):

```json
{
  "type": "urn:beebeebrain:error:version_conflict",
  "title": "Conflict",
  "status": 409,
  "code": "version_conflict",
  "detail": "Somebody else changed it since you read it. Read it again and decide anew.",
  "instance": "/api/v1/tasks/7",
  "trace_id": "8b6c0f3e1f2a4d5c9b7a6e5d4c3b2a10",
  "errors": [{"code": "version_conflict", "detail": "Somebody else changed it since you read it. …"}],
  "data": {"version": 4, "status": "running"}
}
```

* Programs decide by `code`; it stays the same. `detail` is for people and may be worded anew.
* `errors` has every error, at least one: `pointer` is a JSON pointer into the body, `parameter` a parameter of the query.
* `data` is there where something is to be told, such as what is present now.
* `trace_id`, also in the header `X-Trace-ID`, is in the log lines and events of the request.

This page is written from the code by `make openapi`.

## Whatever was asked

| code | status | what happened, and what to do |
|---|---|---|"""
_OF_FIELDS = """
## A field of the body, or a parameter

All of them come with the status 400; `pointer` or `parameter` says which one is meant.

| code | what happened, and what to do |
|---|---|"""
_OF_DOMAIN = """
## What the present state, the rules or the guards refuse

| code | status | what happened, and what to do |
|---|---|---|"""
_OF_BROADCASTS = """
## One task of a broadcast

The answer to a broadcast says of each task what became of it. Its `code` is one of the above, or:

| code | what happened, and what to do |
|---|---|"""
_OF_STREAM = """
## The stream

`{"type": "error", "code": …, "detail": …}` says what a stream refuses ([realtime.md](realtime.md)). If the stream cannot go on, it is the last frame, and the socket is then
closed with the number beside it; the others end nothing. `resync` is a frame of its own type.

| code | closed with | what happened, and what to do |
|---|---|---|"""
_OF_HEALTH = """
## Health

`/healthz` and `/readyz` are for load balancers and have no codes. `/readyz` answers 503 with `"status": "unready"` while one of its
`checks` is not `ok`: `unavailable` (it cannot be told; the log has the reason), or a sentence that says what to run."""
