"""How the API reads a body: JSON in UTF-8, of a size and depth that cannot hurt, in which nothing is said twice."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, NoReturn

from django.conf import settings
from rest_framework.exceptions import APIException, ParseError, UnsupportedMediaType
from rest_framework.parsers import JSONParser

_UTF_8 = {"utf-8", "utf8"}


class BodyTooLarge(APIException):
    status_code = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    default_detail = "The body is too large. Send less at once."
    default_code = "body_too_large"


class BoundedJSONParser(JSONParser):
    """JSON up to DATA_UPLOAD_MAX_MEMORY_SIZE bytes; what nests too deep is malformed."""

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Mapping[str, Any] | None = None) -> Any:
        _refuse_encoded(media_type or "", parser_context or {})
        limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        text = stream.read(limit + 1)
        if len(text) > limit:
            raise BodyTooLarge
        try:
            found = json.loads(
                text.decode(), parse_constant=_refuse_constant, parse_float=_number, object_pairs_hook=_each_once
            )
            _refuse_half_characters(text, found)
        except ValueError as error:
            raise ParseError(f"JSON parse error - {error}") from None
        except RecursionError:
            raise ParseError("JSON parse error - nested too deep") from None
        return found


def _refuse_encoded(media_type: str, context: Mapping[str, Any]) -> None:
    """Refuse what is not plain UTF-8 (RFC 8259): a charset could also name a compression."""
    if context.get("encoding", "utf-8").lower() not in _UTF_8:
        raise UnsupportedMediaType(media_type, "A body is JSON in UTF-8. Send it in no other charset.")
    request = context.get("request")
    if request is not None and request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise UnsupportedMediaType(media_type, "A body is sent as it is. Leave Content-Encoding out.")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def _number(digits: str) -> float:
    """Return a number that has a point or an exponent; JSON takes 2.0 for the same as 2."""
    number = float(digits)
    if math.isinf(number):
        raise ValueError(f"{digits[:20]} is out of range")
    return int(number) if number.is_integer() else number


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse a name given twice, of which one value would be lost."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"{name[:100]!r} is given twice")
        found[name] = value
    return found


def _refuse_half_characters(text: bytes, found: Any) -> None:
    """Half a surrogate pair is legal JSON, but no text: it can neither be stored nor sent back."""
    if b"\\ud" not in text.lower():
        return
    try:
        json.dumps(found, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ValueError("half a surrogate pair") from None
