"""What every endpoint shares: the table from our errors to HTTP, and the one shape in which they are told."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from django.core.exceptions import DisallowedHost, RequestDataTooBig, SuspiciousOperation
from django.db import DataError, IntegrityError, InterfaceError, OperationalError
from django.db.models import ProtectedError, RestrictedError
from django.http import Http404, HttpRequest, HttpResponseBase, JsonResponse
from django.views import defaults
from drf_standardized_errors.formatter import ExceptionFormatter
from drf_standardized_errors.handler import ExceptionHandler
from rest_framework.exceptions import (
    APIException,
    ErrorDetail,
    MethodNotAllowed,
    NotAuthenticated,
    NotFound,
    UnsupportedMediaType,
)
from rest_framework.permissions import SAFE_METHODS
from rest_framework.response import Response

from api import problems, versions
from api.problems import Fault, faults_in
from api.queries import BadQuery
from api.renderers import JSONRenderer
from events import trace
from orchestration.exceptions import Conflict, Invalid, VersionConflict
from security.exceptions import NotAuthor, OutsideAccess, PathNotAllowed, ScopeTooWide, UnknownScope
from security.redaction import redact_data

# The nearest class along an exception's ancestors decides.
STATUS: dict[type[Exception], HTTPStatus] = {
    Invalid: HTTPStatus.BAD_REQUEST,
    UnknownScope: HTTPStatus.BAD_REQUEST,
    PathNotAllowed: HTTPStatus.FORBIDDEN,
    OutsideAccess: HTTPStatus.FORBIDDEN,
    NotAuthor: HTTPStatus.FORBIDDEN,
    ScopeTooWide: HTTPStatus.FORBIDDEN,
    Conflict: HTTPStatus.CONFLICT,
    ProtectedError: HTTPStatus.CONFLICT,
    RestrictedError: HTTPStatus.CONFLICT,
    IntegrityError: HTTPStatus.CONFLICT,
    SuspiciousOperation: HTTPStatus.BAD_REQUEST,
    DisallowedHost: HTTPStatus.BAD_REQUEST,
    RequestDataTooBig: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    # The database cannot hold the value: an integer beyond 64 bits, a lone surrogate, a NUL.
    OverflowError: HTTPStatus.BAD_REQUEST,
    UnicodeEncodeError: HTTPStatus.BAD_REQUEST,
    DataError: HTTPStatus.BAD_REQUEST,
    InterfaceError: HTTPStatus.SERVICE_UNAVAILABLE,
    OperationalError: HTTPStatus.SERVICE_UNAVAILABLE,
}
# What is said of exceptions that are not ours: their own words may tell about the inside.
WORDS: dict[type[Exception], tuple[str, str]] = {
    ProtectedError: ("in_use", "Other rows need it. Delete those first."),
    RestrictedError: ("in_use", "Other rows need it. Delete those first."),
    IntegrityError: ("conflict", "Somebody else was faster with the same values. Read again and decide anew."),
    SuspiciousOperation: ("bad_request", "The request is malformed."),
    DisallowedHost: (
        "host_not_allowed",
        "This server does not go by the name in the Host header. Use its own name, or add this one to BBB_ALLOWED_HOSTS.",
    ),
    RequestDataTooBig: ("body_too_large", "The body is too large. Send less at once."),
    OverflowError: ("invalid", "A value is out of range."),
    UnicodeEncodeError: ("invalid", "A text holds characters that cannot be stored."),
    DataError: ("invalid", "A value is out of range."),
    InterfaceError: ("unavailable", "The database does not answer. Try again in a moment."),
    OperationalError: ("unavailable", "The database does not answer. Try again in a moment."),
}
_OUT_OF_RANGE = (OverflowError, DataError)
NOT_FOUND = "There is nothing at this address, or nothing that you may see."
OUR_FAULT = "Something failed on our side; the log has it under the trace_id. Try again, and tell the operator if it fails again."


class Refusal(APIException):
    """One of our errors on its way to the client."""

    def __init__(self, status: HTTPStatus, code: str, message: str, data: dict[str, Any]) -> None:
        super().__init__(message, code)
        self.status_code = status
        self.code = code
        self.place = tuple(data["field"].split(".")) if data.get("field") else ()
        self.data = {name: value for name, value in data.items() if name != "field"}
        if status is HTTPStatus.SERVICE_UNAVAILABLE:
            self.wait = 1


class Handler(ExceptionHandler):
    """Turns what a view raises into an answer."""

    def convert_known_exceptions(self, exc: Exception) -> Exception:
        request = self.context["request"]
        if isinstance(exc, VersionConflict) and request and not versions.matches(request, exc.data.get("version")):
            return Refusal(HTTPStatus.PRECONDITION_FAILED, "precondition_failed", str(exc), exc.data)
        if isinstance(exc, Http404):
            return NotFound(NOT_FOUND)
        known = refusal(exc, self.context["kwargs"]) or super().convert_known_exceptions(exc)
        return _advised(known, self.context["view"])

    def convert_unhandled_exceptions(self, exc: Exception) -> APIException:
        return exc if isinstance(exc, APIException) else APIException(OUR_FAULT)

    def get_response(self, exc: APIException, data: dict[str, Any]) -> Response:
        response = super().get_response(exc, data)
        response.content_type = problems.MEDIA_TYPE
        request = self.context["request"]
        if request is not None and not isinstance(getattr(request, "accepted_renderer", None), JSONRenderer):
            # Where the answer would have been YAML, or a page.
            request.accepted_renderer, request.accepted_media_type = JSONRenderer(), problems.MEDIA_TYPE
        return response


class Formatter(ExceptionFormatter):
    """Writes an error as problem details (`api.problems`)."""

    def run(self) -> dict[str, Any]:
        request = self.context["request"]
        assert request is not None  # noqa: S101  (the views' own handler always gives it)
        has_body = request.method not in SAFE_METHODS and not isinstance(self.exc, BadQuery)
        return told(
            self.exc.status_code,
            self._faults(),
            path=request.path,
            has_body=has_body,
            data=getattr(self.exc, "data", {}),
        )

    def _faults(self) -> list[Fault]:
        if isinstance(self.exc, Refusal):
            return [Fault(self.exc.code, str(self.exc.detail), self.exc.place)]
        return list(faults_in(self.exc.detail))


def _advised(exc: Exception, view: Any) -> Exception:
    """Add what would be accepted to what DRF only refuses."""
    if isinstance(exc, NotAuthenticated):
        exc.detail = ErrorDetail("There is no login. Send `Authorization: Bearer bbb_…`, or log in.", exc.default_code)
    elif isinstance(exc, MethodNotAllowed):
        exc.detail = ErrorDetail(f"{exc.detail} Allowed: {', '.join(view.allowed_methods)}.", exc.default_code)
    elif isinstance(exc, UnsupportedMediaType) and str(exc.detail).endswith(" in request."):
        exc.detail = ErrorDetail(f"{exc.detail} Send `Content-Type: application/json`.", exc.default_code)
    return exc


def refusal(exc: Exception, path: dict[str, Any]) -> Refusal | None:
    """Return how an exception is told, None if it is not in the table. `path` holds what the URL captured."""
    known = next((cls for cls in type(exc).__mro__ if cls in STATUS), None)
    if known is None:
        return None
    if issubclass(known, _OUT_OF_RANGE) and any(_is_huge(value) for value in path.values()):
        return Refusal(HTTPStatus.NOT_FOUND, "not_found", NOT_FOUND, {})
    code, message = WORDS.get(known) or (getattr(exc, "code", "refused"), str(exc))
    return Refusal(STATUS[known], code, message, getattr(exc, "data", {}))


def told(
    status: int, faults: list[Fault], *, path: str, has_body: bool = False, data: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Return the body of an error answer. Values that came from outside may hold secrets; they are masked."""
    trace_id = trace.current()
    shown = problems.problem(status, faults, path=path, trace_id=trace_id, has_body=has_body, data=data or {})
    # The trace is random: it may look like a secret, and is none.
    return {**redact_data(shown), "trace_id": trace_id}


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """Answer a request Django itself refuses."""
    if _is_api(request):
        refused = refusal(exception, {}) or Refusal(HTTPStatus.BAD_REQUEST, *WORDS[SuspiciousOperation], {})
        return _answer(request, HTTPStatus(refused.status_code), refused.code, str(refused.detail))
    return defaults.bad_request(request, exception)


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """Answer a request that no view of the API has refused already."""
    if _is_api(request):
        return _answer(request, HTTPStatus.FORBIDDEN, "permission_denied", "This is not allowed.")
    return defaults.permission_denied(request, exception)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """Answer a request for a path that leads nowhere."""
    if _is_api(request):
        return _answer(request, HTTPStatus.NOT_FOUND, "not_found", NOT_FOUND)
    return defaults.page_not_found(request, exception)


def server_error(request: HttpRequest) -> HttpResponseBase:
    """Answer for a failure of ours outside a view of the API."""
    if _is_api(request):
        return _answer(request, HTTPStatus.INTERNAL_SERVER_ERROR, "error", OUR_FAULT)
    return defaults.server_error(request)


def _answer(request: HttpRequest, status: HTTPStatus, code: str, detail: str) -> JsonResponse:
    body = told(status, [Fault(code, detail)], path=request.path)
    return JsonResponse(body, status=status, content_type=problems.MEDIA_TYPE)


def _is_api(request: HttpRequest) -> bool:
    return request.path_info.startswith("/api/")


def _is_huge(value: object) -> bool:
    return isinstance(value, int | str) and str(value).lstrip("-").isdecimal() and len(str(value)) > 18
