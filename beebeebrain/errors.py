"""What every endpoint shares: the table from our errors to HTTP, and the one shape in which they are told."""

from __future__ import annotations

from dataclasses import asdict
from http import HTTPStatus
from typing import Any

from django.core.exceptions import RequestDataTooBig, SuspiciousOperation
from django.db import DataError, IntegrityError, InterfaceError, OperationalError
from django.db.models import ProtectedError, RestrictedError
from django.http import HttpRequest, HttpResponseBase, JsonResponse
from django.views import defaults
from drf_standardized_errors.formatter import ExceptionFormatter
from drf_standardized_errors.handler import ExceptionHandler
from drf_standardized_errors.types import CLIENT_ERROR, SERVER_ERROR, VALIDATION_ERROR, Error, ErrorResponse, ErrorType
from rest_framework.exceptions import APIException, ErrorDetail

from events import trace
from orchestration.exceptions import Conflict, Invalid
from security.exceptions import PathNotAllowed, UnknownScope
from security.redaction import redact_data

# The nearest class along an exception's ancestors decides.
STATUS: dict[type[Exception], HTTPStatus] = {
    Invalid: HTTPStatus.BAD_REQUEST,
    UnknownScope: HTTPStatus.BAD_REQUEST,
    PathNotAllowed: HTTPStatus.FORBIDDEN,
    Conflict: HTTPStatus.CONFLICT,
    ProtectedError: HTTPStatus.CONFLICT,
    RestrictedError: HTTPStatus.CONFLICT,
    IntegrityError: HTTPStatus.CONFLICT,
    SuspiciousOperation: HTTPStatus.BAD_REQUEST,
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
    RequestDataTooBig: ("body_too_large", "The body is too large."),
    OverflowError: ("invalid", "A value is out of range."),
    UnicodeEncodeError: ("invalid", "A text holds characters that cannot be stored."),
    DataError: ("invalid", "A value is out of range."),
    InterfaceError: ("unavailable", "The database does not answer. Try again in a moment."),
    OperationalError: ("unavailable", "The database does not answer. Try again in a moment."),
}
_OUT_OF_RANGE = (OverflowError, DataError)


class Refusal(APIException):
    """One of our errors on its way to the client."""

    def __init__(self, status: HTTPStatus, code: str, message: str, data: dict[str, Any]) -> None:
        super().__init__(message, code)
        self.status_code = status
        self.code = code
        self.attr = data.get("field")
        self.data = {name: value for name, value in data.items() if name != "field"}
        if status is HTTPStatus.SERVICE_UNAVAILABLE:
            self.wait = 1


class Handler(ExceptionHandler):
    """Turns what a view raises into an answer."""

    def convert_known_exceptions(self, exc: Exception) -> Exception:
        return refusal(exc, self.context["kwargs"]) or super().convert_known_exceptions(exc)


class Formatter(ExceptionFormatter):
    """Writes an error as `{type, errors: [{code, detail, attr}], data?, trace_id}`."""

    def get_error_type(self) -> ErrorType:
        is_field = isinstance(self.exc, Refusal) and self.exc.attr is not None
        return VALIDATION_ERROR if is_field else super().get_error_type()

    def get_errors(self) -> list[Error]:
        if isinstance(self.exc, Refusal):
            return [Error(self.exc.code, str(self.exc.detail), self.exc.attr)]
        return super().get_errors()

    def format_error_response(self, error_response: ErrorResponse) -> dict[str, Any]:
        return body(error_response, getattr(self.exc, "data", {}))


def refusal(exc: Exception, path: dict[str, Any]) -> Refusal | None:
    """Return how an exception is told, None if it is not in the table. `path` holds what the URL captured."""
    known = next((cls for cls in type(exc).__mro__ if cls in STATUS), None)
    if known is None:
        return None
    if issubclass(known, _OUT_OF_RANGE) and any(_is_huge(value) for value in path.values()):
        return Refusal(HTTPStatus.NOT_FOUND, "not_found", "Not found.", {})
    code, message = WORDS.get(known) or (getattr(exc, "code", "refused"), str(exc))
    return Refusal(STATUS[known], code, message, getattr(exc, "data", {}))


def body(response: ErrorResponse, data: dict[str, Any]) -> dict[str, Any]:
    """Return the body of an error answer. Values that came from outside may hold secrets; they are masked."""
    shown = redact_data({**asdict(response), **({"data": data} if data else {})})
    return {**shown, "trace_id": trace.current()}


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """Answer a request Django itself refuses."""
    if _is_api(request):
        return _answer(HTTPStatus.BAD_REQUEST, CLIENT_ERROR, "bad_request", "The request is malformed.")
    return defaults.bad_request(request, exception)


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """Answer a request that no view of the API has refused already."""
    if _is_api(request):
        return _answer(HTTPStatus.FORBIDDEN, CLIENT_ERROR, "permission_denied", "This is not allowed.")
    return defaults.permission_denied(request, exception)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """Answer a request for a path that leads nowhere."""
    if _is_api(request):
        return _answer(HTTPStatus.NOT_FOUND, CLIENT_ERROR, "not_found", "Not found.")
    return defaults.page_not_found(request, exception)


def server_error(request: HttpRequest) -> HttpResponseBase:
    """Answer for a failure of ours outside a view of the API."""
    if _is_api(request):
        return _answer(HTTPStatus.INTERNAL_SERVER_ERROR, SERVER_ERROR, "error", "Server Error (500)")
    return defaults.server_error(request)


def _answer(status: HTTPStatus, type_: ErrorType, code: str, detail: str) -> JsonResponse:
    return JsonResponse(body(ErrorResponse(type_, [Error(code, ErrorDetail(detail), None)]), {}), status=status)


def _is_api(request: HttpRequest) -> bool:
    return request.path_info.startswith("/api/")


def _is_huge(value: object) -> bool:
    return isinstance(value, int | str) and str(value).lstrip("-").isdecimal() and len(str(value)) > 18
