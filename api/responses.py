"""What the answers of many operations have in common, described once: the headers, and the errors."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, NamedTuple

from api import idempotency, problems
from api.problems import Fault

_TRACE_ID = "8b6c0f3e1f2a4d5c9b7a6e5d4c3b2a10"
_VERSION = r'^"\d+"$'

TRACE, ETAG, REPLAYED = "X-Trace-ID", "ETag", idempotency.REPLAYED
WAIT, LOGIN = "Retry-After", "WWW-Authenticate"
HEADERS: dict[str, dict[str, Any]] = {
    TRACE: {
        "description": "Joins the request, its log lines and its events. A request may bring one of its own.",
        "schema": {"type": "string"},
        "required": True,
    },
    ETAG: {
        "description": "The `version` of the row, quoted: for If-Match.",
        "schema": {"type": "string", "pattern": _VERSION},
    },
    REPLAYED: {
        "description": "`true`: the request was carried out before, and this is the answer it got then.",
        "schema": {"type": "string", "enum": ["true"]},
    },
    WAIT: {"description": "In how many seconds to try again.", "schema": {"type": "integer", "minimum": 0}},
    LOGIN: {"description": "How to log in.", "schema": {"type": "string"}, "required": True},
}


class Refusal(NamedTuple):
    """An error answer, with an example of it."""

    name: str
    description: str
    faults: list[Fault]
    headers: tuple[str, ...] = ()
    data: dict[str, Any] = {}

    def component(self, status: int) -> dict[str, Any]:
        """Return the response as OpenAPI describes it."""
        return {
            "description": self.description,
            "headers": {name: header(name) for name in (TRACE, *self.headers)},
            "content": {
                problems.MEDIA_TYPE: {
                    "schema": {"$ref": "#/components/schemas/Problem"},
                    "examples": {"Answer": {"value": self._example(status)}},
                }
            },
        }

    def _example(self, status: int) -> dict[str, Any]:
        path = "/api/v1/tasks/7"
        return problems.problem(status, self.faults, path=path, trace_id=_TRACE_ID, has_body=True, data=dict(self.data))


REFUSALS: dict[HTTPStatus, Refusal] = {
    HTTPStatus.BAD_REQUEST: Refusal(
        "Invalid",
        "Something in the body, in the query or in a header is not accepted; `errors` says what, and where.",
        [
            Fault("required", "This field is required.", ("title",)),
            Fault("unknown_field", "There is no such field that could be set here.", ("titel",)),
        ],
        (REPLAYED,),
    ),
    HTTPStatus.UNAUTHORIZED: Refusal(
        "NotLoggedIn",
        "There is no login, or it is not valid any more.",
        [Fault("token_expired", "The token has expired. Make a new one.")],
        (LOGIN,),
    ),
    HTTPStatus.FORBIDDEN: Refusal(
        "NotAllowed",
        "The role does not suffice, the row is somebody else's, or a browser's request came without its CSRF token.",
        [Fault("permission_denied", "This needs the role operator; yours is viewer.")],
    ),
    HTTPStatus.NOT_FOUND: Refusal(
        "NotFound",
        "There is no such row, or it is in a project one may not see.",
        [Fault("not_found", "No Task matches the given query.")],
        (REPLAYED,),
    ),
    HTTPStatus.NOT_ACCEPTABLE: Refusal(
        "NotAcceptable",
        "The Accept header allows no JSON.",
        [Fault("not_acceptable", "Could not satisfy the request Accept header.")],
    ),
    HTTPStatus.CONFLICT: Refusal(
        "Conflict",
        "The present state does not allow it; `data` says what that is.",
        [Fault("version_conflict", "Somebody else changed it since you read it. Read it again and decide anew.")],
        (REPLAYED, WAIT),
        {"version": 4, "status": "running"},
    ),
    HTTPStatus.PRECONDITION_FAILED: Refusal(
        "PreconditionFailed",
        "The row has another version than If-Match says; `data` has the present one.",
        [Fault("precondition_failed", "Somebody else changed it since you read it. Read it again and decide anew.")],
        (REPLAYED,),
        {"version": 4, "status": "running"},
    ),
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: Refusal(
        "BodyTooLarge",
        "The body is larger than is accepted.",
        [Fault("body_too_large", "The body is too large. Send less at once.")],
        (REPLAYED,),
    ),
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: Refusal(
        "NoJson",
        "The body is not sent as JSON.",
        [
            Fault(
                "unsupported_media_type",
                'Unsupported media type "text/plain" in request. Send `Content-Type: application/json`.',
            )
        ],
        (REPLAYED,),
    ),
    HTTPStatus.UNPROCESSABLE_ENTITY: Refusal(
        "KeyReused",
        "The Idempotency-Key was sent before, with another request.",
        [
            Fault(
                "idempotency_key_reused",
                "This Idempotency-Key was used for another request. Send a new key with a new request.",
            )
        ],
    ),
    HTTPStatus.TOO_MANY_REQUESTS: Refusal(
        "TooManyRequests",
        "Too many requests in too short a time.",
        [
            Fault(
                "throttled",
                "More requests were sent than are accepted in a minute. Send them more slowly. Try again in 12 seconds.",
            )
        ],
        (WAIT,),
    ),
    HTTPStatus.INTERNAL_SERVER_ERROR: Refusal(
        "OurFault", "A mistake of ours. The log has it, by its trace.", [Fault("error", "Server Error (500)")]
    ),
    HTTPStatus.SERVICE_UNAVAILABLE: Refusal(
        "Unavailable",
        "The database does not answer in time.",
        [Fault("unavailable", "The database does not answer. Try again in a moment.")],
        (WAIT,),
    ),
}


def header(name: str) -> dict[str, str]:
    """Return a reference to a header that is described once."""
    return {"$ref": f"#/components/headers/{name}"}
