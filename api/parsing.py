"""How the API reads a body: JSON, of a size and depth that cannot hurt."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from django.conf import settings
from rest_framework.exceptions import APIException, ParseError
from rest_framework.parsers import JSONParser


class BodyTooLarge(APIException):
    status_code = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    default_detail = "The body is too large."
    default_code = "body_too_large"


class BoundedJSONParser(JSONParser):
    """JSON up to DATA_UPLOAD_MAX_MEMORY_SIZE bytes; what nests too deep is malformed."""

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Mapping[str, Any] | None = None) -> Any:
        limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        text = stream.read(limit + 1)
        if len(text) > limit:
            raise BodyTooLarge
        try:
            found = super().parse(io.BytesIO(text), media_type, parser_context)
            _refuse_half_characters(text, found)
        except RecursionError:
            raise ParseError("JSON parse error - nested too deep") from None
        return found


def _refuse_half_characters(text: bytes, found: Any) -> None:
    """Half a surrogate pair is legal JSON, but no text: it can neither be stored nor sent back."""
    if b"\\ud" not in text.lower():
        return
    try:
        json.dumps(found, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ParseError("JSON parse error - half a surrogate pair") from None
